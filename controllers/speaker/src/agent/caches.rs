//! What is watched for as long as the agent runs.

use std::sync::Arc;
use std::time::Duration;

use fairlead_machinery::admin::Check;
use fairlead_machinery::informer::{Change, Informer, Store};
use fairlead_machinery::metrics::Informers;
use fairlead_machinery::source::{JsonSource, Scope};
use fairlead_objects::{Node, Record};
use kube::Client;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Shown;
use crate::facts::Address;
use crate::slices::SliceNews;

/// Word from a watch.
pub(super) enum Fact {
    Address(Change<Address>),
    Node(Arc<Node>),
    Slices(SliceNews),
}

/// Watches addresses and the own Node.
pub(super) fn watch_objects(
    node: &str,
    client: &Client,
    metrics: &Informers,
    shown: &Shown<'_>,
    facts: &mpsc::UnboundedSender<Fact>,
    stop: &CancellationToken,
) {
    // Nobody listens any more once the agent has ended.
    let mut addresses = Informer::<Address>::new(metrics);
    let send = facts.clone();
    addresses.on_change(move |change| {
        let _ = send.send(Fact::Address(change.clone()));
    });
    let mut nodes = Informer::<Node>::new(metrics);
    let send = facts.clone();
    nodes.on_change(move |change| {
        if let Some(node) = &change.new {
            let _ = send.send(Fact::Node(Arc::clone(node)));
        }
    });
    let name = format!("metadata.name={node}");
    let only_own = JsonSource::of(client, Scope { fields: Some(name), ..Scope::default() });
    for (store, run) in [
        (Cached::Addresses(addresses.store()), spawn(addresses, JsonSource::new(client, None), stop)),
        (Cached::Node(nodes.store()), spawn(nodes, only_own, stop)),
    ] {
        drop(run);
        let check = shown.checks.add(store.check(), "waiting for the first complete list");
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(store.show(&check)).await });
    }
}

fn spawn<R: Record>(
    informer: Informer<R>,
    source: JsonSource<R>,
    stop: &CancellationToken,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(informer.run(source, stop.clone()))
}

/// A cache whose state is shown.
enum Cached {
    Addresses(Arc<Store<Address>>),
    Node(Arc<Store<Node>>),
}

impl Cached {
    fn check(&self) -> &'static str {
        match self {
            Self::Addresses(_) => "informer/loadbalanceraddresses",
            Self::Node(_) => "informer/node",
        }
    }

    /// Says what is waited for, until the first list is complete. That the API server cannot be reached later keeps nobody
    /// from being ready: everything goes on.
    async fn show(self, check: &Check) {
        let mut look = tokio::time::interval(Duration::from_millis(500));
        loop {
            look.tick().await;
            let (is_synced, trouble) = match &self {
                Self::Addresses(store) => (store.is_synced(), store.trouble()),
                Self::Node(store) => (store.is_synced() && !store.is_empty(), store.trouble()),
            };
            if is_synced {
                return check.ok();
            }
            if let Some(trouble) = trouble {
                check.fail(trouble.to_string());
            } else if let Self::Node(store) = &self
                && store.is_synced()
            {
                check.fail("there is no Node of this name: is --node-name right?");
            }
        }
    }
}
