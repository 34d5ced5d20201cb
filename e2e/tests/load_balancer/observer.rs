//! Sees every change of the addresses of Services, and knows what must never happen, not even for a moment.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use lab::{Lab, ingress_addresses};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// Watches until it is dropped.
pub(crate) struct Observer {
    seen: Arc<Mutex<Seen>>,
    watching: AbortHandle,
}

#[derive(Default)]
struct Seen {
    /// The addresses of each Service, by `namespace/name` and UID.
    addresses: BTreeMap<(String, String), Vec<IpAddr>>,
    wrongs: Vec<String>,
    /// Those that may have the same address.
    sharers: Vec<String>,
}

impl Observer {
    /// Begins to watch the Services of a lab, none of which may share an address.
    pub(crate) fn start(lab: &Lab) -> Self {
        Self::start_with_sharers(lab, &[])
    }

    /// Begins to watch the Services of a lab, of which these may share an address.
    pub(crate) fn start_with_sharers(lab: &Lab, sharers: &[&str]) -> Self {
        let sharers = sharers.iter().map(|&key| key.to_owned()).collect();
        let seen = Arc::new(Mutex::new(Seen { sharers, ..Seen::default() }));
        let shared = Arc::clone(&seen);
        let events = watcher(Api::<Service>::all(lab.api()), watcher::Config::default()).default_backoff();
        let watching = tokio::spawn(async move {
            pin_mut!(events);
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Apply(service) | watcher::Event::InitApply(service)) => {
                        shared.lock().applied(&service);
                    }
                    Ok(watcher::Event::Delete(service)) => {
                        shared.lock().addresses.remove(&key(&service));
                    }
                    // A lost watch begins again by itself.
                    Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
                }
            }
        });
        Self { seen, watching: watching.abort_handle() }
    }

    /// Fails when a Service lost or changed its address, or two had the same.
    pub(crate) fn check(&self) {
        let seen = self.seen.lock();
        assert!(seen.wrongs.is_empty(), "{:#?}", seen.wrongs);
        assert!(!seen.addresses.is_empty(), "nothing was seen");
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Seen {
    fn applied(&mut self, service: &Service) {
        let (key, now) = (key(service), ingress_addresses(service));
        let before = self.addresses.insert(key.clone(), now.clone()).unwrap_or_default();
        if !before.iter().all(|address| now.contains(address)) {
            self.wrongs.push(format!("{} had {before:?} and then {now:?}", key.0));
        }
        for (other, addresses) in &self.addresses {
            let may_share = self.sharers.contains(&other.0) && self.sharers.contains(&key.0);
            if *other != key && !may_share && addresses.iter().any(|address| now.contains(address)) {
                self.wrongs.push(format!("{} and {} had {now:?} at once", key.0, other.0));
            }
        }
    }
}

fn key(service: &Service) -> (String, String) {
    let metadata = &service.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    (format!("{}/{}", text(&metadata.namespace), text(&metadata.name)), text(&metadata.uid))
}
