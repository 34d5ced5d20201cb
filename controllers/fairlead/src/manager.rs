//! The role `manager`: from checked flags to the end of the process.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use fairlead_machinery::admin::{Admin, Checks};
use fairlead_machinery::events::EventMetrics;
use fairlead_machinery::permit::Permit;
use fairlead_machinery::process_metrics;
use fairlead_machinery::shutdown::{Shutdown, Tasks};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::args::{Controller, ManagerConfig};
use crate::controllers::{self, Process};
use crate::identity::Identity;
use crate::leadership::Leadership;
use crate::role::{self, ADMIN_GRACE};

/// How long rounds in progress may take to end. A Pod has 30 s by default between SIGTERM and SIGKILL.
const WORK_GRACE: Duration = Duration::from_secs(15);

/// The exit code when leadership was lost. kube-controller-manager has 1 for that, which here means a failure.
const LEADERSHIP_LOST: u8 = 3;

/// Why the process ends out of order.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("leaderelection lost: another process may lead now, so this one must not go on; start it again")]
    LeadershipLost,
    #[error("{0}")]
    Other(#[from] Box<dyn Error>),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Other(reason.into())
    }
}

/// Runs until a signal ends it, or the loss of leadership. 0 after an orderly end; why it is another code is in the log.
pub(crate) fn run(config: ManagerConfig) -> ExitCode {
    // One thread: a change goes through many small tasks, and handing each to another thread costs more than it brings
    // (a quarter of the CPU of a readiness flip by `make bench-compare`). What takes long is the API server's work.
    match role::block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("fairlead manager ends: {error}");
            match error {
                Failure::LeadershipLost => ExitCode::from(LEADERSHIP_LOST),
                Failure::Other(_) => ExitCode::FAILURE,
            }
        }
    }
}

async fn serve(config: ManagerConfig) -> Result<(), Failure> {
    let identity = Identity::of_this_process();
    describe(&config, &identity);
    let shutdown =
        Shutdown::on_signals().map_err(|error| format!("cannot listen for SIGINT and SIGTERM: {error}"))?;
    let registry = Registry::new();
    process_metrics::register(&registry)
        .map_err(|error| format!("cannot register the metrics of the process: {error}"))?;
    let checks = Checks::new(shutdown.clone());
    // Nothing is written any more: work in progress had its time.
    let writes = CancellationToken::new();
    let mut work = Tasks::new();
    let mut leadership = Leadership::none();
    if !config.controllers.is_empty() {
        let (events, ready) = (EventMetrics::new(&registry), CancellationToken::new());
        let (stop, tasks) = (shutdown.token(), &mut work);
        let mut process =
            Process { registry: &registry, events: &events, checks: &checks, tasks, stop, ready: &ready };
        if let Some(election) = &config.leader_election {
            leadership = Leadership::seek(election, &config, &identity, &process).await.map_err(other)?;
        }
        let permit = leadership.narrow(&Permit::until(writes.clone()));
        controllers::start(&config, &identity, permit, &mut process).await.map_err(other)?;
    }
    let admin = Admin::bind(config.admin_bind_address, checks, registry).await.map_err(other)?;

    // The admin server ends last: health can be asked while everything else drains.
    let stop_admin = CancellationToken::new();
    let mut serving = Tasks::new();
    serving.spawn("admin", admin.serve(stop_admin.clone()));

    let leadership_lost = leadership.lost();
    let lost = tokio::select! {
        biased;
        () = leadership_lost => {
            // Nothing is written any more. What is under way is not waited for: its outcome is of no use here.
            leadership.end().await;
            return Err(Failure::LeadershipLost);
        }
        Some(ended) = leadership.next_ended() => Some(ended),
        () = shutdown.begun() => None,
        Some(ended) = serving.next_ended() => Some(ended),
        Some(ended) = work.next_ended() => Some(ended),
    };
    // Asked again, because a task that ends with the shutdown may have been seen first.
    if let Some(ended) = lost.filter(|ended| ended.panic.is_some() || !shutdown.has_begun()) {
        return Err(role::too_early(ended).into());
    }

    let drained = role::drain(work, WORK_GRACE).await;
    writes.cancel();
    // Only who has written the last is followed at once; otherwise others wait until the lease expires.
    if drained {
        leadership.release().await;
    }
    stop_admin.cancel();
    role::drain(serving, ADMIN_GRACE).await;
    info!("fairlead manager ended");
    Ok(())
}

fn other(error: impl Error + 'static) -> Failure {
    Failure::Other(Box::new(error))
}

/// Says at the start of the log what this process is going to do.
fn describe(config: &ManagerConfig, identity: &Identity) {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        %identity,
        controllers = %config.controllers,
        namespace = config.namespace,
        credentials = role::credentials(config.kubeconfig.as_deref()),
        server = config.master.as_ref().map(tracing::field::display),
        qps = config.api_limit.map(|limit| limit.qps),
        burst = config.api_limit.map(|limit| limit.burst),
        recheck_period = ?config.recheck_period,
        "fairlead manager starts"
    );
    for controller in config.controllers.iter() {
        match controller {
            Controller::Endpoints => info!(
                controller = controller.name(),
                workers = config.endpoints.workers,
                batch_period = ?config.endpoints.batch_period,
                "enabled"
            ),
            Controller::EndpointSlice => info!(
                controller = controller.name(),
                workers = config.endpointslice.workers,
                max_endpoints_per_slice = config.endpointslice.max_endpoints_per_slice,
                batch_period = ?config.endpointslice.batch_period,
                "enabled"
            ),
            Controller::Mirroring => info!(
                controller = controller.name(),
                workers = config.mirroring.workers,
                max_endpoints_per_subset = config.mirroring.max_endpoints_per_subset,
                batch_period = ?config.mirroring.batch_period,
                "enabled"
            ),
            Controller::LoadBalancer => info!(
                controller = controller.name(),
                workers = config.load_balancer.workers,
                class = config.load_balancer.class,
                drain_overlap = ?config.load_balancer.drain_overlap,
                "enabled"
            ),
        }
    }
    if config.controllers.is_empty() {
        warn!("--controllers enables none, so there is nothing to do");
    }
    for notice in &config.notices {
        warn!("{notice}");
    }
}
