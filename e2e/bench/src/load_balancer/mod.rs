//! Fairlead against MetalLB's controller: how long Services wait for their addresses, and what that costs.
//!
//! Both are processes on hosts of their own in one lab, with the rights of their own manifests, and are started and
//! stopped in turn. Neither has speakers: this is about giving addresses, not about answering for them.

mod waits;

use std::time::{Duration, Instant};

use clap::Parser;
use futures::stream::{self, StreamExt, TryStreamExt};
use lab::{Kind, Lab, LoadBalancer, Metallb, ProxyMode, Result, Writes};
use serde_json::json;

use crate::report::{Output, Report, unwritten};
use crate::side::Side;
use crate::statistics::{millis, number, quantile};
use waits::Waits;

/// Our side in the figures.
const OURS: &str = "fairlead";
/// The other side.
const METALLB: &str = "metallb";
/// Both of them run.
const BOTH: &str = "both";
/// Where the Services are.
const NAMESPACE: &str = "bench";
/// Addresses of both sides: enough for all Services.
const RANGES: [&str; 2] = ["100.64.0.0/16", "2001:db8:64::/64"];
/// What is created or deleted at a time: enough to keep the API server busy.
const AT_A_TIME: usize = 32;
/// Longer than either side takes for anything.
const PATIENCE: Duration = Duration::from_mins(15);
/// A process that has just been started is looked at for at least so long.
const AT_LEAST: Duration = Duration::from_secs(5);
/// What MetalLB 0.16.2 took in a lab of this kind, on a machine like this one, in milliseconds: p50 and the longest of
/// 1,000 Services. It stands in where MetalLB cannot be had.
const METALLB_BEFORE: [f64; 2] = [7600.0, 9700.0];

/// What to compare.
#[derive(Debug, Parser)]
#[command(name = "bench-loadbalancer", about = "Fairlead against MetalLB's controller")]
pub struct Options {
    /// How often each side is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Services that are created one after the other, each when the one before has its address
    #[arg(long, default_value_t = 25)]
    singles: usize,
    /// Services that are created at once
    #[arg(long, default_value_t = 1000)]
    many: usize,
    /// Services that are created at once, in rounds of their own
    #[arg(long, default_value_t = 5000)]
    most: usize,
    /// How often each side is measured with the most Services
    #[arg(long, default_value_t = 1)]
    most_rounds: usize,
    /// Services with addresses of both families that are created at once
    #[arg(long, default_value_t = 200)]
    dual: usize,
    /// Leave MetalLB out, and compare with what it took before
    #[arg(long)]
    without_metallb: bool,
    #[command(flatten)]
    output: Output,
}

/// Runs the comparison and prints its figures.
///
/// # Errors
/// When the lab fails, a side dies, or Services get no addresses.
pub async fn run(options: Options) -> Result<()> {
    let mut bench = Bench::new(options).await?;
    for round in 1..=bench.options.rounds {
        for index in 0..bench.sides.len() {
            bench.begin("round", round, bench.options.rounds, index).await?;
            bench.singles(index).await?;
            bench.at_once(index, bench.options.many, false).await?;
            bench.at_once(index, bench.options.dual, true).await?;
            bench.sides[index].stop().await?;
        }
    }
    for round in 1..=bench.options.most_rounds {
        for index in 0..bench.sides.len() {
            bench.begin("large round", round, bench.options.most_rounds, index).await?;
            bench.at_once(index, bench.options.most, false).await?;
            bench.sides[index].stop().await?;
        }
    }
    bench.coexistence().await?;
    bench.set_goals();
    bench.report.finish().map_err(|error| unwritten(&error))
}

struct Bench {
    options: Options,
    report: Report,
    lab: Lab,
    waits: Waits,
    /// Ours, and MetalLB's if it takes part.
    sides: Vec<Side>,
    metallb: Option<Metallb>,
}

impl Bench {
    async fn new(options: Options) -> Result<Self> {
        let report = Report::new("loadbalancer", &options.output).map_err(|error| unwritten(&error))?;
        let lab = Lab::builder().nodes(1).proxy(ProxyMode::None).start().await?;
        lab.namespace(NAMESPACE).await?;
        let manager = lab.manager().controllers("loadbalancer-controller").start().await?;
        let mut sides = vec![Side::ended(OURS, manager.process().clone()).await?];
        lab.pool("bench", json!({ "addresses": RANGES })).await?;
        let metallb = if options.without_metallb {
            report.progress("MetalLB is left out");
            None
        } else {
            let metallb = lab.metallb().await?;
            lab.metallb_pool("bench", &RANGES).await?;
            sides.push(Side::ended(METALLB, metallb.process().clone()).await?);
            lab.set_metallb_available(false).await?;
            Some(metallb)
        };
        let waits = Waits::start(&lab).await?;
        report.progress(&format!("a lab with Kubernetes {} is ready", lab.api_version().await?));
        Ok(Self { options, report, lab, waits, sides, metallb })
    }

    /// Starts a side, and lets it give a first address, which is not counted.
    async fn begin(&self, what: &str, round: usize, rounds: usize, index: usize) -> Result<()> {
        let side = &self.sides[index];
        self.report.progress(&format!("{what} {round} of {rounds}: {}", side.name));
        side.start()?;
        self.create(1, false).await?;
        self.waits.all(&self.lab, PATIENCE).await?;
        self.clean().await?;
        side.settled(&self.lab, AT_LEAST, PATIENCE).await.map(drop)
    }

    /// One Service after the other.
    async fn singles(&mut self, index: usize) -> Result<()> {
        let mut took = Vec::new();
        for _ in 0..self.options.singles {
            self.create(1, false).await?;
            took.extend(self.waits.all(&self.lab, PATIENCE).await?.0);
            self.clean().await?;
        }
        let took = millis(&took);
        self.add(index, "1 Service: create to status, p50", quantile(&took, 0.5), "ms")?;
        self.add(index, "1 Service: create to status, longest", quantile(&took, 1.0), "ms")
    }

    /// Many Services at once, and the side restarted with all of them in place.
    async fn at_once(&mut self, index: usize, count: usize, dual: bool) -> Result<()> {
        let name = format!("{count} {}Services", if dual { "dual-stack " } else { "" });
        let (before, writes_before) = (self.sides[index].usage()?, self.lab.writes().await?);
        let began = Instant::now();
        self.create(count, dual).await?;
        let (waited, last) = self.waits.all(&self.lab, PATIENCE).await?;
        let usage = self.sides[index].settled(&self.lab, AT_LEAST, PATIENCE).await?;
        let waited = millis(&waited);
        self.add(index, &format!("{name}: wait, p50"), quantile(&waited, 0.5), "ms")?;
        self.add(index, &format!("{name}: wait, longest"), quantile(&waited, 1.0), "ms")?;
        self.add(index, &format!("{name}: all have one"), Some((last - began).as_secs_f64()), "s")?;
        let writes = self.lab.writes().await?.since(&writes_before);
        for (what, written) in [
            ("writes each", of_services(&writes)),
            ("events each", writes.of_resource("events")),
            ("writes to pool status each", of_pools(&writes)),
        ] {
            self.add(index, &format!("{name}: {what}"), Some(count_of(written) / number(count)), "writes")?;
        }
        let cpu = usage.cpu.saturating_sub(before.cpu).as_secs_f64();
        self.add(index, &format!("{name}: CPU"), Some(cpu), "s")?;
        // Far below 2^53.
        #[expect(clippy::cast_precision_loss)]
        let resident = usage.resident as f64 / 1e6;
        self.add(index, &format!("{name}: RSS"), Some(resident), "MB")?;
        self.restart(index, &name).await?;
        self.clean().await
    }

    /// Ends a side and starts it again, with everything in place.
    async fn restart(&mut self, index: usize, name: &str) -> Result<()> {
        let side = &self.sides[index];
        side.stop().await?;
        let before = self.lab.writes().await?;
        side.start()?;
        let usage = side.settled(&self.lab, AT_LEAST, PATIENCE).await?;
        let writes = self.lab.writes().await?.since(&before);
        let written = of_services(&writes) + of_pools(&writes);
        self.add(index, &format!("{name}, restart: writes"), Some(count_of(written)), "writes")?;
        self.add(index, &format!("{name}, restart: CPU"), Some(usage.cpu.as_secs_f64()), "s")
    }

    /// Both run, and MetalLB gives addresses that ours could give as well: how many Services ours has touched.
    async fn coexistence(&mut self) -> Result<()> {
        const COUNT: usize = 50;
        let Some(metallb) = &self.metallb else { return Ok(()) };
        self.report.progress("both at once");
        self.lab.set_metallb_available(true).await?;
        metallb.process().restart()?;
        metallb.wait_ready().await?;
        self.sides[0].start()?;
        self.sides[0].settled(&self.lab, AT_LEAST, PATIENCE).await?;
        self.create(COUNT, false).await?;
        self.waits.all(&self.lab, PATIENCE).await?;
        self.sides[0].settled(&self.lab, AT_LEAST, PATIENCE).await?;
        let mut touched = self.lab.assigned_addresses().await?.len();
        for service in self.services(COUNT) {
            touched += usize::from(service.condition().await?.is_some());
        }
        let measure = "coexistence: Services of MetalLB touched";
        self.report.add(measure, BOTH, number(touched), "Services").map_err(|error| unwritten(&error))
    }

    fn services(&self, count: usize) -> impl Iterator<Item = LoadBalancer> {
        (0..count).map(|number| self.lab.existing_load_balancer(NAMESPACE, &name(number)))
    }

    /// Creates so many Services, each of which waits from then on.
    async fn create(&self, count: usize, dual: bool) -> Result<()> {
        let creating = (0..count).map(|number| async move {
            let service = self.lab.load_balancer(NAMESPACE, &name(number));
            let service = if dual { service.dual_stack() } else { service };
            self.waits.expect(format!("{NAMESPACE}/{}", name(number)), if dual { 2 } else { 1 });
            service.create().await.map(drop)
        });
        stream::iter(creating).buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// Deletes all Services, and waits until their addresses are free.
    async fn clean(&self) -> Result<()> {
        let api: kube::Api<k8s_openapi::api::core::v1::Service> =
            kube::Api::namespaced(self.lab.api(), NAMESPACE);
        let found = api.list_metadata(&kube::api::ListParams::default()).await?.items;
        let deleting = found.into_iter().map(|it| {
            let service =
                self.lab.existing_load_balancer(NAMESPACE, it.metadata.name.as_deref().unwrap_or_default());
            async move { service.delete().await }
        });
        stream::iter(deleting).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
        self.lab
            .wait_until("all addresses to be free", PATIENCE, async || {
                match self.lab.list_objects(Kind::Address).await?.len() {
                    0 => Ok(()),
                    count => Err(format!("{count} are assigned").into()),
                }
            })
            .await
    }

    fn add(&mut self, index: usize, measure: &str, value: Option<f64>, unit: &'static str) -> Result<()> {
        let (side, value) = (self.sides[index].name, value.unwrap_or(f64::NAN));
        self.report.add(measure, side, value, unit).map_err(|error| unwritten(&error))
    }

    fn set_goals(&mut self) {
        let Options { many, most, dual, .. } = self.options;
        self.report.want("1 Service: create to status, p50", OURS, 15.0);
        for count in [many, most] {
            for (what, before) in ["wait, p50", "wait, longest"].into_iter().zip(METALLB_BEFORE) {
                let measure = format!("{count} Services: {what}");
                if self.metallb.is_some() {
                    self.report.want_ratio(&measure, OURS, METALLB, 0.1);
                } else {
                    self.report.want(&measure, OURS, 0.1 * before);
                }
            }
            for what in ["CPU", "RSS"] {
                self.report.want_ratio(&format!("{count} Services: {what}"), OURS, METALLB, 1.0);
            }
            self.report.want(&format!("{count} Services: writes each"), OURS, 2.0);
            self.report.want(&format!("{count} Services, restart: writes"), OURS, 0.0);
        }
        self.report.want(&format!("{dual} dual-stack Services: writes each"), OURS, 5.0);
        self.report.want(&format!("{dual} dual-stack Services, restart: writes"), OURS, 0.0);
        self.report.want("coexistence: Services of MetalLB touched", BOTH, 0.0);
    }
}

fn name(number: usize) -> String {
    format!("web-{number}")
}

/// Writes for the addresses of Services, without the creation of the Services themselves.
fn of_services(writes: &Writes) -> u64 {
    let resources = ["services/status", "loadbalanceraddresses", "loadbalanceraddresses/status"];
    let own = ["PUT", "PATCH", "APPLY"].map(|verb| writes.of_verb("services", verb));
    resources.map(|resource| writes.of_resource(resource)).iter().sum::<u64>() + own.iter().sum::<u64>()
}

/// Writes to what pools count.
fn of_pools(writes: &Writes) -> u64 {
    ["loadbalancerpools/status", "ipaddresspools/status", "configurationstates", "configurationstates/status"]
        .map(|resource| writes.of_resource(resource))
        .iter()
        .sum()
}

fn count_of(writes: u64) -> f64 {
    usize::try_from(writes).map_or(f64::INFINITY, number)
}
