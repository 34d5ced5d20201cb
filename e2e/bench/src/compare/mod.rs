//! Fairlead against kube-controller-manager with the same controllers, in one lab and with the same content.
//!
//! Both sides are processes on hosts of their own, with the rights of upstream's roles for these controllers. They are
//! started and stopped in turn, so that whatever else the machine does befalls both. The lab's own
//! kube-controller-manager (service accounts, garbage collection, namespaces) is a third process and not measured.

mod content;
mod flips;
mod observer;
mod rollout;
mod sides;

use std::time::Duration;

use clap::Parser;
use lab::{Lab, ProxyMode, Result};

use crate::report::{Output, Report, unwritten};
use crate::side::Side;
use crate::statistics::{millis, number, quantile};
use content::Content;
use observer::{Observer, Watched};

/// Our side in the figures.
const OURS: &str = "fairlead";
/// The other side.
const UPSTREAM: &str = "upstream";
/// Neither of them runs: what the API server needs for the changes themselves.
const NEITHER: &str = "neither";
/// The name of the controller that makes Endpoints.
const ENDPOINTS_CONTROLLER: &str = "endpoints-controller";
/// Longer than either side takes for anything.
const PATIENCE: Duration = Duration::from_mins(5);
/// A process that has just been started is looked at for at least so long, because it may wait for an answer before
/// its work begins.
const AT_LEAST: Duration = Duration::from_secs(8);

/// What to compare.
#[derive(Debug, Parser)]
#[command(
    name = "bench-compare",
    about = "Fairlead against kube-controller-manager with the same controllers"
)]
pub struct Options {
    /// Controllers that both sides run
    #[arg(
        long,
        default_value = "endpoints-controller,endpointslice-controller,endpointslice-mirroring-controller"
    )]
    controllers: String,
    /// Services, spread over 20 namespaces; as many again in one namespace
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// Pods of each Service
    #[arg(long, default_value_t = 10)]
    pods: usize,
    /// Endpoints of the one large Service
    #[arg(long, default_value_t = 5000)]
    large: usize,
    /// How often each side is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Changes of readiness in each measurement; half of the Pods become not ready, then the same ones ready again
    #[arg(long, default_value_t = 1000)]
    flips: usize,
    /// Changes of readiness per second
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Services with 50 Pods each of which all are replaced, one Service after the other; 5 s for each
    #[arg(long, default_value_t = 6)]
    rollouts: usize,
    /// Seconds between settling and the look at memory
    #[arg(long, default_value_t = 30)]
    settle: u64,
    #[command(flatten)]
    output: Output,
}

/// Runs the comparison and prints its figures.
///
/// # Errors
/// When the lab fails, a side dies, or slices do not become complete.
pub async fn run(options: Options) -> Result<()> {
    let mut bench = Bench::new(options).await?;
    bench.spread().await?;
    bench.shapes().await?;
    bench.set_goals();
    bench.report.finish().map_err(|error| unwritten(&error))
}

struct Bench {
    options: Options,
    report: Report,
    lab: Lab,
    /// Slices.
    observer: Observer,
    /// Endpoints, if a controller makes them.
    endpoints_observer: Option<Observer>,
    sides: [Side; 2],
    /// Pods in the lab that are endpoints.
    endpoints: usize,
}

impl Bench {
    async fn new(options: Options) -> Result<Self> {
        let report = Report::new("compare", &options.output).map_err(|error| unwritten(&error))?;
        let lab = Lab::builder().nodes(3).proxy(ProxyMode::None).audit().start().await?;
        let controllers = &options.controllers;
        let sides = [sides::fairlead(&lab, controllers).await?, sides::upstream(&lab, controllers).await?];
        let observer = Observer::start(&lab, Watched::Slices).await?;
        let endpoints_observer = if controllers.split(',').any(|name| name == ENDPOINTS_CONTROLLER) {
            Some(Observer::start(&lab, Watched::Endpoints).await?)
        } else {
            None
        };
        report.progress(&format!("a lab with Kubernetes {} is ready", lab.api_version().await?));
        Ok(Self { options, report, lab, observer, endpoints_observer, sides, endpoints: 0 })
    }

    /// Services in many namespaces: start, memory, restart, flips.
    async fn spread(&mut self) -> Result<()> {
        let namespaces: Vec<_> = (1..=20).map(|number| format!("team-{number}")).collect();
        let content = self.create(&namespaces, self.options.services, self.options.pods).await?;
        for round in 1..=self.options.rounds {
            for index in 0..self.sides.len() {
                self.begin(round, index);
                self.start_from_nothing(index).await?;
                self.restart(index).await?;
                self.flips(index, "flip", &content, Shown::Everywhere).await?;
                self.sides[index].stop().await?;
            }
            self.flips_of_neither(&content).await?;
        }
        Ok(())
    }

    /// What depends on the shape of the content: the same Services in one namespace, one Service with very many
    /// endpoints, and rolling updates.
    async fn shapes(&mut self) -> Result<()> {
        let crowd = self.create(&["crowd".to_owned()], self.options.services, self.options.pods).await?;
        let large = self.create(&["large".to_owned()], 1, self.options.large).await?;
        let mut deployed =
            self.create(&["deployed".to_owned()], self.options.rollouts, rollout::PODS).await?;
        for round in 1..=self.options.rounds {
            for index in 0..self.sides.len() {
                self.begin(round, index);
                self.sides[index].start()?;
                self.observer.complete(&self.lab, self.endpoints, PATIENCE).await?;
                self.sides[index].settled(&self.lab, AT_LEAST, PATIENCE).await?;
                self.flips(index, "flip, one namespace", &crowd, Shown::Everywhere).await?;
                // Endpoints have only a thousand of them.
                self.flips(index, "flip, large Service", &large, Shown::InSlices).await?;
                self.rollout(index, &mut deployed).await?;
                self.sides[index].stop().await?;
            }
        }
        Ok(())
    }

    fn begin(&self, round: usize, index: usize) {
        let (side, rounds) = (self.sides[index].name, self.options.rounds);
        self.report.progress(&format!("round {round} of {rounds}: {side}"));
    }

    async fn create(&mut self, namespaces: &[String], services: usize, pods: usize) -> Result<Content> {
        let began = self.report.elapsed();
        let content = Content::create(&self.lab, namespaces, services, pods).await?;
        self.endpoints += services * pods;
        let seconds = self.report.elapsed().saturating_sub(began).as_secs_f64();
        self.report.progress(&format!(
            "{services} Services with {pods} Pods each are in {} namespaces after {seconds:.0} s",
            namespaces.len()
        ));
        Ok(content)
    }

    /// Starts a side when there are no slices.
    async fn start_from_nothing(&mut self, index: usize) -> Result<()> {
        content::delete_endpoints(&self.lab).await?;
        for observer in self.observers(Shown::Everywhere) {
            observer.complete(&self.lab, 0, PATIENCE).await?;
        }
        let side = &self.sides[index];
        let api_before = self.lab.api_server().usage()?;
        let began = side.start()?;
        let mut complete = Vec::new();
        for observer in self.observers(Shown::Everywhere) {
            complete.push(observer.complete(&self.lab, self.endpoints, PATIENCE).await?);
        }
        let usage = side.settled(&self.lab, AT_LEAST, PATIENCE).await?;
        let api_cpu = self.lab.api_server().usage()?.cpu.saturating_sub(api_before.cpu);
        tokio::time::sleep(Duration::from_secs(self.options.settle)).await;
        let idle = side.usage()?;
        let idle_cpu =
            idle.cpu.saturating_sub(usage.cpu).as_secs_f64() * 1e3 / number_of_seconds(self.options.settle);
        self.add(index, "start: CPU", usage.cpu.as_secs_f64(), "s")?;
        for (complete, measure) in
            complete.into_iter().zip(["start: slices complete", "start: Endpoints complete"])
        {
            self.add(index, measure, (complete - began).as_secs_f64(), "s")?;
        }
        self.add(index, "start: API server's CPU", api_cpu.as_secs_f64(), "s")?;
        self.add(index, "idle: CPU", idle_cpu, "ms/s")?;
        // Far below 2^53.
        #[expect(clippy::cast_precision_loss)]
        let resident = idle.resident as f64 / 1e6;
        self.add(index, "memory: RSS", resident, "MB")
    }

    /// Ends a side and starts it again, with everything in place.
    async fn restart(&mut self, index: usize) -> Result<()> {
        let side = &self.sides[index];
        side.stop().await?;
        let before = content::writes(&self.lab)?;
        side.start()?;
        let usage = side.settled(&self.lab, AT_LEAST, PATIENCE).await?;
        let writes = content::writes(&self.lab)?.saturating_sub(before);
        self.add(index, "restart: CPU", usage.cpu.as_secs_f64(), "s")?;
        self.add(index, "restart: writes", number(writes), "writes")
    }

    /// Lets Pods become not ready and ready again, at a steady rate.
    async fn flips(&mut self, index: usize, measure: &str, content: &Content, shown: Shown) -> Result<()> {
        let side = &self.sides[index];
        let (before, api_before) = (side.usage()?, self.lab.api_server().usage()?);
        let pods = content.spread_pods(self.options.flips / 2);
        let observers = self.observers(shown);
        let outcome = flips::run(&self.lab, &observers, &pods, self.options.rate, PATIENCE).await?;
        let used = side.usage()?.cpu.saturating_sub(before.cpu);
        let api_used = self.lab.api_server().usage()?.cpu.saturating_sub(api_before.cpu);
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e3 / number(outcome.answered.len());
        self.add(index, &format!("{measure}: CPU"), each(used), "ms/flip")?;
        self.add(index, &format!("{measure}: API server's CPU"), each(api_used), "ms/flip")?;
        for (seen, kind) in outcome.seen.iter().zip(["", ": Endpoints"]) {
            self.quantiles(index, &format!("{measure}{kind}"), seen)?;
        }
        // What both sides share: how long the API server takes for the change that they react to.
        let answered = quantile(&millis(&outcome.answered), 0.5).unwrap_or(f64::NAN);
        self.add(index, &format!("{measure}: patch answered, p50"), answered, "ms")
    }

    /// The same changes while neither side runs, and then what the requests of each side cost the API server in this
    /// round: all that it needed more.
    async fn flips_of_neither(&mut self, content: &Content) -> Result<()> {
        const MEASURE: &str = "flip: API server's CPU";
        let before = self.lab.api_server().usage()?;
        let pods = content.spread_pods(self.options.flips / 2);
        let outcome = flips::run(&self.lab, &[], &pods, self.options.rate, PATIENCE).await?;
        let used = self.lab.api_server().usage()?.cpu.saturating_sub(before.cpu);
        let alone = used.as_secs_f64() * 1e3 / number(outcome.answered.len());
        self.report.add(MEASURE, NEITHER, alone, "ms/flip").map_err(|error| unwritten(&error))?;
        for index in 0..self.sides.len() {
            let whole = self.report.newest(MEASURE, self.sides[index].name).unwrap_or(f64::NAN);
            self.add(index, "flip: API server's CPU for requests of this side", whole - alone, "ms/flip")?;
        }
        Ok(())
    }

    /// Who is to see a change.
    fn observers(&self, shown: Shown) -> Vec<&Observer> {
        let endpoints = self.endpoints_observer.iter().filter(|_| shown == Shown::Everywhere);
        std::iter::once(&self.observer).chain(endpoints).collect()
    }

    /// Replaces all Pods of the Services.
    async fn rollout(&mut self, index: usize, content: &mut Content) -> Result<()> {
        let outcome = rollout::run(&self.lab, &self.observer, content, PATIENCE).await?;
        self.quantiles(index, "rollout: endpoint gone", &outcome.gone)?;
        let longest = quantile(&millis(&outcome.gone), 1.0).unwrap_or(f64::NAN);
        self.add(index, "rollout: endpoint gone, longest", longest, "ms")?;
        self.quantiles(index, "rollout: endpoint not ready", &outcome.not_ready)?;
        self.quantiles(index, "rollout: new endpoint ready", &outcome.ready)
    }

    fn quantiles(&mut self, index: usize, measure: &str, durations: &[Duration]) -> Result<()> {
        let values = millis(durations);
        for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
            let value = quantile(&values, share).unwrap_or(f64::NAN);
            self.add(index, &format!("{measure}, {name}"), value, "ms")?;
        }
        Ok(())
    }

    fn add(&mut self, index: usize, measure: &str, value: f64, unit: &'static str) -> Result<()> {
        self.report.add(measure, self.sides[index].name, value, unit).map_err(|error| unwritten(&error))
    }

    fn set_goals(&mut self) {
        for (measure, at_most) in [
            ("start: CPU", 0.35),
            ("start: slices complete", 0.5),
            ("memory: RSS", 0.2),
            ("restart: CPU", 0.25),
            ("flip: CPU", 0.4),
            ("flip, p99", 0.5),
            ("rollout: endpoint gone, p99", 0.1),
            ("flip, one namespace: CPU", 0.1),
            ("flip, large Service: CPU", 0.2),
            ("flip, large Service, p50", 0.15),
            ("flip: API server's CPU for requests of this side", 1.0),
            ("start: API server's CPU", 1.0),
        ] {
            self.report.want_ratio(measure, OURS, UPSTREAM, at_most);
        }
        self.report.want("restart: writes", OURS, 0.0);
    }
}

/// Where changes can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// In slices and, if a controller makes them, in Endpoints.
    Everywhere,
    /// In slices; Endpoints may leave them out.
    InSlices,
}

fn number_of_seconds(seconds: u64) -> f64 {
    Duration::from_secs(seconds.max(1)).as_secs_f64()
}
