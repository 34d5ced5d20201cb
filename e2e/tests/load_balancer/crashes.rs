//! Requests that fail, answers that are lost, and managers that die between the two writes of an allocation.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use lab::{Fault, Faults, Lab, LoadBalancer, Manager, Requests, Result, Verb, Weather};
use serde_json::json;

use crate::judge::{self, Subjects};
use crate::observer::Observer;
use crate::world::{CONTROLLER, all_addresses, objects_only, services};

/// How long a fault is at work in `make test`, and with `FAIRLEAD_DRILLS=long`.
const SHORT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_mins(2);
/// No more Services than this at a time, so that the pool has room for all of them.
const MOST: usize = 100;

fn is_long() -> bool {
    std::env::var("FAIRLEAD_DRILLS").is_ok_and(|value| value == "long")
}

/// How often managers are killed: `FAIRLEAD_ROUNDS`.
fn rounds() -> usize {
    let asked = std::env::var("FAIRLEAD_ROUNDS").ok().and_then(|value| value.parse().ok());
    asked.unwrap_or(if is_long() { 200 } else { 6 })
}

async fn behind_faults(seed: u64) -> Result<(Lab, Faults, Manager)> {
    let lab = objects_only().start().await?;
    let faults = lab.faults(seed)?;
    let manager = lab.manager().controllers(CONTROLLER).through(&faults).start().await?;
    lab.pool("pool", json!({ "addresses": ["203.0.113.0/24", "2001:db8:f::/64"] })).await?;
    Ok((lab, faults, manager))
}

/// So many objects of addresses there are.
async fn count(lab: &Lab) -> Result<usize> {
    Ok(lab.assigned_addresses().await?.len())
}

#[tokio::test]
async fn an_address_that_was_allocated_before_a_crash_is_the_one_that_is_published() -> Result<()> {
    let (lab, faults, manager) = behind_faults(1).await?;
    let observer = Observer::start(&lab);
    for round in 0..3 {
        // The object is created, and the status never arrives.
        faults.often(Fault::Hang, Requests::of_verbs(&[Verb::Patch, Verb::Update]).of("services"), 100);
        let service = lab.load_balancer("default", &format!("web-{round}")).create().await?;
        let allocated = lab.wait_until("an object of an address", crate::world::PATIENCE, async || {
            let all = lab.assigned_addresses().await?;
            let ours = all.into_iter().find(|it| it.services.iter().any(|(key, _)| *key == service.key()));
            ours.ok_or_else(|| "there is none".into())
        });
        let allocated = allocated.await?;
        assert!(service.addresses().await?.is_empty());
        manager.kill().await?;
        faults.calm()?;
        manager.restart().await?;
        assert_eq!(service.wait_address().await?, allocated.address);
    }
    judge::settled(&lab, &Subjects::all()).await?;
    assert_eq!(count(&lab).await?, 3);
    observer.check();
    Ok(())
}

#[tokio::test]
async fn lost_answers_and_storms_of_refusals_leak_nothing() -> Result<()> {
    let (lab, faults, _manager) = behind_faults(2).await?;
    let observer = Observer::start(&lab);
    let of = |resource: &str| Requests::writes().of(resource);
    let mut expected = 0;
    for (number, resource) in ["loadbalanceraddresses", "services"].iter().enumerate() {
        faults.next(Fault::LostAnswer, of(resource));
        let service = lab.load_balancer("default", &format!("lost-{number}")).dual_stack().create().await?;
        service.wait_addresses(2).await?;
        assert_eq!(faults.made(Fault::LostAnswer), number as u64 + 1);
        expected += 2;
    }
    for (fault, percent) in
        [(Fault::Conflict, 60), (Fault::Throttle, 60), (Fault::Error, 60), (Fault::LostAnswer, 40)]
    {
        let before = faults.made(fault);
        for resource in ["loadbalanceraddresses", "services"] {
            faults.often(fault, of(resource), percent);
        }
        let name = format!("{fault:?}").to_lowercase();
        let many = services(&lab, &name, 10).await?;
        all_addresses(&many).await?;
        expected += many.len();
        assert!(faults.made(fault) > before, "{fault:?}");
        faults.calm()?;
        judge::settled(&lab, &Subjects::all()).await?;
    }
    assert_eq!(count(&lab).await?, expected);
    observer.check();
    Ok(())
}

/// Killed at random moments while Services come.
#[tokio::test]
async fn kills_between_allocation_and_status_leak_nothing() -> Result<()> {
    let (lab, faults, manager) = behind_faults(3).await?;
    let seed = std::env::var("FAIRLEAD_SEED").ok().and_then(|it| it.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("FAIRLEAD_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let observer = Observer::start(&lab);
    let mut all: Vec<LoadBalancer> = Vec::new();
    for round in 0..rounds() {
        // Some of the writes are done and not answered, or answered late.
        faults.often(Fault::Delay, Requests::writes(), 30);
        faults.often(Fault::LostAnswer, Requests::writes(), 20);
        // Names and addresses do not run out in long runs.
        if all.len() > 60 {
            for service in all.drain(..40) {
                service.delete().await?;
            }
        }
        all.extend(services(&lab, &format!("web-{round}"), 4).await?);
        tokio::time::sleep(Duration::from_millis(dice.u64(0..250))).await;
        manager.kill().await?;
        manager.process().restart()?;
    }
    faults.calm()?;
    manager.wait_ready().await?;
    let addresses = all_addresses(&all).await?;
    judge::settled(&lab, &Subjects::all()).await?;
    assert_eq!(addresses.iter().collect::<HashSet<_>>().len(), all.len());
    assert_eq!(count(&lab).await?, all.len());
    observer.check();
    Ok(())
}

/// Everything at once, with Services that come, change and go.
#[tokio::test]
async fn after_the_worst_weather_all_is_right() -> Result<()> {
    let (lab, faults, manager) = behind_faults(4).await?;
    faults.weather(&Weather::WORST, &Requests::all());
    let mut dice = fastrand::Rng::with_seed(4);
    let mut all: Vec<LoadBalancer> = Vec::new();
    let (began, limit) = (Instant::now(), if is_long() { LONG } else { SHORT });
    let mut number = 0;
    while began.elapsed() < limit {
        number += 1;
        let name = format!("web-{number}");
        let at = if all.is_empty() { 0 } else { dice.usize(..all.len()) };
        match dice.u8(..10) {
            0..=4 if all.len() < MOST => {
                let service = lab.load_balancer("default", &name).port(1000 + number);
                let service = if dice.bool() { service.dual_stack() } else { service };
                let key = format!("key-{}", dice.u8(..3));
                let service =
                    if dice.bool() { service.annotation("fairlead.dev/sharing-key", &key) } else { service };
                all.push(service.create().await?);
            }
            0..=6 if all.len() > 3 => all.swap_remove(at).delete().await?,
            7 if !all.is_empty() => {
                let wish = format!("203.0.113.{}", dice.u8(1..));
                all[at].annotate("fairlead.dev/addresses", Some(&wish)).await?;
            }
            8 if !all.is_empty() => all[at].annotate("fairlead.dev/addresses", None).await?,
            _ if number % 20 == 0 => {
                manager.kill().await?;
                manager.process().restart()?;
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    faults.calm()?;
    manager.wait_ready().await?;
    println!("{number} operations, faults: {:?}", faults.all_made());
    for service in &all {
        // What it asks for may be somebody else's.
        service.annotate("fairlead.dev/addresses", None).await?;
    }
    for service in &all {
        service.wait_until("have an address", |it| !lab::ingress_addresses(it).is_empty()).await?;
    }
    judge::settled(&lab, &Subjects::all()).await?;
    let log = manager.log()?;
    assert!(!log.contains("panicked"), "{log}");
    Ok(())
}
