//! Elections on an API server in memory, under paused time.

use std::convert::Infallible;
use std::time::Duration;

use fairlead_fake_api::{FakeApi, LEASES, Weather};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use prometheus::Registry;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::admin::Checks;
use crate::clock::Clock;
use crate::events::{self, EventMetrics};
use crate::permit::{Permit, Term};
use crate::shutdown::Shutdown;

const SHORT: Duration = Duration::from_millis(200);

struct Process {
    term: Term,
    stop: CancellationToken,
    checks: Checks,
    election: JoinHandle<End>,
}

impl Process {
    fn start(client: &Client, identity: &str) -> Self {
        let candidate = Candidate {
            namespace: "system".to_owned(),
            name: "manager".to_owned(),
            identity: identity.to_owned(),
            timing: Timing::default(),
        };
        let (begun, registry) = (Instant::now(), Registry::new());
        let clock = Clock::new(move || begun.elapsed());
        let (term, stop, checks) =
            (Term::new(clock.clone()), CancellationToken::new(), Checks::new(Shutdown::new()));
        // Events are not written: the other half is dropped.
        let permit = Permit::until(CancellationToken::new());
        let (recorder, _) = events::channel(client.clone(), "test", EventMetrics::new(&registry), permit);
        let check = checks.add("leaderElection", "waiting for the first look at the Lease");
        let reporter = Reporter::new(LeaseMetrics::new(&registry), recorder, check);
        let election = Election::new(client.clone(), &candidate, term.clone(), clock, reporter);
        let election = tokio::spawn(election.run(std::future::ready(()), stop.clone()));
        Self { term, stop, checks, election }
    }

    fn leads(&self) -> bool {
        self.term.is_running()
    }

    async fn becomes_leader(&self, within: Duration) -> bool {
        let permit = Permit::until(CancellationToken::new()).during(&self.term);
        timeout(within, permit.granted()).await.is_ok()
    }
}

fn spec(api: &FakeApi) -> serde_json::Value {
    api.get(&LEASES, "system", "manager").unwrap()["spec"].clone()
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_gives_the_lease_back_to_whoever_waits() {
    let api = FakeApi::new(1);
    let one = Process::start(&api.client(), "one");
    assert!(one.becomes_leader(SHORT).await);
    let two = Process::start(&api.client(), "two");
    sleep(Duration::from_mins(5)).await;
    assert!(one.leads() && !two.leads());
    assert_eq!(spec(&api)["leaseTransitions"], 0);
    assert!(one.checks.report().lines().contains("[+]leaderElection ok: this process leads, one\n"));
    assert!(two.checks.report().lines().contains("[+]leaderElection ok: one leads\n"), "a standby is ready");

    let version = api.version();
    one.stop.cancel();
    assert_eq!(one.election.await.unwrap(), End::Stopped);
    assert!(two.becomes_leader(SHORT).await);
    let events = api.events_after(version);
    let released = events
        .iter()
        .filter_map(|event| event.new.as_ref())
        .find(|lease| lease["spec"]["holderIdentity"] == "")
        .unwrap();
    assert_eq!(released["spec"]["leaseDurationSeconds"], 1);
    assert_eq!((&spec(&api)["holderIdentity"], &spec(&api)["leaseTransitions"]), (&json!("two"), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_when_its_lease_expires() {
    let api = FakeApi::new(1);
    let one = Process::start(&api.client(), "one");
    assert!(one.becomes_leader(SHORT).await);
    let two = Process::start(&api.client(), "two");
    sleep(Duration::from_secs(61)).await;
    one.election.abort();
    let died = Instant::now();
    assert!(two.becomes_leader(Duration::from_secs(20)).await);
    let waited = died.elapsed();
    assert!((Duration::from_secs(13)..=Duration::from_millis(15_100)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_not_answered_ends_in_time() {
    let api = FakeApi::new(1);
    let one = Process::start(&api.client(), "one");
    assert!(one.becomes_leader(SHORT).await);
    sleep(Duration::from_mins(1)).await;
    api.set_weather(Weather { hang: 100, ..Weather::default() });
    let (cut, term) = (Instant::now(), one.term.clone());
    assert_eq!(one.election.await.unwrap(), End::Lost);
    let waited = cut.elapsed();
    assert!((Duration::from_secs(8)..=Duration::from_millis(10_100)).contains(&waited), "{waited:?}");
    assert!(!term.is_running());
    assert_eq!(term.overdue(), None, "it was ended, not forgotten");
}

/// 429 to all, as from an API server that is overloaded: there is still the time for several attempts.
#[tokio::test(start_paused = true)]
async fn a_storm_that_passes_costs_nothing() {
    let api = FakeApi::new(1);
    let one = Process::start(&api.client(), "one");
    assert!(one.becomes_leader(SHORT).await);
    sleep(Duration::from_mins(1)).await;
    api.set_weather(Weather { throttle: 100, ..Weather::default() });
    sleep(Duration::from_secs(7)).await;
    assert!(one.leads());
    api.set_weather(Weather::default());
    sleep(Duration::from_mins(1)).await;
    assert!(one.leads());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_is_made_anew_by_its_holder() {
    let api = FakeApi::new(1);
    let one = Process::start(&api.client(), "one");
    assert!(one.becomes_leader(SHORT).await);
    let two = Process::start(&api.client(), "two");
    sleep(Duration::from_secs(5)).await;
    assert!(api.delete(&LEASES, "system", "manager"));
    sleep(SHORT).await;
    assert_eq!(spec(&api)["holderIdentity"], "one");
    sleep(Duration::from_mins(1)).await;
    assert!(one.leads() && !two.leads());
}

#[tokio::test(start_paused = true)]
async fn whoever_has_no_rights_is_told_which_and_is_not_ready() {
    let refusal = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 403, "reason": "Forbidden",
        "message": "leases.coordination.k8s.io \"manager\" is forbidden: User \"me\" cannot get resource \"leases\" in \
                    API group \"coordination.k8s.io\" in the namespace \"system\"",
    });
    let service = tower::service_fn(move |_: Request<Body>| {
        let body = Body::from(refusal.to_string().into_bytes());
        async move { Ok::<_, Infallible>(Response::builder().status(403).body(body).unwrap()) }
    });
    let one = Process::start(&Client::new(service, "default"), "one");
    sleep(Duration::from_secs(10)).await;
    let report = one.checks.report();
    assert!(!report.is_ok());
    for part in
        ["cannot get Lease system/manager", "cannot get resource \"leases\"", "\"system\"", "config/rbac"]
    {
        assert!(report.lines().contains(part), "{part}: {}", report.lines());
    }
    one.stop.cancel();
    assert_eq!(one.election.await.unwrap(), End::Stopped);
}
