//! A client that asks for the permit once more when a request is on the point of leaving.
//!
//! Between the check in [`crate::write`] and the socket there may be a connection to be made, other tasks, and any time in
//! which the process was frozen: long enough for a lease to be another's. The body of a request is asked for last, when
//! its head is still in memory; a body that refuses then takes the connection with it, and nothing was sent.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::{Request, Uri};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::{Body, ConfigExt};
use kube::config::Config;
use tokio::time::timeout;
use tower::util::option_layer;
use tower::{BoxError, Layer, Service, ServiceExt};

use super::CONNECT_TIMEOUT;
use crate::permit::Permit;

/// Keeps one request back if the permit does not hold at the last moment. It travels among the extensions of the request,
/// and works with clients that [`connect`] made.
#[derive(Clone)]
pub(crate) struct Guard {
    permit: Permit,
    refused: Arc<AtomicBool>,
}

impl Guard {
    pub(crate) fn new(permit: &Permit) -> Self {
        Self { permit: permit.clone(), refused: Arc::default() }
    }

    /// Was the request kept back?
    pub(crate) fn has_refused(&self) -> bool {
        self.refused.load(Ordering::SeqCst)
    }
}

struct GuardedBody {
    body: Body,
    guard: Option<Guard>,
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(guard) = self.guard.take()
            && !guard.permit.holds()
        {
            guard.refused.store(true, Ordering::SeqCst);
            return Poll::Ready(Some(Err("the permit to write has ended".into())));
        }
        Pin::new(&mut self.body).poll_frame(context).map_err(BoxError::from)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

fn guarded(mut request: Request<Body>) -> Request<GuardedBody> {
    let guard = request.extensions_mut().remove::<Guard>();
    request.map(|body| GuardedBody { body, guard })
}

/// kube's own stack, without what is not used here, and with guarded bodies.
pub(super) fn connect(config: &Config) -> kube::Result<Client> {
    let https = config.rustls_https_connector()?;
    let connector = tower::service_fn(move |uri: Uri| {
        let mut https = https.clone();
        Box::pin(async move {
            match timeout(CONNECT_TIMEOUT, https.call(uri)).await {
                Ok(connected) => connected,
                Err(_) => Err(format!("no connection within {CONNECT_TIMEOUT:?}").into()),
            }
        })
    });
    let client = legacy::Client::builder(TokioExecutor::new()).build::<_, GuardedBody>(connector);
    let service = client.map_request(guarded).map_err(BoxError::from);
    let service = config.extra_headers_layer()?.layer(service);
    let service = option_layer(config.auth_layer()?).layer(service);
    let service = config.base_uri_layer().layer(service);
    Ok(Client::new(service, config.default_namespace.clone()))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use fairlead_objects::{Record, Slice};
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::clock::Clock;
    use crate::permit::Term;
    use crate::write::{WriteFailure, Writer};

    /// A writer whose term ends after its clock was looked at so many times.
    fn writer(address: SocketAddr, looks: u64) -> Writer {
        let looked = AtomicU64::new(0);
        let clock = Clock::new(move || {
            let over = looked.fetch_add(1, Ordering::SeqCst) >= looks;
            Duration::from_secs(if over { 11 } else { 1 })
        });
        let term = Term::new(clock);
        term.extend(Duration::from_secs(10));
        let permit = Permit::until(CancellationToken::new()).during(&term);
        let config = Config::new(format!("http://{address}").parse().unwrap());
        Writer::new(connect(&config).unwrap(), permit, None)
    }

    #[tokio::test]
    async fn a_write_whose_permit_ends_on_its_way_to_the_socket_is_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.unwrap();
            received
        });
        let writer = writer(address, 1);
        let written = writer.create::<Value>(&Slice::RESOURCE, "shop", &json!({"a": 1})).await;
        assert_eq!(written.unwrap_err().kind, WriteFailure::NotPermitted);
        assert_eq!(accept.await.unwrap(), b"");
    }

    #[tokio::test]
    async fn a_write_whose_permit_holds_is_sent_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = String::new();
            while !received.ends_with("{\"a\":1}") {
                let mut part = [0; 1024];
                let count = stream.read(&mut part).await.unwrap();
                assert_ne!(count, 0, "{received}");
                received.push_str(std::str::from_utf8(&part[..count]).unwrap());
            }
            let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 7\r\n\r\n{\"b\":2}";
            stream.write_all(answer).await.unwrap();
            received
        });
        let writer = writer(address, 2);
        let written = writer.create::<Value>(&Slice::RESOURCE, "shop", &json!({"a": 1})).await;
        assert_eq!(written, Ok(json!({"b": 2})));
        let received = accept.await.unwrap();
        assert!(received.contains("content-length: 7\r\n"), "{received}");
    }
}
