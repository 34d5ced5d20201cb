//! Where the two may differ, because upstream leaves it to chance or because we are better on purpose.
//!
//! Each rule is used as rarely as can be told from the operation or the objects. Where a nudge makes both comparable
//! there is a nudge, and nothing is left out of the comparison.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::operation::{Kind, Operation};

/// A difference that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A change of a Node is seen by upstream at the next sync of each Service.
    LateNode,
    /// The Pods of a Node that is gone serve for a minute more with us.
    GoneNode,
    /// A slice that is relabelled away stops upstream's work on its Service.
    RelabelledSlice,
    /// A Pod that ends without having been ready is seen by upstream at the next sync.
    PhaseOnly,
    /// An edit of Endpoints is seen by upstream at the next sync.
    EditedEndpoints,
    /// A slice that was deleted, and that the process has not written, is seen by upstream at the next sync.
    DeletedAfterRestart,
    /// Upstream missed something, for no reason to be seen in the operation, until its Service was synced again.
    LateUpstream,
    /// Upstream walks over a hash map where several new endpoints find places in several slices.
    Order,
    /// Ports of Endpoints are sorted by a hash that upstream changed.
    PortOrder,
    /// Upstream's hints follow that order.
    HintsFollowOrder,
    /// Upstream wipes annotations of others when it uses a slice for something else.
    ForeignAnnotations,
    /// Reverting slows down for whoever is interfered with again and again.
    SlowReverts,
    /// Which slice there was for an annotation to be put on, amid a burst, is chance.
    AnnotationsOfBurst,
    /// Upstream gives a write that a Service's change calls for the time at which one of its new Pods became ready.
    TriggerOfEarlierChange,
    /// The API server does not show us Pods that have ended, so their last change has no time.
    TriggerOfEnd,
    /// Upstream writes slices whose hints it cannot improve, and with them the time of something else.
    TriggerOfHints,
    /// Upstream writes Endpoints at every sync of a Service that has labels which it keeps for itself.
    TriggerOfRewrite,
    /// How many syncs there were decides what upstream says of the time of a change.
    TriggerOfBurst,
}

/// What there is to know about a rule.
pub(crate) struct About {
    pub(crate) rule: Rule,
    /// Issue numbers of kubernetes/kubernetes, or what else the difference comes from.
    pub(crate) source: &'static str,
    pub(crate) what: &'static str,
    /// The test that pins our behaviour.
    pub(crate) test: &'static str,
}

/// All rules.
pub(crate) const RULES: &[About] = &[
    About {
        rule: Rule::LateNode,
        source: "#107927, #110639",
        what: "after a change of a Node upstream's Services are touched",
        test: "gap_node_appearing_after_the_pod_makes_it_an_endpoint",
    },
    About {
        rule: Rule::GoneNode,
        source: "#107927",
        what: "a Node goes only before a restart of the controllers, and what follows is compared after that",
        test: "gap_node_that_is_gone_leaves_its_pods_a_minute",
    },
    About {
        rule: Rule::RelabelledSlice,
        source: "#108267, by reading",
        what: "a slice is relabelled away from its Service only before a restart of the controllers, and what follows is \
               compared after that, also without upstream's trigger time",
        test: "gap_relabelled_managed_slice_is_replaced_and_nothing_gets_stuck",
    },
    About {
        rule: Rule::PhaseOnly,
        source: "#109414",
        what: "after the end of a Pod upstream's Services are touched",
        test: "gap_phase_only_change_takes_the_endpoint_away",
    },
    About {
        rule: Rule::EditedEndpoints,
        source: "#106198",
        what: "after somebody changed Endpoints upstream's Services are touched",
        test: "what_others_make_of_labels_is_put_right",
    },
    About {
        rule: Rule::DeletedAfterRestart,
        source: "#112143, #125354",
        what: "after a slice was deleted upstream's Services are touched if it has been restarted before",
        test: "gap_deletion_after_restart_issue_112143_is_noticed_at_once",
    },
    About {
        rule: Rule::LateUpstream,
        source: "#107927, #117193, #127429",
        what: "where a difference lasts, upstream's Services are touched (ours never), and trigger times of that may be \
               missing: after many errors, such as for a Pod on an unknown Node, upstream tries again only after minutes",
        test: "issue_125638_a_pod_that_flips_faster_than_the_cache_follows_ends_right",
    },
    About {
        rule: Rule::Order,
        source: "the order of Go's maps",
        what: "which of several new endpoints are in which slice of one Service, family and port set is free as long as \
               the slices have as many; from then on how many each has and which of them are written, until they are alike again",
        test: "kept_endpoints_stay_in_their_order_and_new_ones_follow_by_name",
    },
    About {
        rule: Rule::PortOrder,
        source: "#129652",
        what: "ports of Endpoints may have another order: ours is that of upstream before 1.35, which a later upstream \
               leaves alone",
        test: "hashes_are_those_of_kube_controller_manager_before_1_35",
    },
    About {
        rule: Rule::HintsFollowOrder,
        source: "the order of Go's maps",
        what: "in topology mode Auto the zones that endpoints are hinted to are compared in all, and not by endpoint",
        test: "endpoints_are_hinted_in_the_slices_that_they_are_packed_into",
    },
    About {
        rule: Rule::ForeignAnnotations,
        source: "#98379, #108267",
        what: "an annotation that an operation put on a slice may be missing upstream",
        test: "annotations_finalizers_and_owners_survive_updates_recycling_and_scaling_to_zero",
    },
    About {
        rule: Rule::SlowReverts,
        source: "upstream reverts for ever",
        what: "a burst interferes with the slices or Endpoints of a Service twice at most: after five reverts in ten minutes \
               ours are minutes apart",
        test: "reverting_slows_down_when_somebody_deletes_slices_in_a_loop",
    },
    About {
        rule: Rule::AnnotationsOfBurst,
        source: "when each side got to an operation",
        what: "annotations that operations put on slices are not compared after a burst: the slice may not have been there \
               yet, or may be gone since",
        test: "annotations_finalizers_and_owners_survive_updates_recycling_and_scaling_to_zero",
    },
    About {
        rule: Rule::TriggerOfEarlierChange,
        source: "#81360, #74294",
        what: "a trigger time that is no time of the last operation may be missing",
        test: "a_changed_service_with_the_same_pods_has_no_time",
    },
    About {
        rule: Rule::TriggerOfEnd,
        source: "#74294",
        what: "the trigger time may be missing after a Pod has ended",
        test: "nothing_new_has_no_time",
    },
    About {
        rule: Rule::TriggerOfHints,
        source: "#119990",
        what: "trigger times are not compared in topology mode Auto",
        test: "slices_stay_when_their_hints_still_do",
    },
    About {
        rule: Rule::TriggerOfRewrite,
        source: "#94112",
        what: "trigger times of Endpoints are not compared where the Service has the headless or the managed-by label \
               itself",
        test: "gap_reserved_labels_of_the_service_make_no_loop",
    },
    About {
        rule: Rule::TriggerOfBurst,
        source: "#81360, #74294",
        what: "trigger times are not compared after a burst",
        test: "nothing_new_has_no_time",
    },
];

/// How often each rule was used.
#[derive(Debug, Default)]
pub(crate) struct Used(Mutex<BTreeMap<Rule, u64>>);

impl Used {
    pub(crate) fn count(&self, rule: Rule) {
        *self.0.lock().entry(rule).or_default() += 1;
    }

    /// A table of all rules.
    pub(crate) fn table(&self) -> String {
        let used = self.0.lock();
        let lines = RULES.iter().map(|about| {
            let times = used.get(&about.rule).copied().unwrap_or_default();
            format!("{times:>6}  {:<20} {} ({})", format!("{:?}", about.rule), about.what, about.source)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The rule by which upstream's Services are touched after an operation, as it reacts only at the next sync.
pub(crate) fn nudge(operation: &Operation, restarted: bool) -> Option<Rule> {
    match operation {
        Operation::Create { kind: Kind::Node, .. } | Operation::Patch { kind: Kind::Node, .. } => {
            Some(Rule::LateNode)
        }
        operation if ends_pod(operation) => Some(Rule::PhaseOnly),
        Operation::Create { kind: Kind::Endpoints, .. } | Operation::Patch { kind: Kind::Endpoints, .. } => {
            Some(Rule::EditedEndpoints)
        }
        Operation::Slice { patch: None, .. } if restarted => Some(Rule::DeletedAfterRestart),
        _ => None,
    }
}

/// The rule by which an operation is done only right before a restart, and what follows is compared after that.
pub(crate) fn before_restart(operation: &Operation) -> Option<Rule> {
    match operation {
        Operation::Delete { kind: Kind::Node, .. } => Some(Rule::GoneNode),
        Operation::Slice { patch: Some(patch), .. } => {
            let labels = patch["metadata"]["labels"].as_object()?;
            ["kubernetes.io/service-name", "endpointslice.kubernetes.io/managed-by"]
                .iter()
                .any(|key| labels.contains_key(*key))
                .then_some(Rule::RelabelledSlice)
        }
        _ => None,
    }
}

/// Whether a Pod has ended by this.
pub(crate) fn ends_pod(operation: &Operation) -> bool {
    match operation {
        Operation::Patch { kind: Kind::Pod, status: true, patch, .. } => {
            patch["status"]["phase"] == "Succeeded" || patch["status"]["phase"] == "Failed"
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// All Rust code below a folder.
    fn code(folder: &Path, text: &mut String) {
        for path in fs::read_dir(folder).into_iter().flatten().filter_map(|it| it.ok().map(|it| it.path())) {
            if path.is_dir() {
                code(&path, text);
            } else if path.extension().is_some_and(|it| it == "rs") {
                *text += &fs::read_to_string(&path).unwrap_or_default();
            }
        }
    }

    #[test]
    fn each_rule_has_a_test_that_pins_what_we_do() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut text = String::new();
        code(&root.join("controllers"), &mut text);
        for about in RULES {
            assert!(
                text.contains(&format!("fn {}(", about.test)),
                "{:?}: no test {:?}",
                about.rule,
                about.test
            );
        }
    }
}
