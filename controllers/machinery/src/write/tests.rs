use std::convert::Infallible;

use fairlead_objects::{Node, Record, Service, Slice};
use http::Response;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use super::*;

type Seen = Arc<Mutex<Vec<(Method, String, Value)>>>;

/// Status, headers and body.
type Answer = (u16, &'static [(&'static str, &'static str)], Value);

/// A writer whose server gives every request the same answer (`None`: never answers).
fn writer(answer: Option<Answer>, permit: Permit) -> (Writer, Seen) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let client = Client::new(
        service_fn(move |request: Request<Body>| {
            let (log, answer) = (Arc::clone(&log), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                log.lock().push((parts.method, parts.uri.to_string(), body));
                let Some((status, headers, body)) = answer else { return std::future::pending().await };
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(*name, *value);
                }
                Ok::<_, Infallible>(response.body(Body::from(body.to_string().into_bytes())).unwrap())
            }
        }),
        "default",
    );
    (Writer::new(client, permit, None), seen)
}

fn valid() -> Permit {
    Permit::until(CancellationToken::new())
}

fn failure(code: u16, reason: &str, details: &Value) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "told why",
        "reason": reason, "code": code, "details": details, "metadata": {}});
    (code, &[], status)
}

async fn create(writer: &Writer) -> Result<Value, WriteFailure> {
    writer.create(&Slice::RESOURCE, "shop", &json!({"a": 1})).await.map_err(|error| error.kind)
}

#[tokio::test(start_paused = true)]
async fn what_is_only_read_is_not_waited_for_long() {
    let (writer, _) = writer(None, valid());
    let begun = Instant::now();
    let read = writer.read::<Value>(&Slice::RESOURCE, "shop", "web-1").await;
    assert_eq!(
        read.unwrap_err().to_string(),
        "cannot read EndpointSlice shop/web-1: no answer from the API server: none within 2s"
    );
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn verbs_go_to_the_paths_of_the_resource() {
    let (writer, seen) = writer(Some((200, &[], json!({"b": 2}))), valid());
    let body = json!({"a": 1});
    assert_eq!(create(&writer).await, Ok(json!({"b": 2})));
    let _: Value = writer.update(&Slice::RESOURCE, "shop", "web-1", &body).await.unwrap();
    writer.delete(&Slice::RESOURCE, "shop", "web-1", "u1").await.unwrap();
    let _: Value = writer.merge(&Slice::RESOURCE, "shop", "web-1", &json!({"c": 3})).await.unwrap();
    let base = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
    let seen = seen.lock();
    assert_eq!(seen[0], (Method::POST, base.to_owned(), body.clone()));
    assert_eq!(seen[1], (Method::PUT, format!("{base}/web-1"), body));
    assert_eq!((&seen[2].0, seen[2].1.as_str()), (&Method::DELETE, format!("{base}/web-1").as_str()));
    assert_eq!(seen[2].2["preconditions"]["uid"], "u1");
    assert_eq!(seen[3], (Method::PATCH, format!("{base}/web-1"), json!({"c": 3})));
}

/// Kinds without a namespace are named without one.
#[tokio::test(start_paused = true)]
async fn objects_without_a_namespace() {
    const NODES: Resource = Node::RESOURCE;
    let (writer, seen) = writer(Some(failure(409, "Conflict", &json!({}))), valid());
    let body = json!({"metadata": {"name": "n"}});
    let mut errors = vec![
        writer.create_named::<Value>(&NODES, "", "n", &body).await.unwrap_err(),
        writer.merge::<Value>(&NODES, "", "n", &body).await.unwrap_err(),
        writer.update::<Value>(&NODES, "", "n", &body).await.unwrap_err(),
        writer.read::<Value>(&NODES, "", "n").await.unwrap_err(),
        writer.patch_status::<Value>(&NODES, "", "n", Patch::Merge, &body).await.unwrap_err(),
    ];
    errors.extend(writer.delete(&NODES, "", "n", "u").await.err());
    let verbs = ["create", "patch", "update", "read", "patch the status of", "delete"];
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(told, verbs.map(|verb| format!("cannot {verb} Node n: told why")));
    let paths: Vec<_> = seen.lock().iter().map(|(_, path, _)| path.clone()).collect();
    let base = "/api/v1/nodes";
    let named = format!("{base}/n");
    assert_eq!(paths, [base, &named, &named, &named, &format!("{named}/status"), &named]);
}

#[tokio::test(start_paused = true)]
async fn patches_say_how_they_are_read() {
    let types = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&types);
    let service = service_fn(move |request: Request<Body>| {
        let content_type = request.headers()[http::header::CONTENT_TYPE].to_str().unwrap().to_owned();
        log.lock().push(format!("{content_type} {}", request.uri()));
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::from(b"{}".to_vec()))))
    });
    let writer = Writer::new(Client::new(service, "default"), valid(), None);
    let (services, body) = (&Service::RESOURCE, json!({}));
    let _: Value = writer.merge(services, "shop", "web", &body).await.unwrap();
    let _: Value = writer.patch_status(services, "shop", "web", Patch::Merge, &body).await.unwrap();
    let _: Value = writer.patch_status(services, "shop", "web", Patch::Strategic, &body).await.unwrap();
    let path = "/api/v1/namespaces/shop/services/web";
    assert_eq!(
        *types.lock(),
        [
            format!("application/merge-patch+json {path}"),
            format!("application/merge-patch+json {path}/status"),
            format!("application/strategic-merge-patch+json {path}/status"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_is_asked_for_by_labels() {
    let (writer, seen) = writer(Some((200, &[], json!({"items": [{"b": 2}]}))), valid());
    let labels = [("kubernetes.io/service-name", "web"), ("a", "b")];
    let list = writer.read_labelled::<Value>(&Slice::RESOURCE, "shop", &labels).await.unwrap();
    assert_eq!(list, [json!({"b": 2})]);
    let seen = seen.lock();
    assert_eq!(seen[0].0, Method::GET);
    assert_eq!(
        seen[0].1,
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?labelSelector=kubernetes.io/service-name%3Dweb%2Ca%3Db"
    );
}

#[tokio::test(start_paused = true)]
async fn all_namespaces_and_groups_can_be_asked_for() {
    let (writer, seen) = writer(Some((200, &[], json!({"items": []}))), valid());
    writer.read_labelled::<Value>(&Slice::RESOURCE, "", &[("a", "b")]).await.unwrap();
    assert_eq!(writer.serves_group("metallb.io").await, Ok(true));
    let paths: Vec<_> = seen.lock().iter().map(|(_, path, _)| path.clone()).collect();
    assert_eq!(paths, ["/apis/discovery.k8s.io/v1/endpointslices?labelSelector=a%3Db", "/apis/metallb.io"]);
    let (writer, _) = self::writer(Some(failure(404, "NotFound", &json!({}))), valid());
    assert_eq!(writer.serves_group("metallb.io").await, Ok(false));
    let (writer, _) = self::writer(Some(failure(403, "Forbidden", &json!({}))), valid());
    let refusals = [
        writer.serves_group("metallb.io").await.unwrap_err(),
        writer.read_labelled::<Value>(&Slice::RESOURCE, "", &[]).await.unwrap_err(),
    ];
    assert_eq!(
        refusals.map(|error| error.to_string()),
        [
            "cannot ask for the API group metallb.io: told why",
            "cannot list endpointslices in all namespaces: told why"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn answers_are_told_apart() {
    let told = || "told why".to_owned();
    for (answer, expected) in [
        (failure(409, "Conflict", &json!({})), WriteFailure::Conflict(told())),
        (failure(409, "AlreadyExists", &json!({})), WriteFailure::AlreadyExists(told())),
        (failure(404, "NotFound", &json!({})), WriteFailure::NotFound(told())),
        (failure(403, "Forbidden", &json!({})), WriteFailure::Refused(told())),
        (
            failure(
                403,
                "Forbidden",
                &json!({"causes": [{"reason": "NamespaceTerminating", "message": "m", "field": "f"}]}),
            ),
            WriteFailure::NamespaceTerminating,
        ),
        (failure(422, "Invalid", &json!({})), WriteFailure::Refused(told())),
        (failure(500, "InternalError", &json!({})), WriteFailure::ServerError(told())),
        (
            failure(429, "TooManyRequests", &json!({"retryAfterSeconds": 3})),
            WriteFailure::Throttled(Duration::from_secs(3)),
        ),
        ((429, &[("Retry-After", "7")], json!("busy")), WriteFailure::Throttled(Duration::from_secs(7))),
        ((503, &[("Retry-After", "2")], json!("busy")), WriteFailure::Throttled(Duration::from_secs(2))),
        ((429, &[("Retry-After", "86400")], json!("busy")), WriteFailure::Throttled(LONGEST_PAUSE)),
    ] {
        let (writer, _) = writer(Some(answer), valid());
        assert_eq!(create(&writer).await, Err(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn deleting_what_is_gone_is_no_error() {
    let (writer, _) = writer(Some(failure(404, "NotFound", &json!({}))), valid());
    assert_eq!(writer.delete(&Slice::RESOURCE, "n", "s", "u").await, Ok(()));
}

/// A 409 may say that another object has the name now, but a webhook or the storage may answer so as well: who
/// believed that the object is gone would not look again.
#[tokio::test(start_paused = true)]
async fn a_conflict_is_not_taken_for_a_deletion() {
    let (writer, _) = writer(Some(failure(409, "Conflict", &json!({}))), valid());
    let error = writer.delete(&Slice::RESOURCE, "n", "s", "u").await.unwrap_err();
    assert!(matches!(error.kind, WriteFailure::Conflict(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_write_is_sent_once_and_not_waited_for_for_ever() {
    let (writer, seen) = writer(None, valid());
    let begun = Instant::now();
    assert!(matches!(create(&writer).await, Err(WriteFailure::Unanswered(_))));
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert_eq!(seen.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn retry_after_holds_back_all_writes_for_a_moment() {
    let (writer, _) =
        writer(Some(failure(429, "TooManyRequests", &json!({"retryAfterSeconds": 5}))), valid());
    let begun = Instant::now();
    assert!(create(&writer).await.is_err());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(create(&writer).await.is_err());
    assert_eq!(begun.elapsed(), LONGEST_COMMON_PAUSE);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_once_the_permit_has_ended() {
    let ended = CancellationToken::new();
    let (writer, seen) = writer(Some((200, &[], json!({}))), Permit::until(ended.clone()));
    ended.cancel();
    assert_eq!(create(&writer).await, Err(WriteFailure::NotPermitted));
    assert!(seen.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_side_limit_is_kept() {
    let (mut writer, _) = writer(Some((200, &[], json!({}))), valid());
    let client = writer.shared.client.clone();
    writer = Writer::new(client, valid(), Some(RateLimit { qps: 10.0, burst: 5 }));
    let begun = Instant::now();
    for _ in 0..15 {
        create(&writer).await.unwrap();
    }
    let taken = begun.elapsed();
    assert!((Duration::from_millis(990)..Duration::from_millis(1100)).contains(&taken), "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_very_small_limit_still_lets_writes_out() {
    let (writer, _) = writer(Some((200, &[], json!({}))), valid());
    let writer = Writer::new(writer.shared.client.clone(), valid(), Some(RateLimit { qps: 1e-40, burst: 1 }));
    let begun = Instant::now();
    create(&writer).await.unwrap();
    create(&writer).await.unwrap();
    assert_eq!(begun.elapsed(), LONGEST_WAIT);
}

#[tokio::test(start_paused = true)]
async fn each_writer_has_its_own_permit_and_all_share_the_pace() {
    let (all, seen) =
        writer(Some(failure(429, "TooManyRequests", &json!({"retryAfterSeconds": 5}))), valid());
    let gate = crate::permit::Gate::opened();
    let mine = all.with_permit(all.permit().narrowed(&gate));
    gate.close();
    assert!(all.may_write() && !mine.may_write());
    assert_eq!(create(&mine).await, Err(WriteFailure::NotPermitted));
    assert!(seen.lock().is_empty());
    gate.open();
    let begun = Instant::now();
    assert!(matches!(create(&mine).await, Err(WriteFailure::Throttled(_))));
    assert!(matches!(create(&all).await, Err(WriteFailure::Throttled(_))));
    assert_eq!(begun.elapsed(), LONGEST_COMMON_PAUSE);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_ends_while_a_write_waits_for_its_turn_stops_it() {
    let term = crate::permit::Term::new(crate::clock::Clock::new({
        let begun = Instant::now();
        move || begun.elapsed()
    }));
    term.extend(LONGEST_COMMON_PAUSE);
    let (writer, seen) = writer(
        Some(failure(429, "TooManyRequests", &json!({"retryAfterSeconds": 5}))),
        valid().during(&term),
    );
    assert!(matches!(create(&writer).await, Err(WriteFailure::Throttled(_))));
    assert!(writer.may_write());
    assert_eq!(create(&writer).await, Err(WriteFailure::NotPermitted));
    assert_eq!(seen.lock().len(), 1);
}

/// Headers and bodies of requests.
type Sent = Arc<Mutex<Vec<(http::HeaderMap, Bytes)>>>;

/// A writer whose server answers with these bytes.
fn writer_of_bytes(status: u16, answer: Vec<u8>) -> (Writer, Sent) {
    let seen = Sent::default();
    let log = Arc::clone(&seen);
    let client = Client::new(
        service_fn(move |request: Request<Body>| {
            let (log, answer) = (Arc::clone(&log), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                log.lock().push((parts.headers, body));
                Ok::<_, Infallible>(Response::builder().status(status).body(Body::from(answer)).unwrap())
            }
        }),
        "default",
    );
    (Writer::new(client, valid(), None), seen)
}

fn slice() -> k8s_openapi::api::discovery::v1::EndpointSlice {
    serde_json::from_value(json!({"metadata": {"name": "web-1"}, "addressType": "IPv4", "endpoints": []}))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn whole_objects_are_sent_and_answered_in_protobuf() {
    let stored = protobuf::encode("discovery.k8s.io/v1", "EndpointSlice", &slice()).unwrap();
    let (writer, seen) = writer_of_bytes(200, stored.clone());
    let answer: Slice = writer.update(&Slice::RESOURCE, "shop", "web-1", &slice()).await.unwrap();
    assert_eq!(answer.key.name, "web-1");
    let (headers, body) = seen.lock().pop().unwrap();
    assert_eq!(headers["content-type"], "application/vnd.kubernetes.protobuf");
    assert_eq!(headers["accept"], "application/vnd.kubernetes.protobuf, application/json");
    assert_eq!(body, stored);

    // A patch has no protobuf.
    let _: Slice = writer.merge(&Slice::RESOURCE, "shop", "web-1", &json!({})).await.unwrap();
    let (headers, _) = seen.lock().pop().unwrap();
    assert_eq!(headers["content-type"], "application/merge-patch+json");
    assert_eq!(headers["accept"], "application/json");
}

#[tokio::test(start_paused = true)]
async fn refusals_in_protobuf_are_understood() {
    // A Status with the message "told why" and the reason "AlreadyExists".
    let status = b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12\x19\x1a\x08told why\x22\x0dAlreadyExists";
    let (writer, _) = writer_of_bytes(409, status.to_vec());
    let error = writer.create::<Slice>(&Slice::RESOURCE, "shop", &slice()).await.unwrap_err();
    assert_eq!(error.kind, WriteFailure::AlreadyExists("told why".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_says_that_the_write_was_done() {
    let (writer, _) = writer_of_bytes(200, b"k8s\0\xff".to_vec());
    let error = writer.update::<Slice>(&Slice::RESOURCE, "shop", "web-1", &slice()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("it was accepted, but the answer cannot be read"), "{text}");
}
