//! A role of `fairlead` under test, with its admin server.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitStatus;
use std::time::Duration;

use crate::control_plane::{answers_ok, ready};
use crate::error::Result;
use crate::host::Host;
use crate::http::Response;
use crate::metrics::Metrics;
use crate::process::Process;

/// Longer than a clean shutdown, or the drain of a speaker, takes.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A process of `fairlead` on a host. Dropping this handle leaves it running until the lab ends.
#[derive(Clone)]
pub struct Role {
    host: Host,
    process: Process,
    admin: SocketAddr,
}

impl Role {
    /// The role whose admin server listens at this port of the host's loopback.
    pub(crate) fn new(host: Host, process: Process, port: u16) -> Self {
        Self { host, process, admin: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port) }
    }

    /// Its host; `set_connected(false)` cuts it off from the API server.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its process: pid, freezing and thawing, whether it still runs.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its log so far, over all of its runs.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when the log cannot be read.
    pub fn log(&self) -> Result<String> {
        self.process.log()
    }

    /// Waits until `/readyz` says ok.
    ///
    /// # Errors
    /// [`crate::Error::Component`] with the end of its log when it ends or is late.
    pub async fn wait_ready(&self) -> Result<()> {
        ready(&self.process, async || answers_ok(&self.host, self.admin, "/readyz").await).await
    }

    /// GET of its admin server, for example `/readyz?verbose`.
    ///
    /// # Errors
    /// [`crate::Error::Http`] when it does not answer.
    pub async fn admin(&self, path: &str) -> Result<Response> {
        self.host.http_get(self.admin, path).await
    }

    /// Its metrics.
    ///
    /// # Errors
    /// [`crate::Error::Http`] when it does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::parse(&self.admin("/metrics").await?.body))
    }

    /// Asks it to end (SIGTERM) and waits for that, 30 s at most.
    ///
    /// # Errors
    /// [`crate::Error::Component`] with the end of its log when it does not end.
    pub async fn stop(&self) -> Result<ExitStatus> {
        tokio::time::timeout(STOP_LIMIT, self.process.terminate()).await.unwrap_or_else(|_| {
            Err(self.process.failure(&format!("did not end within {STOP_LIMIT:?} after SIGTERM")))
        })
    }

    /// Ends it at once (SIGKILL).
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when it does not run.
    pub async fn kill(&self) -> Result<ExitStatus> {
        self.process.kill().await
    }

    /// Starts it again, after it has ended, and waits until it is ready.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when it still runs; [`crate::Error::Component`] when it ends or is late.
    pub async fn restart(&self) -> Result<()> {
        self.process.restart()?;
        self.wait_ready().await
    }
}
