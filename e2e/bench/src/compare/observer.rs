//! What a client of the API sees of endpoints, as it happens.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lab::{Lab, Pod, Result};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::watch::{self, Event};

/// Where endpoints are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// In EndpointSlices.
    Slices,
    /// In Endpoints.
    Endpoints,
}

impl Watched {
    fn path(self) -> &'static str {
        match self {
            Self::Slices => "/apis/discovery.k8s.io/v1/endpointslices",
            Self::Endpoints => "/api/v1/endpoints",
        }
    }

    /// The objects, for people.
    fn name(self) -> &'static str {
        match self {
            Self::Slices => "slices",
            Self::Endpoints => "Endpoints",
        }
    }
}

/// What is to be seen of a Pod's endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Want {
    /// It is ready or not ready; one that is gone is not ready either.
    Ready(bool),
    /// No object has it.
    Gone,
}

/// A watch of all objects of one kind.
pub(super) struct Observer {
    watched: Watched,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Pods by the object that names them.
    objects: HashMap<String, HashSet<String>>,
    /// In how many objects a Pod is.
    places: HashMap<String, usize>,
    awaited: HashMap<(String, Want), Instant>,
    delays: HashMap<Want, Vec<Duration>>,
    /// When a Pod was last added or removed.
    last_change: Option<Instant>,
    /// Why nothing more will be seen.
    ended: Option<String>,
}

/// An EndpointSlice or an Endpoints object: each has only one of the two lists.
#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
    #[serde(default)]
    subsets: Option<Vec<Subset>>,
}

impl Object {
    /// The names of the Pods in it, and whether each is ready.
    fn into_pods(self) -> impl Iterator<Item = (String, bool)> {
        let of_slice = self.endpoints.into_iter().flatten().map(|endpoint| {
            let ready = endpoint.conditions.ready.unwrap_or(true);
            (endpoint.target_ref, ready)
        });
        let of_subsets = self.subsets.into_iter().flatten().flat_map(|subset| {
            let with = |list: Option<Vec<Address>>, ready| {
                list.into_iter().flatten().map(move |address| (address.target_ref, ready))
            };
            with(subset.addresses, true).chain(with(subset.not_ready_addresses, false))
        });
        of_slice.chain(of_subsets).filter_map(|(target, ready)| Some((target?.name, ready)))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subset {
    addresses: Option<Vec<Address>>,
    not_ready_addresses: Option<Vec<Address>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    target_ref: Option<Target>,
}

#[derive(Deserialize)]
struct Metadata {
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    #[serde(default)]
    conditions: Conditions,
    target_ref: Option<Target>,
}

#[derive(Default, Deserialize)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Observer {
    /// Begins to watch.
    pub(super) async fn start(lab: &Lab, watched: Watched) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (events, end) = (Arc::clone(&seen), Arc::clone(&seen));
        let take_in = move |line: &[u8], now| events.lock().take_in(line, now);
        watch::start(lab, watched.path(), take_in, move |why| end.lock().ended = Some(why)).await?;
        Ok(Self { watched, seen })
    }

    /// From now on this is awaited of a Pod.
    pub(super) fn expect(&self, pod: &Pod, want: Want) {
        let key = (key(pod.namespace(), pod.name()), want);
        self.seen.lock().awaited.insert(key, Instant::now());
    }

    /// How long after the expectation each was seen; forgets it.
    pub(super) fn take_seen(&self, want: Want) -> Vec<Duration> {
        self.seen.lock().delays.remove(&want).unwrap_or_default()
    }

    /// Waits until all expectations have been seen.
    pub(super) async fn all_seen(&self, lab: &Lab, limit: Duration) -> Result<()> {
        let name = self.watched.name();
        lab.wait_until(format!("{name} to show all changes"), limit, async || {
            let seen = self.seen.lock();
            match (&seen.ended, seen.awaited.len()) {
                (Some(why), _) => Err(format!("the watch of {name} ended: {why}").into()),
                (None, 0) => Ok(()),
                (None, count) => Err(format!("{count} have not been seen").into()),
            }
        })
        .await
    }

    /// Waits until so many Pods are in the objects, and says since when.
    pub(super) async fn complete(&self, lab: &Lab, endpoints: usize, limit: Duration) -> Result<Instant> {
        let name = self.watched.name();
        lab.wait_until(format!("{endpoints} endpoints in {name}"), limit, async || {
            let seen = self.seen.lock();
            match &seen.ended {
                Some(why) => Err(format!("the watch of {name} ended: {why}").into()),
                None if seen.places.len() == endpoints => Ok(seen.last_change.unwrap_or_else(Instant::now)),
                None => Err(format!("there are {}", seen.places.len()).into()),
            }
        })
        .await
    }
}

impl Seen {
    fn take_in(&mut self, line: &[u8], now: Instant) -> serde_json::Result<()> {
        let event: Event<'_> = serde_json::from_slice(line)?;
        if event.kind == "BOOKMARK" {
            return Ok(());
        }
        let object: Object = serde_json::from_str(event.object.get())?;
        let namespace = object.metadata.namespace.clone();
        let name = key(&namespace, &object.metadata.name);
        let mut pods = HashSet::new();
        if event.kind != "DELETED" {
            for (pod, ready) in object.into_pods() {
                let pod = key(&namespace, &pod);
                self.fulfil(pod.clone(), Want::Ready(ready), now);
                pods.insert(pod);
            }
        }
        for pod in &pods {
            *self.places.entry(pod.clone()).or_insert_with(|| {
                self.last_change = Some(now);
                0
            }) += 1;
        }
        let before =
            if pods.is_empty() { self.objects.remove(&name) } else { self.objects.insert(name, pods) };
        for pod in before.into_iter().flatten() {
            // The new places were counted first, so that a Pod that stays is never without one.
            if let Some(count) = self.places.get_mut(&pod) {
                *count -= 1;
                if *count == 0 {
                    self.places.remove(&pod);
                    self.last_change = Some(now);
                    self.fulfil(pod.clone(), Want::Ready(false), now);
                    self.fulfil(pod, Want::Gone, now);
                }
            }
        }
        Ok(())
    }

    fn fulfil(&mut self, pod: String, want: Want, now: Instant) {
        if !self.awaited.is_empty()
            && let Some(since) = self.awaited.remove(&(pod, want))
        {
            self.delays.entry(want).or_default().push(now.saturating_duration_since(since));
        }
    }
}

fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(kind: &str, slice: &str, pods: &[(&str, bool)]) -> Vec<u8> {
        let endpoints: Vec<Value> = pods
            .iter()
            .map(|(pod, ready)| json!({"conditions": {"ready": ready}, "targetRef": {"name": pod}}))
            .collect();
        let object = json!({"metadata": {"namespace": "n", "name": slice}, "endpoints": endpoints});
        json!({"type": kind, "object": object}).to_string().into_bytes()
    }

    fn await_all(seen: &mut Seen, now: Instant) {
        for want in [Want::Ready(false), Want::Ready(true), Want::Gone] {
            seen.awaited.insert(("n/p".into(), want), now);
        }
    }

    #[test]
    fn an_expectation_is_fulfilled_once_and_timed() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let later = |millis| start + Duration::from_millis(millis);
        seen.take_in(&event("ADDED", "a", &[("p", true), ("q", true)]), start).unwrap();
        await_all(&mut seen, start);
        seen.take_in(&event("MODIFIED", "a", &[("p", false), ("q", true)]), later(3)).unwrap();
        seen.take_in(&event("MODIFIED", "a", &[("p", false), ("q", false)]), later(5)).unwrap();
        assert_eq!(seen.delays[&Want::Ready(false)], [Duration::from_millis(3)]);
        assert_eq!(seen.delays.len(), 1);
        seen.take_in(&event("MODIFIED", "a", &[("q", false)]), later(9)).unwrap();
        assert_eq!(seen.delays[&Want::Gone], [Duration::from_millis(9)]);
        assert_eq!(seen.places.len(), 1);
    }

    #[test]
    fn endpoints_are_read_as_slices_are() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let event = |ready: &[&str], not_ready: &[&str]| {
            let list = |pods: &[&str]| -> Vec<Value> {
                pods.iter().map(|pod| json!({"ip": "10.0.0.1", "targetRef": {"name": pod}})).collect()
            };
            let subset = json!({"addresses": list(ready), "notReadyAddresses": list(not_ready)});
            let object = json!({"metadata": {"namespace": "n", "name": "e"}, "subsets": [subset]});
            json!({"type": "MODIFIED", "object": object}).to_string().into_bytes()
        };
        seen.take_in(&event(&["p", "q"], &[]), start).unwrap();
        assert_eq!(seen.places.len(), 2);
        seen.awaited.insert(("n/p".into(), Want::Ready(false)), start);
        seen.take_in(&event(&["q"], &["p"]), start).unwrap();
        assert_eq!(seen.delays[&Want::Ready(false)].len(), 1);
    }

    #[test]
    fn a_pod_that_moves_to_another_slice_is_not_gone() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        seen.take_in(&event("ADDED", "a", &[("p", true)]), start).unwrap();
        await_all(&mut seen, start);
        seen.take_in(&event("ADDED", "b", &[("p", true)]), start).unwrap();
        seen.take_in(&event("MODIFIED", "a", &[]), start).unwrap();
        assert!(!seen.delays.contains_key(&Want::Gone));
        seen.take_in(&event("DELETED", "b", &[("p", true)]), start).unwrap();
        assert_eq!(seen.delays[&Want::Gone].len(), 1);
        // One that is gone is not ready, too.
        assert_eq!(seen.delays[&Want::Ready(false)].len(), 1);
        assert!(seen.places.is_empty() && seen.objects.is_empty());
    }
}
