//! Standing aside while somebody else does the work of a controller.

use fairlead_machinery::admin::Checks;
use fairlead_machinery::canary::{Asker, Canary, CanaryMetrics, Report};
use fairlead_machinery::events::{self, Recorder};
use fairlead_machinery::permit::Gate;
use fairlead_machinery::shutdown::Tasks;
use fairlead_machinery::write::Writer;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::args::{Controller, ManagerConfig};

/// The component in Events about rivals.
pub(crate) const COMPONENT: &str = "fairlead-manager";

/// Does anybody ask for rivals? With nobody who does, nobody would hold what records their events, and its task would end.
pub(crate) fn is_asked(config: &ManagerConfig) -> bool {
    config.rival_check && config.controllers.iter().any(|it| it != Controller::LoadBalancer)
}

/// What those who ask have in common.
pub(crate) struct Asking {
    namespace: String,
    metrics: CanaryMetrics,
    recorder: Recorder,
}

impl Asking {
    /// They ask by the canaries of this namespace, and record these events.
    pub(crate) fn new(
        namespace: &str,
        registry: &Registry,
        (recorder, events): (Recorder, events::Writer),
        tasks: &mut Tasks,
        stop: &CancellationToken,
    ) -> Self {
        tasks.spawn("events", events.run(stop.clone()));
        Self { namespace: namespace.to_owned(), metrics: CanaryMetrics::new(registry), recorder }
    }
}

/// The writer for a controller: nothing goes through it while somebody else does its work. Without `asking` nobody finds
/// that out.
pub(crate) fn narrow(
    controller: Controller,
    writer: &Writer,
    asking: Option<&Asking>,
    checks: &Checks,
    tasks: &mut Tasks,
    stop: &CancellationToken,
) -> Writer {
    let canary = match controller {
        Controller::Endpoints => Canary::ENDPOINTS,
        Controller::EndpointSlice => Canary::ENDPOINTSLICE,
        Controller::Mirroring => Canary::MIRRORING,
        // kube-controller-manager has none; other implementations are told by their marks.
        Controller::LoadBalancer => return writer.clone(),
    };
    let name = format!("rival/{}", canary.controller);
    let check = checks.add(name.clone(), "starting");
    let Some(Asking { namespace, metrics, recorder }) = asking else {
        check.ok_with("nobody asks (--rival-check=false)");
        return writer.clone();
    };
    let gate = Gate::closed();
    let narrowed = writer.with_permit(writer.permit().narrowed(&gate));
    let report = Report::new(canary.controller, check, metrics.clone(), recorder.clone());
    tasks.spawn(name, Asker::new(canary, namespace, writer.clone(), gate, report).run(stop.clone()));
    narrowed
}
