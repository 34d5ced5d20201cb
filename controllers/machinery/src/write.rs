//! The one place where anything is written to the API server.
//!
//! Every write asks for the permit just before it is sent, has a timeout, is sent once, and takes one of a
//! bounded number of places. A refused, failed or unanswered write goes back to the caller as a
//! [`WriteError`]; the caller plans anew from what the informers then show. `Retry-After` holds back that caller for
//! as long as the API server asks, and all other writes of the process for a moment.
//!
//! [`Writer::read`] reads single objects past the cache; that takes neither permit nor place, and keeps no pace.

mod read;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fairlead_objects::{Resource, ResourceVersion, protobuf};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::client::{Guard, chain};
use crate::permit::Permit;

const JSON: &str = "application/json";
const TIMEOUT: Duration = Duration::from_secs(30);
/// However small a limit is, a write goes out after this time.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// Writes in flight at a time. HTTP/1 takes a connection for each.
const IN_FLIGHT: usize = 50;
/// The longest that an answer's `Retry-After` is believed.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The longest that one answer holds back the writes of everybody else: it may come from a webhook that serves only
/// some objects.
const LONGEST_COMMON_PAUSE: Duration = Duration::from_secs(2);

/// Why a write did not happen, or is not known to have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {what}: {kind}")]
pub struct WriteError {
    /// What was attempted, on which object.
    pub what: String,
    /// Why it failed.
    pub kind: WriteFailure,
}

/// Kinds of failure that callers tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteFailure {
    /// The object changed since the cache last saw it (409). The cache will follow.
    Conflict(String),
    /// An object of that name exists (409).
    AlreadyExists(String),
    /// The object is gone (404).
    NotFound(String),
    /// The namespace is being deleted (403 with cause `NamespaceTerminating`): nothing can be created there.
    NamespaceTerminating,
    /// The API server asks for patience (429, or 503 with `Retry-After`).
    Throttled(Duration),
    /// The API server refuses: no rights (403), an admission policy, invalid content (422) and the like. A
    /// person must act.
    Refused(String),
    /// The API server failed (5xx).
    ServerError(String),
    /// No answer: the write may or may not have happened.
    Unanswered(String),
    /// We may not write now: another process leads, a rival is at work, or this process is stopping. Nothing was sent.
    NotPermitted,
}

impl WriteFailure {
    /// What failures that have one reason have in common, whatever the object.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::AlreadyExists(_) => "already exists",
            Self::NotFound(_) => "not found",
            Self::NamespaceTerminating => "namespace terminating",
            Self::Throttled(_) => "throttled",
            Self::Refused(_) => "refused",
            Self::ServerError(_) => "server error",
            Self::Unanswered(_) => "unanswered",
            Self::NotPermitted => "not permitted",
        }
    }
}

impl fmt::Display for WriteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(reason)
            | Self::AlreadyExists(reason)
            | Self::NotFound(reason)
            | Self::Refused(reason)
            | Self::ServerError(reason) => f.write_str(reason),
            Self::NamespaceTerminating => f.write_str("the namespace is being deleted"),
            Self::Throttled(pause) => write!(f, "the API server is overloaded and asks to wait {pause:?}"),
            Self::Unanswered(reason) => write!(f, "no answer from the API server: {reason}"),
            Self::NotPermitted => {
                f.write_str("this process may not write now: it does not lead, stands aside, or is stopping")
            }
        }
    }
}

/// How the body of a patch is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// JSON merge patch (RFC 7396): a list replaces a list, and null removes.
    Merge,
    /// Strategic merge patch, of the API server's own kinds only: lists whose elements have a key are merged by it, and an
    /// element with `$patch: delete` is removed.
    Strategic,
}

impl Patch {
    fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
        }
    }
}

/// `EndpointSlice shop/web-1`, `LoadBalancerAddress 198.51.100.7`.
fn object(resource: &Resource, namespace: &str, name: &str) -> String {
    if resource.namespaced {
        format!("{} {namespace}/{name}", resource.kind)
    } else {
        format!("{} {name}", resource.kind)
    }
}

/// `an EndpointSlice`, `a Lease`.
fn with_article(kind: &str) -> String {
    let vowel = kind.starts_with(['A', 'E', 'I', 'O', 'U']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

/// A client-side limit, off by default: the API server's priority and fairness does this better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Writes a second.
    pub qps: f64,
    /// Writes that may go out at once after a quiet time.
    pub burst: u32,
}

/// Sends writes. Clones share places and pace.
#[derive(Clone)]
pub struct Writer {
    shared: Arc<Shared>,
    permit: Permit,
}

struct Shared {
    client: Client,
    places: Semaphore,
    pace: Mutex<Pace>,
}

struct Pace {
    limit: Option<RateLimit>,
    tokens: f64,
    counted: Instant,
    paused_until: Instant,
}

impl Pace {
    /// When the next write may go out; takes its token.
    fn reserve(&mut self, now: Instant) -> Instant {
        let Some(limit) = self.limit else { return self.paused_until };
        let refill = now.saturating_duration_since(self.counted).as_secs_f64() * limit.qps;
        self.tokens = (self.tokens + refill).min(f64::from(limit.burst.max(1)));
        self.counted = now;
        self.tokens -= 1.0;
        let wait = if self.tokens < 0.0 { -self.tokens / limit.qps } else { 0.0 };
        let wait = Duration::try_from_secs_f64(wait).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        self.paused_until.max(now + wait)
    }
}

impl Writer {
    /// A writer for `client`, whose own retries must be off.
    #[must_use]
    pub fn new(client: Client, permit: Permit, limit: Option<RateLimit>) -> Self {
        let now = Instant::now();
        let tokens = limit.map_or(0.0, |limit| f64::from(limit.burst.max(1)));
        let pace = Pace { limit, tokens, counted: now, paused_until: now };
        Self {
            shared: Arc::new(Shared { client, places: Semaphore::new(IN_FLIGHT), pace: Mutex::new(pace) }),
            permit,
        }
    }

    /// The same writer with another permit: places and pace are shared.
    #[must_use]
    pub fn with_permit(&self, permit: Permit) -> Self {
        Self { shared: Arc::clone(&self.shared), permit }
    }

    /// The permit that is asked for before each write.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// May something be written now? Whoever has work and may not parks it ([`crate::worker::Outcome::Park`]).
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.permit.holds()
    }

    /// Creates `body`; its name may be left to the API server (`generateName`). Returns what was stored.
    pub async fn create<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        body: &impl Serialize,
    ) -> Result<T, WriteError> {
        let what = || format!("create {} in namespace {namespace}", with_article(resource.kind));
        let content = Content::of(resource, body).map_err(|kind| WriteError { what: what(), kind })?;
        let answer = self.send(Method::POST, path(resource, namespace, ""), content, &what).await?;
        decode(&answer, &what)
    }

    /// As [`Writer::create`], for a `body` whose name is known: it is part of what a failure says. The namespace of
    /// objects without one is empty.
    pub async fn create_named<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        body: &impl Serialize,
    ) -> Result<T, WriteError> {
        let what = || format!("create {}", object(resource, namespace, name));
        let content = Content::of(resource, body).map_err(|kind| WriteError { what: what(), kind })?;
        let answer = self.send(Method::POST, path(resource, namespace, ""), content, &what).await?;
        decode(&answer, &what)
    }

    /// Replaces an object; `body` carries the resourceVersion that it replaces. Returns what was stored.
    pub async fn update<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        body: &impl Serialize,
    ) -> Result<T, WriteError> {
        let what = || format!("update {}", object(resource, namespace, name));
        let content = Content::of(resource, body).map_err(|kind| WriteError { what: what(), kind })?;
        let answer = self.send(Method::PUT, path(resource, namespace, name), content, &what).await?;
        decode(&answer, &what)
    }

    /// Merges `body` into an object (RFC 7396): what it does not name stays. Returns what was stored.
    ///
    /// Without a resourceVersion in `body` this overwrites whatever others have made of the fields that it names.
    pub async fn merge<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        body: &impl Serialize,
    ) -> Result<T, WriteError> {
        let what = || format!("patch {}", object(resource, namespace, name));
        let content = Content::json(Patch::Merge.content_type(), body)
            .map_err(|kind| WriteError { what: what(), kind })?;
        let answer = self.send(Method::PATCH, path(resource, namespace, name), content, &what).await?;
        decode(&answer, &what)
    }

    /// Patches the status of an object, and nothing else. Returns the whole object as it was stored.
    ///
    /// `metadata.resourceVersion` and `metadata.uid` in `body` are preconditions: another version is a conflict, and another
    /// UID under the same version is refused.
    pub async fn patch_status<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        patch: Patch,
        body: &impl Serialize,
    ) -> Result<T, WriteError> {
        let what = || format!("patch the status of {}", object(resource, namespace, name));
        let status = format!("{}/status", path(resource, namespace, name));
        let content =
            Content::json(patch.content_type(), body).map_err(|kind| WriteError { what: what(), kind })?;
        let answer = self.send(Method::PATCH, status, content, &what).await?;
        decode(&answer, &what)
    }

    /// Deletes an object, if it is still the one with this UID; another one of its name is a conflict. One that is
    /// gone already is no error.
    pub async fn delete(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<(), WriteError> {
        self.delete_if(resource, namespace, name, &serde_json::json!({"uid": uid})).await
    }

    /// As [`Writer::delete`], and only if it still has this version: what was changed since is a conflict.
    pub async fn delete_version(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        uid: &str,
        version: &ResourceVersion,
    ) -> Result<(), WriteError> {
        let preconditions = serde_json::json!({"uid": uid, "resourceVersion": version.to_string()});
        self.delete_if(resource, namespace, name, &preconditions).await
    }

    async fn delete_if(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        preconditions: &serde_json::Value,
    ) -> Result<(), WriteError> {
        let what = || format!("delete {}", object(resource, namespace, name));
        let options = serde_json::json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions
        });
        let content = Content::json(JSON, &options).map_err(|kind| WriteError { what: what(), kind })?;
        match self.send(Method::DELETE, path(resource, namespace, name), content, &what).await {
            Err(WriteError { kind: WriteFailure::NotFound(_), .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: String,
        content: Content,
        what: &impl Fn() -> String,
    ) -> Result<Bytes, WriteError> {
        let failed = |kind| WriteError { what: what(), kind };
        let guard = Guard::new(&self.permit);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .extension(guard.clone())
            .header(http::header::CONTENT_TYPE, content.media_type)
            .header(http::header::ACCEPT, content.accept)
            .body(Body::from(content.bytes))
            .map_err(|error| failed(WriteFailure::Refused(error.to_string())))?;
        // The semaphore is never closed, so an error cannot happen; without a place nothing is sent.
        let Ok(_place) = self.shared.places.acquire().await else {
            return Err(failed(WriteFailure::NotPermitted));
        };
        let start = self.shared.pace.lock().reserve(Instant::now());
        tokio::time::sleep_until(start).await;
        if !self.permit.holds() {
            return Err(failed(WriteFailure::NotPermitted));
        }
        let exchange = async {
            let response = self.shared.client.send(request).await.map_err(|error| chain(&error))?;
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok::<_, String>((parts, bytes))
        };
        let (parts, bytes) = match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) if guard.has_refused() => return Err(failed(WriteFailure::NotPermitted)),
            Ok(Err(reason)) => return Err(failed(WriteFailure::Unanswered(reason))),
            Err(_) => return Err(failed(WriteFailure::Unanswered(format!("none within {TIMEOUT:?}")))),
        };
        if parts.status.is_success() {
            return Ok(bytes);
        }
        let retry_after = parts
            .headers
            .get(http::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let kind = classify(parts.status, retry_after, &bytes);
        if let WriteFailure::Throttled(pause) = &kind {
            let until = Instant::now() + (*pause).min(LONGEST_COMMON_PAUSE);
            let mut pace = self.shared.pace.lock();
            pace.paused_until = pace.paused_until.max(until);
        }
        Err(failed(kind))
    }
}

/// What is sent, and how it may be answered.
struct Content {
    bytes: Vec<u8>,
    media_type: &'static str,
    accept: &'static str,
}

impl Content {
    /// A whole object: in protobuf, which costs the API server less, if it has one that is known.
    fn of(resource: &Resource, object: &impl Serialize) -> Result<Self, WriteFailure> {
        match protobuf::encode(&resource.api_version(), resource.kind, object) {
            Some(bytes) => Ok(Self { bytes, media_type: protobuf::MEDIA_TYPE, accept: protobuf::ACCEPT }),
            None => Self::json(JSON, object),
        }
    }

    fn json(media_type: &'static str, body: &impl Serialize) -> Result<Self, WriteFailure> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| WriteFailure::Refused(format!("it cannot be encoded: {error}")))?;
        Ok(Self { bytes, media_type, accept: JSON })
    }
}

fn path(resource: &Resource, namespace: &str, name: &str) -> String {
    let group = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    // Without a namespace: the objects of all.
    let namespace = if resource.namespaced && !namespace.is_empty() {
        format!("/namespaces/{namespace}")
    } else {
        String::new()
    };
    let name = if name.is_empty() { String::new() } else { format!("/{name}") };
    format!("{group}{namespace}/{}{name}", resource.plural)
}

/// An answer in JSON, whatever it came as.
fn json(answer: &[u8]) -> Result<Cow<'_, [u8]>, protobuf::Malformed> {
    if protobuf::is_protobuf(answer) { protobuf::to_json(answer).map(Cow::Owned) } else { Ok(answer.into()) }
}

fn decode<T: DeserializeOwned>(answer: &[u8], what: &impl Fn() -> String) -> Result<T, WriteError> {
    let decoded = json(answer)
        .map_err(|error| error.to_string())
        .and_then(|json| serde_json::from_slice(&json).map_err(|error| error.to_string()));
    decoded.map_err(|error| WriteError {
        what: what(),
        kind: WriteFailure::Unanswered(format!("it was accepted, but the answer cannot be read: {error}")),
    })
}

/// What an answer that is no success means.
fn classify(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> WriteFailure {
    let answer: kube::core::Status =
        json(body).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let reason = if answer.message.is_empty() {
        format!("the API server answered {status}: {}", String::from_utf8_lossy(body).trim())
    } else {
        answer.message.clone()
    };
    let causes = answer.details.iter().flat_map(|details| &details.causes);
    if status == StatusCode::FORBIDDEN
        && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
    {
        return WriteFailure::NamespaceTerminating;
    }
    let pause = || {
        let asked = answer.details.as_ref().map(|it| u64::from(it.retry_after_seconds)).filter(|it| *it > 0);
        retry_after
            .or(asked.map(Duration::from_secs))
            .unwrap_or(Duration::from_secs(1))
            .clamp(Duration::from_millis(100), LONGEST_PAUSE)
    };
    match status {
        StatusCode::NOT_FOUND => WriteFailure::NotFound(reason),
        StatusCode::CONFLICT if answer.reason == "AlreadyExists" => WriteFailure::AlreadyExists(reason),
        StatusCode::CONFLICT => WriteFailure::Conflict(reason),
        StatusCode::TOO_MANY_REQUESTS => WriteFailure::Throttled(pause()),
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => WriteFailure::Throttled(pause()),
        StatusCode::GATEWAY_TIMEOUT => WriteFailure::Unanswered(reason),
        status if status.is_server_error() => WriteFailure::ServerError(reason),
        _ => WriteFailure::Refused(reason),
    }
}

#[cfg(test)]
mod tests;
