//! Managers that end and begin, one after the other and side by side.

use std::time::Duration;

use lab::{Fault, Lab, LoadBalancer, Manager, Requests, Result, Writes};
use serde_json::json;

use crate::judge::{self, Subjects};
use crate::observer::Observer;
use crate::world::{A_WHILE, CONTROLLER, all_addresses, manager, objects_only, services};

/// Everything that the controller writes but events.
const WRITTEN: [&str; 5] = [
    "services/status",
    "loadbalanceraddresses",
    "loadbalanceraddresses/status",
    "loadbalancerpools/status",
    "servicereservations/status",
];

/// The controller's writes between two counts.
fn written(before: &Writes, after: &Writes) -> u64 {
    let writes = after.since(before);
    WRITTEN.iter().map(|resource| writes.of_resource(resource)).sum()
}

/// Services that have all addresses there are, and rivals that wait for one and say so.
async fn holders_and_rivals(lab: &Lab, count: usize) -> Result<[Vec<LoadBalancer>; 2]> {
    lab.pool("pool", json!({ "addresses": [format!("203.0.113.1-203.0.113.{count}")] })).await?;
    let holders = services(lab, "holder", count).await?;
    all_addresses(&holders).await?;
    let rivals = services(lab, "rival", count).await?;
    for rival in &rivals {
        rival.wait_reason("PoolExhausted").await?;
    }
    Ok([holders, rivals])
}

#[tokio::test]
async fn b2_five_restarts_with_rivals_waiting_change_and_write_nothing() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    let [holders, rivals] = holders_and_rivals(&lab, 5).await?;
    let addresses = all_addresses(&holders).await?;
    judge::settled(&lab, &Subjects::all()).await?;
    // The status of the pool, which is written after all else.
    let full = |object: &serde_json::Value| object["status"]["ipv4"]["free"] == 0;
    lab.object(lab::Kind::Pool, None, "pool").wait_until("be full", full).await?;
    let observer = Observer::start(&lab);
    let before = lab.writes().await?;
    for round in 0..5 {
        if round % 2 == 0 {
            manager.kill().await?;
        } else {
            manager.stop().await?;
        }
        manager.restart().await?;
        tokio::time::sleep(A_WHILE).await;
    }
    assert_eq!(written(&before, &lab.writes().await?), 0, "{:?}", lab.writes().await?.since(&before));
    assert_eq!(all_addresses(&holders).await?, addresses);
    for rival in &rivals {
        assert!(rival.addresses().await?.is_empty());
    }
    observer.check();
    Ok(())
}

#[tokio::test]
async fn x17_two_managers_without_a_lease_never_give_an_address_twice() -> Result<()> {
    let lab = objects_only().start().await?;
    let managers = [manager(&lab).await?, manager(&lab).await?];
    let observer = Observer::start(&lab);
    lab.pool("pool", json!({ "addresses": ["203.0.113.1-203.0.113.40"] })).await?;
    let many = services(&lab, "web", 50).await?;
    let served = async || {
        let addresses = futures::future::try_join_all(many.iter().map(LoadBalancer::addresses)).await?;
        let served = addresses.iter().filter(|it| !it.is_empty()).count();
        if served == 40 { Ok(addresses) } else { Err(format!("{served} of 40").into()) }
    };
    let addresses = lab.wait_until("40 Services to have addresses", crate::world::PATIENCE, served).await?;
    judge::settled(&lab, &Subjects::all()).await?;
    observer.check();
    // What is freed goes to those who wait, once.
    let (served, waiting): (Vec<_>, Vec<_>) = many.iter().zip(&addresses).partition(|(_, it)| !it.is_empty());
    for (service, _) in served.iter().take(waiting.len()) {
        service.delete().await?;
    }
    for (service, _) in waiting {
        service.wait_address().await?;
    }
    judge::settled(&lab, &Subjects::all()).await?;
    for manager in managers {
        let log = manager.log()?;
        assert!(!log.contains("panicked"), "{log}");
    }
    Ok(())
}

/// Every informer in turn gets its list much later than the others, while Services come that want an address.
#[tokio::test]
async fn x18_a_start_with_half_filled_caches_changes_no_address() -> Result<()> {
    let lab = objects_only().start().await?;
    let faults = lab.faults(18)?;
    let manager = lab.manager().controllers(CONTROLLER).through(&faults).start().await?;
    let [holders, _] = holders_and_rivals(&lab, 8).await?;
    judge::settled(&lab, &Subjects::all()).await?;
    let addresses = all_addresses(&holders).await?;
    let observer = Observer::start(&lab);
    for resource in ["services", "loadbalanceraddresses", "loadbalancerpools", "namespaces"] {
        manager.kill().await?;
        faults.often(Fault::Hang, Requests::reads().of(resource), 100);
        manager.process().restart()?;
        services(&lab, &format!("late-{resource}"), 2).await?;
        tokio::time::sleep(A_WHILE).await;
        faults.calm()?;
        manager.wait_ready().await?;
        judge::settled(&lab, &Subjects::all()).await?;
        assert_eq!(all_addresses(&holders).await?, addresses, "{resource}");
    }
    // And everything at once: etcd's clients, the API server and its cache, the manager.
    manager.kill().await?;
    lab.api_server().kill().await?;
    lab.api_server().restart()?;
    lab.api_servers()[0].wait_ready().await?;
    manager.restart().await?;
    judge::settled(&lab, &Subjects::all()).await?;
    assert_eq!(all_addresses(&holders).await?, addresses);
    observer.check();
    Ok(())
}

async fn elected(lab: &Lab) -> Result<Manager> {
    let seconds = Duration::from_secs;
    let manager = lab.manager().controllers(CONTROLLER).leader_elect(true);
    manager.lease_times(seconds(3), seconds(2), Duration::from_millis(500)).start().await
}

#[tokio::test]
async fn a_standby_writes_nothing_until_the_leader_is_gone() -> Result<()> {
    let lab = objects_only().audit().start().await?;
    let leader = elected(&lab).await?;
    let standby = elected(&lab).await?;
    lab.pool("pool", json!({ "addresses": ["203.0.113.0/24"] })).await?;
    let first = services(&lab, "first", 5).await?;
    let addresses = all_addresses(&first).await?;
    judge::settled(&lab, &Subjects::all()).await?;
    let writers = || -> Result<Vec<String>> {
        let writes = lab.audited_writes()?.into_iter();
        let mut agents: Vec<_> = writes
            .filter(|it| WRITTEN.contains(&it.resource.as_str()) && it.user.ends_with(":fairlead-manager"))
            .map(|it| it.user_agent)
            .collect();
        agents.dedup();
        Ok(agents)
    };
    let before = writers()?;
    assert!(before.len() == 1 && before[0].contains(leader.name()), "{before:?}");
    leader.kill().await?;
    let second = services(&lab, "second", 5).await?;
    all_addresses(&second).await?;
    judge::settled(&lab, &Subjects::all()).await?;
    assert_eq!(all_addresses(&first).await?, addresses);
    let after = writers()?;
    assert!(after.len() == 2 && after[1].contains(standby.name()), "{after:?}");
    Ok(())
}
