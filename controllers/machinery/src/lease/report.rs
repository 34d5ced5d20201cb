//! What people are told of the election: log lines and Events when something changes, metrics, readiness.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use tracing::{debug, error, info, warn};

use super::{Elector, Role};
use crate::admin::Check;
use crate::events::{EventType, ObjectReference, Recorder};
use crate::metrics::{constant, register};

/// `leader_election_master_status` and `leader_election_slowpath_total`, as client-go has them.
#[derive(Clone)]
pub struct LeaseMetrics {
    master: IntGaugeVec,
    slow: IntCounterVec,
}

impl LeaseMetrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let master = Opts::new(
            "leader_election_master_status",
            "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. \
             'name' is the string used to identify the lease. Please make sure to group by name.",
        );
        let slow = Opts::new(
            "leader_election_slowpath_total",
            "Total number of slow path exercised in renewing leader leases. 'name' is the string used to identify the \
             lease. Please make sure to group by name.",
        );
        Self {
            master: register(registry, constant(IntGaugeVec::new(master, &["name"]))),
            slow: register(registry, constant(IntCounterVec::new(slow, &["name"]))),
        }
    }
}

/// Tells people of one election.
pub struct Reporter {
    metrics: LeaseMetrics,
    recorder: Recorder,
    check: Check,
    leads: bool,
    /// Has anything been told of who holds the Lease?
    told: bool,
    /// Who holds it, as was last told.
    holder: Option<String>,
    /// What fails at present: requests, and the watch.
    troubles: [Option<String>; 2],
}

/// What can fail by itself.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Requests,
    Watch,
}

impl Reporter {
    /// `check` is the readiness check of the election.
    #[must_use]
    pub fn new(metrics: LeaseMetrics, recorder: Recorder, check: Check) -> Self {
        Self { metrics, recorder, check, leads: false, told: false, holder: None, troubles: [None, None] }
    }

    pub(super) fn begins(&self, elector: &Elector) {
        self.metrics.master.with_label_values(&[elector.name()]).set(0);
        self.metrics.slow.with_label_values(&[elector.name()]);
        info!(lease = elector.lease(), identity = elector.identity(), "taking part in the leader election");
    }

    /// A leader has to read the Lease before it can renew it.
    pub(super) fn slow_path(&self, elector: &Elector) {
        self.metrics.slow.with_label_values(&[elector.name()]).inc();
    }

    /// Something may have changed.
    pub(super) fn follow(&mut self, elector: &Elector, role: Role) {
        let leads = matches!(role, Role::Leader { .. });
        if leads != self.leads {
            self.leads = leads;
            self.metrics.master.with_label_values(&[elector.name()]).set(i64::from(leads));
            if leads {
                info!(lease = elector.lease(), identity = elector.identity(), "became leader");
            }
            self.tell(elector, if leads { "became leader" } else { "stopped leading" });
        }
        let holder = elector.holder();
        // Who has tried to take a free Lease and could not will not lead either.
        let is_barred = holder.is_none() && self.troubles[Way::Requests as usize].is_some();
        if !elector.knows() || is_barred || (self.told && self.holder == holder) {
            return;
        }
        let note = match &holder {
            Some(holder) if holder == elector.identity() => format!("this process leads, {holder}"),
            Some(holder) => {
                info!(lease = elector.lease(), leader = holder, "another process leads, this one stands by");
                format!("{holder} leads")
            }
            None => "nobody leads".to_owned(),
        };
        self.check.ok_with(note);
        self.told = true;
        self.holder = holder;
    }

    pub(super) fn lost(&self, elector: &Elector) {
        let holder = elector.holder().filter(|holder| holder != elector.identity());
        error!(
            lease = elector.lease(),
            identity = elector.identity(),
            leader = holder,
            trouble = self.troubles.iter().flatten().next(),
            "leaderelection lost"
        );
    }

    /// It failed, or, with `None`, succeeded. Said once, until it changes.
    pub(super) fn trouble(&mut self, elector: &Elector, way: Way, trouble: Option<String>) {
        let known = &mut self.troubles[way as usize];
        match &trouble {
            Some(reason) if *known == trouble => debug!("{reason}; trying again"),
            Some(reason) => {
                warn!("{reason}; trying again");
                if matches!(way, Way::Requests) && (!self.told || elector.holder().is_none()) {
                    self.check.fail(reason.clone());
                    self.told = false;
                }
            }
            None if known.is_some() => {
                let lease = elector.lease();
                match way {
                    Way::Requests => info!(lease, "the Lease can be reached again"),
                    Way::Watch => info!(lease, "the Lease is watched again"),
                }
            }
            None => {}
        }
        *known = trouble;
    }

    /// As client-go: on the Lease.
    pub(super) fn tell(&self, elector: &Elector, what: &str) {
        let object = ObjectReference {
            api_version: "coordination.k8s.io/v1",
            kind: "Lease",
            namespace: elector.namespace().to_owned(),
            name: elector.name().to_owned(),
            uid: elector.uid(),
        };
        let message = format!("{} {what}", elector.identity());
        self.recorder.event(object, EventType::Normal, "LeaderElection", message);
    }
}
