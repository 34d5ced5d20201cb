//! Watching the slices of the Services whose endpoints decide, and of no others as long as those are few.

mod selection;

use std::collections::HashMap;

use fairlead_discovery::names::SERVICE_NAME;
use fairlead_machinery::informer::{Change, Informer};
use fairlead_machinery::metrics::Informers;
use fairlead_machinery::source::{JsonSource, Scope};
use fairlead_objects::ObjectKey;
use kube::Client;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use self::selection::{Selection, Step, Told};
use crate::endpoints::Slice;

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
    /// What ends a watch.
    stops: HashMap<u64, CancellationToken>,
    selection: Selection,
}

impl Watches {
    /// None yet. News are to be given to [`Watches::hear`].
    pub(crate) fn new(
        client: Client,
        metrics: Informers,
        news: UnboundedSender<SliceNews>,
        stop: CancellationToken,
    ) -> Self {
        Self { client, metrics, news, stop, stops: HashMap::new(), selection: Selection::default() }
    }

    /// The endpoints of these Services decide from now on, or no longer. What is known of them already.
    pub(crate) fn want(&mut self, changes: impl IntoIterator<Item = (ObjectKey, bool)>) -> Vec<Told> {
        let (steps, told) = self.selection.want(changes);
        for step in steps {
            match step {
                Step::Begin(watch, service) => self.begin(watch, service.as_ref()),
                Step::End(watch) => {
                    if let Some(stop) = self.stops.remove(&watch) {
                        stop.cancel();
                    }
                }
            }
        }
        told
    }

    /// Takes word of a watch in. The Services whose nodes may have changed, with the nodes.
    pub(crate) fn hear(&mut self, news: &SliceNews) -> Vec<Told> {
        match &news.what {
            What::Changed(change) => self.selection.change(news.watch, change),
            What::Listed => self.selection.listed(news.watch),
        }
    }

    fn begin(&mut self, watch: u64, service: Option<&ObjectKey>) {
        let scope = match service {
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
        self.stops.insert(watch, stop);
    }
}
