//! When the change happened that calls for a write.
//!
//! Upstream remembers for each Pod of each Service when it was last seen to change. Here the times travel with the
//! changes themselves: each change of a Pod brings its time along, the earliest of those that are not written yet is
//! kept, and nothing needs to be remembered of Pods that stand still.

use fairlead_objects::{Pod, Service};
use jiff::Timestamp;

/// The value of the annotation `endpoints.kubernetes.io/last-change-trigger-time`
/// ([`crate::names::TRIGGER_TIME`]) as kube-controller-manager writes it: RFC 3339 in UTC, without a fraction
/// for whole seconds.
#[must_use]
pub fn trigger_time_text(time: Timestamp) -> String {
    time.to_string()
}

/// When a Pod of a Service changed: when it became ready or not ready, if that is news. `old` is `None` for a Pod
/// that joined the Service, `new` is `None` for one that left it. Deletions and other changes have no time.
#[must_use]
pub fn pod_change_time(old: Option<&Pod>, new: Option<&Pod>) -> Option<Timestamp> {
    let now = new?.ready_since?;
    let is_news = old.and_then(|old| old.ready_since).is_none_or(|then| now > then);
    is_news.then_some(now)
}

/// The trigger time of a write that brings a Service up to date.
///
/// A Service that was never planned counts from its creation, whatever its Pods did. Afterwards (`planned` is what it
/// was then) the earliest counts of `pods_changed`, the earliest [`pod_change_time`] that is not yet written, and the
/// creation of a Service that was made anew. Other changes (deleted Pods, ports, labels) have no time: `None`.
#[must_use]
pub fn trigger_time(
    service: &Service,
    planned: Option<&Service>,
    pods_changed: Option<Timestamp>,
) -> Option<Timestamp> {
    let Some(planned) = planned else { return service.created };
    let made_anew = service.created.filter(|now| planned.created.is_none_or(|then| *now > then));
    made_anew.into_iter().chain(pods_changed).min()
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

    fn pod(ready_since: i64) -> Pod {
        Pod { ready_since: at(ready_since), ..testing::pod("a") }
    }

    #[test]
    fn a_new_service_counts_from_its_creation() {
        assert_eq!(trigger_time(&service(0), None, None), at(0));
    }

    #[test]
    fn a_service_that_is_new_to_this_process_counts_from_its_creation_whatever_its_pods_did() {
        assert_eq!(trigger_time(&service(50), None, at(10)), at(50));
        let undated = Service { created: None, ..service(0) };
        assert_eq!(trigger_time(&undated, None, at(10)), None);
    }

    #[test]
    fn a_pod_that_joins_or_changes_counts() {
        assert_eq!(pod_change_time(None, Some(&pod(20))), at(20));
        assert_eq!(pod_change_time(Some(&pod(20)), Some(&pod(30))), at(30));
        let undated = Pod { ready_since: None, ..pod(0) };
        assert_eq!(pod_change_time(Some(&undated), Some(&pod(30))), at(30));
    }

    #[test]
    fn nothing_new_has_no_time() {
        assert_eq!(pod_change_time(Some(&pod(20)), Some(&pod(20))), None);
        let undated = Pod { ready_since: None, ..pod(0) };
        assert_eq!(pod_change_time(None, Some(&undated)), None);
        // A clock that went backwards is no news either.
        assert_eq!(pod_change_time(Some(&pod(30)), Some(&pod(29))), None);
        assert_eq!(trigger_time(&service(0), Some(&service(0)), None), None);
    }

    #[test]
    fn a_deleted_pod_has_no_time_and_counts_as_new_when_it_comes_back() {
        assert_eq!(pod_change_time(Some(&pod(30)), None), None);
        assert_eq!(pod_change_time(None, Some(&pod(30))), at(30));
    }

    #[test]
    fn a_service_that_was_made_anew_counts_from_its_new_creation() {
        assert_eq!(trigger_time(&service(60), Some(&service(0)), None), at(60));
        assert_eq!(trigger_time(&service(60), Some(&service(0)), at(10)), at(10));
        assert_eq!(trigger_time(&service(60), Some(&service(0)), at(70)), at(60));
    }

    #[test]
    fn a_changed_service_with_the_same_pods_has_no_time() {
        let relabelled = Service { labels: [("a", "b")].into_iter().collect(), ..service(0) };
        assert_eq!(trigger_time(&relabelled, Some(&service(0)), None), None);
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
