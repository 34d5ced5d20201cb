//! Leader election on a real API server, with the rights of `config/rbac`.

mod drill;
#[path = "../support/mod.rs"]
mod support;
mod terms;

use std::process::ExitStatus;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, DeleteParams, ListParams};
use lab::{Fault, Identity, Lab, Manager, ManagerBuilder, Requests, Result};
use serde_json::json;
use tokio::task::JoinHandle;

use support::{CONTROLLER, PATIENCE, endpoints, objects_only, service, slices_until};

const NAMESPACE: &str = "fairlead-system";
const LEASE: &str = "fairlead-manager";
/// Exit code of a process that lost leadership.
const LOST: i32 = 3;

/// A manager with short times, so that nobody waits for long.
fn candidate(lab: &Lab) -> ManagerBuilder {
    let (duration, deadline, retry) =
        (Duration::from_secs(4), Duration::from_secs(3), Duration::from_millis(500));
    lab.manager().controllers(CONTROLLER).leader_elect(true).lease_times(duration, deadline, retry)
}

fn leases(lab: &Lab) -> Api<Lease> {
    Api::namespaced(lab.api(), NAMESPACE)
}

async fn lease(lab: &Lab) -> Result<LeaseSpec, lab::NotYet> {
    Ok(leases(lab).get(LEASE).await?.spec.unwrap_or_default())
}

/// Waits until this one holds the Lease, and returns its identity.
async fn leads(lab: &Lab, leader: &str) -> Result<String> {
    lab.wait_until(format!("{leader} to lead"), PATIENCE, async || {
        let holder = lease(lab).await?.holder_identity.unwrap_or_default();
        if holder.starts_with(&format!("{leader}_")) {
            Ok(holder)
        } else {
            Err(format!("{holder:?} does").into())
        }
    })
    .await
}

/// A new Pod of the Service, and its endpoint, which only a leader publishes.
async fn publishes(lab: &Lab, pod: &str) -> Result<()> {
    lab.pod("default", pod).label("app", "web").paper().start().await?;
    let endpoint = format!("{pod}:rs-");
    slices_until(lab, "web", &endpoint, |slices| endpoints(slices).contains(&endpoint)).await.map(drop)
}

/// It will end by itself, and may do so from now on.
async fn will_end(manager: &Manager) -> JoinHandle<Result<ExitStatus>> {
    let process = manager.process().clone();
    let ended = tokio::spawn(async move { process.ended().await });
    tokio::task::yield_now().await;
    ended
}

async fn readiness(manager: &Manager) -> Result<String> {
    Ok(manager.admin("/readyz?verbose").await?.body)
}

#[tokio::test]
async fn one_leads_and_another_takes_over_however_it_ends() -> Result<()> {
    let lab = objects_only().audit().start().await?;
    service(&lab, "web", json!({})).await?;
    let one = candidate(&lab).start().await?;
    let first = leads(&lab, one.name()).await?;
    publishes(&lab, "web-1").await?;
    let two = candidate(&lab).start().await?;
    lab.wait_until("the standby to know who leads", PATIENCE, async || {
        let text = readiness(&two).await?;
        if text.contains(&format!("[+]leaderElection ok: {first} leads")) { Ok(()) } else { Err(text.into()) }
    })
    .await?;
    assert!(readiness(&one).await?.contains(&format!("[+]leaderElection ok: this process leads, {first}")));
    let status = async |manager: &Manager| {
        Ok::<_, lab::Error>(manager.metrics().await?.sum("leader_election_master_status", &[("name", LEASE)]))
    };
    assert_eq!((status(&one).await?, status(&two).await?), (1.0, 0.0));
    assert!(one.admin("/livez?verbose").await?.body.contains("[+]leaderElection ok"));

    // Killed: the Lease expires.
    one.kill().await?;
    publishes(&lab, "web-2").await?;
    let second = leads(&lab, two.name()).await?;
    assert_eq!(lease(&lab).await.unwrap().lease_transitions, Some(1));
    one.restart().await?;

    // Told to end: it gives the Lease back.
    assert_eq!(two.stop().await?.code(), Some(0));
    publishes(&lab, "web-3").await?;
    let third = leads(&lab, one.name()).await?;
    assert!(two.log()?.contains("released the Lease"), "{}", two.log()?);
    assert_eq!(lease(&lab).await.unwrap().lease_transitions, Some(2));
    two.restart().await?;

    // Frozen, while there is work for it to be done when it wakes up.
    one.process().freeze()?;
    publishes(&lab, "web-4").await?;
    let fourth = leads(&lab, two.name()).await?;
    let end = will_end(&one).await;
    one.process().thaw()?;
    assert_eq!(end.await.unwrap()?.code(), Some(LOST));
    assert!(one.log()?.contains("leaderelection lost"), "{}", one.log()?);
    publishes(&lab, "web-5").await?;
    assert_eq!(terms::check(&lab)?.0, [first.clone(), second.clone(), third, fourth.clone()]);

    // Deleted: whoever leads makes it anew, and goes on.
    leases(&lab).delete(LEASE, &DeleteParams::default()).await.unwrap();
    assert_eq!(leads(&lab, two.name()).await?, fourth);
    publishes(&lab, "web-6").await?;
    assert_eq!(terms::check(&lab)?.0.len(), 4);
    assert!(two.process().is_running());

    let events: Api<Event> = Api::namespaced(lab.api(), NAMESPACE);
    lab.wait_until("the terms to be told", PATIENCE, async || {
        let list =
            events.list(&ListParams::default().fields(&format!("involvedObject.name={LEASE}"))).await?;
        let told: Vec<_> =
            list.into_iter().filter_map(|event| Some((event.reason?, event.message?))).collect();
        let has = |message: String| told.contains(&("LeaderElection".to_owned(), message));
        if has(format!("{first} became leader")) && has(format!("{second} stopped leading")) {
            Ok(())
        } else {
            Err(format!("{told:?}").into())
        }
    })
    .await
}

/// client-go and Fairlead wait for each other, in either order.
#[tokio::test]
async fn a_lease_of_client_go_is_respected_and_ours_by_client_go() -> Result<()> {
    let lab = objects_only().start().await?;
    service(&lab, "web", json!({})).await?;
    lab.apply_rbac().await?;
    let upstream = lab
        .upstream(
            "serviceaccount-token-controller",
            &[
                "--leader-elect=true",
                &format!("--leader-elect-resource-name={LEASE}"),
                &format!("--leader-elect-resource-namespace={NAMESPACE}"),
                "--leader-elect-lease-duration=4s",
                "--leader-elect-renew-deadline=3s",
                "--leader-elect-retry-period=500ms",
            ],
        )
        .await?;
    let foreign = lab
        .wait_until("kube-controller-manager to hold the Lease", PATIENCE, async || {
            let holder = lease(&lab).await?.holder_identity;
            holder.filter(|holder| !holder.is_empty()).ok_or_else(|| "nobody does".into())
        })
        .await?;
    let ours = candidate(&lab).start().await?;
    lab.wait_until("ours to know who leads", PATIENCE, async || {
        let text = readiness(&ours).await?;
        if text.contains(&format!("{foreign} leads")) { Ok(()) } else { Err(text.into()) }
    })
    .await?;
    upstream.kill().await?;
    leads(&lab, ours.name()).await?;
    publishes(&lab, "web-1").await?;

    upstream.restart()?;
    let standby = "Attempting to acquire leader lease";
    lab.wait_until("kube-controller-manager to wait", PATIENCE, async || {
        let log = upstream.log()?;
        let waits = log.rsplit_once(standby).is_some_and(|(_, rest)| rest.contains("new leader elected"));
        if waits || log.matches(standby).count() > 1 { Ok(()) } else { Err("it does not try".into()) }
    })
    .await?;
    publishes(&lab, "web-2").await?;
    assert_eq!(ours.stop().await?.code(), Some(0));
    lab.wait_until("kube-controller-manager to take what we gave back", PATIENCE, async || {
        let holder = lease(&lab).await?.holder_identity.unwrap_or_default();
        if !holder.is_empty() && !holder.starts_with(ours.name()) { Ok(()) } else { Err(holder.into()) }
    })
    .await
}

#[tokio::test]
async fn who_cannot_renew_ends_and_writes_no_more() -> Result<()> {
    let lab = objects_only().audit().start().await?;
    service(&lab, "web", json!({})).await?;

    // Everything is answered with 429, and there is work to be done.
    let faults = lab.faults(1)?;
    let stormy = candidate(&lab).through(&faults).start().await?;
    leads(&lab, stormy.name()).await?;
    publishes(&lab, "web-1").await?;
    let two = candidate(&lab).start().await?;
    let end = will_end(&stormy).await;
    faults.often(Fault::Throttle, Requests::all(), 100);
    publishes(&lab, "web-2").await?;
    assert_eq!(end.await.unwrap()?.code(), Some(LOST));
    faults.calm()?;
    assert_eq!(terms::check(&lab)?.0.len(), 2);

    // The API server hangs for longer than a term.
    leads(&lab, two.name()).await?;
    lab.api_server().freeze()?;
    assert_eq!(two.process().ended().await?.code(), Some(LOST));
    lab.api_server().thaw()?;
    two.restart().await?;
    leads(&lab, two.name()).await?;
    publishes(&lab, "web-3").await?;
    terms::check(&lab)?;

    // Without rights it says what is missing, and goes on trying.
    let nobody = candidate(&lab).identity(Identity::service_account("default", "default")).spawn().await?;
    lab.wait_until("the missing rights to be named", PATIENCE, async || {
        let text = readiness(&nobody).await?;
        let told =
            ["[-]leaderElection failed: cannot get Lease", "cannot get resource \"leases\"", "config/rbac"]
                .iter()
                .all(|part| text.contains(part));
        if told { Ok(()) } else { Err(text.into()) }
    })
    .await?;
    assert!(nobody.process().is_running());
    Ok(())
}
