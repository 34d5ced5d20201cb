//! A Kubernetes API server in memory, for tests under tokio's paused time.
//!
//! [`FakeApi::client`] is an ordinary [`kube::Client`] whose requests end here: list (pages, past states), watch
//! (bookmarks, streaming lists, selectors, 410), create, update, patch, status and delete with preconditions,
//! finalizers and grace periods. Versions are numbers that grow over all resources. [`Weather`] adds faults. [`cases`] is a
//! list of statements that hold here and on a real API server alike.
//!
//! It validates next to nothing: a body that a real server would refuse is stored as it is.

mod answer;
pub mod cases;
mod kinds;
mod objects;
mod request;
mod selector;
mod store;
mod watching;
mod weather;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fairlead_objects::protobuf;
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

pub use crate::answer::{Answer, Body as AnswerBody, Refusal};
pub use crate::kinds::{
    ADDRESSES, ANNOUNCEMENTS, ENDPOINTS, Kind, LEASES, NAMESPACES, NODES, PODS, POOLS, RESERVATIONS,
    SERVICE_CIDRS, SERVICES, SLICES,
};
pub use crate::store::{Author, Event, Key};
pub use crate::weather::{Dice, Weather};

use crate::objects::differs;
use crate::request::{Query, Target};
use crate::store::Store;
use crate::weather::Fate;

/// What a mutating webhook or policy makes of an object.
pub type Admission = fn(&mut Value);

/// The server. Clones are the same server.
#[derive(Clone)]
pub struct FakeApi {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// The newest version, or the same one again when the weather changed.
    news: watch::Sender<u64>,
    started: Instant,
}

struct State {
    store: Store,
    weather: Weather,
    dice: Dice,
    terminating_namespaces: HashSet<String>,
    /// Plural names of kinds that are not served: their definition is not installed.
    unserved: HashSet<&'static str>,
    streaming_lists: bool,
    /// What admission does to objects of a kind that clients create or update.
    admission: Option<(&'static Kind, Admission)>,
    /// Most objects of one page.
    page: usize,
    uids: u64,
}

impl State {
    fn new_uid(&mut self) -> String {
        self.uids += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.uids)
    }

    fn name_suffix(&mut self, prefix: &str) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut rng = self.dice.roll(prefix);
        (0..5).map(|_| char::from(LETTERS[rng.usize(0..LETTERS.len())])).collect()
    }

    /// The newest version, or the one of so long ago; compacted ones cannot be told any more.
    fn version(&self, age: Option<Duration>) -> u64 {
        let past = age.and_then(|age| Instant::now().checked_sub(age));
        let version = past.map_or(self.store.version(), |past| self.store.version_at(past));
        version.max(self.store.compacted())
    }
}

impl Shared {
    /// The time of day: it is the first of January when the server starts.
    fn timestamp(&self) -> String {
        let seconds = i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(1_767_225_600 + seconds).unwrap_or_default().to_string()
    }

    fn is_rough(&self) -> bool {
        self.state.lock().weather != Weather::default()
    }

    fn announce(&self) {
        let version = self.state.lock().store.version();
        self.news.send_replace(version);
    }

    async fn serve(self: Arc<Self>, request: Request<Body>) -> io::Result<Answer> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let Some(target) = Target::parse(parts.uri.path()) else {
            return Ok(Refusal::no_such_path(parts.uri.path()).answer());
        };
        let query = Query::parse(&parts.uri);
        let is_watch = query.is_true("watch");
        let (delay, fate, watch_fate, age) = {
            let mut state = self.state.lock();
            let rng = state.dice.roll(&request::identity(&parts.method, &target, is_watch));
            let (delay, fate) = state.weather.fate(rng.clone(), &parts.method, target.kind, &target.name);
            // Other throws of the same dice.
            let mut more = rng;
            let mut next = || fastrand::Rng::with_seed(more.u64(..));
            (delay, fate, state.weather.watch_fate(next()), state.weather.list_age(next()))
        };
        tokio::time::sleep(delay).await;
        match &fate {
            Fate::Hangs => std::future::pending().await,
            Fate::Refused(refusal) => return Ok(refusal.answer()),
            Fate::Served | Fate::AnswerHangs | Fate::AnswerBreaks => {}
        }
        if self.state.lock().unserved.contains(target.kind.plural) {
            return Ok(Refusal::no_such_path(parts.uri.path()).answer());
        }
        let Some(mut body) = decoded(&body) else {
            return Ok(Refusal::bad_request("the body is neither JSON nor a protobuf that is known").answer());
        };
        if (parts.method == Method::POST || parts.method == Method::PUT)
            && let Some((_, admit)) = self.state.lock().admission.filter(|(kind, _)| *kind == target.kind)
        {
            admit(&mut body);
        }
        let content_type = parts.headers.get(http::header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let outcome = match (parts.method, target.name.is_empty()) {
            (Method::GET, true) if is_watch => self.watch(target, &query, age, &watch_fate),
            (Method::GET, true) => self.list(target, &query, age),
            (Method::GET, false) => self.read(&target),
            (Method::POST, true) => self.create(&target, body),
            (Method::PUT, false) => self.update(&target, body),
            (Method::PATCH, false) => self.patch(&target, content_type.unwrap_or_default(), &body),
            (Method::DELETE, false) => self.delete(&target, &body, Author::Client),
            _ => Err(Refusal::not_allowed()),
        };
        self.announce();
        match fate {
            Fate::AnswerHangs => std::future::pending().await,
            Fate::AnswerBreaks => Err(watching::reset()),
            _ => Ok(outcome.unwrap_or_else(|refusal| refusal.answer())),
        }
    }

    fn read(&self, target: &Target) -> Result<Answer, Refusal> {
        let key = (target.namespace.clone(), target.name.clone());
        let object = self.state.lock().store.get(target.kind, &key);
        let object = object.ok_or_else(|| Refusal::not_found(target.kind, &target.name))?;
        Ok(answer::object(http::StatusCode::OK, &object))
    }
}

/// The body of a request; JSON or protobuf. Answers are JSON always.
fn decoded(body: &[u8]) -> Option<Value> {
    if body.is_empty() {
        Some(Value::Null)
    } else if protobuf::is_protobuf(body) {
        serde_json::from_slice(&protobuf::to_json(body).ok()?).ok()
    } else {
        serde_json::from_slice(body).ok()
    }
}

impl FakeApi {
    /// An empty server in calm weather. The seed loads the dice of its faults and of generated names.
    ///
    /// Must be called in a tokio runtime.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            store: Store::new(),
            weather: Weather::default(),
            dice: Dice::new(seed),
            terminating_namespaces: HashSet::new(),
            unserved: HashSet::new(),
            streaming_lists: true,
            admission: None,
            page: usize::MAX,
            uids: 0,
        };
        let shared =
            Shared { state: Mutex::new(state), news: watch::Sender::new(0), started: Instant::now() };
        Self { shared: Arc::new(shared) }
    }

    /// Refuses streaming lists, as Kubernetes 1.33 does, and cuts lists into pages of at most so many objects.
    #[must_use]
    pub fn listing_by_pages(self, page: usize) -> Self {
        {
            let mut state = self.shared.state.lock();
            state.streaming_lists = false;
            state.page = page.max(1);
        }
        self
    }

    /// A client that never resends by itself.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        let shared = Arc::clone(&self.shared);
        let service = tower::service_fn(move |request| Arc::clone(&shared).serve(request));
        kube::Client::new(service, "default")
    }

    /// Changes the weather from now on. Calm weather also ends what rough weather does to open watches, except
    /// that those which fell silent stay so.
    pub fn set_weather(&self, weather: Weather) {
        self.shared.state.lock().weather = weather;
        self.shared.announce();
    }

    /// From now on admission changes the objects of this kind that clients create or update, or no longer does.
    pub fn set_admission(&self, kind: &'static Kind, admission: Option<Admission>) {
        self.shared.state.lock().admission = admission.map(|admit| (kind, admit));
    }

    /// Forgets the past: watches that are behind, or want to begin there, expire.
    pub fn compact(&self) {
        self.shared.state.lock().store.compact();
        self.shared.announce();
    }

    /// From now on nothing can be created in the namespace.
    pub fn terminate_namespace(&self, namespace: &str) {
        self.shared.state.lock().terminating_namespaces.insert(namespace.to_owned());
    }

    /// From now on a kind is served, or is not: as when its CustomResourceDefinition is installed, or deleted together with
    /// all objects.
    pub fn set_served(&self, kind: &'static Kind, served: bool) {
        if served {
            self.shared.state.lock().unserved.remove(kind.plural);
            return;
        }
        {
            let mut state = self.shared.state.lock();
            for key in state.store.list(kind).into_keys() {
                state.store.commit(kind, key, None, Author::World);
            }
            state.unserved.insert(kind.plural);
        }
        self.shared.announce();
    }

    /// The newest version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.state.lock().store.version()
    }

    /// All changes after a version.
    #[must_use]
    pub fn events_after(&self, version: u64) -> Vec<Event> {
        self.shared.state.lock().store.after(version).to_vec()
    }

    /// An object.
    #[must_use]
    pub fn get(&self, kind: &'static Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.shared.state.lock().store.get(kind, &(namespace.to_owned(), name.to_owned()))
    }

    /// All objects of a kind, by namespace and name.
    #[must_use]
    pub fn list(&self, kind: &'static Kind) -> Vec<Arc<Value>> {
        self.shared.state.lock().store.list(kind).into_values().collect()
    }

    /// Creates an object, or replaces the one of its name by another one with another UID. Its status is stored,
    /// too.
    ///
    /// # Panics
    /// If the object has no name.
    pub fn put(&self, kind: &'static Kind, mut object: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        assert!(!key.1.is_empty(), "the object needs a name: {object}");
        {
            let mut state = self.shared.state.lock();
            if state.store.get(kind, &key).is_some() {
                state.store.commit(kind, key.clone(), None, Author::World);
            }
            object["kind"] = kind.kind.into();
            object["apiVersion"] = kind.api_version().into();
            object["metadata"]["uid"] = state.new_uid().into();
            object["metadata"]["creationTimestamp"] = self.shared.timestamp().into();
            if kind.has_generation {
                object["metadata"]["generation"] = 1.into();
            }
            state.store.commit(kind, key, Some(object), Author::World);
        }
        self.shared.announce();
    }

    /// Stores an object as another API server shows it, UID and all but its version: a copy for those who judge
    /// what is in a [`FakeApi`].
    pub fn copy(&self, kind: &'static Kind, object: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        self.shared.state.lock().store.commit(kind, key, Some(object), Author::World);
        self.shared.announce();
    }

    /// Changes an object, spec and status alike; false if there is none. The generation grows as it does for clients.
    pub fn edit(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> bool {
        {
            let mut state = self.shared.state.lock();
            let key = (namespace.to_owned(), name.to_owned());
            let Some(old) = state.store.get(kind, &key) else { return false };
            let mut object = (*old).clone();
            change(&mut object);
            if let Some(generation) =
                object["metadata"]["generation"].as_i64().filter(|_| differs(kind, &old, &object))
            {
                object["metadata"]["generation"] = (generation + 1).into();
            }
            let finalizers = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
            let had = old["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
            let over = had && !finalizers && !object["metadata"]["deletionTimestamp"].is_null();
            state.store.commit(kind, key, Some(object).filter(|_| !over), Author::World);
        }
        self.shared.announce();
        true
    }

    /// Deletes an object as a client would that asks for no grace period: finalizers hold it.
    /// Returns whether there was one.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn delete(&self, kind: &'static Kind, namespace: &str, name: &str) -> bool {
        let target = Target {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
        };
        let options = serde_json::json!({"gracePeriodSeconds": 0});
        let deleted = self.shared.delete(&target, &options, Author::World).is_ok();
        self.shared.announce();
        deleted
    }

    /// Deletes the EndpointSlices whose owners are all gone, as the garbage collector does.
    pub fn collect_garbage(&self) {
        let services: HashSet<String> =
            self.list(&SERVICES).iter().map(|it| it["metadata"]["uid"].to_string()).collect();
        for slice in self.list(&SLICES) {
            let metadata = &slice["metadata"];
            let owners = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
            let orphan = !owners.is_empty()
                && owners.iter().all(|owner| !services.contains(&owner["uid"].to_string()));
            if orphan && metadata["deletionTimestamp"].is_null() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                self.delete(&SLICES, &text(&metadata["namespace"]), &text(&metadata["name"]));
            }
        }
    }
}
