//! Lists and watches.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Shared;
use crate::answer::{Answer, Refusal, object};
use crate::request::{Query, Target};
use crate::selector::Selector;
use crate::store::{Event, with_version};
use crate::weather::{End, WatchFate};

const BOOKMARK_PERIOD: Duration = Duration::from_mins(1);
/// Of a watch that names no timeout.
const TIMEOUT: u64 = 1800;

/// What a list or watch covers.
struct Scope {
    target: Target,
    selector: Selector,
}

impl Scope {
    fn covers(&self, namespace: &str, object: &Value) -> bool {
        (self.target.namespace.is_empty() || self.target.namespace == namespace)
            && self.selector.matches(object)
    }

    /// The line of a change. An object that no longer matches the selector is deleted, in its last state that did.
    fn line(&self, event: &Event) -> Option<String> {
        let seen =
            |object: &Option<Arc<Value>>| object.clone().filter(|object| self.covers(&event.key.0, object));
        let (kind, object) = match (seen(&event.old), seen(&event.new)) {
            (None, None) => return None,
            (None, Some(new)) => ("ADDED", new),
            (Some(_), Some(new)) => ("MODIFIED", new),
            (Some(old), None) => ("DELETED", Arc::new(with_version((*old).clone(), event.version))),
        };
        Some(line(kind, &object))
    }
}

fn line(kind: &str, object: &Value) -> String {
    json!({"type": kind, "object": object}).to_string() + "\n"
}

impl Shared {
    pub(crate) fn list(
        &self,
        target: Target,
        query: &Query,
        age: Option<Duration>,
    ) -> Result<Answer, Refusal> {
        let selector = Selector::parse(query.text("labelSelector"), query.text("fieldSelector"))
            .map_err(Refusal::bad_request)?;
        let state = self.state.lock();
        // A page goes on where the last one ended, in the state that the first one showed.
        let (version, after) = match query.text("continue").split_once(' ') {
            Some((version, after)) => {
                let version =
                    version.parse().map_err(|_| Refusal::bad_request("continue key is not valid"))?;
                (version, Some(after.to_owned()))
            }
            None => (state.version(age), None),
        };
        if version < state.store.compacted() && after.is_some() {
            return Err(Refusal::expired());
        }
        let kind = target.kind;
        let scope = Scope { target, selector };
        let position = |namespace: &str, name: &str| format!("{namespace}/{name}");
        let all = state.store.list_at(kind, version);
        let mut rest =
            all.iter().filter(|((namespace, _), object)| scope.covers(namespace, object)).skip_while(
                |((namespace, name), _)| after.as_ref().is_some_and(|it| position(namespace, name) <= *it),
            );
        let most = query.number("limit").filter(|limit| *limit > 0).unwrap_or(u64::MAX);
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(state.page);
        let mut last = String::new();
        let items: Vec<_> = rest
            .by_ref()
            .take(most)
            .map(|((namespace, name), object)| {
                last = position(namespace, name);
                Value::clone(object)
            })
            .collect();
        let more = if rest.next().is_some() { format!("{version} {last}") } else { String::new() };
        let metadata = json!({"resourceVersion": version.to_string(), "continue": more});
        let answer = json!({"kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(), "metadata": metadata, "items": items});
        Ok(object(StatusCode::OK, &answer))
    }

    pub(crate) fn watch(
        self: &Arc<Self>,
        target: Target,
        query: &Query,
        age: Option<Duration>,
        fate: &WatchFate,
    ) -> Result<Answer, Refusal> {
        let selector = Selector::parse(query.text("labelSelector"), query.text("fieldSelector"))
            .map_err(Refusal::bad_request)?;
        let scope = Scope { target, selector };
        let bookmarks = query.is_true("allowWatchBookmarks");
        let mut state = self.state.lock();
        let initial = query.is_true("sendInitialEvents");
        if initial && !state.streaming_lists {
            let why = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
            return Err(Refusal::invalid(format!("ListOptions.meta.k8s.io \"\" is invalid: {why}")));
        }
        if initial && query.text("resourceVersionMatch") != "NotOlderThan" {
            let why = "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            return Err(Refusal::invalid(format!("ListOptions.meta.k8s.io \"\" is invalid: {why}")));
        }
        let from = query.number("resourceVersion").unwrap_or(0);
        let mut lines = VecDeque::new();
        let mut version = from;
        if from == 0 {
            version = state.version(age);
            let all = state.store.list_at(scope.target.kind, version);
            let covered = all.iter().filter(|((namespace, _), object)| scope.covers(namespace, object));
            lines.extend(covered.map(|(_, object)| line("ADDED", object)));
            if initial && bookmarks {
                lines.push_back(bookmark(&scope, version, true));
            }
        } else if fate.compaction {
            state.store.compact();
        }
        drop(state);
        let now = Instant::now();
        let timeout = Duration::from_secs(query.number("timeoutSeconds").unwrap_or(TIMEOUT));
        let watch = Watch {
            news: self.news.subscribe(),
            shared: Arc::clone(self),
            scope,
            lines,
            version,
            bookmark_due: bookmarks.then(|| now + BOOKMARK_PERIOD),
            ends: now + timeout,
            lag: fate.lag,
            cut: fate.end.map(|(after, end)| (now + after, end)),
            over: false,
        };
        let frames = futures::stream::unfold(watch, |mut watch| async {
            let chunk = watch.next().await?;
            Some((chunk.map(|text| Frame::data(Bytes::from(text))), watch))
        });
        let mut answer = Response::new(BodyExt::boxed_unsync(StreamBody::new(frames.boxed())));
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        Ok(answer)
    }
}

pub(crate) fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer")
}

fn bookmark(scope: &Scope, version: u64, ends_list: bool) -> String {
    let kind = scope.target.kind;
    let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
    if ends_list {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    line("BOOKMARK", &json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata}))
}

/// A watch that is open.
struct Watch {
    shared: Arc<Shared>,
    scope: Scope,
    news: tokio::sync::watch::Receiver<u64>,
    /// What is to be said before anything new.
    lines: VecDeque<String>,
    /// What was said goes up to here.
    version: u64,
    bookmark_due: Option<Instant>,
    ends: Instant,
    lag: Duration,
    cut: Option<(Instant, End)>,
    over: bool,
}

enum Step {
    Say(String),
    /// Nothing to say before this time, or before something happens.
    WaitUntil(Option<Instant>),
    Expired,
    /// The kind is not served any more.
    Over,
}

impl Watch {
    /// The next piece of the body. `None`: it ends in good order.
    async fn next(&mut self) -> Option<io::Result<String>> {
        loop {
            if self.over {
                return None;
            }
            let now = Instant::now();
            // Faults are over once the weather is calm.
            let cut = self.cut.filter(|_| self.shared.is_rough());
            if let Some((_, end)) = cut.filter(|(at, _)| *at <= now) {
                match end {
                    End::Orderly => return None,
                    End::Silence => std::future::pending().await,
                    End::Error => {
                        self.over = true;
                        return Some(Err(reset()));
                    }
                    End::MidEvent => {}
                }
            }
            self.news.borrow_and_update();
            match self.step(now) {
                Step::Say(text) if cut.is_some_and(|(at, end)| at <= now && end == End::MidEvent) => {
                    // Half of it now, and nothing more at the next call.
                    self.over = true;
                    return Some(Ok(text[..text.len() / 2].to_owned()));
                }
                Step::Say(text) => return Some(Ok(text)),
                Step::Expired => {
                    self.over = true;
                    return Some(Ok(line("ERROR", &Refusal::expired().status())));
                }
                Step::Over => return None,
                Step::WaitUntil(_) if now >= self.ends => return None,
                Step::WaitUntil(until) => {
                    let mut wake = until.map_or(self.ends, |until| until.min(self.ends));
                    if let Some((at, End::Orderly | End::Error | End::Silence)) = cut {
                        wake = wake.min(at);
                    }
                    // The sender lives as long as `shared`.
                    let _ = tokio::time::timeout_at(wake, self.news.changed()).await;
                }
            }
        }
    }

    fn step(&mut self, now: Instant) -> Step {
        if let Some(text) = self.lines.pop_front() {
            return Step::Say(text);
        }
        let lag = if self.shared.is_rough() { self.lag } else { Duration::ZERO };
        let state = self.shared.state.lock();
        if self.version < state.store.compacted() && !state.store.after(self.version).is_empty() {
            return Step::Expired;
        }
        let mut late = None;
        for event in state.store.after(self.version) {
            if event.at + lag > now {
                late = Some(event.at + lag);
                break;
            }
            self.version = event.version;
            if event.kind == self.scope.target.kind
                && let Some(text) = self.scope.line(event)
            {
                return Step::Say(text);
            }
        }
        if state.unserved.contains(self.scope.target.kind.plural) {
            return Step::Over;
        }
        if self.bookmark_due.is_some_and(|due| due <= now) {
            self.bookmark_due = Some(now + BOOKMARK_PERIOD);
            return Step::Say(bookmark(&self.scope, self.version, false));
        }
        Step::WaitUntil(late.into_iter().chain(self.bookmark_due).min())
    }
}
