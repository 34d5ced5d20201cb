//! What is broken, and how it is mended.

use std::time::Duration;

use clap::ValueEnum;
use lab::{Host, Node, Result, Traffic};

use super::{LISTENING, PATIENCE, SPEAKERS, Stage};

const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Longer than any take-over.
const SHORT: Duration = Duration::from_millis(1500);
/// How long a partition lasts.
const PARTITION: Duration = Duration::from_secs(5);

/// A way in which an address loses its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Drill {
    /// The node is without power at once.
    PowerOff,
    /// The cable is pulled.
    Cable,
    /// The speaker is killed.
    Kill,
    /// The speaker is frozen, and goes on later.
    Freeze,
    /// The speaker is told to end.
    Sigterm,
    /// The node is told to leave (exclude label).
    Drain,
    /// All speakers are ended and started again, one after the other.
    RollingUpdate,
    /// The Node is not ready.
    NotReady,
    /// Speakers hear nothing of each other, but clients hear all, and ARP passes.
    Speakers,
    /// Nodes hear nothing at all of each other, but clients hear all.
    Partition,
}

/// A measure and a quantile of it, and a value.
type Figure = (&'static str, &'static str, f64);

impl Drill {
    pub(super) const ALL: [Self; 10] = [
        Self::PowerOff,
        Self::Cable,
        Self::Kill,
        Self::Freeze,
        Self::Sigterm,
        Self::Drain,
        Self::RollingUpdate,
        Self::NotReady,
        Self::Speakers,
        Self::Partition,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PowerOff => "power-off",
            Self::Cable => "cable pulled",
            Self::Kill => "speaker killed",
            Self::Freeze => "speaker frozen",
            Self::Sigterm => "SIGTERM",
            Self::Drain => "drain",
            Self::RollingUpdate => "rolling update",
            Self::NotReady => "NotReady",
            Self::Speakers => "speakers parted",
            Self::Partition => "nodes parted",
        }
    }

    /// How long client and observer watch it.
    pub(super) fn lasts(self) -> Duration {
        match self {
            Self::Speakers | Self::Partition => PARTITION,
            _ => SHORT,
        }
    }

    /// What it is to be at most: milliseconds, requests.
    pub(super) fn goals(self) -> &'static [Figure] {
        match self {
            Self::PowerOff | Self::Cable => &[
                ("client outage", "p99", 500.0),
                ("two MACs answered", "max", 0.0),
                ("moves after mending", "max", 0.0),
            ],
            Self::Kill | Self::Freeze => &[
                ("nobody answered", "p99", 500.0),
                ("two MACs answered", "max", 0.0),
                ("two MACs answered after mending", "max", 0.0),
                ("moves after mending", "max", 0.0),
            ],
            Self::Sigterm | Self::Drain | Self::RollingUpdate | Self::NotReady => {
                &[("failed requests", "max", 0.0), ("two MACs answered", "max", 0.0)]
            }
            // One beacon period, in which four questions are asked at most.
            Self::Speakers | Self::Partition => &[("two MACs answered after mending", "max", 200.0)],
        }
    }

    /// What MetalLB took at most.
    pub(super) fn recorded(self) -> &'static [Figure] {
        match self {
            Self::PowerOff | Self::Cable => {
                &[("client outage", "max", 6700.0), ("failed requests", "max", 672.0)]
            }
            Self::Kill | Self::Freeze => &[("nobody answered", "max", 6300.0)],
            Self::Sigterm | Self::RollingUpdate => {
                &[("failed requests", "max", 0.0), ("two MACs answered", "max", 200.0)]
            }
            Self::Drain => &[("failed requests", "max", 0.0), ("two MACs answered", "max", 0.0)],
            Self::NotReady => &[],
            // Of 30 s that its speakers were parted for.
            Self::Speakers => &[
                ("two MACs answered", "max", 25_000.0),
                ("two MACs answered after mending", "max", 25_000.0),
            ],
            Self::Partition => &[("two MACs answered after mending", "max", 38_000.0)],
        }
    }

    /// Breaks something of the owner's.
    pub(super) async fn make(self, stage: &Stage, owner: &Node) -> Result<()> {
        let lab = &stage.lab;
        match self {
            Self::PowerOff => lab.power_off(owner).await,
            Self::Cable => stage.segment.set_plugged(owner.host(), false),
            Self::Kill => stage.speaker(owner)?.kill().await.map(drop),
            Self::Freeze => stage.speaker(owner)?.process().freeze(),
            Self::Sigterm => stage.speaker(owner)?.stop().await.map(drop),
            Self::Drain => lab.label_node(owner.name(), EXCLUDED, Some("")).await,
            Self::RollingUpdate => {
                for speaker in &stage.speakers {
                    speaker.stop().await?;
                    speaker.restart().await?;
                    tokio::time::sleep(LISTENING).await;
                }
                Ok(())
            }
            Self::NotReady => lab.set_node_condition(owner.name(), "Ready", "Unknown").await,
            Self::Speakers => part(stage, owner, Traffic::Beacons),
            Self::Partition => part(stage, owner, Traffic::All),
        }
    }

    /// Makes everything as it was.
    pub(super) async fn mend(self, stage: &Stage, owner: &Node) -> Result<()> {
        let lab = &stage.lab;
        match self {
            Self::PowerOff => {
                lab.power_on(owner)?;
                stage.speaker(owner)?.wait_ready().await
            }
            Self::Cable => stage.segment.set_plugged(owner.host(), true),
            Self::Kill | Self::Sigterm => stage.speaker(owner)?.restart().await,
            Self::Freeze => stage.speaker(owner)?.process().thaw(),
            Self::Drain => lab.label_node(owner.name(), EXCLUDED, None).await,
            Self::RollingUpdate => Ok(()),
            Self::NotReady => lab.set_node_condition(owner.name(), "Ready", "True").await,
            Self::Speakers | Self::Partition => {
                stage.segment.heal()?;
                lab.wait_until("the parts to agree", PATIENCE, async || {
                    stage.one_owner().await.map(drop).map_err(Into::into)
                })
                .await
            }
        }
    }
}

/// The owner on one side, the others on the other.
fn part(stage: &Stage, owner: &Node, traffic: Traffic) -> Result<()> {
    let hosts = stage.lab.nodes()[..SPEAKERS].iter().map(Node::host);
    let (own, others): (Vec<&Host>, Vec<&Host>) = hosts.partition(|host| host.name() == owner.name());
    stage.segment.part(&own, &others, traffic)
}
