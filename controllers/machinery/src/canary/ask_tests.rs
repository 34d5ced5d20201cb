use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::time::sleep;
use tower::service_fn;

use super::super::report::CanaryMetrics;
use super::*;
use crate::admin::Checks;
use crate::events::{self, EventMetrics};
use crate::permit::Permit;
use crate::shutdown::Shutdown;

const CONTROLLER: &str = "endpointslice-controller";
const QUESTION: &str = "question.fairlead.dev/endpointslice-controller";
const NOTE: &str = "rival.fairlead.dev/endpointslice-controller";

/// The API server's part of it: one Service, its slice, and kube-controller-manager's Lease.
#[derive(Default)]
struct World {
    service: Option<Value>,
    slice: Option<Value>,
    lease: Option<Value>,
    /// Does a rival answer, and by which value of the label managed-by?
    rival: Option<&'static str>,
    forbidden: bool,
    questions: usize,
}

impl World {
    fn answer(&mut self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        let not_found =
            (404, json!({"kind": "Status", "reason": "NotFound", "message": "not found", "code": 404}));
        let found = |object: &Option<Value>| object.clone().map_or(not_found.clone(), |object| (200, object));
        if path.contains("/leases/") {
            return found(&self.lease);
        }
        if path.contains("/endpointslices?") {
            return (200, json!({ "items": Vec::from_iter(self.slice.clone()) }));
        }
        if *method == Method::GET {
            return found(&self.service);
        }
        if self.forbidden {
            return (403, json!({"kind": "Status", "reason": "Forbidden", "message": "no", "code": 403}));
        }
        match (method, &mut self.service) {
            (&Method::PATCH, None) => return not_found,
            (&Method::PATCH, Some(service)) => merge(service, body),
            _ => self.service = Some(body),
        }
        let Some(service) = &mut self.service else { return not_found };
        service["metadata"]["uid"] = "u1".into();
        let service = service.clone();
        self.questions += 1;
        if let Some(managed_by) = self.rival {
            let mut labels = service["metadata"]["labels"].clone();
            labels[SLICE_MANAGED_BY] = managed_by.into();
            let managers = json!([{ "manager": "kube-controller-manager", "time": "2026-01-02T03:04:05Z" }]);
            self.slice = Some(json!({ "metadata": { "labels": labels, "managedFields": managers } }));
        }
        (200, service)
    }
}

fn merge(object: &mut Value, patch: Value) {
    match patch {
        Value::Object(fields) => {
            for (key, value) in fields {
                merge(&mut object[key], value);
            }
        }
        other => *object = other,
    }
}

/// An asker at work on a world.
struct Scene {
    world: Arc<Mutex<World>>,
    gate: Gate,
    leads: Gate,
    checks: Checks,
    registry: Registry,
    stop: CancellationToken,
}

impl Scene {
    fn start(world: World) -> Self {
        let world = Arc::new(Mutex::new(world));
        let scene = Self {
            world,
            gate: Gate::opened(),
            leads: Gate::opened(),
            checks: Checks::new(Shutdown::new()),
            registry: Registry::new(),
            stop: CancellationToken::new(),
        };
        let seen = Arc::clone(&scene.world);
        let client = Client::new(
            service_fn(move |request: Request<Body>| {
                let world = Arc::clone(&seen);
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let body = serde_json::from_slice(&body).unwrap_or_default();
                    let (status, answer) = world.lock().answer(&parts.method, &parts.uri.to_string(), body);
                    let bytes = answer.to_string().into_bytes();
                    Ok::<_, Infallible>(Response::builder().status(status).body(Body::from(bytes)).unwrap())
                }
            }),
            "default",
        );
        let permit = Permit::until(CancellationToken::new()).narrowed(&scene.leads);
        let writer = Writer::new(client.clone(), permit.clone(), None);
        let events = EventMetrics::new(&scene.registry);
        let (recorder, _) = events::channel(client, "test", events, permit);
        let check = scene.checks.add("rival", "starting");
        let report = Report::new(CONTROLLER, check, CanaryMetrics::new(&scene.registry), recorder);
        let asker = Asker::new(Canary::ENDPOINTSLICE, "ns", writer, scene.gate.clone(), report);
        tokio::spawn(asker.run(scene.stop.clone()));
        scene
    }

    fn service(&self) -> Value {
        self.world.lock().service.clone().unwrap_or_default()["metadata"].take()
    }

    fn line(&self) -> String {
        let report = self.checks.report();
        assert!(report.is_ok(), "{}", report.lines());
        report.lines().lines().next().unwrap_or_default().to_owned()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn alive() -> Value {
    let renewed = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
    json!({ "metadata": {}, "spec": { "holderIdentity": "cp", "renewTime": renewed } })
}

const CONTROLLER_ITSELF: Option<&str> = Some("endpointslice-controller.k8s.io");

#[tokio::test(start_paused = true)]
async fn nobody_answers_and_the_first_write_waits_only_for_a_live_lease() {
    for (lease, waits) in [(None, false), (Some(alive()), true)] {
        let scene = Scene::start(World { lease, ..World::default() });
        sleep(Duration::from_secs(4)).await;
        assert_eq!(scene.gate.is_open(), !waits);
        assert_eq!(scene.service()["annotations"], Value::Null, "nothing is known yet that could be noted");
        sleep(Duration::from_secs(2)).await;
        assert!(scene.gate.is_open());
        assert_eq!(scene.line(), "[+]rival ok: works");
        let service = scene.service();
        assert!(
            service["labels"][QUESTION].as_str().is_some_and(|question| question.ends_with("-1")),
            "{service}"
        );
        let note = Note::parse(service["annotations"][NOTE].as_str().unwrap_or_default()).unwrap();
        assert!(!note.aside);
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_answers_closes_the_gate_and_its_silence_opens_it() {
    let scene = Scene::start(World { lease: Some(alive()), rival: CONTROLLER_ITSELF, ..World::default() });
    sleep(Duration::from_secs(40)).await;
    assert!(!scene.gate.is_open());
    assert_eq!(scene.line(), "[+]rival ok: stands aside, because kube-controller-manager does its work");
    assert!(scene.service()["annotations"][NOTE].as_str().unwrap().starts_with("standing-aside "));
    // Its last answer stays; only a new one counts.
    scene.world.lock().rival = None;
    sleep(Duration::from_secs(70)).await;
    assert!(scene.gate.is_open());
    assert!(scene.service()["annotations"][NOTE].as_str().unwrap().starts_with("working "));
}

#[tokio::test(start_paused = true)]
async fn labels_that_others_copied_are_no_answer() {
    let scene = Scene::start(World { rival: Some("somebody-else"), ..World::default() });
    sleep(Duration::from_mins(2)).await;
    assert!(scene.gate.is_open());
    // Nor is an answer to another process, whose questions have the same numbers.
    let scene = Scene::start(World { rival: CONTROLLER_ITSELF, ..World::default() });
    sleep(Duration::from_secs(1)).await;
    assert!(!scene.gate.is_open());
    let old = scene.world.lock().slice.clone();
    let scene = Scene::start(World { slice: old, ..World::default() });
    sleep(Duration::from_secs(10)).await;
    assert!(scene.gate.is_open());
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_told_and_stops_nobody() {
    let scene = Scene::start(World { lease: Some(alive()), forbidden: true, ..World::default() });
    sleep(Duration::from_secs(4)).await;
    assert!(!scene.gate.is_open());
    sleep(Duration::from_secs(3)).await;
    assert!(scene.gate.is_open());
    let line = scene.line();
    assert!(line.starts_with("[+]rival ok: works; cannot find out whether somebody else does: "), "{line}");
    scene.world.lock().forbidden = false;
    sleep(Duration::from_secs(40)).await;
    assert_eq!(scene.line(), "[+]rival ok: works");
}

#[tokio::test(start_paused = true)]
async fn a_standby_asks_nothing() {
    let scene = Scene::start(World { lease: Some(alive()), ..World::default() });
    scene.leads.close();
    sleep(Duration::from_mins(2)).await;
    assert_eq!(scene.world.lock().questions, 0);
    assert!(!scene.gate.is_open());
    scene.leads.open();
    sleep(Duration::from_secs(6)).await;
    assert!(scene.gate.is_open());
    assert!(scene.world.lock().questions > 0);
    // It asks as long as it leads, and no longer; and what it does when it leads again is asked anew.
    scene.leads.close();
    sleep(Duration::from_secs(31)).await;
    let asked = scene.world.lock().questions;
    sleep(Duration::from_mins(2)).await;
    assert_eq!(scene.world.lock().questions, asked);
    assert!(!scene.gate.is_open());
}
