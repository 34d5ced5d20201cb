//! Each fault between the manager and the API server alone. Each time: the fault really happened, afterwards the
//! slices are what a plan from scratch and the Pods say, and then nothing is written any more.

mod judge;
mod support;

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, DeleteParams};
use lab::{Fault, Faults, Identity, Lab, Manager, Pod, Requests, Result, Verb};
use serde_json::json;

use judge::{all_right, capacity_flag, process, writes_at_rest};
use support::{CONTROLLER, PATIENCE, endpoints, objects_only, service, slices, slices_until};

/// A write that is not answered is given up after half a minute.
const LONG: Duration = Duration::from_mins(3);

/// A Service with Pods, and a manager behind faults.
struct Drill {
    lab: Lab,
    faults: Faults,
    manager: Manager,
    pods: Vec<Pod>,
}

impl Drill {
    /// Everything is in order and calm.
    async fn start() -> Result<Self> {
        Self::on(objects_only().start().await?, |_| {}, &[]).await
    }

    /// The same on a lab of one's own, with faults that are there from the first and flags of the manager.
    async fn on(lab: Lab, prepare: impl FnOnce(&Faults), flags: &[&str]) -> Result<Self> {
        let faults = lab.faults(1)?;
        prepare(&faults);
        let mut manager = lab.manager().controllers(CONTROLLER).flag(&capacity_flag()).through(&faults);
        for flag in flags {
            manager = manager.flag(flag);
        }
        let manager = manager.start().await?;
        service(&lab, "web", json!({ "ipFamilyPolicy": "RequireDualStack" })).await?;
        let mut drill = Self { lab, faults, manager, pods: Vec::new() };
        for _ in 0..4 {
            drill.add_pod().await?;
        }
        drill.right().await?;
        Ok(drill)
    }

    async fn add_pod(&mut self) -> Result<()> {
        let name = format!("web-{}", self.pods.len());
        let pod = self.lab.pod("default", &name).label("app", "web").paper().start().await?;
        self.pods.push(pod);
        Ok(())
    }

    /// Makes a Pod ready or not, which is an update of a slice of each family.
    async fn flip(&self, pod: usize, ready: bool) -> Result<()> {
        self.pods[pod].set_ready(ready).await
    }

    async fn right(&self) -> Result<()> {
        all_right(&self.lab, &["default".to_owned()], LONG).await
    }

    async fn happened(&self, fault: Fault, times: u64) -> Result<()> {
        self.lab
            .wait_until(format!("{fault:?} to happen {times} times"), LONG, async || {
                let made = self.faults.all_made();
                if self.faults.made(fault) >= times { Ok(()) } else { Err(format!("{made:?}").into()) }
            })
            .await
    }

    /// How often the manager began to list a resource.
    async fn lists(&self, resource: &str) -> Result<f64> {
        Ok(self.manager.metrics().await?.sum("fairlead_informer_lists_total", &[("resource", resource)]))
    }

    /// Waits until the manager has begun another list; a watch that met an outage may be the last to come back.
    async fn listed_anew(&self, resource: &str, before: f64) -> Result<()> {
        self.lab
            .wait_until(format!("another list of {resource}"), LONG, async || {
                if self.lists(resource).await? > before { Ok(()) } else { Err("none".into()) }
            })
            .await
    }

    /// The end of every drill: the slices are right, nobody is there twice, and nothing more is written.
    async fn ends_well(&self) -> Result<()> {
        // What is right for a moment may still be overtaken by writes and deletions that are on their way.
        self.right().await?;
        self.lab
            .wait_until("nothing more to be written", LONG, async || {
                match writes_at_rest(&self.lab, &self.manager).await? {
                    0 => Ok(()),
                    writes => Err(format!("{writes} writes at rest\n{}", self.manager.log()?).into()),
                }
            })
            .await?;
        self.right().await?;
        let slices = slices(&self.lab, "web").await?;
        let of_family = |family: &str| {
            let mut slices = slices.clone();
            slices.retain(|slice| slice.address_type == family);
            endpoints(&slices)
        };
        for family in ["IPv4", "IPv6"] {
            let mut names = of_family(family);
            names.dedup();
            assert_eq!(names.len(), self.pods.len(), "{family}: {names:?}");
        }
        Ok(())
    }
}

fn slice_writes() -> Requests {
    Requests::writes().of("endpointslices")
}

#[tokio::test]
async fn refused_writes_are_planned_anew() -> Result<()> {
    let mut drill = Drill::start().await?;
    for fault in [Fault::Conflict, Fault::Throttle, Fault::Error, Fault::Unavailable] {
        let creates = Requests::of_verbs(&[Verb::Create]).of("endpointslices");
        drill.faults.times(fault, Requests::of_verbs(&[Verb::Update]).of("endpointslices"), 2);
        drill.flip(0, false).await?;
        drill.happened(fault, 2).await?;
        drill.right().await?;
        // Three more Pods need a further slice.
        drill.faults.next(fault, creates);
        for _ in 0..3 {
            drill.add_pod().await?;
        }
        drill.happened(fault, 3).await?;
        drill.flip(0, true).await?;
        drill.right().await?;
    }
    let deletes = Requests::of_verbs(&[Verb::Delete]).of("endpointslices");
    drill.faults.next(Fault::Conflict, deletes);
    while drill.pods.len() > 2 {
        if let Some(pod) = drill.pods.pop() {
            pod.remove().await?;
        }
    }
    drill.happened(Fault::Conflict, 4).await?;
    drill.ends_well().await
}

#[tokio::test]
async fn a_write_that_is_never_answered_is_given_up_and_planned_anew() -> Result<()> {
    let drill = Drill::start().await?;
    drill.faults.times(Fault::Hang, slice_writes(), 2);
    drill.flip(0, false).await?;
    drill.happened(Fault::Hang, 2).await?;
    drill.ends_well().await?;
    assert!(drill.manager.log()?.contains("no answer from the API server"), "{}", drill.manager.log()?);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_write_makes_nothing_twice() -> Result<()> {
    let mut drill = Drill::start().await?;
    // The next slice of each family is created, and nobody says so.
    drill.faults.times(Fault::LostAnswer, Requests::of_verbs(&[Verb::Create]).of("endpointslices"), 2);
    for _ in 0..3 {
        drill.add_pod().await?;
    }
    drill.happened(Fault::LostAnswer, 2).await?;
    drill.ends_well().await?;
    drill.faults.times(Fault::LostAnswer, Requests::of_verbs(&[Verb::Update]).of("endpointslices"), 2);
    drill.flip(1, false).await?;
    drill.happened(Fault::LostAnswer, 4).await?;
    drill.ends_well().await?;
    drill.faults.times(Fault::LostAnswer, Requests::of_verbs(&[Verb::Delete]).of("endpointslices"), 2);
    while drill.pods.len() > 2 {
        if let Some(pod) = drill.pods.pop() {
            pod.remove().await?;
        }
    }
    drill.happened(Fault::LostAnswer, 6).await?;
    drill.ends_well().await
}

#[tokio::test]
async fn a_watch_that_is_cut_in_mid_event_loses_nothing() -> Result<()> {
    let mut drill = Drill::start().await?;
    let cut = |resource| drill.faults.next(Fault::Cut, Requests::watches().of(resource));
    cut("pods");
    cut("services");
    cut("nodes");
    cut("endpointslices");
    service(&drill.lab, "other", json!({ "selector": { "app": "web" } })).await?;
    drill.lab.paper_node("late", Some("zone-b")).await?;
    drill.add_pod().await?;
    drill.happened(Fault::Cut, 4).await?;
    drill.add_pod().await?;
    drill.ends_well().await
}

#[tokio::test]
async fn a_version_that_is_too_old_is_listed_anew() -> Result<()> {
    let mut drill = Drill::start().await?;
    for resource in ["pods", "endpointslices"] {
        let watches = || Requests::watches().of(resource);
        // As an event of a watch.
        let before = drill.lists(resource).await?;
        drill.faults.next(Fault::Expired, watches());
        drill.add_pod().await?;
        let happened = if resource == "pods" { 1 } else { 2 };
        drill.happened(Fault::Expired, happened).await?;
        drill.right().await?;
        drill.listed_anew(resource, before).await?;
        // As the status of the answer to a watch that resumes where another one broke off.
        let before = drill.lists(resource).await?;
        drill.faults.next(Fault::Gone, watches());
        drill.faults.next(Fault::Cut, watches());
        drill.add_pod().await?;
        drill.happened(Fault::Gone, happened).await?;
        drill.right().await?;
        drill.listed_anew(resource, before).await?;
    }
    drill.ends_well().await
}

#[tokio::test]
async fn a_watch_that_fell_silent_is_caught_up_with_when_it_breaks() -> Result<()> {
    let mut drill = Drill::start().await?;
    drill.faults.next(Fault::Silence, Requests::watches().of("pods"));
    drill.flip(0, false).await?;
    drill.happened(Fault::Silence, 1).await?;
    drill.add_pod().await?;
    // The rest of the manager works on, with the Pods as it last saw them.
    service(&drill.lab, "other", json!({ "selector": { "app": "web" } })).await?;
    let seen =
        slices_until(&drill.lab, "other", "the Pods that were seen", |it| endpoints(it).len() == 4).await?;
    assert!(endpoints(&seen).contains(&"web-0:rs-".to_owned()), "{:?}", endpoints(&seen));
    drill.faults.calm()?;
    drill.ends_well().await
}

#[tokio::test]
#[ignore = "takes four minutes: run it by its name with --ignored"]
async fn a_watch_that_fell_silent_for_ever_is_given_up() -> Result<()> {
    let mut drill = Drill::start().await?;
    drill.faults.next(Fault::Silence, Requests::watches().of("pods"));
    drill.flip(0, false).await?;
    drill.happened(Fault::Silence, 1).await?;
    drill.add_pod().await?;
    all_right(&drill.lab, &["default".to_owned()], Duration::from_mins(8)).await?;
    drill.ends_well().await
}

#[tokio::test]
async fn late_events_about_own_writes_are_not_waited_for() -> Result<()> {
    let lag = |faults: &Faults| faults.often(Fault::Lag, Requests::watches().of("endpointslices"), 100);
    let drill = Drill::on(objects_only().start().await?, lag, &[]).await?;
    assert!(drill.faults.made(Fault::Lag) > 0);
    let before = drill.lab.writes().await?;
    for round in 0..6 {
        let ready = round % 2 == 1;
        drill.flip(0, ready).await?;
        let shown = if ready { "web-0:rs-" } else { "web-0:---" };
        slices_until(&drill.lab, "web", shown, |it| {
            endpoints(it).iter().filter(|endpoint| *endpoint == shown).count() == 2
        })
        .await?;
    }
    drill.ends_well().await?;
    // An update of each family for each flip, and no attempt with an old version on the way.
    assert_eq!(drill.lab.writes().await?.since(&before).of_resource("endpointslices"), 12);
    Ok(())
}

#[tokio::test]
async fn slow_answers_change_nothing_but_the_pace() -> Result<()> {
    let mut drill = Drill::start().await?;
    drill.faults.often(Fault::Delay, Requests::all(), 100);
    for _ in 0..3 {
        drill.add_pod().await?;
        drill.flip(0, false).await?;
        drill.flip(0, true).await?;
    }
    drill.happened(Fault::Delay, 4).await?;
    drill.ends_well().await
}

#[tokio::test]
async fn an_api_server_that_is_down_is_waited_for() -> Result<()> {
    let mut drill = Drill::start().await?;
    drill.faults.set_down(true)?;
    drill.add_pod().await?;
    let services: Api<Service> = Api::namespaced(drill.lab.api(), "default");
    services.delete("web", &DeleteParams::default()).await.expect("deleted");
    service(&drill.lab, "web", json!({ "ipFamilyPolicy": "RequireDualStack" })).await?;
    drill
        .lab
        .wait_until("the manager to meet refusals", PATIENCE, async || {
            let log = drill.manager.log()?;
            if log.contains("Connection refused") { Ok(()) } else { Err(log.into()) }
        })
        .await?;
    drill.faults.set_down(false)?;
    assert_eq!(drill.faults.made(Fault::Down), 1);
    drill.ends_well().await
}

#[tokio::test]
async fn a_restarted_api_server_whose_etcd_was_compacted_is_listed_anew() -> Result<()> {
    let mut drill = Drill::start().await?;
    let old: u64 = {
        let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(drill.lab.api(), "default");
        let list = pods.list(&kube::api::ListParams::default()).await.expect("a list");
        list.metadata.resource_version.and_then(|version| version.parse().ok()).expect("a version")
    };
    drill.faults.set_down(true)?;
    drill.add_pod().await?;
    service(&drill.lab, "other", json!({ "selector": { "app": "web" } })).await?;
    drill.lab.paper_node("late", Some("zone-b")).await?;
    // The slices change as well: somebody else deletes one.
    let some = slices(&drill.lab, "web").await?.remove(0).metadata.name.unwrap_or_default();
    drill.lab.kubectl(&["delete", "endpointslice", &some]).await?;
    let compacted = drill.lab.compact().await?;
    assert!(compacted > old, "{compacted} after {old}");
    drill.lab.api_server().kill().await?;
    drill.lab.api_server().restart()?;
    drill.lab.api_servers()[0].wait_ready().await?;

    // What the real server says about a version that it has forgotten.
    let path = format!("/api/v1/namespaces/default/pods?watch=true&resourceVersion={old}&timeoutSeconds=1");
    let request = http::Request::get(path).body(Vec::new()).expect("a request");
    let said = drill.lab.api().request_text(request).await.expect("an answer");
    let event: serde_json::Value =
        serde_json::from_str(said.lines().next().unwrap_or_default()).expect(&said);
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)), "{said}");
    assert_eq!(event["object"]["reason"], "Expired", "{said}");

    let resources = ["pods", "services", "nodes", "endpointslices"];
    let mut before = Vec::new();
    for resource in resources {
        before.push(drill.lists(resource).await?);
    }
    drill.faults.set_down(false)?;
    for (resource, before) in resources.iter().zip(before) {
        drill.listed_anew(resource, before).await?;
    }
    drill.ends_well().await
}

#[tokio::test]
async fn tokens_pass_and_certificates_are_refused_with_a_reason() -> Result<()> {
    let lab = objects_only().nodes(0).start().await?;
    lab.apply_rbac().await?;
    let faults = lab.faults(1)?;
    let account = Identity::service_account("fairlead-system", "fairlead-manager");
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::all(lab.api_through(&faults, &account).await?);
    pods.list(&kube::api::ListParams::default()).await.expect("the manager may list Pods");
    let secrets: Api<k8s_openapi::api::core::v1::Secret> =
        Api::all(lab.api_through(&faults, &account).await?);
    let refused = secrets.list(&kube::api::ListParams::default()).await.expect_err("but no Secrets");
    assert!(
        refused.to_string().contains("system:serviceaccount:fairlead-system:fairlead-manager"),
        "{refused}"
    );
    let refused =
        lab.api_through(&faults, &Identity::Admin).await.err().expect("no certificates").to_string();
    assert!(refused.contains("ServiceAccount"), "{refused}");
    Ok(())
}
