//! A process that may not write.

use std::time::Duration;

use crate::process::Process;
use crate::world::{SOON, api, put_service, until_right, writes_after};

#[tokio::test(start_paused = true)]
async fn a_standby_writes_nothing_and_begins_at_once_when_it_may() {
    let api = api(1);
    let process = Process::start_standby(&api);
    let version = api.version();
    for number in 0..10 {
        put_service(&api, &format!("web-{number}"));
    }
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(writes_after(&api, version), []);
    let retries = process.metric("workqueue_retries_total{name=\"loadbalancer\"}");
    assert_eq!(retries, 0, "what may not be written is parked");
    process.gate.open();
    until_right(&api, Duration::from_millis(100), "as soon as it may").await;
}

/// The leader's writes settle what the standby has planned.
#[tokio::test(start_paused = true)]
async fn a_standby_that_follows_a_leader_has_nothing_to_do_when_it_takes_over() {
    let api = api(1);
    let (mut leader, standby) = (Process::start(&api), Process::start_standby(&api));
    for number in 0..10 {
        put_service(&api, &format!("web-{number}"));
    }
    until_right(&api, SOON, "by the leader").await;
    tokio::time::sleep(SOON).await;
    leader.kill();
    let version = api.version();
    standby.gate.open();
    tokio::time::sleep(SOON * 10).await;
    assert_eq!(writes_after(&api, version), []);
    put_service(&api, "new");
    until_right(&api, SOON, "by the one that was on standby").await;
}
