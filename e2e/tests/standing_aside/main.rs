//! kube-controller-manager at work beside Fairlead: whoever was there first goes on alone, and nothing is written when the
//! work changes hands.

mod drill;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, DeleteParams};
use lab::{Error, Identity, Result};
use serde_json::json;

use support::{PATIENCE, objects_only, service, slices_until};
use world::{
    ALONE, CONTROLLERS, NAMESPACE, ROUND, SLACK, UNANSWERED, at_rest, canary_events, change,
    list_of_the_guide, populate, questions, readiness, told, until_aside, until_noted, upstream,
    work_of_ours,
};

#[tokio::test]
async fn each_controller_stands_aside_for_its_like_alone_and_a_restart_need_not_ask() -> Result<()> {
    let lab = objects_only().start().await?;
    lab.apply_rbac().await?;
    let rival = upstream(&lab, &ALONE).await?;
    service(&lab, "web", json!({})).await?;
    slices_until(&lab, "web", "what kube-controller-manager makes of it", |slices| slices.len() == 1).await?;

    // Asked to, it works all the same.
    let beside = lab.manager().flag("--rival-check=false").start().await?;
    let line = readiness(&beside, ALONE[0]).await?;
    assert!(line.ends_with("ok: nobody asks (--rival-check=false)"), "{line}");
    service(&lab, "beside", json!({})).await?;
    lab.wait_until(
        "a Service to be planned and written beside kube-controller-manager",
        PATIENCE,
        async || {
            let synced = beside.metrics().await?.sum("endpoint_slice_controller_syncs", &[]);
            if synced >= 1.0 { Ok(()) } else { Err(format!("{synced} synced").into()) }
        },
    )
    .await?;
    beside.stop().await?;

    let ours = lab.manager().start().await?;
    until_aside(&lab, &ours, &ALONE, UNANSWERED).await?;
    let metrics = ours.metrics().await?;
    for controller in CONTROLLERS {
        let of = |outcome| questions(&metrics, controller, outcome);
        let is_heard = ALONE.contains(&controller);
        assert_eq!(of("answered") > 0, is_heard, "{controller}");
        // A busy kube-controller-manager may answer late.
        assert!(is_heard || of("unanswered") > 0, "{controller}");
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

    // The last leader stood aside for it a moment ago: the next one begins so, without an answer.
    until_noted(&lab, &ALONE, "standing-aside").await?;
    ours.stop().await?;
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
        assert!(questions(&ours.metrics().await?, controller, "failed") >= 1);
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
    until_noted(&lab, &CONTROLLERS, "working").await?;
    ours.stop().await?;
    ours.restart().await?;
    until_aside(&lab, &ours, &[], Duration::ZERO).await?;
    assert_eq!(ours.log()?.matches(asked).count(), lines, "{}", ours.log()?);
    Ok(())
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
    let without = upstream(&lab, &[&list_of_the_guide()]).await?;
    let took = until_aside(&lab, &ours, &[], 2 * ROUND + UNANSWERED).await?;
    println!("Fairlead took over {took:.1?} after kube-controller-manager had ended");
    assert_eq!(at_rest(&lab).await?, before, "byte by byte as kube-controller-manager left it");
    assert_eq!(work_of_ours(&lab)?, [""; 0], "written at the switch");
    assert_eq!(told(&lab, "RivalControllerGone").await?, CONTROLLERS.len());
    change(&lab, 2).await?;
    assert!(!work_of_ours(&lab)?.is_empty(), "it works");

    // And back: with its controllers again, kube-controller-manager is heard of within a round.
    let before = at_rest(&lab).await?;
    without.check()?;
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
        let open = CONTROLLERS.iter().find(|&&it| questions(&metrics, it, "unanswered") == 0);
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
            if questions(&metrics, controller, "unanswered") < 2 {
                return Err(format!("{controller}: {}", readiness(&first, controller).await?).into());
            }
        }
        Ok(())
    })
    .await?;
    until_aside(&lab, &first, &[], Duration::ZERO).await?;
    let answered: u64 = {
        let metrics = first.metrics().await?;
        CONTROLLERS.iter().map(|controller| questions(&metrics, controller, "answered")).sum()
    };
    assert_eq!(answered, 0);
    Ok(())
}
