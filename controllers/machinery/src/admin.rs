//! The admin server: health for the kubelet and for people, metrics for the machine itself.
//!
//! | Path | Answer |
//! |---|---|
//! | `/livez`, `/healthz` | 200 while the process answers and no check of life fails, such as that of a leader whose lease ran out |
//! | `/readyz` | 200 while every [`Check`] is ok, else 500 and which are not; `?verbose` lists all |
//! | `/metrics` | Prometheus text, only while the server is bound to a loopback address |
//!
//! Plain HTTP/1.1 without authentication, so nothing here changes anything or tells a secret. Whoever connects
//! can hold a connection for 30 s at most, and 256 of them.

mod answer;
mod checks;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::answer::State;
pub use self::checks::{Check, Checks, Report};

/// Connections at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
/// How long a client may take to send the head of its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one request may take from connect to the last byte of the answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers in progress may take once the server is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Pause after a failed accept: out of file descriptors it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The smallest buffer that hyper takes. A longer request head is answered with 431.
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// The admin server, bound but not yet serving.
pub struct Admin {
    listener: TcpListener,
    state: Arc<State>,
}

/// The admin server could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for health checks and metrics: {source}; {}", advice(.source))]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// Why it failed.
    pub source: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process has that port: end it, or choose another one with --admin-bind-address (port 0 picks a \
             free one)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: choose one that it has with --admin-bind-address"
        }
        io::ErrorKind::PermissionDenied => "choose a port above 1023 with --admin-bind-address",
        _ => "choose another address with --admin-bind-address",
    }
}

impl Admin {
    /// Binds the server and logs the address that it got. Port 0 picks a free one. `[::]` serves IPv4 as well, and
    /// on a machine without IPv6 only IPv4.
    pub async fn bind(address: SocketAddr, checks: Checks, registry: Registry) -> Result<Self, BindError> {
        let fail = |source| BindError { address, source };
        let listener = listen(address).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        info!(%address, "serving /livez, /healthz and /readyz{}", if address.ip().to_canonical().is_loopback() {
            ", and /metrics because the address is loopback"
        } else {
            ""
        });
        Ok(Self { listener, state: Arc::new(State { address, checks, registry }) })
    }

    /// The address that the server is bound to, with the port that it really has.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    /// Serves until `stop` is cancelled; answers in progress then have two seconds. Stop it last, so that health
    /// can be asked while everything else drains.
    pub async fn serve(self, stop: CancellationToken) {
        // Dropping the set, as when this future is dropped, ends all connections.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(connection(stream, peer, Arc::clone(&self.state)));
                    }
                    Err(error) => {
                        warn!(%error, "the admin server could not accept a connection; trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        // Closed before the wait: a late client gets "connection refused" instead of silence.
        drop(self.listener);
        let rest = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_GRACE, rest).await.is_err() {
            debug!("admin connections were still open at the end");
        }
    }
}

async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let error = match TcpListener::bind(address).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    let hopeless = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
    if hopeless || !address.is_ipv6() || !address.ip().is_unspecified() {
        return Err(error);
    }
    // The kernel may have no IPv6 at all, and the wildcard is the default address.
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await.map_err(|_| error)
}

async fn connection(stream: TcpStream, peer: SocketAddr, state: Arc<State>) {
    let service = service_fn(move |request: hyper::Request<_>| {
        let response = state.answer(request.method(), request.uri());
        // The body is ignored, never read.
        let _: hyper::body::Incoming = request.into_body();
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        // Probes and scrapes are seconds apart: a connection kept would only hold a place.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%peer, %error, "admin connection failed"),
        Err(_) => debug!(%peer, "admin connection was cut after {CONNECTION_TIMEOUT:?}"),
    }
}

#[cfg(test)]
mod tests;
