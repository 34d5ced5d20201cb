use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fairlead_objects::Node;
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

/// A client whose server is this function from the request's path and query to status and body.
fn client(
    answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
) -> (Client, Arc<Mutex<Vec<String>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (log, answer) = (Arc::clone(&requests), Arc::new(answer));
    let service = service_fn(move |request: Request<Body>| {
        let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
        async move {
            let target = request.uri().to_string();
            let (status, body) = answer(&target);
            log.lock().push(target);
            Ok::<_, Infallible>(
                Response::builder().status(status).body(Body::from(body.into_bytes())).unwrap(),
            )
        }
    });
    (Client::new(service, "default"), requests)
}

fn node(name: &str, version: u64) -> Value {
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "resourceVersion": version.to_string()}})
}

fn lines(events: &[(&str, Value)]) -> String {
    let events: Vec<_> =
        events.iter().map(|(kind, object)| json!({"type": kind, "object": object}).to_string()).collect();
    events.join("\n") + "\n"
}

fn names(events: &[SourceEvent<Node>]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            SourceEvent::ListBegins => "begin".into(),
            SourceEvent::Listed(node) => format!("+{}@{}", node.key, node.version),
            SourceEvent::ListEnds => "end".into(),
            SourceEvent::Applied(node) => format!("={}@{}", node.key, node.version),
            SourceEvent::Deleted(node) => format!("-{}@{}", node.key, node.version),
        })
        .collect()
}

async fn take(source: &mut JsonSource<Node>, count: usize) -> Vec<SourceEvent<Node>> {
    let mut events = Vec::new();
    while events.len() < count {
        if let Ok(event) = source.next().await {
            events.push(event);
        }
    }
    events
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_ends_with_its_bookmark_and_goes_on_as_a_watch() {
    let (client, requests) = client(|target| {
        assert!(target.contains("sendInitialEvents=true"), "{target}");
        let end = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"resourceVersion": "7",
            "annotations": {"k8s.io/initial-events-end": "true"}}});
        (
            200,
            lines(&[
                ("ADDED", node("a", 3)),
                ("BOOKMARK", end),
                ("MODIFIED", node("a", 8)),
                ("DELETED", node("a", 9)),
            ]),
        )
    });
    let mut source = JsonSource::new(&client, Some("status.phase!=Failed"));
    let events = take(&mut source, 5).await;
    assert_eq!(names(&events), ["begin", "+a@3", "end", "=a@8", "-a@9"]);
    assert!(requests.lock()[0].contains("fieldSelector=status.phase%21%3DFailed"), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_streaming_is_listed_by_pages() {
    let (client, requests) = client(|target| {
        if target.contains("sendInitialEvents") {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 422,
                "reason": "Invalid", "message": "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"});
            (422, status.to_string())
        } else if target.contains("watch=true") {
            (200, lines(&[("ADDED", node("c", 9))]))
        } else if target.contains("continue=more") {
            (200, json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": [node("b", 2)]}).to_string())
        } else {
            (200, json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {"resourceVersion": "5", "continue": "more"}, "items": [node("a", 1)]}).to_string())
        }
    });
    let mut source = JsonSource::new(&client, None);
    let events = take(&mut source, 5).await;
    assert_eq!(names(&events), ["begin", "+a@1", "+b@2", "end", "=c@9"]);
    assert_eq!(requests.lock().iter().filter(|it| it.contains("sendInitialEvents")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn errors_are_told_apart() {
    for (code, expected) in
        [(410, "expired"), (403, "forbidden"), (401, "forbidden"), (404, "missing"), (500, "broken")]
    {
        let (client, _) = client(move |_| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "code": code, "reason": "x", "message": "told why"});
            (code, status.to_string())
        });
        let mut source: JsonSource<Node> = JsonSource::new(&client, None);
        let error = loop {
            if let Err(error) = source.next().await {
                break error;
            }
        };
        let kind = match &error {
            SourceError::Expired(_) => "expired",
            SourceError::Forbidden(_) => "forbidden",
            SourceError::Missing(_) => "missing",
            SourceError::Broken(_) => "broken",
        };
        assert_eq!(kind, expected);
        assert!(error.to_string().contains("told why"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_is_listed_anew() {
    let gone = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version"});
    let end = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"resourceVersion": "7",
        "annotations": {"k8s.io/initial-events-end": "true"}}});
    let (client, _) = client(move |_| {
        (200, lines(&[("ADDED", node("a", 3)), ("BOOKMARK", end.clone()), ("ERROR", gone.clone())]))
    });
    let mut source = JsonSource::new(&client, None);
    let events = take(&mut source, 6).await;
    assert_eq!(names(&events), ["begin", "+a@3", "end", "begin", "+a@3", "end"]);
}

/// A CustomResourceDefinition that is deleted takes its objects along, and ends the watch. One that is installed later has
/// others.
#[tokio::test(start_paused = true)]
async fn a_resource_that_vanishes_is_listed_anew_when_it_is_back() {
    let end = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"resourceVersion": "7",
        "annotations": {"k8s.io/initial-events-end": "true"}}});
    let lists = Mutex::new(0);
    let (client, _) = client(move |target| {
        let is_list = target.contains("sendInitialEvents");
        *lists.lock() += u32::from(is_list);
        match (is_list, *lists.lock()) {
            (true, 1 | 3) => (200, lines(&[("ADDED", node("a", 3)), ("BOOKMARK", end.clone())])),
            _ => (404, "404 page not found\n".to_owned()),
        }
    });
    let mut source: JsonSource<Node> = JsonSource::new(&client, None);
    let (mut events, mut errors) = (Vec::new(), Vec::new());
    while events.len() < 6 {
        match source.next().await {
            Ok(event) => events.push(event),
            Err(error) => errors.push(error),
        }
    }
    assert_eq!(names(&events), ["begin", "+a@3", "end", "begin", "+a@3", "end"]);
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().all(|error| matches!(error, SourceError::Missing(_))), "{errors:?}");
}

/// Lists and watches of kube have no timeout of their own: one answer that never came would stop the informer for
/// as long as the process lives.
#[tokio::test(start_paused = true)]
async fn a_list_without_answer_is_given_up_and_made_again() {
    for streaming in [true, false] {
        let requests = Arc::new(Mutex::new(0));
        let log = Arc::clone(&requests);
        let service = service_fn(move |request: Request<Body>| {
            let target = request.uri().to_string();
            let streams = target.contains("sendInitialEvents");
            let first = (streams == streaming) && {
                *log.lock() += 1;
                *log.lock() == 1
            };
            async move {
                if first {
                    std::future::pending::<()>().await;
                }
                let end = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"resourceVersion": "7",
                    "annotations": {"k8s.io/initial-events-end": "true"}}});
                let (status, body) = if streams && streaming {
                    (200, lines(&[("BOOKMARK", end)]))
                } else if streams {
                    (422, json!({"kind": "Status", "status": "Failure", "code": 422, "reason": "Invalid", "message": "sendInitialEvents"}).to_string())
                } else {
                    (200, json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": []}).to_string())
                };
                Ok::<_, Infallible>(
                    Response::builder().status(status).body(Body::from(body.into_bytes())).unwrap(),
                )
            }
        });
        let mut source: JsonSource<Node> = JsonSource::new(&Client::new(service, "default"), None);
        let begun = tokio::time::Instant::now();
        let list = tokio::time::timeout(Duration::from_mins(5), async {
            let error = loop {
                match source.next().await {
                    Ok(event) => assert!(matches!(event, SourceEvent::ListBegins)),
                    Err(error) => break error,
                }
            };
            let after = begun.elapsed();
            (error, after, take(&mut source, 2).await)
        });
        let (error, after, events) = list.await.expect("the source gives up");
        assert!(error.to_string().contains("no answer"), "{error}");
        assert!(after <= Duration::from_mins(1), "{after:?}");
        assert_eq!(names(&events), ["begin", "end"]);
    }
}

/// As above, when the answer begins but does not end.
#[tokio::test(start_paused = true)]
async fn a_page_that_stops_coming_is_given_up() {
    let service = service_fn(move |request: Request<Body>| async move {
        if request.uri().to_string().contains("sendInitialEvents") {
            let status = json!({"kind": "Status", "status": "Failure", "code": 422, "reason": "Invalid", "message": "sendInitialEvents"});
            let body = http_body_util::Full::new(hyper::body::Bytes::from(status.to_string()));
            let body = BodyExt::map_err(body, |never| match never {}).boxed_unsync();
            return Ok::<_, Infallible>(Response::builder().status(422).body(body).unwrap());
        }
        let frames =
            futures::stream::once(async { Ok::<_, std::io::Error>(hyper::body::Frame::data("{".into())) });
        let body = http_body_util::StreamBody::new(frames.chain(futures::stream::pending()));
        Ok(Response::new(BodyExt::boxed_unsync(body)))
    });
    let mut source: JsonSource<Node> = JsonSource::new(&Client::new(service, "default"), None);
    assert!(matches!(source.next().await, Ok(SourceEvent::ListBegins)));
    let answer = tokio::time::timeout(Duration::from_mins(5), source.next()).await;
    let error = answer.expect("the source gives up").expect_err("half a page is no page");
    assert!(error.to_string().contains("no answer"), "{error}");
}
