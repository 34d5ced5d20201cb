//! The role `speaker`: from checked flags to the end of the process.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use fairlead_layer2::NodeId;
use fairlead_layer2::beacon::keys::KeyRing;
use fairlead_machinery::admin::{Admin, Check, Checks};
use fairlead_machinery::client::{self, ClientSettings, Clients};
use fairlead_machinery::permit::Permit;
use fairlead_machinery::process_metrics;
use fairlead_machinery::shutdown::{Shutdown, Tasks};
use fairlead_machinery::write::Writer;
use fairlead_speaker::agent::{self, Shown};
use fairlead_speaker::interfaces::Survey;
use fairlead_speaker::keys::KeyDirectory;
use fairlead_speaker::metrics::Metrics;
use fairlead_speaker::wires::{Settings, Wires};
use prometheus::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::args::SpeakerConfig;
use crate::identity::Identity;
use crate::role::{self, ADMIN_GRACE};

/// How long what talks to the API server may take to end, once the addresses are handed over.
const WORK_GRACE: Duration = Duration::from_secs(5);

type Failure = Box<dyn Error>;

/// Runs until a signal ends it. 0 after an orderly end; why it is another code is in the log.
pub(crate) fn run(config: SpeakerConfig) -> ExitCode {
    // One thread for all that talks to the API server; those of the interfaces are their own.
    match role::block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("fairlead speaker ends: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: SpeakerConfig) -> Result<(), Failure> {
    let identity = Identity::of_this_process();
    describe(&config, &identity);
    let shutdown =
        Shutdown::on_signals().map_err(|error| format!("cannot listen for SIGINT and SIGTERM: {error}"))?;
    let registry = Registry::new();
    process_metrics::register(&registry)
        .map_err(|error| format!("cannot register the metrics of the process: {error}"))?;
    let checks = Checks::new(shutdown.clone());
    let keys = config.key_directory.as_ref().map(KeyDirectory::open).transpose()?;
    let clients = client::connect(&ClientSettings {
        kubeconfig: config.kubeconfig.clone(),
        master: config.master.clone(),
        user_agent: identity.user_agent("speaker"),
    })
    .await?;

    // The admin server ends last: health can be asked while everything else drains.
    let stop_admin = CancellationToken::new();
    let mut serving = Tasks::new();
    let admin = Admin::bind(config.admin_bind_address, checks.clone(), registry.clone()).await?;
    serving.spawn("admin", admin.serve(stop_admin.clone()));

    let stop = CancellationToken::new();
    let mut work = Tasks::new();
    let start = start(&config, keys, clients, &checks, &registry, &mut work, &stop);
    let wires = tokio::select! {
        biased;
        () = shutdown.begun() => None,
        Some(ended) = serving.next_ended() => return Err(role::too_early(ended)),
        started = start => Some(started?),
    };
    if let Some(wires) = wires {
        let ended = tokio::select! {
            biased;
            () = shutdown.begun() => None,
            failure = wires.failed() => return Err(failure.into()),
            Some(ended) = serving.next_ended() => Some(ended),
            Some(ended) = work.next_ended() => Some(ended),
        };
        if let Some(ended) = ended {
            return Err(role::too_early(ended));
        }
        // Others take over before anything ends here; the API server is not needed for it.
        if wires.drain(config.drain_limit).await {
            info!("all addresses are handed over");
        } else {
            warn!(limit = ?config.drain_limit, "some addresses found no other node in time; --drain-limit is over");
        }
    }
    stop.cancel();
    role::drain(work, WORK_GRACE).await;
    stop_admin.cancel();
    role::drain(serving, ADMIN_GRACE).await;
    info!("fairlead speaker ended");
    Ok(())
}

/// Waits until the API server says which cluster this is, and begins to answer for addresses.
async fn start(
    config: &SpeakerConfig,
    keys: Option<KeyDirectory>,
    clients: Clients,
    checks: &Checks,
    registry: &Registry,
    work: &mut Tasks,
    stop: &CancellationToken,
) -> Result<Wires, Failure> {
    let known = checks.add("cluster", "waiting for the API server to say which cluster this is");
    let interfaces = checks.add("interfaces", "waiting to know which cluster this is");
    let writer = Writer::new(clients.writes, Permit::until(stop.clone()), None);
    let Some(cluster) = agent::cluster(&writer, stop).await else {
        return Err("it was told to end before it knew which cluster this is".into());
    };
    known.ok();

    let ring = keys.as_ref().map(KeyDirectory::ring);
    let settings = Settings {
        node: NodeId::of(&config.node),
        cluster,
        period: config.beacon_period,
        keys: ring.as_ref().map_or_else(KeyRing::insecure, |ring| ring.borrow().clone()),
        excluded: config.excluded.clone(),
    };
    let (wires, reports) = Wires::start(settings, Metrics::new(registry))
        .map_err(|error| format!("cannot ask the kernel for the interfaces of this node: {error}"))?;
    work.spawn("interfaces", watch_interfaces(wires.survey(), interfaces, stop.clone()));
    if let (Some(keys), Some(ring)) = (keys, ring) {
        work.spawn("keys", keys.follow(stop.clone()));
        work.spawn("keys of the wires", pass_keys(ring, wires.clone(), stop.clone()));
    }
    let (ends, forward) = fairlead_speaker::ends::connect(wires.clone(), reports);
    let (stop, until) = (stop.clone(), stop.clone());
    work.spawn("orders", async move {
        until.run_until_cancelled(forward).await;
    });
    let settings = agent::Settings {
        node: config.node.clone(),
        namespace: config.namespace.clone(),
        weight: config.weight,
        ignore_exclude_lb: config.ignore_exclude_lb,
        respect_cordon: config.respect_cordon,
    };
    let (checks, registry) = (checks.clone(), registry.clone());
    work.spawn("agent", async move {
        let shown = Shown { checks: &checks, registry: &registry };
        agent::run(settings, clients.reads, writer, ends, shown, stop).await;
    });
    Ok(wires)
}

/// Says by a check of readiness on which interfaces addresses can be answered for, or why on none.
async fn watch_interfaces(
    mut survey: watch::Receiver<std::sync::Arc<Survey>>,
    check: Check,
    stop: CancellationToken,
) {
    loop {
        let now = survey.borrow_and_update().clone();
        match words(&now) {
            Ok(note) => check.ok_with(note),
            Err(reason) => check.fail(reason),
        }
        match stop.run_until_cancelled(survey.changed()).await {
            Some(Ok(())) => {}
            // The wires are gone only when the process ends.
            Some(Err(_)) => stop.cancelled().await,
            None => return,
        }
    }
}

/// The interfaces that are used, or why there is none.
fn words(survey: &Survey) -> Result<String, String> {
    let names = |running: bool| {
        let names = survey.used.iter().filter(|link| link.running == running).map(|link| link.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (running, idle) = (names(true), names(false));
    match (running.is_empty(), idle.is_empty()) {
        (false, true) => Ok(running),
        (false, false) => Ok(format!("{running}; down or without a carrier: {idle}")),
        (true, false) => Err(format!("no interface is up and has a carrier: {idle}")),
        (true, true) => {
            let unused = survey.unused.iter().map(|unused| format!("{}: {}", unused.name, unused.reason));
            let unused: Vec<_> = unused.collect();
            Err(format!("this node has no interface to answer on ({})", unused.join("; ")))
        }
    }
}

/// Brings changed keys to the wires.
async fn pass_keys(mut ring: watch::Receiver<KeyRing>, wires: Wires, stop: CancellationToken) {
    while let Some(changed) = stop.run_until_cancelled(ring.changed()).await {
        if changed.is_err() {
            // Who reads the keys ends with the process.
            stop.cancelled().await;
            return;
        }
        let keys = ring.borrow_and_update().clone();
        wires.set_keys(&keys);
    }
}

/// Says at the start of the log what this process is going to do.
fn describe(config: &SpeakerConfig, identity: &Identity) {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        %identity,
        node = config.node,
        namespace = config.namespace,
        credentials = role::credentials(config.kubeconfig.as_deref()),
        server = config.master.as_ref().map(tracing::field::display),
        weight = config.weight,
        beacon_period = ?config.beacon_period,
        excluded = %config.excluded,
        ignore_exclude_lb = config.ignore_exclude_lb,
        respect_cordon = config.respect_cordon,
        "fairlead speaker starts"
    );
    if let Some(directory) = &config.key_directory {
        info!(directory = %directory.display(), "beacons are authenticated");
    } else {
        warn!(
            "--insecure-beacons: beacons are not authenticated, so whoever reaches the segment can take addresses away"
        );
    }
}

#[cfg(test)]
mod tests {
    use fairlead_layer2::{LinkFacts, MacAddress};
    use fairlead_speaker::interfaces::{Reason, Unused};

    use super::*;

    fn link(name: &str, running: bool) -> LinkFacts {
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        LinkFacts { index: 2, name: name.into(), mac, mtu: 1500, running, addresses: Vec::new() }
    }

    #[test]
    fn readiness_says_which_interfaces_are_used_or_why_none_is() {
        let survey = |used: &[(&str, bool)]| Survey {
            used: used.iter().map(|(name, running)| link(name, *running)).collect(),
            unused: vec![Unused { name: "lo".into(), reason: Reason::Loopback }],
        };
        assert_eq!(words(&survey(&[("eth0", true), ("eth1", true)])), Ok("eth0, eth1".to_owned()));
        assert_eq!(
            words(&survey(&[("eth0", true), ("eth1", false)])),
            Ok("eth0; down or without a carrier: eth1".to_owned())
        );
        assert_eq!(
            words(&survey(&[("eth1", false)])),
            Err("no interface is up and has a carrier: eth1".to_owned())
        );
        assert_eq!(
            words(&survey(&[])),
            Err("this node has no interface to answer on (lo: it is the loopback interface)".to_owned())
        );
    }
}
