//! What many addresses cost a speaker, and how fast it answers for them, beside the kernel's own answers.
//!
//! Objects of addresses are made without Services, so that nothing but speakers is at work. Questions come from an
//! observer, foreign questions from a host that asks for addresses that nobody has.

mod noise;
mod questions;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use futures::stream::{self, StreamExt, TryStreamExt};
use lab::{Frames, Host, Kind, Lab, Mac, ProxyMode, Result, Speaker, Stranger, Tap};
use serde_json::json;

use crate::report::{Output, Report, unwritten};
use crate::statistics::{millis, number, quantile};
use noise::Noise;
use questions::Answers;

/// Our side in the figures.
const OURS: &str = "fairlead";
/// Linux, answering for an address of its own in the same run.
const KERNEL: &str = "kernel";
/// A thread that reads a frame and sends an answer, and does nothing else: what the wake-up of a process costs here.
const THREAD: &str = "a bare thread";
/// MetalLB 0.16.2 in a lab of this kind.
const METALLB: &str = "metallb 0.16.2, recorded";
/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_mins(3);
/// What is created at a time.
const AT_A_TIME: usize = 32;
/// How many questions are asked for each figure.
const QUESTIONS: usize = 2000;
/// In how many turns they are asked.
const TURNS: usize = 10;
/// How long CPU is measured.
const CPU_FOR: Duration = Duration::from_secs(10);

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "bench-speaker", about = "What many addresses cost a speaker")]
pub struct Options {
    /// Numbers of addresses
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1000, 5000])]
    addresses: Vec<u16>,
    /// Number of addresses of which a third is lost with its node
    #[arg(long, default_value_t = 1000)]
    lost: u16,
    /// Foreign questions a second, to everybody and then to the owner alone
    #[arg(long, value_delimiter = ',', default_values_t = [20_000, 80_000])]
    noise: Vec<u32>,
    #[command(flatten)]
    output: Output,
}

/// Measures and prints the figures.
///
/// # Errors
/// When the lab fails, or addresses are not announced.
pub async fn run(options: Options) -> Result<()> {
    let report = Report::new("speaker", &options.output).map_err(|error| unwritten(&error))?;
    let mut bench = Bench::start(report).await?;
    for &count in &options.addresses {
        bench.announce(count).await?;
        bench.wait_for_statuses(count).await?;
        bench.memory(count)?;
        bench.latency(count, "quiet", None)?;
        for &rate in &options.noise {
            bench.under_noise(count, rate).await?;
        }
        if count == options.lost {
            bench.lose_a_third(count).await?;
        }
    }
    bench.goals(&options);
    bench.report.finish().map_err(|error| unwritten(&error))
}

struct Bench {
    report: Report,
    lab: Lab,
    speakers: Vec<Speaker>,
    /// On the network of the addresses.
    tap: Tap,
    asker: Ipv4Addr,
    /// Where [`OF_THREAD`] is answered for.
    thread: Host,
    /// Who asks for what nobody has.
    noisy: Arc<Tap>,
    announced: u16,
}

/// The address with this number, from 1: in a network of 16 bits that all hosts are on.
fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(100, 64, high, low)
}

/// The address that the bare thread answers for, in its turns.
const OF_THREAD: Ipv4Addr = Ipv4Addr::new(100, 64, 254, 1);

/// Puts a host on the network of the addresses.
fn join(host: &Host) -> Result<Ipv4Addr> {
    let [.., last] = host.ipv4().octets();
    let own = Ipv4Addr::new(100, 64, 255, last);
    host.ip(&[format!("address add {own}/16 dev eth0")])?;
    Ok(own)
}

impl Bench {
    async fn start(report: Report) -> Result<Self> {
        let lab = Lab::builder().nodes(3).proxy(ProxyMode::None).start().await?;
        lab.apply_crds().await?;
        for node in lab.nodes() {
            join(node.host())?;
        }
        let speakers = lab.speakers(lab.nodes()).await?;
        let (observer, noisy) = (lab.observer("observer").await?, lab.observer("noisy").await?);
        let asker = join(observer.host())?;
        let tap = observer.tap(Frames::Arp)?;
        let thread = lab.stranger("thread").await?.host().clone();
        let noisy = Arc::new(noisy.tap(Frames::Ipv6)?);
        report.progress(&format!("a lab with Kubernetes {} is ready", lab.api_version().await?));
        Ok(Self { report, lab, speakers, tap, asker, thread, noisy, announced: 0 })
    }

    /// Makes as many addresses as are missing to `count`, and waits until each is answered for.
    async fn announce(&mut self, count: u16) -> Result<()> {
        self.report.progress(&format!("{count} addresses"));
        let numbers = self.announced + 1..=count;
        let creating = numbers.map(|number| {
            let address = address(number).to_string();
            let spec = json!({
                "address": address, "pool": "bench", "probe": false, "announcements": [{ "name": "" }],
                "services": [{ "namespace": "default", "name": "none", "uid": "none" }],
            });
            let lab = &self.lab;
            async move { lab.create_object(Kind::Address, None, &address, spec).await.map(drop) }
        });
        stream::iter(creating).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
        self.announced = count;
        self.owners(count, PATIENCE).map(drop)
    }

    /// Waits until each address says who answers for it: how long that takes after they are answered for, and so that
    /// nothing is left to do when something else is measured.
    async fn wait_for_statuses(&mut self, count: u16) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let objects = self.lab.list_objects(Kind::Address).await?;
            if objects.iter().all(|object| object["status"]["node"].is_string()) {
                let took = began.elapsed().as_secs_f64();
                return add(&mut self.report, &format!("{count}: until all are told"), OURS, took, "s");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(lab::Error::Invalid(format!("the status of some address names no node after {PATIENCE:?}")))
    }

    /// Who answers for each of the first `count` addresses, once all are answered for.
    fn owners(&self, count: u16, limit: Duration) -> Result<BTreeMap<Ipv4Addr, Mac>> {
        let began = Instant::now();
        let mut owners = BTreeMap::new();
        while owners.len() < usize::from(count) {
            if began.elapsed() > limit {
                let found = owners.len();
                return Err(lab::Error::Invalid(format!(
                    "{found} of {count} are answered for after {limit:?}"
                )));
            }
            let missing: Vec<_> = (1..=count).map(address).filter(|it| !owners.contains_key(it)).collect();
            owners.extend(questions::sweep(&self.tap, self.asker, &missing)?);
        }
        Ok(owners)
    }

    fn memory(&mut self, count: u16) -> Result<()> {
        for speaker in &self.speakers {
            // Far below 2^53.
            #[expect(clippy::cast_precision_loss)]
            let resident = speaker.process().usage()?.resident as f64 / (1024.0 * 1024.0);
            add(&mut self.report, &format!("{count}: RSS of a speaker"), OURS, resident, "MiB")?;
        }
        Ok(())
    }

    /// Answers for the addresses, for the nodes' own and for that of a bare thread, in turn. With foreign questions, `what` says so.
    fn latency(&mut self, count: u16, what: &str, only: Option<Mac>) -> Result<()> {
        let owners = self.owners(count, PATIENCE)?;
        let targets: Vec<_> = owners
            .iter()
            .filter(|(_, mac)| only.is_none_or(|only| **mac == only))
            .map(|(it, _)| *it)
            .collect();
        let own = self.lab.nodes().iter().map(|node| {
            let mac = node.host().mac("eth0")?;
            Ok((mac, Ipv4Addr::new(100, 64, 255, node.host().ipv4().octets()[3])))
        });
        let own = own.collect::<Result<Vec<_>>>()?;
        let own: Vec<_> = own
            .into_iter()
            .filter(|(mac, _)| only.is_none_or(|only| *mac == only))
            .map(|(_, it)| it)
            .collect();
        let mut sides =
            [(OURS, Answers::default()), (KERNEL, Answers::default()), (THREAD, Answers::default())];
        for _ in 0..TURNS {
            let [(_, ours), (_, kernel), (_, thread)] = &mut sides;
            questions::alternating(
                &self.tap,
                self.asker,
                [(&targets, ours), (&own, kernel)],
                QUESTIONS / TURNS,
            )?;
            // Questions to one node do not reach the thread. It hears everything, and is there for its own turn alone: the
            // others would wait for a processor.
            if only.is_none() {
                let answering = Stranger::on(&self.thread)?;
                answering.take_silently(OF_THREAD.into());
                questions::alternating(&self.tap, self.asker, [(&[OF_THREAD], thread)], QUESTIONS / TURNS)?;
            }
        }
        for (side, Answers { took, unanswered }) in sides {
            if side == THREAD && only.is_some() {
                continue;
            }
            let micros: Vec<_> = millis(&took).iter().map(|it| it * 1e3).collect();
            for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
                let value = quantile(&micros, share).unwrap_or(f64::NAN);
                add(&mut self.report, &format!("{count}, {what}: answer, {name}"), side, value, "us")?;
            }
            add(
                &mut self.report,
                &format!("{count}, {what}: unanswered of {QUESTIONS}"),
                side,
                number(unanswered),
                "questions",
            )?;
        }
        Ok(())
    }

    /// The same while foreign questions come: up to 20,000 a second to everybody, more to the owner's port alone.
    async fn under_noise(&mut self, count: u16, rate: u32) -> Result<()> {
        let node = self.lab.nodes()[0].host().mac("eth0")?;
        let to = (rate > 20_000).then_some(node);
        let noise = Noise::start(&self.noisy, to.unwrap_or(Mac::BROADCAST), rate)?;
        let what = format!("{rate}/s");
        // A node may have none of few addresses.
        let owners = self.owners(count, PATIENCE)?;
        let only = to.filter(|node| owners.values().any(|mac| mac == node));
        self.latency(count, &what, only)?;
        let before = self.speakers.iter().map(|it| it.process().usage()).collect::<Result<Vec<_>>>()?;
        let began = Instant::now();
        tokio::time::sleep(CPU_FOR).await;
        let took = began.elapsed().as_secs_f64();
        for (speaker, before) in self.speakers.iter().zip(before) {
            if to.is_some() && speaker.host().mac("eth0")? != node {
                continue;
            }
            let used = speaker.process().usage()?.cpu.saturating_sub(before.cpu).as_secs_f64();
            add(
                &mut self.report,
                &format!("{count}, {what}: CPU of a speaker"),
                OURS,
                used / took * 100.0,
                "%",
            )?;
        }
        let reached = noise.end()?;
        add(&mut self.report, &format!("{count}, {what}: foreign questions sent"), "lab", reached, "1/s")
    }

    /// A node loses its power: how long it takes until all of its addresses are answered for by others.
    async fn lose_a_third(&mut self, count: u16) -> Result<()> {
        let node = &self.lab.nodes()[0];
        let dead = node.host().mac("eth0")?;
        let owners = self.owners(count, PATIENCE)?;
        let mut missing: Vec<_> = owners.iter().filter(|(_, mac)| **mac == dead).map(|(it, _)| *it).collect();
        add(
            &mut self.report,
            &format!("{count}: addresses of the lost node"),
            OURS,
            number(missing.len()),
            "addresses",
        )?;
        self.lab.power_off(node).await?;
        let began = Instant::now();
        let (mut first, mut last) = (None, began.elapsed());
        while !missing.is_empty() && began.elapsed() < PATIENCE {
            let found = questions::sweep(&self.tap, self.asker, &missing)?;
            if !found.is_empty() {
                last = began.elapsed();
                first = first.or(Some(last));
            }
            missing.retain(|address| !found.contains_key(address));
        }
        let all = if missing.is_empty() { last.as_secs_f64() } else { f64::INFINITY };
        add(&mut self.report, &format!("{count}: all of a dead node's answered"), OURS, all, "s")?;
        let first = first.map_or(f64::NAN, |it| it.as_secs_f64());
        add(&mut self.report, &format!("{count}: first of a dead node's answered"), OURS, first, "s")?;
        self.lab.power_on(node)?;
        self.speakers[0].wait_ready().await
    }

    /// Goals, and what MetalLB took.
    fn goals(&mut self, options: &Options) {
        let recorded: [(u16, f64, f64, f64, [f64; 2]); 3] = [
            (1, 64.0, 209.0, 3084.0, [1.0, 102.0]),
            (1000, 85.0, 320.0, 2702.0, [27.0, 532.0]),
            (5000, 159.0, 588.0, 1861.0, [541.0, 1712.0]),
        ];
        for (count, rss, p50, p99, unanswered) in recorded {
            let mut figures = vec![
                (format!("{count}: RSS of a speaker"), rss, "MiB"),
                (format!("{count}, quiet: answer, p50"), p50, "us"),
                (format!("{count}, quiet: answer, p99"), p99, "us"),
            ];
            for (rate, value) in [20_000, 80_000].into_iter().zip(unanswered) {
                figures.push((format!("{count}, {rate}/s: unanswered of {QUESTIONS}"), value, "questions"));
            }
            for (measure, value, unit) in figures {
                // Only beside a figure of ours.
                if self.report.newest(&measure, OURS).is_some() {
                    // What is written on standard output is lost there, too, if this is.
                    let _ = self.report.add(&measure, METALLB, value, unit);
                }
            }
        }
        for count in &options.addresses {
            self.report.want(&format!("{count}: RSS of a speaker"), OURS, 15.0);
            for quantile in ["p50", "p99"] {
                let measure = format!("{count}, quiet: answer, {quantile}");
                self.report.want_ratio(&measure, OURS, KERNEL, 2.0);
                self.report.want_ratio(&measure, OURS, THREAD, 1.5);
            }
            for rate in &options.noise {
                self.report.want(&format!("{count}, {rate}/s: unanswered of {QUESTIONS}"), OURS, 0.0);
                self.report.want(&format!("{count}, {rate}/s: CPU of a speaker"), OURS, 2.0);
            }
        }
        self.report.want(&format!("{}: all of a dead node's answered", options.lost), OURS, 1.0);
    }
}

fn add(report: &mut Report, measure: &str, side: &str, value: f64, unit: &str) -> Result<()> {
    report.add(measure, side, value, unit).map_err(|error| unwritten(&error))
}
