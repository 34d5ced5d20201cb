//! Recorder and writer against a fake API server that records requests and answers from a script.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::permit::Gate;

/// What the fake API server does with a request; without a script it takes everything.
#[derive(Clone)]
enum Reply {
    Take,
    Refuse(u16, &'static str),
    RefuseFor(u16, &'static str, &'static str),
    Break,
    Hang,
}

#[derive(Clone, Debug)]
struct Call {
    method: Method,
    path: String,
    content_type: String,
    body: Value,
    at: Instant,
}

#[derive(Clone, Default)]
struct Server {
    script: Arc<Mutex<VecDeque<Reply>>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        Client::new(tower::service_fn(move |request| server.clone().serve(request)), "default")
    }

    async fn serve(self, request: Request<Body>) -> std::io::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        self.calls.lock().push(Call {
            method: head.method,
            path: head.uri.path().to_owned(),
            content_type: head.headers[http::header::CONTENT_TYPE].to_str().unwrap().to_owned(),
            body: serde_json::from_slice(&body).unwrap(),
            at: Instant::now(),
        });
        let reply = self.script.lock().pop_front().unwrap_or(Reply::Take);
        let status = |code: u16, reason: &str, causes: Value| {
            let body = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no",
                "reason": reason, "details": { "causes": causes }, "code": code,
            });
            (StatusCode::from_u16(code).unwrap(), body)
        };
        let (code, body) = match reply {
            Reply::Take => {
                let event =
                    json!({ "kind": "Event", "apiVersion": "v1", "metadata": {}, "involvedObject": {} });
                (StatusCode::CREATED, event)
            }
            Reply::Refuse(code, reason) => status(code, reason, json!([])),
            Reply::RefuseFor(code, reason, cause) => status(code, reason, json!([{ "reason": cause }])),
            Reply::Break => return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
            Reply::Hang => pending().await,
        };
        Ok(Response::builder().status(code).body(Full::from(body.to_string())).unwrap())
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// `POST NAME`, `PATCH NAME`, ... where the suffixes of the names are numbered as they come up.
    fn verbs(&self) -> Vec<String> {
        let mut suffixes: Vec<String> = Vec::new();
        self.calls()
            .iter()
            .map(|call| {
                let name = match call.body["metadata"]["name"].as_str() {
                    Some(name) => name,
                    None => call.path.rsplit('/').next().unwrap(),
                };
                let (object, suffix) = name.rsplit_once('.').unwrap();
                let number = suffixes.iter().position(|known| known == suffix).unwrap_or_else(|| {
                    suffixes.push(suffix.to_owned());
                    suffixes.len() - 1
                });
                format!("{} {object}.{number}", call.method)
            })
            .collect()
    }
}

struct Bench {
    server: Server,
    registry: Registry,
    recorder: Recorder,
    gate: Gate,
    stop: CancellationToken,
    writer: JoinHandle<()>,
}

impl Bench {
    fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        let server = Server::default();
        server.script.lock().extend(script);
        let registry = Registry::new();
        let metrics = EventMetrics::new(&registry);
        let gate = Gate::opened();
        let permit = Permit::until(CancellationToken::new()).narrowed(&gate);
        let (recorder, writer) = channel(server.client(), "endpoint-slice-controller", metrics, permit);
        let stop = CancellationToken::new();
        Self { server, registry, recorder, gate, writer: tokio::spawn(writer.run(stop.clone())), stop }
    }

    fn warn(&self, message: &str) {
        self.recorder.event(service("web"), EventType::Warning, "FailedToUpdateEndpointSlices", message);
    }

    /// Ends recorder and writer; returns what became of the events.
    async fn finish(self) -> (Server, Vec<(String, u64)>) {
        let Self { server, registry, recorder, writer, .. } = self;
        drop(recorder);
        writer.await.unwrap();
        (server, fates(&registry))
    }
}

fn fates(registry: &Registry) -> Vec<(String, u64)> {
    registry
        .gather()
        .iter()
        .flat_map(prometheus::proto::MetricFamily::get_metric)
        .map(|metric| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small whole numbers"
            )]
            let count = metric.get_counter().get_value() as u64;
            (metric.get_label()[0].value().to_owned(), count)
        })
        .collect()
}

fn fate(name: &str, count: u64) -> (String, u64) {
    (name.to_owned(), count)
}

fn service(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: "v1",
        kind: "Service",
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: "8b6cd7b3-6c1a-4d3c-9d5e-0d1c7a5b1f01".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_created_as_client_go_writes_it_and_a_repeat_raises_its_count() {
    let bench = Bench::new([]);
    bench.warn("Node \"n1\" not found");
    bench.warn("Node \"n1\" not found");
    let (server, fates) = bench.finish().await;
    assert_eq!(fates, [fate("created", 1), fate("patched", 1)]);
    assert_eq!(server.verbs(), ["POST web.0", "PATCH web.0"]);

    let [create, patch] = &server.calls()[..] else { panic!("{:?}", server.calls()) };
    assert_eq!(create.path, "/api/v1/namespaces/shop/events");
    assert_eq!(create.content_type, "application/json");
    let (name, first) = (&create.body["metadata"]["name"], &create.body["firstTimestamp"]);
    assert_eq!(
        create.body,
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": name, "namespace": "shop" },
            "involvedObject": {
                "apiVersion": "v1", "kind": "Service", "namespace": "shop", "name": "web",
                "uid": "8b6cd7b3-6c1a-4d3c-9d5e-0d1c7a5b1f01",
            },
            "type": "Warning",
            "reason": "FailedToUpdateEndpointSlices",
            "message": "Node \"n1\" not found",
            "count": 1,
            "firstTimestamp": first,
            "lastTimestamp": first,
            "source": { "component": "endpoint-slice-controller" },
            "reportingComponent": "endpoint-slice-controller",
            "reportingInstance": "",
        })
    );
    assert!(first.as_str().unwrap().parse::<Timestamp>().is_ok(), "{first}");

    assert_eq!(patch.path, format!("/api/v1/namespaces/shop/events/{}", name.as_str().unwrap()));
    assert_eq!(patch.content_type, "application/merge-patch+json");
    assert_eq!(patch.body, json!({ "count": 2, "lastTimestamp": patch.body["lastTimestamp"] }));
    assert!(patch.body["lastTimestamp"].as_str().unwrap().parse::<Timestamp>().is_ok());
}

#[tokio::test(start_paused = true)]
async fn objects_without_a_namespace_have_their_events_in_default() {
    let bench = Bench::new([]);
    let node =
        ObjectReference { kind: "Node", namespace: String::new(), name: "n1".to_owned(), ..service("n1") };
    bench.recorder.event(node, EventType::Normal, "Noticed", "hello");
    let (server, _) = bench.finish().await;
    let call = &server.calls()[0];
    assert_eq!(call.path, "/api/v1/namespaces/default/events");
    assert_eq!(call.body["metadata"]["namespace"], "default");
    assert_eq!(call.body["involvedObject"]["namespace"], Value::Null);
    assert_eq!(call.body["type"], "Normal");
}

#[tokio::test(start_paused = true)]
async fn long_messages_are_cut_between_characters() {
    for (message, kept) in [
        ("x".repeat(1024), 1024),
        ("x".repeat(1025), 1024),
        (format!("{}é", "x".repeat(1023)), 1023),
        ("𝄞".repeat(300), 1024),
        (format!("x{}", "𝄞".repeat(300)), 1021),
    ] {
        let bench = Bench::new([]);
        bench.warn(&message);
        let (server, _) = bench.finish().await;
        assert_eq!(server.calls()[0].body["message"], message[..kept]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_expired_is_created_again_under_its_name() {
    let bench = Bench::new([Reply::Take, Reply::Refuse(404, "NotFound")]);
    bench.warn("m");
    bench.warn("m");
    let (server, fates) = bench.finish().await;
    assert_eq!(server.verbs(), ["POST web.0", "PATCH web.0", "POST web.0"]);
    assert_eq!(server.calls()[2].body["count"], 2);
    assert_eq!(fates, [fate("created", 2)]);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_not_repeated_and_the_next_event_starts_anew() {
    for (reply, expected) in [
        (Reply::Refuse(403, "Forbidden"), "forbidden"),
        (Reply::RefuseFor(403, "Forbidden", "NamespaceTerminating"), "namespace_terminating"),
        (Reply::Refuse(404, "NotFound"), "namespace_terminating"),
        (Reply::Refuse(422, "Invalid"), "rejected"),
        (Reply::Refuse(429, "TooManyRequests"), "rejected"),
        (Reply::Refuse(500, "InternalError"), "rejected"),
    ] {
        let bench = Bench::new([reply]);
        bench.warn("m");
        bench.warn("m");
        let (server, fates) = bench.finish().await;
        assert_eq!(server.verbs(), ["POST web.0", "POST web.1"], "{expected}");
        assert_eq!(server.calls()[1].body["count"], 1);
        assert_eq!(fates, [fate("created", 1), fate(expected, 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_patch_is_dropped_and_the_next_is_tried() {
    let bench = Bench::new([Reply::Take, Reply::Refuse(403, "Forbidden")]);
    for _ in 0..3 {
        bench.warn("m");
    }
    let (server, fates) = bench.finish().await;
    assert_eq!(server.verbs(), ["POST web.0", "PATCH web.0", "PATCH web.0"]);
    assert_eq!(server.calls()[2].body["count"], 3);
    assert_eq!(fates, [fate("created", 1), fate("forbidden", 1), fate("patched", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_a_few_times() {
    for broken in [Reply::Break, Reply::Hang] {
        // The second attempt finds that the first got through.
        let bench = Bench::new([broken.clone(), Reply::Refuse(409, "AlreadyExists")]);
        bench.warn("m");
        let (server, fates) = bench.finish().await;
        assert_eq!(server.verbs(), ["POST web.0", "POST web.0"]);
        assert_eq!(fates, [fate("created", 1)]);

        // No attempt succeeds, for the create and later for a patch.
        let bench =
            Bench::new(vec![broken.clone(); 3].into_iter().chain([Reply::Take]).chain(vec![broken; 3]));
        for _ in 0..3 {
            bench.warn("m");
        }
        let (server, fates) = bench.finish().await;
        let mut expected = vec!["POST web.0"; 3];
        expected.push("POST web.1");
        expected.extend(["PATCH web.1"; 3]);
        assert_eq!(server.verbs(), expected);
        assert_eq!(fates, [fate("created", 1), fate("unreachable", 2)]);
        let calls = server.calls();
        assert!(calls[1].at - calls[0].at >= Duration::from_secs(1));
        assert!(calls[2].at - calls[1].at >= Duration::from_secs(2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_somebody_else_took_is_changed_once() {
    let taken = || Reply::Refuse(409, "AlreadyExists");
    let bench = Bench::new([taken()]);
    bench.warn("m");
    bench.warn("m");
    let (server, fates) = bench.finish().await;
    assert_eq!(server.verbs(), ["POST web.0", "POST web.1", "PATCH web.1"]);
    assert_eq!(fates, [fate("created", 1), fate("patched", 1)]);

    let bench = Bench::new([taken(), taken()]);
    bench.warn("m");
    let (server, fates) = bench.finish().await;
    assert_eq!(server.verbs(), ["POST web.0", "POST web.1"]);
    assert_eq!(fates, [fate("rejected", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_about_one_object_ends_after_the_burst() {
    let bench = Bench::new([]);
    for number in 0..100 {
        bench.warn(&format!("message {number}"));
    }
    let (server, fates) = bench.finish().await;
    assert_eq!(server.calls().len(), 25);
    assert_eq!(fates, [fate("created", 25), fate("rate_limited", 75)]);
}

#[tokio::test(start_paused = true)]
async fn recording_never_waits_and_what_does_not_fit_is_counted() {
    let bench = Bench::new([Reply::Hang]);
    // Nothing yields here, so the writer takes nothing from the queue meanwhile.
    for number in 0..QUEUE + 7 {
        bench.recorder.event(service(&format!("s{number}")), EventType::Normal, "Reason", "m");
    }
    assert_eq!(fates(&bench.registry), [fate("queue_full", 7)]);
    let (server, fates) = bench.finish().await;
    assert_eq!(server.calls().len(), QUEUE + 1, "the first needed two attempts");
    assert_eq!(fates, [fate("created", QUEUE as u64), fate("queue_full", 7)]);
}

#[tokio::test(start_paused = true)]
async fn stopping_writes_what_is_queued_but_waits_for_no_server() {
    let bench = Bench::new([]);
    for number in 0..5 {
        bench.warn(&number.to_string());
    }
    bench.stop.cancel();
    bench.writer.await.unwrap();
    assert_eq!(bench.server.calls().len(), 5);
    // The recorder outlives the writer without harm.
    bench.recorder.event(service("web"), EventType::Normal, "Reason", "late");
    assert_eq!(fates(&bench.registry), [fate("created", 5), fate("queue_full", 1)]);

    let bench = Bench::new([Reply::Hang]);
    bench.warn("m");
    bench.stop.cancel();
    let start = Instant::now();
    bench.writer.await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_while_nothing_may_be_written() {
    let bench = Bench::new([]);
    bench.gate.close();
    bench.warn("noticed by a standby");
    bench.gate.open();
    bench.warn("recorded in time, but not sent");
    bench.gate.close();
    let (server, fates) = bench.finish().await;
    assert_eq!(fates, [fate("not_permitted", 2)]);
    assert!(server.calls().is_empty());
}
