//! How long a client misses an address when its node, cable or speaker fails, or hands it over.
//!
//! Three nodes with speakers, a fourth one with the Pod, a client that begins a request every 10 ms, and an observer that
//! asks everybody every 50 ms who has the address and counts all who answer.

mod drill;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Parser;
use lab::{Lab, Node, Observer, Result, Segment, Speaker};
use serde_json::json;

use crate::report::{Output, Report, unwritten};
use crate::statistics::{millis, number, quantile};
use drill::Drill;

/// Our side in the figures.
const OURS: &str = "fairlead";
/// What MetalLB 0.16.2 took in a lab of this kind, with the same client and census, 10 rounds of each; the largest values.
const METALLB: &str = "metallb 0.16.2, recorded";
/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_mins(1);
/// Nodes with speakers; one more has the Pod.
const SPEAKERS: usize = 3;
/// How long client and observer are at work before something happens.
const BEFORE: Duration = Duration::from_millis(300);
/// How long a speaker that has just been started listens before it is one of those who may take over, with a reserve.
const LISTENING: Duration = Duration::from_millis(1200);

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "bench-failover", about = "What a client misses when an address moves")]
pub struct Options {
    /// How often each fault is made
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Only this fault, such as power-off; can be given several times
    #[arg(long, value_enum)]
    only: Vec<Drill>,
    #[command(flatten)]
    output: Output,
}

/// Runs the drills and prints their figures.
///
/// # Errors
/// When the lab fails, or an address does not come back.
pub async fn run(options: Options) -> Result<()> {
    let mut report = Report::new("failover", &options.output).map_err(|error| unwritten(&error))?;
    let stage = Stage::start().await?;
    report.progress(&format!(
        "a lab with Kubernetes {} is ready; {} is announced",
        stage.lab.api_version().await?,
        stage.address
    ));
    let drills = if options.only.is_empty() { Drill::ALL.to_vec() } else { options.only };
    let mut table = vec![head(options.rounds)];
    for drill in drills {
        let mut rounds = Vec::new();
        for round in 1..=options.rounds {
            report.progress(&format!("{} {round} of {}", drill.name(), options.rounds));
            rounds.push(stage.round(drill).await?);
        }
        table.push(tell(&mut report, drill, &rounds).map_err(|error| unwritten(&error))?);
    }
    report.finish_with(&table).map_err(|error| unwritten(&error))
}

/// The lab, and the address that it is all about.
struct Stage {
    lab: Lab,
    speakers: Vec<Speaker>,
    observer: Observer,
    segment: Segment,
    address: IpAddr,
}

/// What one round was like.
struct Round {
    /// The longest time in which all requests failed.
    outage: Duration,
    failed: usize,
    /// How long two answered the observer.
    contested: Duration,
    /// How long two answered after what was broken had been mended.
    contested_after: Duration,
    /// The longest time in which nobody answered the observer.
    silence: Duration,
    /// How often another node answered than before, while what was broken was mended.
    returned: usize,
}

impl Stage {
    async fn start() -> Result<Self> {
        let lab = Lab::builder().nodes(4).start().await?;
        lab.manager().start().await?;
        let speakers = lab.speakers(&lab.nodes()[..SPEAKERS]).await?;
        let observer = lab.observer("observer").await?;
        lab.pool("bench", json!({ "addresses": ["198.51.100.64-198.51.100.95"] })).await?;
        let pod = lab.pod("default", "web-0").label("app", "web").on(lab.nodes()[SPEAKERS].name());
        pod.port("http", 8080).start().await?;
        let ports = json!([{ "name": "main", "port": 80, "targetPort": 8080 }]);
        let service = lab.load_balancer("default", "web").spec(json!({ "ports": ports })).create().await?;
        let address = service.wait_address().await?;
        let segment = lab.segment();
        let stage = Self { lab, speakers, observer, segment, address };
        stage.one_owner().await?;
        stage
            .lab
            .wait_until("an answer", PATIENCE, async || Ok(stage.lab.client().get(address, 80).await?))
            .await?;
        Ok(stage)
    }

    /// The node that alone answers for the address.
    async fn one_owner(&self) -> Result<&Node> {
        let name = self
            .lab
            .wait_until("one node to answer", PATIENCE, async || {
                let macs = self.observer.who_has(self.address, Duration::from_millis(80))?;
                let owners: Vec<_> = macs.iter().collect();
                for node in &self.lab.nodes()[..SPEAKERS] {
                    if let [mac] = owners.as_slice()
                        && **mac == node.host().mac("eth0")?
                    {
                        return Ok(node.name().to_owned());
                    }
                }
                Err(format!("{owners:?} answer").into())
            })
            .await?;
        self.lab.node(&name)
    }

    fn speaker(&self, node: &Node) -> Result<&Speaker> {
        let found = self.speakers.iter().find(|speaker| speaker.node() == node.name());
        found.ok_or_else(|| lab::Error::Invalid(format!("{} has no speaker", node.name())))
    }

    /// One fault, and its end.
    async fn round(&self, drill: Drill) -> Result<Round> {
        let owner = self.one_owner().await?;
        let census = self.observer.census(&[self.address])?;
        let requests = self.lab.client().requests(SocketAddr::new(self.address, 80))?;
        tokio::time::sleep(BEFORE).await;
        drill.make(self, owner).await?;
        tokio::time::sleep(drill.lasts()).await;
        let (tally, record) = (requests.end().await?, census.end()?);

        // The way back is watched, too.
        let after = self.observer.census(&[self.address])?;
        tokio::time::sleep(BEFORE).await;
        let mended = Instant::now();
        drill.mend(self, owner).await?;
        tokio::time::sleep(LISTENING).await;
        let after = after.end()?;
        self.lab.check()?;
        Ok(Round {
            // Without any answer it lasted all the time.
            outage: tally.outage().unwrap_or(BEFORE + drill.lasts()),
            failed: tally.failed(),
            contested: record.contested(self.address),
            contested_after: after.contested_since(self.address, mended),
            silence: record.silence(self.address),
            returned: after.owners(self.address).len().saturating_sub(1),
        })
    }
}

/// What is measured: name, unit, and how it is taken from a round.
type Measure = (&'static str, &'static str, fn(&Round) -> f64);

const MEASURES: [Measure; 6] = [
    ("client outage", "ms", |it| millis(&[it.outage])[0]),
    ("failed requests", "requests", |it| number(it.failed)),
    ("nobody answered", "ms", |it| millis(&[it.silence])[0]),
    ("two MACs answered", "ms", |it| millis(&[it.contested])[0]),
    ("two MACs answered after mending", "ms", |it| millis(&[it.contested_after])[0]),
    ("moves after mending", "moves", |it| number(it.returned)),
];
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];

/// Adds the figures of a drill, with its goals and what MetalLB took, and returns its line of the table.
fn tell(report: &mut Report, drill: Drill, rounds: &[Round]) -> std::io::Result<Vec<String>> {
    let mut cells = vec![drill.name().to_owned()];
    for (what, unit, take) in MEASURES {
        let measure = format!("{}: {what}", drill.name());
        let values: Vec<_> = rounds.iter().map(take).collect();
        for value in &values {
            report.add(&measure, OURS, *value, unit)?;
        }
        let mut shown = Vec::new();
        for (name, share) in QUANTILES {
            let measure = format!("{measure}, {name}");
            let value = quantile(&values, share).unwrap_or(f64::NAN);
            report.add(&measure, OURS, value, unit)?;
            shown.push(format!("{value:.0}"));
            if let Some((_, _, most)) = drill.goals().iter().find(|it| (it.0, it.1) == (what, name)) {
                report.want(&measure, OURS, *most);
            }
        }
        let mut shown = vec![shown.join(" / ")];
        if let Some((_, name, most)) = drill.recorded().iter().find(|it| it.0 == what) {
            report.add(&format!("{measure}, {name}"), METALLB, *most, unit)?;
            shown.push(format!("({most:.0})"));
        }
        cells.push(shown.join(" "));
    }
    Ok(cells)
}

/// The head of the table.
fn head(rounds: usize) -> Vec<String> {
    let mut cells = vec![format!("{rounds} rounds; p50 / p99 / max (most of MetalLB)")];
    cells.extend(
        MEASURES.map(|(what, unit, _)| if unit == "ms" { format!("{what}, ms") } else { what.to_owned() }),
    );
    cells
}
