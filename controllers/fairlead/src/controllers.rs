//! The controllers of the role `manager`, from the client to their running tasks.

use fairlead_endpointslice::controller::{self as endpointslice, COMPONENT};
use fairlead_machinery::admin::Checks;
use fairlead_machinery::canary::Canaries;
use fairlead_machinery::client::{self, ClientError, ClientSettings};
use fairlead_machinery::events::{self, EventMetrics};
use fairlead_machinery::metrics::Workqueues;
use fairlead_machinery::permit::Permit;
use fairlead_machinery::shutdown::Tasks;
use fairlead_machinery::write::{RateLimit, Writer};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::args::{Controller, ManagerConfig};
use crate::informers::Informers;
use crate::rivals::{self, Asking};

/// When what ends.
pub(crate) struct Ends {
    /// No new work is begun.
    pub(crate) work: CancellationToken,
    /// Nothing is written any more: work in progress had its time.
    pub(crate) writes: CancellationToken,
}

/// Starts the controllers that `config` enables, and what they stand on. They begin to work when their caches are
/// complete; an API server that cannot be reached, or refuses, is waited for.
pub(crate) async fn start(
    config: &ManagerConfig,
    registry: &Registry,
    checks: &Checks,
    tasks: &mut Tasks,
    ends: &Ends,
) -> Result<(), ClientError> {
    if config.controllers.is_empty() {
        return Ok(());
    }
    let client = client::connect(&ClientSettings {
        kubeconfig: config.kubeconfig.clone(),
        master: config.master.clone(),
        user_agent: format!("{}/{} (manager)", client::FIELD_MANAGER, env!("CARGO_PKG_VERSION")),
    })
    .await?;
    let limit = config.api_limit.map(|limit| RateLimit { qps: limit.qps.into(), burst: limit.burst });
    let permit = Permit::until(ends.writes.clone());
    let writer = Writer::new(client.clone(), permit.clone(), limit);
    let workqueues = Workqueues::new(registry);
    let event_metrics = EventMetrics::new(registry);
    let asking = config.rival_check.then(|| {
        let metrics = event_metrics.clone();
        let (recorder, events) = events::channel(client.clone(), rivals::COMPONENT, metrics, permit.clone());
        tasks.spawn("events", events.run(ends.work.clone()));
        Asking::new(&config.namespace, registry, recorder)
    });
    let canaries = Canaries::of(&config.namespace);
    let mut informers = Informers::new(registry);

    let mut waiting = Vec::new();
    for controller in config.controllers.iter() {
        let writer = rivals::narrow(controller, &writer, asking.as_ref(), checks, tasks, &ends.work);
        match controller {
            Controller::EndpointSlice => {
                let (metrics, permit) = (event_metrics.clone(), writer.permit().clone());
                let (recorder, events) = events::channel(client.clone(), COMPONENT, metrics, permit);
                tasks.spawn("events", events.run(ends.work.clone()));
                waiting.push(endpointslice::Controller::new(
                    endpointslice::Settings {
                        canaries: canaries.clone(),
                        workers: config.endpointslice.workers,
                        max_endpoints_per_slice: config.endpointslice.max_endpoints_per_slice,
                        batch_period: config.endpointslice.batch_period,
                        recheck_period: config.recheck_period,
                        prune_leftovers: config.endpointslice.prune_leftovers,
                    },
                    endpointslice::Inputs {
                        services: &mut informers.services,
                        nodes: &mut informers.nodes,
                        slices: &mut informers.slices,
                        membership: informers.membership.clone(),
                    },
                    writer,
                    recorder,
                    registry,
                    &workqueues,
                ));
            }
        }
    }

    let synced = informers.start(&client, tasks, checks, &ends.work);
    let (check, stop) = (checks.add("controllers", "waiting for the caches"), ends.work.clone());
    tasks.spawn("controllers", async move {
        if stop.run_until_cancelled(synced).await.is_none() {
            return;
        }
        info!("all caches are complete, the controllers begin");
        check.ok();
        futures::future::join_all(waiting.into_iter().map(|controller| controller.run(stop.clone()))).await;
    });
    Ok(())
}
