//! When the change happened that a write is about.

use fairlead_discovery::names::TRIGGER_TIME;
use fairlead_objects::testing;
use jiff::Timestamp;

use crate::support::{Cluster, Wrote};

fn at(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(1_767_225_600 + second).ok()
}

/// A Service created at second 10 with a Pod that became ready at second 20, planned once.
fn planned() -> Cluster {
    let mut cluster = Cluster::with_pods(1);
    cluster.service.created = at(10);
    cluster.change_pod(0, |pod| pod.ready_since = at(20));
    cluster.sync();
    cluster
}

#[test]
fn test_last_trigger_change_time_annotation() {
    assert_eq!(
        planned().annotation(TRIGGER_TIME),
        Some("2026-01-01T00:00:10Z"),
        "the creation of the Service"
    );
}

#[test]
fn test_last_trigger_change_time_annotation_overridden() {
    let mut cluster = planned();
    cluster.change_pod(0, |pod| {
        pod.ready = false;
        pod.ready_since = at(30);
    });
    assert_eq!(cluster.sync(), Wrote::Updated);
    assert_eq!(cluster.annotation(TRIGGER_TIME), Some("2026-01-01T00:00:30Z"));
}

#[test]
fn test_last_trigger_change_time_annotation_cleared() {
    let mut cluster = planned();
    cluster.service.labels = [("new", "label")].into_iter().collect();
    assert_eq!(cluster.sync(), Wrote::Updated);
    assert_eq!(cluster.annotation(TRIGGER_TIME), None);
}

/// Also 81360.
#[test]
fn issue_74294_a_new_time_alone_is_no_reason_to_write() {
    let mut cluster = planned();
    cluster.change_pod(0, |pod| pod.ready_since = at(40));
    assert_eq!(cluster.sync(), Wrote::Nothing);
    assert_eq!(cluster.annotation(TRIGGER_TIME), Some("2026-01-01T00:00:10Z"));
    cluster.change_endpoints(|it| it.annotations = [(TRIGGER_TIME, "nonsense")].into_iter().collect());
    assert_eq!(cluster.sync(), Wrote::Nothing, "nor is what others make of it");
}

#[test]
fn a_service_made_anew_counts_from_its_creation() {
    let mut cluster = planned();
    cluster.service = fairlead_objects::Service {
        created: at(60),
        uid: "another".into(),
        labels: [("new", "label")].into_iter().collect(),
        ..testing::service("web")
    };
    cluster.sync();
    assert_eq!(cluster.annotation(TRIGGER_TIME), Some("2026-01-01T00:01:00Z"));
}
