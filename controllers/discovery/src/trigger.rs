//! When the change happened that calls for a write.

use std::sync::Arc;

use fairlead_objects::{Istr, Pod, Service};
use hashbrown::HashMap;
use jiff::Timestamp;

/// The value of the annotation `endpoints.kubernetes.io/last-change-trigger-time`
/// ([`crate::names::TRIGGER_TIME`]) as kube-controller-manager writes it: RFC 3339 in UTC, without a fraction
/// for whole seconds.
#[must_use]
pub fn trigger_time_text(time: Timestamp) -> String {
    time.to_string()
}

/// What was last seen of the times at which one Service and its Pods changed. It tells the
/// earliest change that is not yet in what was written. The default value knows nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TriggerTimes {
    seen: Option<Arc<Seen>>,
}

#[derive(Debug, PartialEq)]
struct Seen {
    service: Option<Timestamp>,
    /// When each Pod, by its name, last became ready or not ready.
    pods: HashMap<Istr, Timestamp>,
}

impl TriggerTimes {
    /// The trigger time of a write that brings `service` and its `pods` up to date, and the memory with which
    /// to ask the next time. Keep that only if the write succeeded, else the time is lost.
    ///
    /// A Service that was never seen counts from its creation. Afterwards the earliest counts of: Pods that
    /// became ready or not ready since, and the creation of a Service that was made anew. Other changes
    /// (deleted Pods, ports, labels) have no time: `None`.
    #[must_use]
    pub fn observe<'a>(
        &self,
        service: &Service,
        pods: impl IntoIterator<Item = &'a Pod>,
    ) -> (Option<Timestamp>, Self) {
        let known = self.seen.as_deref();
        let is_newer = |now: Timestamp, then: Option<Timestamp>| then.is_none_or(|then| now > then);
        let mut earliest =
            service.created.filter(|created| is_newer(*created, known.and_then(|known| known.service)));
        let pods = pods.into_iter();
        let mut times = HashMap::with_capacity(pods.size_hint().0);
        for pod in pods {
            let Some(since) = pod.ready_since else { continue };
            if is_newer(since, known.and_then(|known| known.pods.get(&pod.key.name).copied())) {
                earliest = Some(earliest.map_or(since, |earliest| earliest.min(since)));
            }
            times.insert(pod.key.name.clone(), since);
        }
        let trigger = if known.is_some() { earliest } else { service.created };
        (trigger, Self { seen: Some(Arc::new(Seen { service: service.created, pods: times })) })
    }
}

#[cfg(test)]
mod tests {
    use fairlead_objects::testing;

    use super::*;

    /// A time so many seconds after an arbitrary start.
    fn at(seconds: i64) -> Option<Timestamp> {
        Timestamp::from_second(1_767_000_000 + seconds).ok()
    }

    fn service(created: i64) -> Service {
        Service { created: at(created), ..testing::service("web") }
    }

    fn pod(name: &str, ready_since: i64) -> Pod {
        Pod { ready_since: at(ready_since), ..testing::pod(name) }
    }

    /// Observes one state after the other, as if each had been written, and returns the trigger times.
    fn triggers(states: &[(Service, &[Pod])]) -> Vec<Option<Timestamp>> {
        let mut memory = TriggerTimes::default();
        states
            .iter()
            .map(|(service, pods)| {
                let (trigger, next) = memory.observe(service, *pods);
                memory = next;
                trigger
            })
            .collect()
    }

    #[test]
    fn a_new_service_counts_from_its_creation() {
        assert_eq!(triggers(&[(service(0), &[])]), [at(0)]);
    }

    #[test]
    fn a_service_that_is_new_to_this_process_counts_from_its_creation_whatever_its_pods_did() {
        assert_eq!(triggers(&[(service(50), &[pod("a", 10), pod("b", 90)])]), [at(50)]);
        let undated = Service { created: None, ..service(0) };
        assert_eq!(triggers(&[(undated, &[pod("a", 10)])]), [None]);
    }

    #[test]
    fn the_earliest_of_several_new_pods_counts() {
        let pods = [pod("a", 30), pod("b", 20), pod("c", 25)];
        assert_eq!(triggers(&[(service(0), &[]), (service(0), &pods)]), [at(0), at(20)]);
    }

    #[test]
    fn the_earliest_of_several_changed_pods_counts() {
        let before = [pod("a", 30), pod("b", 20), pod("c", 25)];
        let after = [pod("a", 50), pod("b", 20), pod("c", 45)];
        assert_eq!(triggers(&[(service(0), &before), (service(0), &after)])[1], at(45));
    }

    #[test]
    fn nothing_new_has_no_time() {
        let pods = [pod("a", 30), pod("b", 20)];
        assert_eq!(triggers(&[(service(0), &pods), (service(0), &pods)])[1], None);
        let undated = [Pod { ready_since: None, ..pod("c", 0) }];
        assert_eq!(triggers(&[(service(0), &[]), (service(0), &undated)])[1], None);
        // A clock that went backwards is no news either.
        assert_eq!(triggers(&[(service(0), &pods), (service(0), &[pod("a", 29), pod("b", 20)])])[1], None);
    }

    #[test]
    fn a_deleted_pod_has_no_time_and_counts_as_new_when_it_comes_back() {
        let both = [pod("a", 30), pod("b", 20)];
        assert_eq!(
            triggers(&[(service(0), &both), (service(0), &both[..1]), (service(0), &both)]),
            [at(0), None, at(20)]
        );
    }

    #[test]
    fn a_service_that_was_made_anew_counts_from_its_new_creation() {
        let pods = [pod("a", 10)];
        assert_eq!(triggers(&[(service(0), &pods), (service(60), &pods)]), [at(0), at(60)]);
        // Its deletion was noticed: nothing is known.
        assert_eq!(triggers(&[(service(60), &pods)]), [at(60)]);
    }

    #[test]
    fn a_changed_service_with_the_same_pods_has_no_time() {
        let relabelled = Service { labels: [("a", "b")].into_iter().collect(), ..service(0) };
        assert_eq!(triggers(&[(service(0), &[pod("a", 10)]), (relabelled, &[pod("a", 10)])])[1], None);
    }

    #[test]
    fn a_failed_write_keeps_its_time_when_the_old_memory_is_used_again() {
        let (_, memory) = TriggerTimes::default().observe(&service(0), &[pod("a", 10)]);
        let (first, _) = memory.observe(&service(0), &[pod("a", 40)]);
        let (second, _) = memory.observe(&service(0), &[pod("a", 40), pod("b", 45)]);
        assert_eq!((first, second), (at(40), at(40)));
    }

    #[test]
    fn the_text_is_that_of_kube_controller_manager() {
        for (given, expected) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.120Z", "2026-01-02T03:04:05.12Z"),
            ("2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05Z"),
        ] {
            assert_eq!(trigger_time_text(given.parse().unwrap()), expected);
        }
    }
}
