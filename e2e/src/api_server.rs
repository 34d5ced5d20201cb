//! The API servers of a lab, and what else one can be connected to.

use std::fmt;

use crate::control_plane::{API_PORT, api_ready, get, ready};
use crate::error::{Context, Result};
use crate::metrics::{Metrics, Writes};
use crate::process::Process;

/// One kube-apiserver of a lab. All of them serve the same etcd.
pub struct ApiServer {
    index: u8,
    url: String,
    process: Process,
    client: kube::Client,
}

impl ApiServer {
    pub(crate) fn new(index: u8, url: String, process: Process, client: kube::Client) -> Self {
        Self { index, url, process, client }
    }

    /// The port of the server with this index.
    pub(crate) fn port(index: u8) -> u16 {
        API_PORT + u16::from(index)
    }

    /// Number in [`crate::Lab::api_servers`].
    pub(crate) fn index(&self) -> usize {
        self.index.into()
    }

    /// Its URL, the same wherever one is in the lab.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process: freezing and thawing, killing and restarting.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A client of this server that may do everything.
    #[must_use]
    pub fn api(&self) -> kube::Client {
        self.client.clone()
    }

    /// Waits until it is ready, for example after a restart.
    ///
    /// # Errors
    /// [`crate::Error::Component`] with the end of its log when it ends or is late.
    pub async fn wait_ready(&self) -> Result<()> {
        ready(&self.process, async || api_ready(&self.client).await).await
    }

    /// Its metrics.
    ///
    /// # Errors
    /// [`crate::Error::Api`] when it does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        let text = self.client.request_text(get("/metrics")?).await;
        Ok(Metrics::parse(&text.context(|| format!("reading the metrics of {}", self.process.name()))?))
    }

    /// How often it was asked to write since it started; see [`crate::Lab::writes`] for all of them together.
    ///
    /// # Errors
    /// [`crate::Error::Api`] when it does not answer.
    pub async fn writes(&self) -> Result<Writes> {
        Ok(Writes::of(&self.metrics().await?))
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ApiServer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Where a kubeconfig points: at an [`ApiServer`], or at [`crate::Faults`] in front of it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// For names of files.
    pub(crate) name: String,
    pub(crate) url: String,
    /// Whether client certificates get through.
    pub(crate) certificates: bool,
}

impl From<&ApiServer> for Endpoint {
    fn from(server: &ApiServer) -> Self {
        Self { name: format!("server-{}", server.index + 1), url: server.url.clone(), certificates: true }
    }
}
