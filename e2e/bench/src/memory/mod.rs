//! How much memory a large cluster takes, in one process.
//!
//! Recorded JSON goes through the informers, the membership of Pods and the index of slices as in production, and an
//! allocator counts the bytes that live. Services come first, then Pods, then slices, so that what each kind adds is
//! the difference; then everything is listed anew, and the peak is taken.

mod replay;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use fairlead_machinery::informer::{Informer, Store};
use fairlead_machinery::membership::Membership;
use fairlead_machinery::metrics::Informers;
use fairlead_machinery::slice_index::SliceIndex;
use fairlead_machinery::source::JsonSource;
use fairlead_objects::{Node, Pod, Record, Service, Slice};
use parking_lot::Mutex;
use peak_alloc::PeakAlloc;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::recorded::{Kind, Recorded, Size};
use crate::report::{Output, Report};
use crate::statistics::number;
use replay::Replay;

/// Lists that take longer than this do not come at all.
const PATIENCE: Duration = Duration::from_mins(10);

/// How large the cluster is.
#[derive(Debug, Parser)]
#[command(name = "bench-memory", about = "Memory of the informers of a large cluster")]
pub struct Options {
    /// Services
    #[arg(long, default_value_t = 10_000)]
    services: usize,
    /// Pods, and endpoints in each family, of each Service
    #[arg(long, default_value_t = 15)]
    pods: usize,
    /// Namespaces that the Services are spread over
    #[arg(long, default_value_t = 500)]
    namespaces: usize,
    /// Nodes that the Pods are spread over
    #[arg(long, default_value_t = 5000)]
    nodes: usize,
    /// How often everything is listed anew, in each way
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only this one, in this process, and without a table
    #[arg(long, hide = true)]
    only: Option<Stack>,
    #[command(flatten)]
    output: Output,
}

/// The families of the slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stack {
    Single,
    Dual,
}

impl Stack {
    /// The side's name in the figures.
    fn name(self) -> &'static str {
        match self {
            Self::Single => "single stack",
            Self::Dual => "dual stack",
        }
    }
}

/// A line of JSON of the process that measured.
#[derive(Deserialize)]
struct Line {
    name: String,
    value: f64,
    unit: String,
}

/// Measures a cluster of one family and then one of both, each in a process of its own, because the tables of shared
/// strings live as long as a process, and prints the figures.
///
/// # Errors
/// When a list does not arrive, or figures cannot be written.
pub async fn run(options: Options, allocator: PeakAlloc) -> std::io::Result<()> {
    let mut report = Report::new("memory", &options.output)?;
    if let Some(stack) = options.only {
        return measure(&mut report, allocator, stack, &options).await;
    }
    for stack in [Stack::Single, Stack::Dual] {
        in_own_process(&mut report, stack, &options)?;
        report.want("live bytes per Pod", stack.name(), 800.0);
        report.want("live bytes per endpoint", stack.name(), 150.0);
        report.want("peak of a relist, streamed", stack.name(), 1.25);
        report.want("peak of a relist, by pages", stack.name(), 1.25);
    }
    report.finish()
}

/// Starts this program again for one of the sides, and takes in what it measures.
fn in_own_process(report: &mut Report, stack: Stack, options: &Options) -> std::io::Result<()> {
    let Options { services, pods, namespaces, nodes, rounds, .. } = options;
    let only = if stack == Stack::Dual { "dual" } else { "single" };
    let mut child = Command::new(std::env::current_exe()?)
        .arg(format!("--only={only}"))
        .args([format!("--services={services}"), format!("--pods={pods}"), format!("--rounds={rounds}")])
        .args([format!("--namespaces={namespaces}"), format!("--nodes={nodes}")])
        .stdout(Stdio::piped())
        .spawn()?;
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let Line { name, value, unit } = serde_json::from_str(&line?)?;
        report.add(&name, stack.name(), value, &unit)?;
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(std::io::Error::other(format!("the process that measures {} ended with {status}", stack.name())))
}

/// An informer at work.
struct Running<R> {
    store: Arc<Store<R>>,
    /// How many lists were completed.
    lists: watch::Receiver<usize>,
}

/// What production has running, and how to end it.
struct Process {
    replay: Replay,
    client: kube::Client,
    stop: CancellationToken,
    tasks: tokio::task::JoinSet<()>,
}

impl Process {
    fn start<R: Record>(&mut self, mut informer: Informer<R>) -> Running<R> {
        let (sender, lists) = watch::channel(0);
        informer.on_list(move |_| sender.send_modify(|count| *count += 1));
        let store = informer.store();
        self.tasks.spawn(informer.run(JsonSource::new(&self.client, None), self.stop.clone()));
        Running { store, lists }
    }

    async fn end(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl<R: Record> Running<R> {
    /// Waits until so many lists are complete, and checks that nothing is missing.
    async fn listed(&mut self, lists: usize, objects: usize) -> std::io::Result<()> {
        let complete = self.lists.wait_for(|count| *count >= lists);
        let complete = tokio::time::timeout(PATIENCE, complete).await;
        if matches!(complete, Ok(Ok(_))) && self.store.len() == objects {
            return Ok(());
        }
        Err(std::io::Error::other(format!(
            "list {lists} of {} is not complete: {} objects instead of {objects} ({})",
            R::RESOURCE.plural,
            self.store.len(),
            self.store.trouble().map(|trouble| trouble.to_string()).unwrap_or_default()
        )))
    }
}

async fn measure(
    report: &mut Report,
    allocator: PeakAlloc,
    stack: Stack,
    options: &Options,
) -> std::io::Result<()> {
    let side = stack.name();
    let Options { services, pods: pods_each, namespaces, nodes, rounds, .. } = *options;
    let dual = stack == Stack::Dual;
    let replay = Replay::new(Recorded::new(Size { services, pods: pods_each, namespaces, nodes, dual }));
    let objects = |kind| replay.recorded().count(kind);
    let (services_count, pods_count, slices_count) =
        (objects(Kind::Services), objects(Kind::Pods), objects(Kind::Slices));
    let endpoints = slices_count * pods_each;
    report.progress(&format!("{side}: {services_count} Services, {pods_count} Pods, {endpoints} endpoints"));

    let client = replay.client();
    let mut process =
        Process { replay, client, stop: CancellationToken::new(), tasks: tokio::task::JoinSet::new() };
    let start = allocator.current_usage();
    let metrics = Informers::new(&prometheus::Registry::new());
    let (mut pods, mut services, mut nodes) =
        (Informer::<Pod>::new(&metrics), Informer::<Service>::new(&metrics), Informer::<Node>::new(&metrics));
    let mut slices = Informer::<Slice>::new(&metrics);
    let membership = Membership::new(&mut pods, &mut services, Some(&mut nodes));
    let index = Arc::new(Mutex::new(SliceIndex::new(fairlead_endpointslice::service_of)));
    let by_service = Arc::clone(&index);
    slices.on_change(move |change| {
        by_service.lock().slice_changed(change);
    });

    // `live` is read when a list is complete and nothing else goes on.
    let live = || number(allocator.current_usage() - start);
    let mut services = process.start(services);
    services.listed(1, services_count).await?;
    let with_services = live();
    report.add("live bytes per Service", side, with_services / number(services_count), "B")?;

    let began = Instant::now();
    let mut pods = process.start(pods);
    pods.listed(1, pods_count).await?;
    report.add("first list of Pods", side, began.elapsed().as_secs_f64(), "s")?;
    let with_pods = live();
    report.add("live bytes per Pod", side, (with_pods - with_services) / number(pods_count), "B")?;

    let began = Instant::now();
    let mut slices = process.start(slices);
    slices.listed(1, slices_count).await?;
    report.add("first list of slices", side, began.elapsed().as_secs_f64(), "s")?;
    let steady = live();
    report.add("live bytes per endpoint", side, (steady - with_pods) / number(endpoints), "B")?;
    report.add("live bytes in all", side, steady / 1e6, "MB")?;

    let mut lists = 1;
    for round in 1..=rounds {
        for (way, by_pages) in [("streamed", false), ("by pages", true)] {
            report.progress(&format!("{side}: relist {round} of {rounds}, {way}"));
            allocator.reset_peak_usage();
            let began = Instant::now();
            process.replay.expire(by_pages);
            lists += 1;
            services.listed(lists, services_count).await?;
            pods.listed(lists, pods_count).await?;
            slices.listed(lists, slices_count).await?;
            let peak = number(allocator.peak_usage() - start);
            report.add(&format!("peak of a relist, {way}"), side, peak / steady, "x steady")?;
            report.add(&format!("relist of everything, {way}"), side, began.elapsed().as_secs_f64(), "s")?;
        }
    }
    report.add("live bytes after the relists", side, live() / steady, "x steady")?;
    process.end().await;
    drop(membership);
    Ok(())
}
