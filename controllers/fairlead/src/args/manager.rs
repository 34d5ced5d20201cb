//! The flags of `fairlead manager`, and what they mean once they are checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::Uri;

use super::Environment;
use super::common::{CommonFlags, namespace_or_default};
use super::controllers::Controllers;
use super::endpoints::{EndpointsConfig, EndpointsFlags};
use super::endpointslice::{EndpointSliceConfig, EndpointSliceFlags};
use super::leader_election::{LeaderElection, LeaderElectionFlags};
use super::loadbalancer::{LoadBalancerConfig, LoadBalancerFlags};
use super::mirroring::{MirroringConfig, MirroringFlags};
use super::values::{NO_TIME, Problems, boolean, duration, float32, int32, namespace, socket_address};
use crate::logging::Logging;

/// Burst where only a rate is given: client-go's default.
const BURST: u32 = 10;

/// The flags as they were given. Values stay text until [`ManagerFlags::check`], which can then name everything
/// that is wrong at once; clap would stop at the first.
#[derive(Args, Debug)]
pub(super) struct ManagerFlags {
    /// A list of controllers to enable. '*' enables all on-by-default controllers, 'foo' enables the controller
    /// named 'foo', '-foo' disables the controller named 'foo'. All controllers: endpoints-controller (alias
    /// endpoint), endpointslice-controller (alias endpointslice), endpointslice-mirroring-controller (alias
    /// endpointslicemirroring), loadbalancer-controller. Differs from kube-controller-manager: the last one gives
    /// addresses of pools to Services of type LoadBalancer.
    #[arg(long, value_name = "strings", default_value = "*", help_heading = GENERIC)]
    controllers: Vec<String>,

    /// Burst to use while talking with the API server, if there is a limit at all (see --kube-api-qps); 0 means 10.
    /// Differs from kube-controller-manager: default 0 instead of 30.
    #[arg(long, value_name = "int32", default_value = "0", help_heading = GENERIC)]
    kube_api_burst: String,

    /// QPS to use while talking with the API server. 0 or less means no limit on our side: the API server's
    /// priority and fairness decides. Differs from kube-controller-manager: default 0 instead of 20.
    #[arg(long, value_name = "float32", default_value = "0", help_heading = GENERIC)]
    kube_api_qps: String,

    #[command(flatten)]
    leader_election: LeaderElectionFlags,

    /// Accepted and without effect. Differs from kube-controller-manager: objects are checked again every
    /// --recheck-period, not at a random time between this period and twice as much.
    #[arg(long, value_name = "duration", default_value = "12h0m0s", help_heading = GENERIC)]
    min_resync_period: String,

    #[command(flatten)]
    endpoints: EndpointsFlags,

    #[command(flatten)]
    endpointslice: EndpointSliceFlags,

    #[command(flatten)]
    mirroring: MirroringFlags,

    #[command(flatten)]
    load_balancer: LoadBalancerFlags,

    /// IP address and port that serve /livez, /healthz and /readyz, and /metrics while the address is loopback. Port
    /// 0 picks a free one and logs it.
    #[arg(long, value_name = "ip:port", default_value = "[::]:10270", help_heading = FAIRLEAD)]
    admin_bind_address: String,

    /// Our own namespace. Default: that of the Pod, outside of a Pod fairlead-system.
    #[arg(long, value_name = "string", default_value = "", help_heading = FAIRLEAD)]
    namespace: String,

    /// Deletes the Endpoints and EndpointSlices of a Service when it loses its selector or becomes an ExternalName, if
    /// that happens while the manager runs; those that it finds at its start stay. Default: all stay, as with
    /// kube-controller-manager, and the Service gets an event.
    #[arg(
        long,
        value_name = "bool",
        default_value = "false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = FAIRLEAD,
    )]
    prune_leftovers: String,

    /// In this time every object is checked once, spread evenly, and put right if it is not as it should be; at
    /// least 1s. A check that finds nothing to do writes nothing.
    #[arg(long, value_name = "duration", default_value = "10m0s", help_heading = FAIRLEAD)]
    recheck_period: String,

    /// Asks whether kube-controller-manager, or another Fairlead, runs a controller that is enabled here: before the first
    /// write if kube-controller-manager has a Lease that is alive, and every 30s. While somebody does, that controller
    /// stands aside and writes nothing.
    #[arg(
        long,
        value_name = "bool",
        default_value = "true",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = FAIRLEAD,
    )]
    rival_check: String,

    #[command(flatten)]
    common: CommonFlags,
}

// kube-controller-manager's sections, so that the two texts can be laid side by side.
const GENERIC: &str = "Generic flags";
const FAIRLEAD: &str = "Fairlead flags";

/// What `fairlead manager` is to do. Every value is within its range.
#[derive(Debug)]
pub(crate) struct ManagerConfig {
    /// `--kubeconfig`; `None`: the service account of the Pod.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// `--master`: the API server's URL, with scheme and host, in place of the kubeconfig's.
    pub(crate) master: Option<Uri>,
    /// `--kube-api-qps` and `--kube-api-burst`; `None`: no limit on our side.
    pub(crate) api_limit: Option<ApiLimit>,
    /// `--controllers`
    pub(crate) controllers: Controllers,
    /// The flags of leader election; `None`: there is none.
    pub(crate) leader_election: Option<LeaderElection>,
    /// The flags of the Endpoints controller.
    pub(crate) endpoints: EndpointsConfig,
    /// The flags of the EndpointSlice controller.
    pub(crate) endpointslice: EndpointSliceConfig,
    /// The flags of the mirroring controller.
    pub(crate) mirroring: MirroringConfig,
    /// The flags of the loadbalancer-controller.
    pub(crate) load_balancer: LoadBalancerConfig,
    /// `--prune-leftovers`
    pub(crate) prune_leftovers: bool,
    /// `--recheck-period`, at least a second.
    pub(crate) recheck_period: Duration,
    /// `--rival-check`
    pub(crate) rival_check: bool,
    /// `--namespace`: a valid name.
    pub(crate) namespace: String,
    /// `--admin-bind-address`
    pub(crate) admin_bind_address: SocketAddr,
    /// Sentences to be logged at the start: what was accepted, but has no effect.
    pub(crate) notices: Vec<&'static str>,
}

/// The most requests that may be sent to the API server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ApiLimit {
    /// Requests per second; positive and finite.
    pub(crate) qps: f32,
    /// Requests at once; at least 1.
    pub(crate) burst: u32,
}

impl ManagerFlags {
    /// The meaning of the flags, or a sentence for each that is wrong.
    pub(super) fn check(&self, environment: &Environment) -> Result<(Logging, ManagerConfig), Vec<String>> {
        let mut problems = Problems::default();
        let controllers = problems.take(
            "controllers",
            Controllers::parse(self.controllers.iter().flat_map(|list| list.split(','))),
        );
        let burst = problems.take("kube-api-burst", int32(&self.kube_api_burst, &(0..=i32::MAX)));
        let qps = problems.take("kube-api-qps", float32(&self.kube_api_qps));
        let leader_election = self.leader_election.check(&mut problems);
        let resync = problems.take("min-resync-period", duration(&self.min_resync_period, NO_TIME));
        let endpoints = self.endpoints.check(&mut problems);
        let endpointslice = self.endpointslice.check(&mut problems);
        let mirroring = self.mirroring.check(&mut problems);
        let load_balancer = self.load_balancer.check(&mut problems);
        let prune_leftovers = problems.take("prune-leftovers", boolean(&self.prune_leftovers));
        let admin_bind_address =
            problems.take("admin-bind-address", socket_address(&self.admin_bind_address));
        let namespace =
            problems.take("namespace", namespace(namespace_or_default(&self.namespace, environment)));
        let recheck_period =
            problems.take("recheck-period", duration(&self.recheck_period, (Duration::from_secs(1), "1s")));
        let rival_check = problems.take("rival-check", boolean(&self.rival_check));
        let (logging, master) = self.common.check(environment, &mut problems);

        let (
            Some(controllers),
            Some(burst),
            Some(qps),
            Some(_),
            Some(endpoints),
            Some(endpointslice),
            Some(mirroring),
            Some(load_balancer),
            Some(prune_leftovers),
            Some(admin_bind_address),
            Some(namespace),
            Some(recheck_period),
            Some(rival_check),
            Some(master),
            Some(logging),
            true,
        ) = (
            controllers,
            burst,
            qps,
            resync,
            endpoints,
            endpointslice,
            mirroring,
            load_balancer,
            prune_leftovers,
            admin_bind_address,
            namespace,
            recheck_period,
            rival_check,
            master,
            logging,
            problems.is_empty(),
        )
        else {
            return Err(problems.into_sentences());
        };
        let config = ManagerConfig {
            kubeconfig: self.common.kubeconfig(),
            master,
            api_limit: (qps > 0.0)
                .then(|| ApiLimit { qps, burst: if burst == 0 { BURST } else { burst.cast_unsigned() } }),
            controllers,
            leader_election,
            endpoints,
            endpointslice,
            mirroring,
            load_balancer,
            prune_leftovers,
            recheck_period,
            rival_check,
            namespace,
            admin_bind_address,
            notices: self.notices(qps, burst),
        };
        Ok((logging, config))
    }

    fn notices(&self, qps: f32, burst: i32) -> Vec<&'static str> {
        let mut notices = Vec::new();
        if self.min_resync_period != "12h0m0s" {
            notices
                .push("--min-resync-period has no effect: objects are checked again every --recheck-period");
        }
        if burst > 0 && qps <= 0.0 {
            notices
                .push("--kube-api-burst has no effect: without --kube-api-qps there is no limit on our side");
        }
        notices
    }
}
