//! What people see of it: log, events, metrics, and a line of `/readyz?verbose`.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::inquiry::{PERIOD, SILENT_ROUNDS, Stance, Verdict};
use crate::admin::Check;
use crate::events::{EventType, ObjectReference, Recorder};
use crate::metrics::{constant, register};
use crate::write::WriteError;

/// `fairlead_standing_aside` and `fairlead_rival_questions_total` of all controllers.
#[derive(Clone)]
pub struct CanaryMetrics {
    aside: IntGaugeVec,
    questions: IntCounterVec,
}

impl CanaryMetrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let aside = Opts::new(
            "fairlead_standing_aside",
            "Whether a controller writes nothing because somebody else does its work: 1, else 0.",
        );
        let questions = Opts::new(
            "fairlead_rival_questions_total",
            "Number of times that a controller asked whether another one of its kind runs, by outcome: answered, unanswered or failed. A \
             question that is answered late counts as unanswered first.",
        );
        Self {
            aside: register(registry, constant(IntGaugeVec::new(aside, &["controller"]))),
            questions: register(
                registry,
                constant(IntCounterVec::new(questions, &["controller", "outcome"])),
            ),
        }
    }
}

/// Tells people about one controller.
pub struct Report {
    controller: &'static str,
    check: Check,
    metrics: CanaryMetrics,
    recorder: Recorder,
    /// Who does the work instead, while the controller stands aside.
    rival: String,
    /// Does it stand aside?
    aside: bool,
    /// The failure that was logged, until a question ends well.
    failure: Option<String>,
}

impl Report {
    /// For this controller. The readiness check is never failed: a process that stands aside is as it should be.
    #[must_use]
    pub fn new(controller: &'static str, check: Check, metrics: CanaryMetrics, recorder: Recorder) -> Self {
        metrics.aside.with_label_values(&[controller]).set(0);
        for outcome in ["answered", "unanswered", "failed"] {
            metrics.questions.with_label_values(&[controller, outcome]).inc_by(0);
        }
        let rival = "another process".to_owned();
        Self { controller, check, metrics, recorder, rival, aside: false, failure: None }
    }

    /// Nothing is asked: the process does not lead.
    pub(super) fn waits(&self) {
        self.metrics.aside.with_label_values(&[self.controller]).set(0);
        self.check.ok_with("not asked yet, this process does not lead");
    }

    /// The process leads, and begins like this.
    pub(super) fn begins(&mut self, stance: Stance) {
        self.aside = stance == Stance::Aside;
        match stance {
            Stance::Asking => tracing::info!(
                controller = self.controller,
                "asking whether kube-controller-manager does this work, before the first write"
            ),
            Stance::Working => {}
            Stance::Aside => tracing::warn!(
                controller = self.controller,
                "stands aside as the leader before did, until it is known that nobody else does this work"
            ),
        }
        self.show(stance);
    }

    /// A question has ended. If the stance turns with it, [`Report::turned`] follows.
    pub(super) fn ended(
        &mut self,
        verdict: Verdict,
        stance: Stance,
        turns: bool,
        error: Option<&WriteError>,
    ) {
        let outcome = match verdict {
            Verdict::Answered => "answered",
            Verdict::Unanswered => "unanswered",
            Verdict::Failed(_) => "failed",
        };
        self.metrics.questions.with_label_values(&[self.controller, outcome]).inc();
        match (verdict, error) {
            (Verdict::Failed(_), Some(error)) => {
                let failure = error.to_string();
                if self.failure.as_ref() != Some(&failure) {
                    tracing::warn!(
                        controller = self.controller,
                        error = failure,
                        "cannot find out whether kube-controller-manager does this work, too; where it is refused, apply \
                         config/rbac, or turn the question off with --rival-check=false"
                    );
                }
                self.failure = Some(failure);
            }
            _ => {
                if self.failure.take().is_some() {
                    tracing::info!(
                        controller = self.controller,
                        "it can be found out again who does this work"
                    );
                }
            }
        }
        if !turns {
            self.show(stance);
        }
    }

    /// The controller does something else from now on, because a question ended like this.
    pub(super) fn turned(&mut self, stance: Stance, verdict: Verdict, who: &str, service: ObjectReference) {
        let controller = self.controller;
        match stance {
            Stance::Asking => {}
            Stance::Aside => {
                who.clone_into(&mut self.rival);
                let message = format!(
                    "{who} runs {controller}, too: it answers for this Service. Fairlead's stands aside and writes nothing \
                     until {SILENT_ROUNDS} questions, one each {} s, stay unanswered. To hand the work over to Fairlead, start \
                     kube-controller-manager with --controllers=*,-{controller}; to leave it there, start fairlead manager so",
                    PERIOD.as_secs(),
                );
                tracing::warn!(controller, rival = who, "{message}");
                self.recorder.event(service, EventType::Warning, "RivalController", message);
            }
            Stance::Working if !self.aside => tracing::info!(controller, ?verdict, "begins"),
            Stance::Working => {
                let why = match verdict {
                    Verdict::Failed(_) => "it cannot be found out any more whether somebody else does",
                    Verdict::Answered | Verdict::Unanswered => "nobody else does any more",
                };
                let message = format!("Fairlead's {controller} does its work again: {why}");
                tracing::info!(controller, "{message}");
                self.recorder.event(service, EventType::Normal, "RivalControllerGone", message);
            }
        }
        self.aside = stance == Stance::Aside;
        self.show(stance);
    }

    fn show(&self, stance: Stance) {
        let aside = stance == Stance::Aside;
        let mut text = match stance {
            Stance::Asking => "asks whether somebody else does its work, before the first write".to_owned(),
            Stance::Working => "works".to_owned(),
            Stance::Aside => format!("stands aside, because {} does its work", self.rival),
        };
        if let Some(failure) = &self.failure {
            text = format!("{text}; cannot find out whether somebody else does: {failure}");
        }
        self.check.ok_with(text);
        // Last: who sees the figure finds the rest said.
        self.metrics.aside.with_label_values(&[self.controller]).set(aside.into());
    }
}
