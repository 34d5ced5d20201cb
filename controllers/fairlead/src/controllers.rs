//! The controllers of the role `manager`, from the client to their running tasks.

use fairlead_endpoints::controller as endpoints;
use fairlead_endpointslice::controller as endpointslice;
use fairlead_machinery::admin::Checks;
use fairlead_machinery::canary::Canaries;
use fairlead_machinery::client::{self, ClientError, ClientSettings, Clients};
use fairlead_machinery::events::{self, EventMetrics};
use fairlead_machinery::metrics::Workqueues;
use fairlead_machinery::permit::Permit;
use fairlead_machinery::shutdown::Tasks;
use fairlead_machinery::write::{RateLimit, Writer};
use fairlead_mirroring::controller as mirroring;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::args::{Controller, ManagerConfig};
use crate::identity::Identity;
use crate::informers::Informers;
use crate::rivals::{self, Asking};

/// A controller that waits for its caches, and then works until it is told to stop.
type Waiting = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// What the controllers are part of.
pub(crate) struct Process<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) events: &'a EventMetrics,
    pub(crate) checks: &'a Checks,
    pub(crate) tasks: &'a mut Tasks,
    /// No new work is begun.
    pub(crate) stop: &'a CancellationToken,
    /// Is cancelled when the caches are complete, so that the work can begin.
    pub(crate) ready: &'a CancellationToken,
}

/// Starts the controllers that `config` enables, and what they stand on. They begin to work when their caches are
/// complete, and write when they are permitted to; an API server that cannot be reached, or refuses, is waited for.
pub(crate) async fn start(
    config: &ManagerConfig,
    identity: &Identity,
    permit: Permit,
    process: &mut Process<'_>,
) -> Result<(), ClientError> {
    let Process { registry, events: event_metrics, checks, tasks, stop, ready } = process;
    let Clients { reads: client, writes } = client::connect(&ClientSettings {
        kubeconfig: config.kubeconfig.clone(),
        master: config.master.clone(),
        user_agent: identity.user_agent("manager"),
    })
    .await?;
    let limit = config.api_limit.map(|limit| RateLimit { qps: limit.qps.into(), burst: limit.burst });
    let writer = Writer::new(writes, permit.clone(), limit);
    let workqueues = Workqueues::new(registry);
    let asking = config.rival_check.then(|| {
        let events = events::channel(client.clone(), rivals::COMPONENT, event_metrics.clone(), permit);
        Asking::new(&config.namespace, registry, events, tasks, stop)
    });
    let canaries = Canaries::of(&config.namespace);
    let mut informers = Informers::new(registry, &config.controllers);

    let mut waiting: Vec<Waiting> = Vec::new();
    for controller in config.controllers.iter() {
        let component = match controller {
            Controller::Endpoints => endpoints::COMPONENT,
            Controller::EndpointSlice => endpointslice::COMPONENT,
            Controller::Mirroring => mirroring::COMPONENT,
        };
        let writer = rivals::narrow(controller, &writer, asking.as_ref(), checks, tasks, stop);
        let (metrics, permit) = (event_metrics.clone(), writer.permit().clone());
        let (recorder, events) = events::channel(client.clone(), component, metrics, permit);
        tasks.spawn("events", events.run(stop.clone()));
        waiting.push(match controller {
            Controller::Endpoints => {
                let settings = endpoints::Settings {
                    canaries: canaries.clone(),
                    workers: config.endpoints.workers,
                    batch_period: config.endpoints.batch_period,
                    recheck_period: config.recheck_period,
                    prune_leftovers: config.prune_leftovers,
                };
                let membership = informers.membership();
                let inputs = endpoints::Inputs {
                    services: informers.services.get(),
                    endpoints: informers.endpoints.get(),
                    membership,
                };
                let controller =
                    endpoints::Controller::new(settings, inputs, writer, recorder, registry, &workqueues);
                Box::new(|stop| controller.run(stop).boxed())
            }
            Controller::EndpointSlice => {
                let settings = endpointslice::Settings {
                    canaries: canaries.clone(),
                    workers: config.endpointslice.workers,
                    max_endpoints_per_slice: config.endpointslice.max_endpoints_per_slice,
                    batch_period: config.endpointslice.batch_period,
                    recheck_period: config.recheck_period,
                    prune_leftovers: config.prune_leftovers,
                };
                let membership = informers.membership();
                let inputs = endpointslice::Inputs {
                    services: informers.services.get(),
                    nodes: informers.nodes.get(),
                    slices: informers.slices.get(),
                    membership,
                };
                let controller =
                    endpointslice::Controller::new(settings, inputs, writer, recorder, registry, &workqueues);
                Box::new(|stop| controller.run(stop).boxed())
            }
            Controller::Mirroring => {
                let settings = mirroring::Settings {
                    canaries: canaries.clone(),
                    workers: config.mirroring.workers,
                    max_endpoints_per_subset: config.mirroring.max_endpoints_per_subset,
                    batch_period: config.mirroring.batch_period,
                    recheck_period: config.recheck_period,
                };
                let inputs = mirroring::Inputs {
                    services: informers.services.get(),
                    endpoints: informers.endpoints.get(),
                    slices: informers.slices.get(),
                };
                let controller =
                    mirroring::Controller::new(settings, inputs, writer, recorder, registry, &workqueues);
                Box::new(|stop| controller.run(stop).boxed())
            }
        });
    }

    let synced = informers.start(&client, tasks, checks, stop);
    let check = checks.add("controllers", "waiting for the caches");
    let (stop, ready) = (stop.clone(), ready.clone());
    tasks.spawn("controllers", async move {
        if stop.run_until_cancelled(synced).await.is_none() {
            return;
        }
        info!("all caches are complete, the controllers begin");
        check.ok();
        ready.cancel();
        join_all(waiting.into_iter().map(|begin| begin(stop.clone()))).await;
    });
    Ok(())
}
