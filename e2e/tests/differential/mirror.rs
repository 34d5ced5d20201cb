//! Copies of what one side has, kept by watches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use parking_lot::Mutex;
use serde_json::Value;

use crate::operation::Kind;

/// The kinds that are watched: what controllers write, and what they write it for.
const WATCHED: [Kind; 3] = [Kind::Service, Kind::Endpoints, Kind::EndpointSlice];

type Name = String;
type Objects = BTreeMap<(Kind, Name), Arc<Value>>;

/// The objects of all namespaces of one API server. Ends with the handle.
pub(crate) struct Mirror {
    namespaces: Arc<Mutex<BTreeMap<String, Copy>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// One namespace.
#[derive(Clone, Default)]
pub(crate) struct Copy {
    pub(crate) objects: Objects,
    /// When a controller or an operation last changed Endpoints or a slice.
    pub(crate) changed: Option<Instant>,
    /// Goes up with every change.
    pub(crate) version: u64,
}

impl Copy {
    /// The objects of a kind.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = (&str, &Arc<Value>)> {
        self.objects.iter().filter(move |((it, _), _)| *it == kind).map(|((_, name), it)| (name.as_str(), it))
    }

    fn set(&mut self, kind: Kind, name: String, object: Option<Arc<Value>>) {
        let old = match object {
            Some(object) => self.objects.insert((kind, name), Arc::clone(&object)),
            None => self.objects.remove(&(kind, name)),
        };
        drop(old);
        self.version += 1;
        if kind != Kind::Service {
            self.changed = Some(Instant::now());
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Mirror {
    pub(crate) fn start(client: &kube::Client) -> Self {
        let namespaces = Arc::new(Mutex::new(BTreeMap::new()));
        let follow = |kind: Kind| {
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind.resource());
            tokio::spawn(follow(kind, api, Arc::clone(&namespaces)))
        };
        Self { tasks: WATCHED.map(follow).into(), namespaces }
    }

    /// A namespace at this moment.
    pub(crate) fn namespace(&self, name: &str) -> Copy {
        self.namespaces.lock().get(name).cloned().unwrap_or_default()
    }

    /// The version of a namespace, and when it changed.
    pub(crate) fn version(&self, name: &str) -> (u64, Option<Instant>) {
        self.namespaces.lock().get(name).map_or((0, None), |copy| (copy.version, copy.changed))
    }
}

async fn follow(kind: Kind, api: Api<DynamicObject>, namespaces: Arc<Mutex<BTreeMap<String, Copy>>>) {
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut listed: Vec<(String, String)> = Vec::new();
    while let Some(event) = events.next().await {
        let set = |object: DynamicObject, gone: bool| {
            let namespace = object.metadata.namespace.clone().unwrap_or_default();
            let name = object.metadata.name.clone().unwrap_or_default();
            let value = serde_json::to_value(&object).ok().filter(|_| !gone).map(Arc::new);
            namespaces.lock().entry(namespace.clone()).or_default().set(kind, name.clone(), value);
            (namespace, name)
        };
        match event {
            Ok(Event::Apply(object)) => drop(set(object, false)),
            Ok(Event::Delete(object)) => drop(set(object, true)),
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => listed.push(set(object, false)),
            Ok(Event::InitDone) => {
                for (namespace, copy) in namespaces.lock().iter_mut() {
                    let names: Vec<_> = copy.of(kind).map(|(name, _)| name.to_owned()).collect();
                    for name in names {
                        if !listed.contains(&(namespace.clone(), name.clone())) {
                            copy.set(kind, name, None);
                        }
                    }
                }
            }
            // The watch begins anew by itself; what it missed shows in the next comparison.
            Err(error) => eprintln!("watching {kind:?}: {error}"),
        }
    }
}
