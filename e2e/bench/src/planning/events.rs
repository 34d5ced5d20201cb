//! From the event of a Pod to the Services that it affects, in namespaces with few and with many Services.
//!
//! The whole content is the same each time and so are the Pods that change; only how many of the Services share a
//! namespace differs. Records are decoded beforehand, because that costs the same everywhere and would hide the rest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fairlead_machinery::informer::Informer;
use fairlead_machinery::membership::{Cause, Membership};
use fairlead_machinery::metrics::Informers;
use fairlead_machinery::source::{Source, SourceError, SourceEvent};
use fairlead_objects::{Labels, Node, ObjectKey, Pod, Record, Service};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{FLAT, Options, STEP, decode};
use crate::recorded::{Kind, Recorded, Size};
use crate::report::Report;
use crate::statistics::{cpu_time, number};

/// Events of one measurement.
const EVENTS: usize = 4000;

/// Measures all sizes in turn.
pub(super) async fn measure(report: &mut Report, options: &Options) -> io::Result<()> {
    let sizes = [10, 1000, options.services];
    let mut worlds = Vec::new();
    for size in sizes {
        report.progress(&format!("{} Services with {size} in each namespace", options.services));
        worlds.push(World::new(options, size).await?);
    }
    for round in 0..options.rounds {
        for turn in 0..worlds.len() {
            // Whoever comes first may find the caches of the machine warmer or colder.
            let world = &mut worlds[(round + turn) % sizes.len()];
            let side = world.side.clone();
            let flip = world.flip(round).await?;
            report.add("event to keys: readiness", &side, flip, "us/event")?;
            let replaced = world.new_template(round).await?;
            report.add("event to keys: first Pod of a new template", &side, replaced, "us/event")?;
        }
    }
    for world in &worlds[1..] {
        for measure in ["event to keys: readiness", "event to keys: first Pod of a new template"] {
            report.want_ratio(measure, &world.side, &worlds[0].side, FLAT);
        }
    }
    Ok(())
}

/// A cluster whose namespaces are all of one size.
struct World {
    side: String,
    feed: mpsc::UnboundedSender<Batch<Pod>>,
    pods: Vec<Pod>,
    affected: Arc<AtomicUsize>,
    _stop: tokio_util::sync::DropGuard,
}

/// Events that are played without a pause, and who is told how long that took.
struct Batch<R> {
    events: Vec<SourceEvent<R>>,
    done: oneshot::Sender<Duration>,
}

/// Plays batches.
struct Feed<R> {
    batches: mpsc::UnboundedReceiver<Batch<R>>,
    events: std::vec::IntoIter<SourceEvent<R>>,
    running: Option<(Duration, oneshot::Sender<Duration>)>,
}

impl<R: Record> Source<R> for Feed<R> {
    async fn next(&mut self) -> Result<SourceEvent<R>, SourceError> {
        loop {
            if let Some(event) = self.events.next() {
                return Ok(event);
            }
            // Asked for more: everybody has been told of the last one.
            if let Some((began, done)) = self.running.take() {
                // Who asked may have given up.
                let _ = done.send(cpu_time().saturating_sub(began));
            }
            match self.batches.recv().await {
                Some(Batch { events, done }) => {
                    self.events = events.into_iter();
                    self.running = Some((cpu_time(), done));
                }
                None => std::future::pending().await,
            }
        }
    }
}

/// Runs an informer of which the events are sent by the caller.
fn start<R: Record>(informer: Informer<R>, stop: &CancellationToken) -> mpsc::UnboundedSender<Batch<R>> {
    let (sender, batches) = mpsc::unbounded_channel();
    let feed = Feed { batches, events: Vec::new().into_iter(), running: None };
    tokio::spawn(informer.run(feed, stop.clone()));
    sender
}

async fn play<R>(
    feed: &mpsc::UnboundedSender<Batch<R>>,
    events: Vec<SourceEvent<R>>,
) -> io::Result<Duration> {
    let (done, took) = oneshot::channel();
    // An informer that does not run drops the batch and so who is to be told.
    let _ = feed.send(Batch { events, done });
    took.await.map_err(|_| io::Error::other("the informer has ended"))
}

fn listed<R: Clone>(records: &[R]) -> Vec<SourceEvent<R>> {
    let mut events = vec![SourceEvent::ListBegins];
    events.extend(records.iter().cloned().map(SourceEvent::Listed));
    events.push(SourceEvent::ListEnds);
    events
}

impl World {
    async fn new(options: &Options, in_namespace: usize) -> io::Result<Self> {
        let Options { services, pods, .. } = *options;
        let namespaces = (services / in_namespace).max(1);
        let recorded = Recorded::new(Size { services, pods, namespaces, nodes: 1000, dual: false });
        let stop = CancellationToken::new();
        let metrics = Informers::new(&prometheus::Registry::new());
        let (mut of_pods, mut of_services, mut of_nodes) =
            (Informer::<Pod>::new(&metrics), Informer::new(&metrics), Informer::<Node>::new(&metrics));
        let membership = Membership::new(&mut of_pods, &mut of_services, Some(&mut of_nodes));
        let affected = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&affected);
        membership.on_affected(move |_: &ObjectKey, _: Cause<'_>| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        play(&start(of_services, &stop), listed(&decode::<Service>(&recorded, Kind::Services)?)).await?;
        let pods: Vec<Pod> = decode(&recorded, Kind::Pods)?;
        let feed = start(of_pods, &stop);
        play(&feed, listed(&pods)).await?;
        let side = format!("{in_namespace} Services");
        Ok(Self { side, feed, pods, affected, _stop: stop.drop_guard() })
    }

    /// Pods all over the cluster become not ready, or ready again. Microseconds for each.
    async fn flip(&mut self, round: usize) -> io::Result<f64> {
        let mut events = Vec::new();
        for at in self.chosen(round) {
            let pod = &mut self.pods[at];
            pod.ready = !pod.ready;
            events.push(SourceEvent::Applied(pod.clone()));
        }
        self.timed(events).await
    }

    /// A first Pod appears with labels that no Pod had, as in a rolling update of each Service. Microseconds for each.
    async fn new_template(&mut self, round: usize) -> io::Result<f64> {
        let pods: Vec<Pod> = self.chosen(round).map(|at| successor(&self.pods[at], round)).collect();
        let took = self.timed(pods.iter().cloned().map(SourceEvent::Applied).collect()).await?;
        self.timed(pods.into_iter().map(SourceEvent::Deleted).collect()).await?;
        Ok(took)
    }

    /// Different Pods, the same ones in every world.
    fn chosen(&self, round: usize) -> impl Iterator<Item = usize> + use<> {
        let count = self.pods.len();
        (0..EVENTS.min(count)).map(move |number| (round * EVENTS + number) * STEP % count)
    }

    async fn timed(&self, events: Vec<SourceEvent<Pod>>) -> io::Result<f64> {
        let count = events.len();
        self.affected.store(0, Ordering::Relaxed);
        let took = play(&self.feed, events).await?;
        let affected = self.affected.load(Ordering::Relaxed);
        if affected != count {
            return Err(io::Error::other(format!(
                "{}: {affected} Services were named for {count} events",
                self.side
            )));
        }
        Ok(took.as_secs_f64() * 1e6 / number(count))
    }
}

/// A Pod of the same Service with another template and another name.
fn successor(pod: &Pod, round: usize) -> Pod {
    let labels: Labels = pod
        .labels
        .iter()
        .map(|(key, value)| match key.as_str() {
            "pod-template-hash" => (key.clone(), format!("{value}-{round}-{}", pod.key.name).as_str().into()),
            _ => (key.clone(), value.clone()),
        })
        .collect();
    let name = format!("{}-{round}", pod.key.name);
    let key = ObjectKey { namespace: pod.key.namespace.clone(), name: name.as_str().into() };
    Pod { key, labels, ..pod.clone() }
}
