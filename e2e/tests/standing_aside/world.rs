//! The controllers of both sides, what they say and what they write.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Endpoints, Event, Service};
use kube::api::{Api, ListParams};
use lab::{AuditedWrite, Error, Lab, Manager, Process, Result};
use serde_json::json;

use crate::support::{PATIENCE, patch, service};

/// The controllers that both have.
pub(crate) const CONTROLLERS: [&str; 3] =
    ["endpoints-controller", "endpointslice-controller", "endpointslice-mirroring-controller"];
/// One of them, which a test runs in kube-controller-manager alone.
pub(crate) const ALONE: [&str; 1] = [CONTROLLERS[1]];
pub(crate) const NAMESPACE: &str = "fairlead-system";
/// Time from one question to the next, at most, and the end of one that nobody answers.
pub(crate) const ROUND: Duration = Duration::from_secs(30);
pub(crate) const UNANSWERED: Duration = Duration::from_secs(5);
/// What a busy machine may add.
pub(crate) const SLACK: Duration = Duration::from_secs(20);
/// Leader election that does not keep a test waiting.
pub(crate) const ELECTION: [&str; 4] = [
    "--leader-elect=true",
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=500ms",
];

/// kube-controller-manager with these controllers, as a cluster runs it: with a Lease.
pub(crate) async fn upstream(lab: &Lab, controllers: &[&str]) -> Result<Process> {
    lab.upstream(&controllers.join(","), &ELECTION).await
}

pub(crate) fn standing_aside(metrics: &lab::Metrics, controller: &str) -> bool {
    metrics.sum("fairlead_standing_aside", &[("controller", controller)]) > 0.0
}

/// What `/readyz?verbose` says of a controller.
pub(crate) async fn readiness(manager: &Manager, controller: &str) -> Result<String> {
    let answer = manager.admin("/readyz?verbose").await?;
    assert_eq!(answer.status, 200, "a process that stands aside is ready: {}", answer.body);
    let line = answer.body.lines().find(|line| line.contains(&format!("rival/{controller} ")));
    Ok(line.unwrap_or_default().to_owned())
}

/// Waits until exactly these controllers stand aside and the others work; returns how long that took.
pub(crate) async fn until_aside(
    lab: &Lab,
    manager: &Manager,
    aside: &[&str],
    limit: Duration,
) -> Result<Duration> {
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

/// Waits until the leader has noted for the next one what each of these controllers does.
pub(crate) async fn until_noted(lab: &Lab, controllers: &[&str], what: &str) -> Result<()> {
    lab.wait_until(format!("a note that {controllers:?} are {what}"), PATIENCE, async || {
        let shown = lab.kubectl(&["-n", NAMESPACE, "get", "services,endpoints", "-o", "json"]).await?;
        let noted =
            |controller: &&&str| shown.contains(&format!("\"rival.fairlead.dev/{controller}\": \"{what} "));
        if controllers.iter().all(|controller| noted(&controller)) { Ok(()) } else { Err("not yet".into()) }
    })
    .await
}

/// Reasons and messages of the events about the canary Services.
pub(crate) async fn canary_events(lab: &Lab) -> Result<Vec<(String, String)>> {
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
pub(crate) fn questions(metrics: &lab::Metrics, controller: &str, outcome: &str) -> u64 {
    let labels = [("controller", controller), ("outcome", outcome)];
    // A counter is a whole number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = metrics.sum("fairlead_rival_questions_total", &labels) as u64;
    count
}

/// The account that the manager writes as.
pub(crate) const OURS: &str = "system:serviceaccount:fairlead-system:fairlead-manager";

/// What Fairlead has written, apart from the canaries, the Events about them and the key of its own speakers.
pub(crate) fn work_of_ours(lab: &Lab) -> Result<Vec<String>> {
    let is_work = |write: &AuditedWrite| {
        let canary = ["services", "endpoints"].contains(&write.resource.as_str())
            && write.name.starts_with("fairlead-canary");
        let is_key = write.resource == "secrets" && write.name == "fairlead-beacon-key";
        let housekeeping = canary || is_key || write.resource == "events";
        write.user == OURS && !(write.namespace == NAMESPACE && housekeeping)
    };
    let text =
        |write: AuditedWrite| format!("{} {} {}/{}", write.verb, write.resource, write.namespace, write.name);
    Ok(lab.audited_writes()?.into_iter().filter(is_work).map(text).collect())
}

/// For how many controllers the guide's command shows an event for this reason.
pub(crate) async fn told(lab: &Lab, reason: &str) -> Result<usize> {
    let reason = format!("reason={reason}");
    let shown = lab.kubectl(&["-n", NAMESPACE, "get", "events", "--field-selector", &reason]).await?;
    Ok(CONTROLLERS.iter().filter(|controller| shown.contains(&format!(" {controller}"))).count())
}

/// The list of the guide: kube-controller-manager without the three controllers. Without those, too, that have no business
/// with Nodes and Pods that exist on paper only.
pub(crate) fn list_of_the_guide() -> String {
    let guide = include_str!("../../../docs/switch-over.md");
    let list = guide.lines().find_map(|line| line.trim().strip_prefix("--controllers="));
    let list = list.expect("the guide has the flag on a line of its own");
    for controller in CONTROLLERS {
        assert!(list.contains(&format!(",-{controller}")), "{list}");
    }
    format!("{list},-node-lifecycle-controller,-taint-eviction-controller,-pod-garbage-collector-controller")
}

/// Everything that the controllers keep in `default`, as JSON.
pub(crate) async fn kept(lab: &Lab) -> Result<String> {
    lab.kubectl(&["get", "endpoints,endpointslices", "-o", "json"]).await
}

/// Waits until nobody changes anything any more, and returns what there is.
pub(crate) async fn at_rest(lab: &Lab) -> Result<String> {
    lab.wait_until("the controllers to be at rest", PATIENCE + SLACK, async || {
        let before = kept(lab).await?;
        // kube-controller-manager looks at its own slices after a second.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        if kept(lab).await? == before { Ok(before) } else { Err("something still changes".into()) }
    })
    .await
}

/// Objects for all three controllers.
pub(crate) async fn populate(lab: &Lab) -> Result<()> {
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
pub(crate) async fn change(lab: &Lab, number: u64) -> Result<()> {
    let name = format!("more-{number}");
    let pod = lab.pod("default", &name).label("app", "web").paper().start().await?;
    let outside = format!("203.0.113.{}", number % 250);
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
