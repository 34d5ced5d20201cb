//! kube-controller-manager at work beside Fairlead: whoever was there first goes on alone, and nothing is written when the
//! work changes hands.

mod support;

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Service};
use kube::api::{Api, DeleteParams, ListParams};
use lab::{Error, Lab, Manager, Process, Result};
use serde_json::json;

use support::{PATIENCE, objects_only, service, slices_until};

/// The controllers that both have.
const CONTROLLERS: [&str; 1] = ["endpointslice-controller"];
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
    let rival = upstream(&lab, &CONTROLLERS).await?;
    service(&lab, "web", json!({})).await?;
    slices_until(&lab, "web", "what kube-controller-manager makes of it", |slices| slices.len() == 1).await?;

    let ours = lab.manager().start().await?;
    until_aside(&lab, &ours, &CONTROLLERS, UNANSWERED).await?;
    for controller in CONTROLLERS {
        assert!(questions(&ours.metrics().await?, controller, "answered") >= 1.0);
        assert!(
            readiness(&ours, controller).await?.contains("because kube-controller-manager does its work")
        );
    }
    let told = lab
        .wait_until("events about the rivals", PATIENCE, async || {
            let events = canary_events(&lab).await?;
            if events.len() == CONTROLLERS.len() { Ok(events) } else { Err(format!("{events:?}").into()) }
        })
        .await?;
    for controller in CONTROLLERS {
        let advice = format!("--controllers=*,-{controller};");
        assert!(
            told.iter().any(|(reason, text)| reason == "RivalController" && text.contains(&advice)),
            "{told:?}"
        );
    }

    // Asked to, it works all the same.
    ours.stop().await?;
    let beside = lab.manager().flag("--rival-check=false").start().await?;
    let line = readiness(&beside, CONTROLLERS[0]).await?;
    assert!(line.ends_with("ok: nobody asks (--rival-check=false)"), "{line}");
    service(&lab, "beside", json!({})).await?;
    lab.wait_until("a write beside kube-controller-manager", PATIENCE, async || {
        let synced = beside.metrics().await?.sum("endpoint_slice_controller_syncs", &[]);
        if synced >= 1.0 { Ok(()) } else { Err(format!("{synced} synced").into()) }
    })
    .await?;
    beside.stop().await?;

    // The last leader stood aside a moment ago: the next one begins so, without an answer.
    rival.kill().await?;
    ours.restart().await?;
    until_aside(&lab, &ours, &CONTROLLERS, Duration::ZERO).await?;
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
