//! kube-controller-manager at work beside Fairlead: whoever was there first goes on alone, and nothing is written when the
//! work changes hands.

mod support;

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Endpoints, Event, Service};
use kube::api::{Api, DeleteParams, ListParams};
use lab::{AuditedWrite, Error, Identity, Lab, Manager, Process, Result};
use serde_json::json;

use support::{PATIENCE, objects_only, patch, service, slices_until};

/// The controllers that both have.
const CONTROLLERS: [&str; 3] =
    ["endpoints-controller", "endpointslice-controller", "endpointslice-mirroring-controller"];
/// One of them, which a test runs in kube-controller-manager alone.
const ALONE: [&str; 1] = [CONTROLLERS[1]];
const NAMESPACE: &str = "fairlead-system";
/// Time from one question to the next, at most, and the end of one that nobody answers.
const ROUND: Duration = Duration::from_secs(30);
const UNANSWERED: Duration = Duration::from_secs(5);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(20);
/// Leader election that does not keep a test waiting.
const ELECTION: [&str; 4] = [
    "--leader-elect=true",
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=500ms",
];

/// kube-controller-manager with these controllers, as a cluster runs it: with a Lease.
async fn upstream(lab: &Lab, controllers: &[&str]) -> Result<Process> {
    lab.upstream(&controllers.join(","), &ELECTION).await
}

fn standing_aside(metrics: &lab::Metrics, controller: &str) -> bool {
    metrics.sum("fairlead_standing_aside", &[("controller", controller)]) == 1.0
}

/// What `/readyz?verbose` says of a controller.
async fn readiness(manager: &Manager, controller: &str) -> Result<String> {
    let answer = manager.admin("/readyz?verbose").await?;
    assert_eq!(answer.status, 200, "a process that stands aside is ready: {}", answer.body);
    let line = answer.body.lines().find(|line| line.contains(&format!("rival/{controller} ")));
    Ok(line.unwrap_or_default().to_owned())
}

/// Waits until exactly these controllers stand aside and the others work; returns how long that took.
async fn until_aside(lab: &Lab, manager: &Manager, aside: &[&str], limit: Duration) -> Result<Duration> {
    let begun = Instant::now();
    lab.wait_until(format!("{aside:?} to stand aside, and no others"), limit + SLACK, async || {
        let metrics = manager.metrics().await?;
        for controller in CONTROLLERS {
            let line = readiness(manager, controller).await?;
            let expected = if aside.contains(&controller) { "ok: stands aside" } else { "ok: works" };
            if standing_aside(&metrics, controller) != aside.contains(&controller) || !line.contains(expected)
            {
                return Err(format!("{controller}: {line}").into());
            }
        }
        Ok(())
    })
    .await?;
    Ok(begun.elapsed())
}

/// Reasons and messages of the events about the canary Services.
async fn canary_events(lab: &Lab) -> Result<Vec<(String, String)>> {
    let api: Api<Event> = Api::namespaced(lab.api(), NAMESPACE);
    let list = api.list(&ListParams::default()).await;
    let events = list.map_err(|error| Error::Invalid(format!("listing events: {error}")))?.items;
    let about = |event: &Event| {
        event.involved_object.name.as_deref().is_some_and(|name| name.starts_with("fairlead-canary"))
    };
    let text = |event: Event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
    Ok(events.into_iter().filter(about).map(text).collect())
}

/// How often a controller's questions ended so.
fn questions(metrics: &lab::Metrics, controller: &str, outcome: &str) -> f64 {
    let labels = [("controller", controller), ("outcome", outcome)];
    metrics.sum("fairlead_rival_questions_total", &labels)
}

#[tokio::test]
async fn each_controller_stands_aside_for_its_like_alone_and_a_restart_need_not_ask() -> Result<()> {
    let lab = objects_only().start().await?;
    lab.apply_rbac().await?;
    let rival = upstream(&lab, &ALONE).await?;
    service(&lab, "web", json!({})).await?;
    slices_until(&lab, "web", "what kube-controller-manager makes of it", |slices| slices.len() == 1).await?;

    let ours = lab.manager().start().await?;
    until_aside(&lab, &ours, &ALONE, UNANSWERED).await?;
    let metrics = ours.metrics().await?;
    for controller in CONTROLLERS {
        let (heard, silent) = if ALONE.contains(&controller) { (1.0, 0.0) } else { (0.0, 1.0) };
        assert_eq!(questions(&metrics, controller, "answered"), heard, "{controller}");
        assert_eq!(questions(&metrics, controller, "unanswered"), silent, "{controller}");
    }
    let line = readiness(&ours, ALONE[0]).await?;
    assert!(line.ends_with("because kube-controller-manager does its work"), "{line}");
    let events = lab
        .wait_until("an event about the rival", PATIENCE, async || {
            let events = canary_events(&lab).await?;
            if events.is_empty() { Err("none".into()) } else { Ok(events) }
        })
        .await?;
    let [(reason, text)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(reason, "RivalController");
    assert!(text.contains("--controllers=*,-endpointslice-controller;"), "{text}");

    // Asked to, it works all the same.
    ours.stop().await?;
    let beside = lab.manager().flag("--rival-check=false").start().await?;
    let line = readiness(&beside, ALONE[0]).await?;
    assert!(line.ends_with("ok: nobody asks (--rival-check=false)"), "{line}");
    service(&lab, "beside", json!({})).await?;
    lab.wait_until("a write beside kube-controller-manager", PATIENCE, async || {
        let synced = beside.metrics().await?.sum("endpoint_slice_controller_syncs", &[]);
        if synced >= 1.0 { Ok(()) } else { Err(format!("{synced} synced").into()) }
    })
    .await?;
    beside.stop().await?;

    // The last leader stood aside for it a moment ago: the next one begins so, without an answer.
    rival.kill().await?;
    ours.restart().await?;
    until_aside(&lab, &ours, &ALONE, Duration::ZERO).await?;
    assert!(ours.log()?.contains("stands aside as the leader before did"), "{}", ours.log()?);
    Ok(())
}

#[tokio::test]
async fn a_question_that_cannot_be_put_stops_nobody() -> Result<()> {
    let lab = objects_only().start().await?;
    lab.apply_rbac().await?;
    // Its Lease is alive, so the first write waits.
    let rival = upstream(&lab, &["garbage-collector-controller"]).await?;
    lab.wait_until("kube-controller-manager to lead", PATIENCE, async || {
        lab.kubectl(&["-n", "kube-system", "get", "lease", "kube-controller-manager"]).await?;
        Ok(())
    })
    .await?;
    let services: Api<Service> = Api::namespaced(lab.api(), NAMESPACE);
    for name in ["fairlead-canary", "fairlead-canary-mirroring"] {
        let deleted = services.delete(name, &DeleteParams::default()).await;
        deleted.map_err(|error| Error::Invalid(format!("deleting {name}: {error}")))?;
    }
    service(&lab, "web", json!({})).await?;

    let ours = lab.manager().start().await?;
    slices_until(&lab, "web", "what Fairlead makes of it", |slices| slices.len() == 1).await?;
    for controller in CONTROLLERS {
        let line = readiness(&ours, controller).await?;
        assert!(
            line.contains("ok: works; cannot find out whether somebody else does: cannot create"),
            "{line}"
        );
        assert!(line.contains("is forbidden"), "{line}");
        assert!(questions(&ours.metrics().await?, controller, "failed") >= 1.0);
    }
    let warning = "cannot find out whether kube-controller-manager does this work";
    assert_eq!(ours.log()?.matches(warning).count(), CONTROLLERS.len(), "{}", ours.log()?);
    assert!(rival.is_running());

    // With the objects back, a new leader asks before it writes; the one after it finds what was found.
    ours.stop().await?;
    lab.kubectl(&["apply", "-k", concat!(env!("CARGO_MANIFEST_DIR"), "/../config/rbac")]).await?;
    ours.restart().await?;
    let asked = "before the first write";
    until_aside(&lab, &ours, &[], UNANSWERED).await?;
    let (log, lines) = (ours.log()?, 2 * CONTROLLERS.len());
    assert_eq!(log.matches(asked).count(), lines, "{log}");
    ours.stop().await?;
    ours.restart().await?;
    until_aside(&lab, &ours, &[], Duration::ZERO).await?;
    assert_eq!(ours.log()?.matches(asked).count(), lines, "{}", ours.log()?);
    Ok(())
}

/// The account that the manager writes as.
const OURS: &str = "system:serviceaccount:fairlead-system:fairlead-manager";

/// What Fairlead has written, apart from the canaries and the Events about them.
fn work_of_ours(lab: &Lab) -> Result<Vec<String>> {
    let is_work = |write: &AuditedWrite| {
        let canary = ["services", "endpoints"].contains(&write.resource.as_str())
            && write.name.starts_with("fairlead-canary");
        write.user == OURS && !(write.namespace == NAMESPACE && (canary || write.resource == "events"))
    };
    let text =
        |write: AuditedWrite| format!("{} {} {}/{}", write.verb, write.resource, write.namespace, write.name);
    Ok(lab.audited_writes()?.into_iter().filter(is_work).map(text).collect())
}

/// For how many controllers there is an event for this reason.
async fn told(lab: &Lab, reason: &str) -> Result<usize> {
    let events = canary_events(lab).await?;
    let about = |controller: &&&str| {
        let texts = events.iter().filter(|(found, _)| found == reason);
        texts.filter(|(_, text)| text.contains(&format!(" {controller}"))).count() > 0
    };
    Ok(CONTROLLERS.iter().filter(about).count())
}

/// Everything that the controllers keep in `default`, as JSON.
async fn kept(lab: &Lab) -> Result<String> {
    lab.kubectl(&["get", "endpoints,endpointslices", "-o", "json"]).await
}

/// Waits until nobody changes anything any more, and returns what there is.
async fn at_rest(lab: &Lab) -> Result<String> {
    lab.wait_until("the controllers to be at rest", PATIENCE + SLACK, async || {
        let before = kept(lab).await?;
        // kube-controller-manager looks at its own slices after a second.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        if kept(lab).await? == before { Ok(before) } else { Err("something still changes".into()) }
    })
    .await
}

/// Objects for all three controllers.
async fn populate(lab: &Lab) -> Result<()> {
    for number in 0..3 {
        lab.pod("default", &format!("web-{number}")).label("app", "web").paper().start().await?;
    }
    service(lab, "web", json!({ "ipFamilyPolicy": "RequireDualStack" })).await?;
    service(lab, "headless", json!({ "selector": { "app": "web" }, "clusterIP": "None" })).await?;
    service(lab, "empty", json!({})).await?;
    lab.create::<Service>(
        "default",
        json!({ "metadata": { "name": "outside" }, "spec": { "ports": [{ "port": 80 }] } }),
    )
    .await?;
    lab.create::<Endpoints>(
        "default",
        json!({
            "metadata": { "name": "outside", "labels": { "team": "shop" } },
            "subsets": [{ "addresses": [{ "ip": "192.0.2.7" }], "ports": [{ "port": 5432 }] }],
        }),
    )
    .await?;
    Ok(())
}

/// Changes something for each of the three controllers, and waits until it is done, by whomever. `number` is of one's
/// own.
async fn change(lab: &Lab, number: u8) -> Result<()> {
    let name = format!("more-{number}");
    let pod = lab.pod("default", &name).label("app", "web").paper().start().await?;
    let outside = format!("192.0.2.{}", 100 + number);
    patch::<Endpoints>(
        lab,
        "outside",
        json!({ "subsets": [{ "addresses": [{ "ip": outside }], "ports": [{ "port": 5432 }] }] }),
    )
    .await?;
    let addresses = pod.addresses().iter().map(ToString::to_string);
    let expected: Vec<_> = addresses.chain([outside]).map(|address| format!("\"{address}\"")).collect();
    lab.wait_until(format!("everybody to have heard of {name} and of {expected:?}"), PATIENCE, async || {
        let endpoints = lab.kubectl(&["get", "endpoints", "web", "-o", "json"]).await?;
        let slices = lab.kubectl(&["get", "endpointslices", "-o", "json"]).await?;
        let missing = expected.iter().find(|address| !slices.contains(*address));
        match missing {
            Some(address) => Err(format!("{address} is in no slice").into()),
            None if !endpoints.contains(&expected[0]) => {
                Err(format!("{} is not in the Endpoints", expected[0]).into())
            }
            None => Ok(()),
        }
    })
    .await?;
    pod.remove().await
}

/// The steps of docs/switch-over.md, there and back.
#[tokio::test]
async fn the_work_changes_hands_without_a_write() -> Result<()> {
    let lab = objects_only().audit().start().await?;
    let rival = upstream(&lab, &CONTROLLERS).await?;
    populate(&lab).await?;
    change(&lab, 0).await?;

    // Fairlead is started while kube-controller-manager still does everything, and finds that out first.
    let ours = lab.manager().start().await?;
    until_aside(&lab, &ours, &CONTROLLERS, UNANSWERED).await?;
    change(&lab, 1).await?;
    let before = at_rest(&lab).await?;
    assert_eq!(work_of_ours(&lab)?, [""; 0], "beside kube-controller-manager");
    assert_eq!(told(&lab, "RivalController").await?, CONTROLLERS.len());

    // kube-controller-manager is started without them.
    rival.kill().await?;
    let without = upstream(&lab, &["garbage-collector-controller"]).await?;
    let took = until_aside(&lab, &ours, &[], 2 * ROUND + UNANSWERED).await?;
    println!("Fairlead took over {took:.1?} after kube-controller-manager had ended");
    assert_eq!(at_rest(&lab).await?, before, "byte by byte as kube-controller-manager left it");
    assert_eq!(work_of_ours(&lab)?, [""; 0], "written at the switch");
    assert_eq!(told(&lab, "RivalControllerGone").await?, CONTROLLERS.len());
    change(&lab, 2).await?;
    assert!(!work_of_ours(&lab)?.is_empty(), "it works");

    // And back: with its controllers again, kube-controller-manager is heard of within a round.
    let before = at_rest(&lab).await?;
    without.kill().await?;
    let written = work_of_ours(&lab)?;
    let rival = upstream(&lab, &CONTROLLERS).await?;
    let took = until_aside(&lab, &ours, &CONTROLLERS, ROUND).await?;
    println!("Fairlead stood aside {took:.1?} after kube-controller-manager was started");
    assert_eq!(at_rest(&lab).await?, before, "byte by byte as Fairlead left it");
    change(&lab, 3).await?;
    assert_eq!(work_of_ours(&lab)?, written, "beside kube-controller-manager again");
    ours.stop().await?;
    change(&lab, 4).await?;
    rival.check()
}

/// With canaries of its own, as it is in another namespace.
#[tokio::test]
async fn of_two_fairleads_the_one_that_was_there_first_goes_on() -> Result<()> {
    let lab = objects_only().start().await?;
    let first = lab.manager().start().await?;
    // Once its question has ended, it will not take an answer that comes late for news.
    lab.wait_until("the first questions to end", PATIENCE, async || {
        let metrics = first.metrics().await?;
        let open = CONTROLLERS.iter().find(|&&it| questions(&metrics, it, "unanswered") == 0.0);
        if let Some(controller) = open { Err(format!("{controller} still asks").into()) } else { Ok(()) }
    })
    .await?;
    lab.namespace("others").await?;
    let second = lab.manager().identity(Identity::Admin).flag("--namespace=others").start().await?;
    until_aside(&lab, &second, &CONTROLLERS, UNANSWERED).await?;
    for controller in CONTROLLERS {
        assert!(readiness(&second, controller).await?.ends_with("because another Fairlead does its work"));
    }
    lab.wait_until("the second questions of the first one to end", ROUND + UNANSWERED + SLACK, async || {
        let metrics = first.metrics().await?;
        for controller in CONTROLLERS {
            if questions(&metrics, controller, "unanswered") < 2.0 {
                return Err(format!("{controller}: {}", readiness(&first, controller).await?).into());
            }
        }
        Ok(())
    })
    .await?;
    until_aside(&lab, &first, &[], Duration::ZERO).await?;
    let answered: f64 = {
        let metrics = first.metrics().await?;
        CONTROLLERS.iter().map(|controller| questions(&metrics, controller, "answered")).sum()
    };
    assert_eq!(answered, 0.0);
    Ok(())
}
