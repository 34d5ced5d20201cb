//! Watching the slices of the Services whose endpoints decide, and of no others as long as those are few.

use std::collections::{BTreeSet, HashMap};

use fairlead_discovery::names::SERVICE_NAME;
use fairlead_machinery::informer::{Change, Informer};
use fairlead_machinery::metrics::Informers;
use fairlead_machinery::source::{JsonSource, Scope};
use fairlead_objects::ObjectKey;
use kube::Client;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::endpoints::{Endpoints, Slice};

/// Above so many Services all slices are watched at once: a watch costs the API server a connection's share of work.
const MOST_WATCHES: usize = 50;
/// And with so few, each by itself again.
const FEW_WATCHES: usize = 40;

/// Word from a watch.
#[derive(Debug)]
pub(crate) struct SliceNews {
    /// Which watch it is from.
    watch: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Changed(Change<Slice>),
    Listed,
}

/// The watches that run, and what they have shown.
pub(crate) struct Watches {
    client: Client,
    metrics: Informers,
    news: UnboundedSender<SliceNews>,
    stop: CancellationToken,
    running: HashMap<u64, Watch>,
    last: u64,
    wanted: BTreeSet<ObjectKey>,
    endpoints: Endpoints,
}

struct Watch {
    /// `None`: all of them.
    service: Option<ObjectKey>,
    listed: bool,
    stop: CancellationToken,
}

impl Watches {
    /// None yet. News are to be given to [`Watches::hear`].
    pub(crate) fn new(
        client: Client,
        metrics: Informers,
        news: UnboundedSender<SliceNews>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            client,
            metrics,
            news,
            stop,
            running: HashMap::new(),
            last: 0,
            wanted: BTreeSet::new(),
            endpoints: Endpoints::default(),
        }
    }

    /// These Services' endpoints decide.
    pub(crate) fn want(&mut self, services: BTreeSet<ObjectKey>) {
        if services == self.wanted {
            return;
        }
        let all = self.running.values().any(|watch| watch.service.is_none());
        let all_wanted = services.len() > if all { FEW_WATCHES } else { MOST_WATCHES };
        self.wanted = services;
        if all_wanted && all {
            return;
        }
        if all_wanted != all {
            self.end(|_| true);
            self.endpoints = Endpoints::default();
        }
        if all_wanted {
            self.begin(None);
            return;
        }
        let wanted = self.wanted.clone();
        self.end(|watch| watch.service.as_ref().is_some_and(|service| !wanted.contains(service)));
        for service in wanted {
            if !self.running.values().any(|watch| watch.service.as_ref() == Some(&service)) {
                self.begin(Some(service));
            }
        }
    }

    /// Takes word of a watch in. The Services whose nodes may have changed, with the nodes.
    pub(crate) fn hear(
        &mut self,
        news: SliceNews,
    ) -> Vec<(ObjectKey, std::collections::HashSet<fairlead_layer2::NodeId>)> {
        let Some(watch) = self.running.get_mut(&news.watch) else { return Vec::new() };
        let concerned = match news.what {
            What::Changed(change) => self.endpoints.change(change.old.as_ref(), change.new.as_ref()),
            What::Listed => {
                watch.listed = true;
                match &watch.service {
                    Some(service) => vec![service.clone()],
                    None => self.wanted.iter().cloned().collect(),
                }
            }
        };
        // An incomplete list would take endpoints away that are there.
        if !watch.listed {
            return Vec::new();
        }
        concerned.into_iter().map(|service| (service.clone(), self.endpoints.nodes(&service))).collect()
    }

    fn end(&mut self, which: impl Fn(&Watch) -> bool) {
        for (_, watch) in self.running.extract_if(|_, watch| which(watch)) {
            watch.stop.cancel();
            if let Some(service) = &watch.service {
                self.endpoints.forget(service);
            }
        }
    }

    fn begin(&mut self, service: Option<ObjectKey>) {
        self.last += 1;
        let watch = self.last;
        let scope = match &service {
            Some(service) => Scope {
                namespace: service.namespace.to_string(),
                fields: None,
                labels: Some(format!("{SERVICE_NAME}={}", service.name)),
            },
            None => Scope { labels: Some(SERVICE_NAME.to_owned()), ..Scope::default() },
        };
        let mut informer = Informer::<Slice>::new(&self.metrics);
        // Nobody listens any more once the agent has ended.
        let news = self.news.clone();
        informer.on_change(move |change| {
            let _ = news.send(SliceNews { watch, what: What::Changed(change.clone()) });
        });
        let news = self.news.clone();
        informer.on_list(move |_| {
            let _ = news.send(SliceNews { watch, what: What::Listed });
        });
        let stop = self.stop.child_token();
        let source = JsonSource::of(&self.client, scope);
        tokio::spawn(informer.run(source, stop.clone()));
        self.running.insert(watch, Watch { service, listed: false, stop });
    }
}
