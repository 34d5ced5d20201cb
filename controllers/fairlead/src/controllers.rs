//! The controllers of the role `manager`, from the client to their running tasks.

use fairlead_endpoints::controller as endpoints;
use fairlead_endpointslice::controller as endpointslice;
use fairlead_loadbalancer::{Config as LoadBalancers, controller as loadbalancer};
use fairlead_machinery::admin::Checks;
use fairlead_machinery::canary::Canaries;
use fairlead_machinery::client::{self, ClientError, ClientSettings, Clients};
use fairlead_machinery::clock::WallClock;
use fairlead_machinery::events::{self, EventMetrics};
use fairlead_machinery::metrics::Workqueues;
use fairlead_machinery::permit::Permit;
use fairlead_machinery::shutdown::Tasks;
use fairlead_machinery::write::{RateLimit, Writer};
use fairlead_mirroring::controller as mirroring;
use fairlead_objects::Istr;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::args::{Controller, ManagerConfig};
use crate::identity::Identity;
use crate::informers::Informers;
use crate::loadbalancer::{Beside, CHECK};
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
    let asking = rivals::is_asked(config).then(|| {
        let events = events::channel(client.clone(), rivals::COMPONENT, event_metrics.clone(), permit);
        Asking::new(&config.namespace, registry, events, tasks, stop)
    });
    let canaries = Canaries::of(&config.namespace);
    let mut informers = Informers::new(registry, &config.controllers, &config.namespace);

    let mut waiting: Vec<Waiting> = Vec::new();
    let mut beside = None;
    for controller in config.controllers.iter() {
        let writer = rivals::narrow(controller, &writer, asking.as_ref(), checks, tasks, stop);
        let (metrics, permit) = (event_metrics.clone(), writer.permit().clone());
        let (recorder, events) = events::channel(client.clone(), component(controller), metrics, permit);
        tasks.spawn("events", events.run(stop.clone()));
        waiting.push(match controller {
            Controller::Endpoints => {
                let settings = endpoints_settings(config, &canaries);
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
                let settings = endpointslice_settings(config, &canaries);
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
                let settings = mirroring_settings(config, &canaries);
                let inputs = mirroring::Inputs {
                    services: informers.services.get(),
                    endpoints: informers.endpoints.get(),
                    slices: informers.slices.get(),
                };
                let controller =
                    mirroring::Controller::new(settings, inputs, writer, recorder, registry, &workqueues);
                Box::new(|stop| controller.run(stop).boxed())
            }
            Controller::LoadBalancer => {
                let settings = load_balancer_settings(config);
                let inputs = informers.of_load_balancers();
                let tools = (writer, recorder);
                beside = Some(Beside::new(settings, inputs, tools, checks, registry, &workqueues));
                continue;
            }
        });
    }

    let synced = informers.start(&client, tasks, checks, stop);
    // Without another controller the process is ready with this one, or when there is nothing that it could begin with.
    let alone = beside.as_ref().filter(|_| waiting.is_empty()).map(Beside::ready);
    if let Some(beside) = beside {
        let check = checks.add(CHECK, "waiting for the caches");
        tasks.spawn(CHECK, beside.run(check, stop.clone()));
    }
    let check = checks.add("controllers", "waiting for the caches");
    let (stop, ready) = (stop.clone(), ready.clone());
    tasks.spawn("controllers", async move {
        let caches = async {
            synced.await;
            if let Some(alone) = alone {
                alone.await;
            }
        };
        if stop.run_until_cancelled(caches).await.is_none() {
            return;
        }
        info!("all caches are complete, the controllers begin");
        check.ok();
        ready.cancel();
        join_all(waiting.into_iter().map(|begin| begin(stop.clone()))).await;
        // There may be none here, but a task that ends before its time ends the process.
        stop.cancelled().await;
    });
    Ok(())
}

/// The component in a controller's Events.
fn component(controller: Controller) -> &'static str {
    match controller {
        Controller::Endpoints => endpoints::COMPONENT,
        Controller::EndpointSlice => endpointslice::COMPONENT,
        Controller::Mirroring => mirroring::COMPONENT,
        Controller::LoadBalancer => loadbalancer::COMPONENT,
    }
}

fn endpoints_settings(config: &ManagerConfig, canaries: &Canaries) -> endpoints::Settings {
    endpoints::Settings {
        canaries: canaries.clone(),
        workers: config.endpoints.workers,
        batch_period: config.endpoints.batch_period,
        recheck_period: config.recheck_period,
        prune_leftovers: config.prune_leftovers,
    }
}

fn endpointslice_settings(config: &ManagerConfig, canaries: &Canaries) -> endpointslice::Settings {
    endpointslice::Settings {
        canaries: canaries.clone(),
        workers: config.endpointslice.workers,
        max_endpoints_per_slice: config.endpointslice.max_endpoints_per_slice,
        batch_period: config.endpointslice.batch_period,
        recheck_period: config.recheck_period,
        prune_leftovers: config.prune_leftovers,
    }
}

fn mirroring_settings(config: &ManagerConfig, canaries: &Canaries) -> mirroring::Settings {
    mirroring::Settings {
        canaries: canaries.clone(),
        workers: config.mirroring.workers,
        max_endpoints_per_subset: config.mirroring.max_endpoints_per_subset,
        batch_period: config.mirroring.batch_period,
        recheck_period: config.recheck_period,
    }
}

fn load_balancer_settings(config: &ManagerConfig) -> loadbalancer::Settings {
    loadbalancer::Settings {
        workers: config.load_balancer.workers,
        config: LoadBalancers {
            class: config.load_balancer.class.as_deref().map(Istr::from),
            drain_overlap: config.load_balancer.drain_overlap,
        },
        recheck_period: config.recheck_period,
        namespace: config.namespace.clone(),
        clock: WallClock::system(),
    }
}
