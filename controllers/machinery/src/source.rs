//! Where the changes of one resource come from.
//!
//! The informer knows only [`Source`]; how the bytes arrive and are decoded is decided here. [`JsonSource`]
//! serves every kind through kube's list-and-watch state machine.

use std::borrow::Cow;
use std::future::Future;
use std::marker::PhantomData;

use fairlead_objects::{Record, protobuf};
use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client};
use serde::{Deserialize, Deserializer};

use crate::client::{chain, impatient};

/// One step of a list-and-watch.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceEvent<R> {
    /// A complete list begins; it may break off and begin again.
    ListBegins,
    /// An object of the list.
    Listed(R),
    /// The list is complete: what it did not name does not exist.
    ListEnds,
    /// An object was created or changed.
    Applied(R),
    /// An object was deleted; its last state.
    Deleted(R),
}

/// Why a list or watch broke off. All of these are retried.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SourceError {
    /// The version to continue from is too old (410): a new list follows.
    #[error("the API server no longer has the changes since the last one seen: {0}")]
    Expired(String),
    /// We may not list or watch (401, 403): a person must act.
    #[error("{0}; check the ServiceAccount and its RBAC bindings")]
    Forbidden(String),
    /// The API server does not serve the resource (404): its CustomResourceDefinition is not installed. A new list
    /// follows, as what is installed later begins anew.
    #[error("the API server does not know this resource: {0}")]
    Missing(String),
    /// Anything else: unreachable, overloaded, cut off.
    #[error("{0}")]
    Broken(String),
}

/// A stream of changes that never ends and recovers by itself when it is asked for the next event after an
/// error.
pub trait Source<R>: Send {
    /// The next event.
    fn next(&mut self) -> impl Future<Output = Result<SourceEvent<R>, SourceError>> + Send;
}

/// A record in the shape that kube's watcher asks for.
#[derive(Clone, Debug)]
struct Watched<R> {
    meta: ObjectMeta,
    record: R,
}

impl<'de, R: Record> Deserialize<'de> for Watched<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = R::deserialize(deserializer)?;
        // The watcher reads nothing but the version.
        let meta = ObjectMeta { resource_version: Some(record.version().to_string()), ..Default::default() };
        Ok(Self { meta, record })
    }
}

impl<R: Record> kube::Resource for Watched<R> {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        R::RESOURCE.kind.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        R::RESOURCE.group.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        R::RESOURCE.version.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        R::RESOURCE.plural.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// Which objects of a resource are watched; by default all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only those of this namespace; empty: of all namespaces.
    pub namespace: String,
    /// Only those that this field selector selects.
    pub fields: Option<String>,
    /// Only those that this label selector selects.
    pub labels: Option<String>,
}

type Events<R> = BoxStream<'static, Result<watcher::Event<Watched<R>>, watcher::Error>>;

/// Lists and watches all objects of a resource: by a streaming list (KEP-3157) where the API server
/// has it, else page by page.
pub struct JsonSource<R> {
    client: Client,
    scope: Scope,
    streaming: bool,
    events: Events<R>,
    record: PhantomData<R>,
}

impl<R: Record> JsonSource<R> {
    /// Watches all namespaces; `field_selector` leaves out objects that nobody needs.
    #[must_use]
    pub fn new(client: &Client, field_selector: Option<&str>) -> Self {
        Self::of(client, Scope { fields: field_selector.map(str::to_owned), ..Scope::default() })
    }

    /// Watches what is in the scope. The resource must live in namespaces if the scope names one.
    #[must_use]
    pub fn of(client: &Client, scope: Scope) -> Self {
        let is_known = protobuf::is_known(&R::RESOURCE.api_version(), R::RESOURCE.kind);
        let client = impatient(client, is_known.then_some(protobuf::ACCEPT));
        let events = Self::watch(&client, &scope, true);
        Self { client, scope, streaming: true, events, record: PhantomData }
    }

    fn watch(client: &Client, scope: &Scope, streaming: bool) -> Events<R> {
        // A load balancer that drops an idle connection without a word is noticed when the watch should have
        // ended; the spread keeps watches from ending together.
        let mut config = watcher::Config::default().timeout(180 + fastrand::u32(0..60));
        if let Some(fields) = &scope.fields {
            config = config.fields(fields);
        }
        if let Some(labels) = &scope.labels {
            config = config.labels(labels);
        }
        if streaming {
            config = config.streaming_lists();
        }
        let api: Api<Watched<R>> = match scope.namespace.as_str() {
            "" => Api::all(client.clone()),
            namespace => Api::namespaced(client.clone(), namespace),
        };
        watcher(api, config).boxed()
    }

    /// Servers before 1.32, and 1.33 with its default gates, refuse `sendInitialEvents`.
    fn refuses_streaming(&self, error: &watcher::Error) -> bool {
        self.streaming
            && matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status))
                if matches!(status.code, 400 | 422) && status.message.contains("sendInitialEvents"))
    }
}

impl<R: Record> Source<R> for JsonSource<R> {
    async fn next(&mut self) -> Result<SourceEvent<R>, SourceError> {
        loop {
            return Ok(match self.events.next().await {
                Some(Ok(watcher::Event::Init)) => SourceEvent::ListBegins,
                Some(Ok(watcher::Event::InitApply(object))) => SourceEvent::Listed(object.record),
                Some(Ok(watcher::Event::InitDone)) => SourceEvent::ListEnds,
                Some(Ok(watcher::Event::Apply(object))) => SourceEvent::Applied(object.record),
                Some(Ok(watcher::Event::Delete(object))) => SourceEvent::Deleted(object.record),
                Some(Err(error)) if self.refuses_streaming(&error) => {
                    tracing::debug!(
                        resource = R::RESOURCE.plural,
                        "no streaming lists here, listing by pages"
                    );
                    self.streaming = false;
                    self.events = Self::watch(&self.client, &self.scope, false);
                    continue;
                }
                Some(Err(error)) => {
                    let error = classify(&error);
                    // Told as an event, kube lists anew by itself; told as a status, it would ask for the same
                    // version for ever.
                    if matches!(error, SourceError::Expired(_) | SourceError::Missing(_)) {
                        self.events = Self::watch(&self.client, &self.scope, self.streaming);
                    }
                    return Err(error);
                }
                // The watcher's stream has no end; should that change, start over.
                None => {
                    self.events = Self::watch(&self.client, &self.scope, self.streaming);
                    return Err(SourceError::Broken("the watch ended".into()));
                }
            });
        }
    }
}

fn classify(error: &watcher::Error) -> SourceError {
    let code = match error {
        watcher::Error::WatchError(status)
        | watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status.code,
        _ => 0,
    };
    let text = chain(error);
    match code {
        410 => SourceError::Expired(text),
        401 | 403 => SourceError::Forbidden(text),
        404 => SourceError::Missing(text),
        _ => SourceError::Broken(text),
    }
}

#[cfg(test)]
mod tests;
