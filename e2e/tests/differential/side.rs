//! One of the two: a lab with controllers at work, on which operations are done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use lab::{Error, Lab, Manager, NotYet, Process, Result};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::compare::Special;
use crate::mirror::{Copy, Mirror};
use crate::normal::{self, Births, MIRRORING_CONTROLLER, SLICE_CONTROLLER, Slice, State};
use crate::operation::{Kind, Operation};
use crate::support::{controllers, objects_only};

/// Endpoints in a slice, few so that there are many slices.
pub(crate) const CAPACITY: usize = 3;
/// Addresses of a subset that are mirrored.
const MIRRORED: usize = 5;
/// The zones of the Nodes that count for topology hints: one Node each, the same ones all the time.
pub(crate) const ZONES: [&str; 3] = ["zone-a", "zone-b", "zone-c"];
/// Nodes of a namespace, one in each zone at first. They are labelled as control plane, so that they count for no
/// other namespace's hints.
pub(crate) const NODES: usize = 3;
/// Where the sentinels are.
const SENTINELS: &str = "sentinels";
/// Longer than controllers take to start or to come to a sentinel on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The flags of both sides: small sizes, so that the limits are met.
fn limits() -> Vec<String> {
    let mut flags = vec![format!("--max-endpoints-per-slice={CAPACITY}")];
    if controllers().contains("mirroring") {
        flags.push(format!("--mirroring-max-endpoints-per-subset={MIRRORED}"));
    }
    flags
}

/// Who writes.
enum Controllers {
    Upstream(Process),
    Fairlead(Manager),
}

/// A lab with its controllers.
pub(crate) struct Side {
    pub(crate) lab: Lab,
    controllers: Controllers,
    mirror: Mirror,
    births: Mutex<BTreeMap<String, Births>>,
    touches: Mutex<u64>,
    rounds: Mutex<u64>,
}

impl Side {
    /// kube-controller-manager.
    pub(crate) async fn upstream() -> Result<Self> {
        let lab = objects_only().nodes(0).start().await?;
        // Its ordinary limit of 20 requests per second would be most of what is seen.
        let mut flags = vec!["--kube-api-qps=10000", "--kube-api-burst=10000"];
        let limits = limits();
        flags.extend(limits.iter().map(String::as_str));
        let process = lab.upstream(&controllers(), &flags).await?;
        Self::begin(lab, Controllers::Upstream(process)).await
    }

    /// Fairlead.
    pub(crate) async fn fairlead() -> Result<Self> {
        let lab = objects_only().nodes(0).start().await?;
        let manager = lab.manager().controllers(&controllers()).flag("--rival-check=false");
        let manager = limits().iter().fold(manager, |manager, flag| manager.flag(flag)).start().await?;
        Self::begin(lab, Controllers::Fairlead(manager)).await
    }

    async fn begin(lab: Lab, controllers: Controllers) -> Result<Self> {
        for zone in ZONES {
            lab.paper_node(&format!("in-{zone}"), Some(zone)).await?;
        }
        lab.namespace(SENTINELS).await?;
        let mirror = Mirror::start(&lab.api());
        let (births, touches, rounds) = (Mutex::default(), Mutex::default(), Mutex::default());
        let side = Self { lab, controllers, mirror, births, touches, rounds };
        side.begin_sentinels().await?;
        side.pass_sentinels().await?;
        Ok(side)
    }

    /// A namespace with its Nodes.
    pub(crate) async fn begin_namespace(&self, namespace: &str) -> Result<()> {
        self.lab.namespace(namespace).await?;
        for (number, zone) in (0..NODES).zip(ZONES) {
            let node = json!({ "metadata": { "name": format!("{namespace}-n{number}"), "labels": {
                "topology.kubernetes.io/zone": zone, "node-role.kubernetes.io/control-plane": "" } },
                "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
            self.create(namespace, Kind::Node, node).await?;
        }
        Ok(())
    }

    /// Removes what a namespace has, so that the controllers and watches have no more to do with it.
    pub(crate) async fn end_namespace(&self, namespace: &str) -> Result<()> {
        for kind in [Kind::Service, Kind::Pod, Kind::Endpoints, Kind::EndpointSlice] {
            let objects = self.api(namespace, kind);
            for object in objects.list(&kube::api::ListParams::default()).await? {
                let name = object.metadata.name.unwrap_or_default();
                if object.metadata.finalizers.is_some() {
                    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
                    code(objects.patch(&name, &PatchParams::default(), &patch).await)?;
                }
                code(objects.delete(&name, &DeleteParams::default().grace_period(0)).await)?;
            }
        }
        for number in 0..NODES {
            let name = format!("{namespace}-n{number}");
            code(self.api(namespace, Kind::Node).delete(&name, &DeleteParams::default()).await)?;
        }
        Ok(())
    }

    /// A namespace as it is now.
    pub(crate) fn copy(&self, namespace: &str) -> Copy {
        self.mirror.namespace(namespace)
    }

    /// [`Mirror::version`].
    pub(crate) fn version(&self, namespace: &str) -> (u64, Option<std::time::Instant>) {
        self.mirror.version(namespace)
    }

    /// A namespace in comparable form.
    pub(crate) fn state(&self, namespace: &str) -> State {
        let births = self.births.lock().get(namespace).cloned().unwrap_or_default();
        normal::state(&self.copy(namespace), &births)
    }

    /// What Fairlead's log has to say of a namespace that people should know.
    pub(crate) fn warnings(&self, namespace: &str) -> Result<String> {
        let Controllers::Fairlead(manager) = &self.controllers else { return Ok(String::new()) };
        let log = manager.log()?;
        let is_about = |line: &&str| line.contains("WARN") && line.contains(&format!("{namespace}/"));
        let mut warnings = String::new();
        for line in log.lines().filter(is_about) {
            let _ = writeln!(warnings, "  log      {line}");
        }
        Ok(warnings)
    }

    /// The Services for which there are rules.
    pub(crate) fn special(&self, namespace: &str) -> Special {
        let copy = self.copy(namespace);
        let having = |part: &str, keys: [&str; 2]| {
            let has = |service: &Value| keys.iter().any(|key| service["metadata"][part][*key].is_string());
            copy.of(Kind::Service).filter(|(_, it)| has(it)).map(|(name, _)| name.to_owned()).collect()
        };
        Special {
            auto: having(
                "annotations",
                ["service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"],
            ),
            rewritten: having(
                "labels",
                ["service.kubernetes.io/headless", "endpoints.kubernetes.io/managed-by"],
            ),
        }
    }

    /// Does something, and returns what the API server says to it: an HTTP status.
    pub(crate) async fn perform(&self, namespace: &str, operation: &Operation) -> Result<u16> {
        match operation.within(namespace)? {
            Operation::Create { kind, object } => self.create(namespace, kind, object).await,
            Operation::Patch { kind, name, status, patch } => {
                self.patch(namespace, kind, &name, status, patch).await
            }
            Operation::Delete { kind, name, grace } => {
                let params = grace
                    .map_or_else(DeleteParams::default, |grace| DeleteParams::default().grace_period(grace));
                code(self.api(namespace, kind).delete(&name, &params).await)
            }
            Operation::Slice { service, at, patch } => {
                let Some(slice) = self.slice(namespace, &service, at) else { return Ok(404) };
                if let Some(patch) = patch {
                    return self.patch(namespace, Kind::EndpointSlice, &slice.name.0, false, patch).await;
                }
                let slices = self.api(namespace, Kind::EndpointSlice);
                code(slices.delete(&slice.name.0, &DeleteParams::default()).await)
            }
            Operation::Restart => self.restart().await.map(|()| 200),
        }
    }

    /// The slice that an operation is about.
    pub(crate) fn slice(&self, namespace: &str, service: &str, at: usize) -> Option<Slice> {
        let mut slices = self.state(namespace).slices;
        slices.retain(|slice| slice.service == service);
        let count = slices.len();
        slices.into_iter().nth(at.checked_rem(count)?)
    }

    async fn create(&self, namespace: &str, kind: Kind, mut object: Value) -> Result<u16> {
        let status = object.as_object_mut().and_then(|object| object.remove("status"));
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let resource = kind.resource();
        object["apiVersion"] = resource.api_version.into();
        object["kind"] = resource.kind.into();
        let object: DynamicObject =
            serde_json::from_value(object).map_err(|error| Error::Invalid(format!("{name}: {error}")))?;
        let created = self.api(namespace, kind).create(&PostParams::default(), &object).await;
        if let Ok(created) = &created {
            let created = serde_json::to_value(created).unwrap_or_default();
            self.births.lock().entry(namespace.to_owned()).or_default().remember(kind, &created);
        }
        match (code(created)?, status) {
            (200..300, Some(status)) => {
                self.patch(namespace, kind, &name, true, json!({ "status": status })).await
            }
            (code, _) => Ok(code),
        }
    }

    async fn patch(
        &self,
        namespace: &str,
        kind: Kind,
        name: &str,
        status: bool,
        patch: Value,
    ) -> Result<u16> {
        let (api, params, patch) = (self.api(namespace, kind), PatchParams::default(), Patch::Merge(patch));
        code(if status {
            api.patch_status(name, &params, &patch).await
        } else {
            api.patch(name, &params, &patch).await
        })
    }

    fn api(&self, namespace: &str, kind: Kind) -> Api<DynamicObject> {
        match kind {
            Kind::Node => Api::all_with(self.lab.api(), &kind.resource()),
            _ => Api::namespaced_with(self.lab.api(), namespace, &kind.resource()),
        }
    }

    /// Changes all Services of a namespace in a way that means nothing.
    pub(crate) async fn touch(&self, namespace: &str) -> Result<()> {
        let number = {
            let mut touches = self.touches.lock();
            *touches += 1;
            *touches
        };
        let services = self.api(namespace, Kind::Service);
        for service in services.list(&kube::api::ListParams::default()).await? {
            let patch =
                json!({ "metadata": { "annotations": { "example.com/touched": number.to_string() } } });
            let name = service.metadata.name.unwrap_or_default();
            self.patch(namespace, Kind::Service, &name, false, patch).await?;
        }
        Ok(())
    }

    /// Takes away what depends on the moment at which a controller saw something: leftovers of Services that no longer
    /// select Pods, which are as they were at the last sync, Endpoints and slices without a Service, which are gone or
    /// not, and what somebody wrote on Endpoints, which may have come before those of the controller. And touches all
    /// Services.
    pub(crate) async fn level(&self, namespace: &str, selecting: &BTreeSet<String>) -> Result<()> {
        let everything = kube::api::ListParams::default();
        let services = self.api(namespace, Kind::Service);
        let mut names = BTreeSet::new();
        for service in services.list(&everything).await? {
            let name = service.metadata.name.unwrap_or_default();
            let spec = &service.data["spec"];
            let selects = spec["selector"].is_object() && spec["type"] != "ExternalName";
            if selecting.contains(&name) && !selects {
                let kind =
                    if spec["type"] == "ExternalName" { json!("ClusterIP") } else { spec["type"].clone() };
                let patch = json!({ "spec": { "type": kind, "externalName": null, "selector": { "app": "a" },
                    "ports": [{ "port": 80 }] } });
                self.patch(namespace, Kind::Service, &name, false, patch).await?;
            }
            names.insert(name);
        }
        for kind in [Kind::Endpoints, Kind::EndpointSlice] {
            let objects = self.api(namespace, kind);
            for object in objects.list(&everything).await? {
                let name = object.metadata.name.clone().unwrap_or_default();
                let label = object.metadata.labels.unwrap_or_default().remove("kubernetes.io/service-name");
                let service = if kind == Kind::Endpoints { name.clone() } else { label.unwrap_or_default() };
                let anew = kind == Kind::Endpoints && selecting.contains(&service);
                if anew || !names.contains(&service) {
                    code(objects.delete(&name, &DeleteParams::default()).await)?;
                }
            }
        }
        self.touch(namespace).await
    }

    /// Ends the controllers in good order and starts them anew.
    pub(crate) async fn restart(&self) -> Result<()> {
        match &self.controllers {
            Controllers::Upstream(process) => {
                process.terminate().await?;
                process.restart()?;
            }
            Controllers::Fairlead(manager) => crate::support::restart(manager).await?,
        }
        self.pass_sentinels().await
    }

    async fn begin_sentinels(&self) -> Result<()> {
        let pod = json!({ "metadata": { "name": "guard", "labels": { "app": "guard" } }, "spec": {
            "nodeName": "in-zone-a", "automountServiceAccountToken": false,
            "containers": [{ "name": "server", "image": "lab.invalid/server" }] },
            "status": { "phase": "Running", "podIP": "10.63.0.1", "podIPs": [{ "ip": "10.63.0.1" }] } });
        self.create(SENTINELS, Kind::Pod, pod).await?;
        let port = json!([{ "name": "http", "port": 80, "targetPort": 8080 }]);
        let selected = json!({ "metadata": { "name": "selected" }, "spec": { "selector": { "app": "guard" }, "ports": port } });
        self.create(SENTINELS, Kind::Service, selected).await?;
        let written = json!({ "metadata": { "name": "written" }, "spec": { "ports": port } });
        self.create(SENTINELS, Kind::Service, written).await?;
        let endpoints = json!({ "metadata": { "name": "written" }, "subsets": [
            { "addresses": [{ "ip": "10.63.0.2" }], "ports": [{ "name": "http", "port": 80 }] }] });
        self.create(SENTINELS, Kind::Endpoints, endpoints).await.map(drop)
    }

    /// Changes one object of each kind that controllers watch, and waits until everything written for these objects
    /// shows it. Controllers work on changes in their order, so they have seen all that happened before.
    pub(crate) async fn pass_sentinels(&self) -> Result<()> {
        let round = {
            let mut rounds = self.rounds.lock();
            *rounds += 1;
            *rounds
        };
        let (text, ready) = (round.to_string(), round % 2 == 1);
        let label = json!({ "metadata": { "labels": { "round": text } } });
        let note = json!({ "metadata": { "annotations": { "round": text } } });
        let condition = json!({ "type": "Ready", "status": if ready { "True" } else { "False" } });
        let status = json!({ "status": { "conditions": [condition] } });
        self.patch(SENTINELS, Kind::Endpoints, "written", false, note).await?;
        self.patch(SENTINELS, Kind::Service, "selected", false, label).await?;
        self.patch(SENTINELS, Kind::Pod, "guard", true, status).await?;
        let what = format!("the controllers of lab {} to see round {round}", self.lab.number());
        self.lab.wait_until(what, PATIENCE, async || self.has_passed(&text, ready)).await
    }

    fn has_passed(&self, round: &str, ready: bool) -> Result<(), NotYet> {
        let copy = self.copy(SENTINELS);
        let slice = |service: &str, manager: &str| {
            let found = copy.of(Kind::EndpointSlice).map(|(_, it)| it).find(|it| {
                let labels = &it["metadata"]["labels"];
                labels["kubernetes.io/service-name"] == service
                    && labels["endpointslice.kubernetes.io/managed-by"] == manager
            });
            found.map(|it| Value::clone(it)).unwrap_or_default()
        };
        let shows = |controller: &str| match controller {
            "endpointslice-controller" => {
                let slice = slice("selected", SLICE_CONTROLLER);
                slice["metadata"]["labels"]["round"] == round
                    && slice["endpoints"][0]["conditions"]["ready"] == ready
            }
            "endpointslice-mirroring-controller" => {
                slice("written", MIRRORING_CONTROLLER)["metadata"]["annotations"]["round"] == round
            }
            _ => copy.objects.get(&(Kind::Endpoints, "selected".to_owned())).is_some_and(|endpoints| {
                let list = if ready { "addresses" } else { "notReadyAddresses" };
                endpoints["metadata"]["labels"]["round"] == round
                    && endpoints["subsets"][0][list][0]["ip"] == "10.63.0.1"
            }),
        };
        match controllers().split(',').find(|controller| !shows(controller)) {
            None => Ok(()),
            Some(controller) => Err(format!("{controller}: {:?}", copy.objects).into()),
        }
    }
}

/// The status of an answer; only a request without one is an error.
fn code<T>(answer: Result<T, kube::Error>) -> Result<u16> {
    match answer {
        Ok(_) => Ok(200),
        Err(kube::Error::Api(status)) => Ok(status.code),
        Err(error) => Err(error.into()),
    }
}
