//! Others who will not let the slices of a Service be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fairlead_fake_api::{Author, FakeApi, NODES, PODS, SERVICES, SLICES, Weather};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::history::NAMESPACE;
use crate::oracle;
use crate::process::Process;

const MINUTE: Duration = Duration::from_mins(1);
/// What a change of a Pod and the write that it calls for take, without any faults.
const MOMENT: Duration = Duration::from_millis(500);
/// Reverts in half an hour: five at once, then one every five minutes.
const REVERTS: usize = 5 + 6;

/// A Service with one Pod, and its controller.
struct Scene {
    api: FakeApi,
    process: Process,
    rival: Option<JoinHandle<()>>,
}

impl Scene {
    async fn new() -> Self {
        let api = FakeApi::new(1);
        api.put(&NODES, json!({"metadata": {"name": "n"}}));
        api.put(
            &SERVICES,
            json!({"metadata": {"namespace": NAMESPACE, "name": "s"},
            "spec": {"ipFamilies": ["IPv4"], "selector": {"app": "a"},
                "ports": [{"name": "", "protocol": "TCP", "port": 80, "targetPort": 80}]}}),
        );
        let scene = Self { process: Process::start(&api), api, rival: None };
        scene.add_pod(1);
        sleep(MINUTE).await;
        assert_eq!(oracle::check(&scene.api), Ok(()), "before anything happened");
        scene
    }

    fn add_pod(&self, number: u8) {
        let ip = format!("10.0.0.{number}");
        self.api.put(&PODS, json!({"metadata": {"namespace": NAMESPACE, "name": format!("p{number}"), "labels": {"app": "a"}},
            "spec": {"nodeName": "n"}, "status": {"podIP": ip, "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": "True"}]}}));
    }

    fn flip(&self, number: u8, ready: bool) {
        self.api.edit(&PODS, NAMESPACE, &format!("p{number}"), |pod| {
            pod["status"]["conditions"][0]["status"] = if ready { "True" } else { "False" }.into();
        });
    }

    /// Another Pod's change each second or more often, for half a minute.
    async fn flip_for_half_a_minute(&self) {
        for round in 0..43 {
            self.flip(1, round % 2 == 0);
            sleep(Duration::from_millis(700)).await;
        }
    }

    fn contested(&self) -> usize {
        self.process.metric("fairlead_contested_services{resource=\"endpointslices\"}")
    }

    /// Somebody who does this to every slice again and again, as often as anything is left to do.
    fn rival(&mut self, act: fn(&FakeApi, &str, &Value)) {
        let api = self.api.clone();
        self.rival = Some(tokio::spawn(async move {
            loop {
                for slice in api.list(&SLICES) {
                    act(&api, slice["metadata"]["name"].as_str().unwrap_or_default(), &slice);
                }
                sleep(Duration::from_millis(20)).await;
            }
        }));
    }

    fn writes_since(&self, version: u64) -> usize {
        let events = self.api.events_after(version);
        events.iter().filter(|event| event.kind == &SLICES && event.author == Author::Client).count()
    }

    /// Endpoints that were in a slice at some moment since then.
    fn was_published(&self, version: u64, pod: &str) -> bool {
        let events = self.api.events_after(version);
        let slices =
            events.iter().filter(|event| event.kind == &SLICES).filter_map(|event| event.new.as_ref());
        slices
            .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
            .any(|it| it["targetRef"]["name"] == pod)
    }

    /// The fight of half an hour, and what follows it.
    async fn fight(mut self, what: &str) {
        let begun = self.api.version();
        sleep(10 * MINUTE).await;
        let (early, version) = (self.writes_since(begun), self.api.version());
        assert!((5..=7).contains(&early), "{what}: {early} writes in the first ten minutes");
        // The recheck comes by twice and is no way around.
        sleep(20 * MINUTE).await;
        let writes = self.writes_since(begun);
        assert!(
            (9..=REVERTS).contains(&writes),
            "{what}: {writes} writes in half an hour, {} late",
            self.writes_since(version)
        );

        // What happens to Pods is published all the same, and puts the rest right for a moment.
        let version = self.api.version();
        self.add_pod(2);
        sleep(MOMENT).await;
        assert!(
            self.was_published(version, "p2") && self.was_published(version, "p1"),
            "{what}: a change of a Pod waits"
        );

        self.rival.take().expect("there is a rival").abort();
        sleep(5 * MINUTE).await;
        assert_eq!(oracle::check(&self.api), Ok(()), "{what}: five minutes after it ended");
        let version = self.api.version();
        sleep(15 * MINUTE).await;
        assert_eq!(self.writes_since(version), 0, "{what}: when all is right again");
        // Forgiven: the next change is put right at once.
        let slice = self.api.list(&SLICES).remove(0);
        empty(&self.api, slice["metadata"]["name"].as_str().unwrap_or_default(), &slice);
        sleep(MOMENT).await;
        assert_eq!(oracle::check(&self.api), Ok(()), "{what}: much later");
        self.process.kill();
    }
}

fn empty(api: &FakeApi, name: &str, slice: &Value) {
    if slice["endpoints"].as_array().is_some_and(|list| !list.is_empty()) {
        api.edit(&SLICES, NAMESPACE, name, |slice| slice["endpoints"] = json!([]));
    }
}

fn relabel(api: &FakeApi, name: &str, slice: &Value) {
    if slice["metadata"]["labels"]["mine"].is_null() {
        api.edit(&SLICES, NAMESPACE, name, |slice| slice["metadata"]["labels"]["mine"] = "x".into());
    }
}

fn delete(api: &FakeApi, name: &str, _: &Value) {
    api.delete(&SLICES, NAMESPACE, name);
}

#[tokio::test(start_paused = true)]
async fn reverting_slows_down_when_somebody_empties_slices_in_a_loop() {
    let mut scene = Scene::new().await;
    scene.rival(empty);
    scene.fight("emptied").await;
}

#[tokio::test(start_paused = true)]
async fn reverting_slows_down_when_somebody_relabels_slices_in_a_loop() {
    let mut scene = Scene::new().await;
    scene.rival(relabel);
    scene.fight("relabelled").await;
}

#[tokio::test(start_paused = true)]
async fn reverting_slows_down_when_somebody_deletes_slices_in_a_loop() {
    let mut scene = Scene::new().await;
    scene.rival(delete);
    scene.fight("deleted").await;
}

/// A mutating webhook: each answer is other than what was sent, so each plan has something to write.
#[tokio::test(start_paused = true)]
async fn what_admission_changes_is_written_again_every_five_minutes_only() {
    // What was stored before is stored again, which leaves no trace but here.
    static WRITES: AtomicUsize = AtomicUsize::new(0);
    let admit = |slice: &mut Value| {
        WRITES.fetch_add(1, Ordering::Relaxed);
        slice["metadata"]["labels"]["mine"] = "x".into();
    };
    let mut scene = Scene::new().await;
    scene.api.set_admission(&SLICES, Some(admit));
    let begun = scene.api.version();
    scene.add_pod(2);
    sleep(MOMENT).await;
    assert!(scene.was_published(begun, "p2"));
    sleep(30 * MINUTE).await;
    let writes = WRITES.load(Ordering::Relaxed);
    assert!((6..=8).contains(&writes), "{writes} writes in half an hour");

    let version = scene.api.version();
    scene.add_pod(3);
    sleep(MOMENT).await;
    assert!(scene.was_published(version, "p3"), "a change of a Pod waits");
    scene.api.set_admission(&SLICES, None);
    sleep(5 * MINUTE + MOMENT).await;
    assert_eq!(oracle::check(&scene.api), Ok(()), "five minutes after it ended");
    scene.process.kill();
}

/// One changed Pod costs one slice, also while others are to be put right every five minutes.
#[tokio::test(start_paused = true)]
async fn a_changed_pod_costs_one_slice_under_a_webhook() {
    static WRITES: AtomicUsize = AtomicUsize::new(0);
    let admit = |slice: &mut Value| {
        WRITES.fetch_add(1, Ordering::Relaxed);
        slice["metadata"]["labels"]["mine"] = "x".into();
    };
    let mut scene = Scene::new().await;
    for pod in 2..=12 {
        scene.add_pod(pod);
        sleep(MOMENT).await;
    }
    assert_eq!(scene.api.list(&SLICES).len(), 4);
    scene.api.set_admission(&SLICES, Some(admit));
    let flip = async |pod: u8, ready: bool| {
        let before = WRITES.load(Ordering::Relaxed);
        scene.flip(pod, ready);
        sleep(MOMENT).await;
        assert_eq!(WRITES.load(Ordering::Relaxed) - before, 1, "p{pod} ready: {ready}");
        sleep(MOMENT).await;
    };
    for pod in 1..=12 {
        flip(pod, false).await;
    }
    // All are tried again, and altered again; the recheck comes by as well.
    for _ in 0..3 {
        let before = WRITES.load(Ordering::Relaxed);
        sleep(5 * MINUTE).await;
        assert_eq!(WRITES.load(Ordering::Relaxed) - before, 4);
        for pod in 1..=12 {
            flip(pod, true).await;
            flip(pod, false).await;
        }
    }
    // Without a pause of five minutes, too.
    let before = WRITES.load(Ordering::Relaxed);
    for round in 0..200 {
        scene.flip(1, round % 2 == 0);
        sleep(Duration::from_secs(3)).await;
    }
    let tried = WRITES.load(Ordering::Relaxed) - before - 200;
    assert!((4..=12).contains(&tried), "{tried} writes in ten minutes that no Pod called for");
    scene.api.set_admission(&SLICES, None);
    for round in 0..101 {
        scene.flip(1, round % 2 == 0);
        sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(oracle::check(&scene.api), Ok(()), "five minutes after it ended");
    scene.process.kill();
}

/// What could not be written is tried again soon, however slow reverting is.
#[tokio::test(start_paused = true)]
async fn a_revert_that_fails_is_tried_again_at_once() {
    let mut scene = Scene::new().await;
    scene.rival(empty);
    sleep(MINUTE).await;
    assert_eq!(scene.contested(), 1);
    scene.rival.take().expect("there is a rival").abort();
    sleep(3 * MINUTE + MINUTE / 2).await;
    assert!(oracle::check(&scene.api).is_err(), "it is put right after five minutes only");
    scene.api.set_weather(Weather { conflict: 100, ..Weather::default() });
    sleep(MINUTE).await;
    assert!(oracle::check(&scene.api).is_err(), "it cannot be put right");
    scene.api.set_weather(Weather::default());
    sleep(MINUTE).await;
    assert_eq!(oracle::check(&scene.api), Ok(()), "a minute after it could be written");
    scene.process.kill();
}

/// Pods that change often put right what others do; it counts all the same.
#[tokio::test(start_paused = true)]
async fn who_edits_beside_changes_of_pods_is_noticed() {
    let mut scene = Scene::new().await;
    scene.add_pod(2);
    sleep(MOMENT).await;
    // Each time a Pod changes before what others did would be looked at.
    for round in 0..20 {
        let slice = scene.api.list(&SLICES).remove(0);
        empty(&scene.api, slice["metadata"]["name"].as_str().unwrap_or_default(), &slice);
        sleep(Duration::from_millis(20)).await;
        scene.flip(1, round % 2 == 0);
        sleep(Duration::from_millis(880)).await;
    }
    sleep(MINUTE / 2).await;
    assert_eq!(scene.contested(), 1);
    scene.process.kill();
}

/// What others change without harm is written over now and then, but need not be put right.
#[tokio::test(start_paused = true)]
async fn who_does_no_harm_beside_changes_of_pods_is_no_rival() {
    static EDITS: AtomicUsize = AtomicUsize::new(0);
    let mut scene = Scene::new().await;
    scene.add_pod(2);
    sleep(MOMENT).await;
    scene.rival(|api, name, _| {
        let uid = EDITS.fetch_add(1, Ordering::Relaxed).to_string();
        api.edit(&SLICES, NAMESPACE, name, |slice| {
            let owners = slice["metadata"]["ownerReferences"].as_array_mut().expect("it has an owner");
            owners.truncate(1);
            owners.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": uid}));
        });
    });
    let begun = scene.api.version();
    scene.flip_for_half_a_minute().await;
    assert!(scene.writes_since(begun) > 20, "{} writes", scene.writes_since(begun));
    assert_eq!(scene.contested(), 0);
    scene.process.kill();
}

/// A webhook that takes away what is updated, and lets pass what is created.
#[tokio::test(start_paused = true)]
async fn slices_that_admission_takes_away_at_an_update_are_created_anew_at_once() {
    let admit = |slice: &mut Value| {
        if !slice["metadata"]["resourceVersion"].is_null() {
            slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "somebody".into();
        }
    };
    let mut scene = Scene::new().await;
    for pod in 2..=4 {
        scene.add_pod(pod);
        sleep(MOMENT).await;
    }
    scene.api.set_admission(&SLICES, Some(admit));
    for (pod, pause) in [(1, MOMENT), (4, 2 * MINUTE), (2, 20 * MINUTE), (3, MOMENT)] {
        scene.flip(pod, false);
        sleep(MOMENT).await;
        assert_eq!(oracle::check(&scene.api), Ok(()), "a moment after p{pod} changed");
        sleep(pause).await;
    }
    // Nor may a change that nothing called for cost the endpoints.
    sleep(20 * MINUTE).await;
    let slice = scene.api.list(&SLICES).remove(0);
    empty(&scene.api, slice["metadata"]["name"].as_str().unwrap_or_default(), &slice);
    sleep(MOMENT).await;
    assert_eq!(oracle::check(&scene.api), Ok(()), "a moment after a slice was emptied");
    assert_eq!(scene.api.list(&SLICES).len(), 2, "none is left behind");
    scene.process.kill();
}

/// A webhook that takes slices away from their Service must not make them pile up.
#[tokio::test(start_paused = true)]
async fn slices_that_admission_takes_away_do_not_pile_up() {
    static WRITES: AtomicUsize = AtomicUsize::new(0);
    let admit = |slice: &mut Value| {
        WRITES.fetch_add(1, Ordering::Relaxed);
        slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "somebody".into();
    };
    let mut scene = Scene::new().await;
    scene.api.set_admission(&SLICES, Some(admit));
    for pod in 2..6 {
        scene.add_pod(pod);
        sleep(10 * MINUTE).await;
    }
    let slices = scene.api.list(&SLICES).len();
    assert!(slices <= 2, "{slices} slices: the first one, taken away, and none that was made since");
    let writes = WRITES.load(Ordering::Relaxed);
    // One try every five minutes and one for each change of a Pod, which may fall together; from four Pods on, a try is
    // two slices. The first write is the update by which the first slice is lost.
    assert!((9..=20).contains(&writes), "{writes} writes in forty minutes");
    scene.api.set_admission(&SLICES, None);
    sleep(6 * MINUTE).await;
    assert_eq!(oracle::check(&scene.api), Ok(()), "after it ended");
    scene.process.kill();
}
