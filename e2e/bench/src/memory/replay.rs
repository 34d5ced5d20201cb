//! An API server that lists recorded objects and can break its watches off.
//!
//! It is the service behind a `kube::Client`, so what it sends goes the way that a real answer goes: chunks of bytes,
//! lines or pages, the watcher, the decoder. Bytes are made as they are asked for; none are kept.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::{self, Stream, StreamExt};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use serde_json::json;
use tokio::sync::watch;

use crate::recorded::{Kind, Recorded};

/// Bytes of an answer that are made at a time, as TLS and HTTP would hand them on.
const CHUNK: usize = 16 * 1024;
/// The version that every list is of.
const VERSION: &str = "2000000";

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What all requests share.
#[derive(Clone)]
pub(super) struct Replay {
    recorded: Arc<Recorded>,
    /// Each new value ends all watches with 410.
    expired: watch::Sender<u32>,
    /// Refuse streaming lists, as servers before 1.34 do by default.
    by_pages: Arc<AtomicBool>,
}

impl Replay {
    /// A server of these objects.
    pub(super) fn new(recorded: Recorded) -> Self {
        Self { recorded: Arc::new(recorded), expired: watch::Sender::new(0), by_pages: Arc::default() }
    }

    /// The objects.
    pub(super) fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// A client of this server.
    pub(super) fn client(&self) -> kube::Client {
        let this = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = this.answer(request.uri());
            async move { Ok::<_, Infallible>(answer) }
        });
        kube::Client::new(service, "default")
    }

    /// Tells all watches that they are too old: everything is listed anew, by pages or as a stream.
    pub(super) fn expire(&self, by_pages: bool) {
        self.by_pages.store(by_pages, Ordering::Relaxed);
        self.expired.send_modify(|count| *count += 1);
    }

    fn answer(&self, uri: &http::Uri) -> Answer {
        let parameter = |name: &str| {
            let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let (kind, names) = match uri.path() {
            "/api/v1/pods" => (Kind::Pods, ("Pod", "v1")),
            "/api/v1/services" => (Kind::Services, ("Service", "v1")),
            _ => (Kind::Slices, ("EndpointSlice", "discovery.k8s.io/v1")),
        };
        let by_pages = self.by_pages.load(Ordering::Relaxed);
        if parameter("sendInitialEvents") == Some("true") {
            if by_pages {
                let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "code": 422, "reason": "Invalid",
                    "message": "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"});
                return whole(422, status.to_string());
            }
            let list = self.objects(kind).chain(stream::iter([end_of_list(names)])).chain(self.expiry());
            streamed(list)
        } else if parameter("watch") == Some("true") {
            streamed(self.expiry())
        } else {
            let number = |name: &str| parameter(name).and_then(|text| text.parse().ok());
            let from = number("continue").unwrap_or_default();
            whole(200, self.page(kind, names, from, number("limit").unwrap_or(500)))
        }
    }

    /// The objects as events of a streaming list.
    fn objects(&self, kind: Kind) -> impl Stream<Item = Bytes> + Send + use<> {
        let recorded = Arc::clone(&self.recorded);
        stream::unfold(0, move |mut number| {
            let mut text = String::with_capacity(2 * CHUNK);
            while number < recorded.count(kind) && text.len() < CHUNK {
                text.push_str("{\"type\":\"ADDED\",\"object\":");
                recorded.write(kind, number, &mut text);
                text.push_str("}\n");
                number += 1;
            }
            std::future::ready((!text.is_empty()).then(|| (Bytes::from(text), number)))
        })
    }

    /// Nothing, and then that the watch is too old.
    fn expiry(&self) -> impl Stream<Item = Bytes> + Send + use<> {
        let mut expired = self.expired.subscribe();
        stream::once(async move {
            // Fails only when the server is gone, and then nobody reads any more.
            let _ = expired.changed().await;
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "code": 410, "reason": "Expired", "message": "too old resource version"});
            Bytes::from(json!({"type": "ERROR", "object": status}).to_string() + "\n")
        })
    }

    fn page(&self, kind: Kind, (name, version): (&str, &str), from: usize, limit: usize) -> String {
        let end = (from + limit).min(self.recorded.count(kind));
        let mut text = format!("{{\"kind\":\"{name}List\",\"apiVersion\":\"{version}\",\"metadata\":");
        let left = self.recorded.count(kind) - end;
        let metadata = if left > 0 {
            json!({"resourceVersion": VERSION, "continue": end.to_string(), "remainingItemCount": left})
        } else {
            json!({"resourceVersion": VERSION})
        };
        text.push_str(&metadata.to_string());
        text.push_str(",\"items\":[");
        for number in from..end {
            if number > from {
                text.push(',');
            }
            self.recorded.write(kind, number, &mut text);
        }
        text.push_str("]}");
        text
    }
}

fn end_of_list((kind, version): (&str, &str)) -> Bytes {
    let object = json!({"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": VERSION,
        "annotations": {"k8s.io/initial-events-end": "true"}}});
    Bytes::from(json!({"type": "BOOKMARK", "object": object}).to_string() + "\n")
}

fn whole(status: u16, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    answer
}

fn streamed(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    Response::new(StreamBody::new(frames).boxed_unsync())
}
