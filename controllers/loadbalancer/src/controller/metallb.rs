//! Whether a MetalLB runs in the cluster, which serves Services without a class, too.

use std::time::Duration;

use fairlead_machinery::events::{EventType, ObjectReference};
use fairlead_machinery::informer::Change;
use fairlead_machinery::write::{WriteError, WriteFailure};
use fairlead_objects::{Resource, Service};
use serde::Deserialize;
use tokio::time::Instant;

use super::Controller;
use crate::MetalLb;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(30);
/// For how long a MetalLB is taken to run after it has marked a Service.
const EVIDENCE: Duration = Duration::from_mins(5);
/// The API group of its kinds.
const GROUP: &str = "metallb.io";
const DEPLOYMENTS: Resource =
    Resource { group: "apps", version: "v1", kind: "Deployment", plural: "deployments", namespaced: true };
/// The labels of its controller, by its manifests and by its chart.
const LABELS: [[(&str, &str); 2]; 2] = [
    [("app", "metallb"), ("component", "controller")],
    [("app.kubernetes.io/name", "metallb"), ("app.kubernetes.io/component", "controller")],
];
/// It writes these on Services that it has given an address.
const MARKS: [&str; 2] = ["metallb.io/ip-allocated-from-pool", "metallb.universe.tf/ip-allocated-from-pool"];

/// What was seen of a MetalLB.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    /// The Deployment that runs, at the last look that was answered.
    deployment: Option<Deployment>,
    /// When a Service got its mark.
    marked: Option<Instant>,
    /// What keeps us from looking, of which people were told.
    trouble: Option<String>,
    /// People were told that it runs.
    told: bool,
}

impl Sightings {
    /// Its Deployments were looked at, and these are there. Marks from before the look are no evidence any more if one of
    /// them, or the one that ran at the last look, does not run.
    fn looked(&mut self, found: Vec<Deployment>, asked: Instant) {
        let stopped = self.deployment.is_some() || !found.is_empty();
        self.deployment = found.into_iter().find(Deployment::runs);
        if stopped && self.deployment.is_none() {
            self.marked = self.marked.filter(|marked| *marked > asked);
        }
        self.trouble = None;
    }

    /// Does it run, as far as is known?
    fn verdict(&self, now: Instant) -> Option<MetalLb> {
        let marked = self.marked.is_some_and(|marked| now.saturating_duration_since(marked) < EVIDENCE);
        match &self.deployment {
            Some(deployment) => Some(MetalLb { serves_classless: !deployment.has_class() }),
            None => marked.then_some(MetalLb { serves_classless: true }),
        }
    }
}

/// A Deployment, as far as it is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Deployment {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    namespace: String,
    name: String,
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    template: Template,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: PodSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    args: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    available_replicas: i32,
}

impl Deployment {
    fn runs(&self) -> bool {
        self.status.available_replicas > 0
    }

    /// Does it serve one class of Services only?
    fn has_class(&self) -> bool {
        let containers = &self.spec.template.spec.containers;
        containers.iter().flat_map(|container| &container.args).any(|argument| {
            let flag = argument.trim_start_matches('-');
            flag.strip_prefix("lb-class=").is_some_and(|class| !class.is_empty())
        })
    }
}

impl Controller {
    pub(super) async fn keep_looking_for_metallb(&self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            self.look_for_metallb().await;
        }
    }

    pub(super) async fn look_for_metallb(&self) {
        let asked = Instant::now();
        let seen = self.metallb_deployments().await;
        {
            let mut sightings = self.sightings.lock();
            match seen {
                Ok(found) => sightings.looked(found, asked),
                // What was seen last still counts.
                Err(error) => {
                    let text = error.to_string();
                    if sightings.trouble.as_ref() != Some(&text) {
                        let advice = match &error.kind {
                            WriteFailure::Refused(_) => "; config/rbac gives the right to list Deployments",
                            _ => "",
                        };
                        tracing::warn!(
                            "cannot see whether a MetalLB runs, and take it as before: {error}{advice}"
                        );
                    }
                    sightings.trouble = Some(text);
                }
            }
        }
        self.judge_metallb();
    }

    /// The Deployments that look like a MetalLB's, whether they run or not.
    async fn metallb_deployments(&self) -> Result<Vec<Deployment>, WriteError> {
        let mut found = Vec::new();
        if self.writer.serves_group(GROUP).await? {
            for labels in &LABELS {
                found.extend(self.writer.read_labelled(&DEPLOYMENTS, "", labels).await?);
            }
        }
        Ok(found)
    }

    /// Somebody who marks Services as MetalLB does while we look on is one that runs.
    pub(super) fn notice_metallb(&self, change: &Change<Service>) {
        let is_marked = |service: &Service| {
            let side = service.load_balancer.as_ref();
            side.is_some_and(|side| MARKS.iter().any(|mark| side.annotations.get(mark).is_some()))
        };
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && old.uid == new.uid
            && is_marked(new)
            && !is_marked(old)
        {
            self.sightings.lock().marked = Some(Instant::now());
            self.judge_metallb();
        }
    }

    fn judge_metallb(&self) {
        let mut sightings = self.sightings.lock();
        let verdict = sightings.verdict(Instant::now());
        self.update(|ledger| ledger.set_metallb(verdict));
        self.metrics.rival(verdict.is_some());
        let seen = match &sightings.deployment {
            Some(Deployment { metadata, .. }) => {
                format!("Deployment {}/{}", metadata.namespace, metadata.name)
            }
            None => "its mark on a Service".to_owned(),
        };
        let note = match (verdict, &sightings.trouble) {
            (Some(MetalLb { serves_classless: true }), _) => format!(
                "a MetalLB runs ({seen}): Services without spec.loadBalancerClass that Fairlead has given no address are \
                 left to it"
            ),
            (Some(MetalLb { serves_classless: false }), _) => {
                format!("a MetalLB runs ({seen}), for a class of its own")
            }
            (None, Some(trouble)) => format!("cannot see whether a MetalLB runs: {trouble}"),
            (None, None) => String::new(),
        };
        if note.is_empty() {
            self.rival_check.ok();
        } else {
            self.rival_check.ok_with(note.clone());
        }
        let leaves = verdict.is_some_and(|it| it.serves_classless);
        // Told again by whoever may write next, if we may not.
        if leaves && !sightings.told && self.writer.may_write() {
            tracing::warn!("{note}");
            let object = self.about_metallb(&sightings);
            self.recorder.event(object, EventType::Warning, "MetalLBRuns", note);
        }
        sightings.told = leaves && (sightings.told || self.writer.may_write());
    }

    /// What an event about MetalLB is about: its Deployment, or our own namespace.
    fn about_metallb(&self, sightings: &Sightings) -> ObjectReference {
        match &sightings.deployment {
            Some(Deployment { metadata, .. }) => ObjectReference {
                api_version: "apps/v1",
                kind: DEPLOYMENTS.kind,
                namespace: metadata.namespace.clone(),
                name: metadata.name.clone(),
                uid: metadata.uid.clone(),
            },
            None => ObjectReference {
                api_version: "v1",
                kind: "Namespace",
                namespace: self.settings.namespace.clone(),
                name: self.settings.namespace.clone(),
                uid: String::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: i32, args: &[&str]) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"namespace": "metallb-system", "name": "controller"},
            "spec": {"template": {"spec": {"containers": [{"args": args}, {}]}}},
            "status": {"availableReplicas": replicas},
        }))
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_deployment_that_runs_or_a_fresh_mark_is_a_metallb() {
        let now = Instant::now();
        assert_eq!(Sightings::default().verdict(now), None);
        assert!(deployment(1, &[]).runs() && !deployment(0, &[]).runs());
        for (args, serves_classless) in [
            (&["--port=7472", "--log-level=info"][..], true),
            (&["--lb-class=metallb"], false),
            (&["-lb-class=metallb"], false),
            (&["--lb-class="], true),
        ] {
            let sightings = Sightings { deployment: Some(deployment(1, args)), ..Sightings::default() };
            assert_eq!(sightings.verdict(now), Some(MetalLb { serves_classless }), "{args:?}");
        }
        let marked = Sightings { marked: Some(now), ..Sightings::default() };
        assert_eq!(marked.verdict(now + EVIDENCE / 2), Some(MetalLb { serves_classless: true }));
        assert_eq!(marked.verdict(now + EVIDENCE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn marks_of_a_metallb_that_was_stopped_since_are_no_evidence() {
        let (marked, asked) = (Instant::now(), Instant::now() + PERIOD);
        let serves = Some(MetalLb { serves_classless: true });

        // One that ran, and stops or is deleted.
        for stopped in [vec![deployment(0, &[])], Vec::new()] {
            let mut sightings = Sightings { marked: Some(marked), ..Sightings::default() };
            sightings.looked(vec![deployment(1, &[])], asked);
            assert_eq!(sightings.verdict(asked), serves);
            sightings.looked(stopped, asked + PERIOD);
            assert_eq!(sightings.verdict(asked + PERIOD), None);
        }
        // One that nobody knows the Deployment of.
        let mut sightings = Sightings { marked: Some(marked), ..Sightings::default() };
        sightings.looked(Vec::new(), asked);
        assert_eq!(sightings.verdict(asked), serves);
        // One that marks a Service after the look at its stopped Deployment.
        let mut sightings = Sightings { marked: Some(asked + PERIOD), ..Sightings::default() };
        sightings.looked(vec![deployment(0, &[])], asked);
        assert_eq!(sightings.verdict(asked + PERIOD), serves);
    }
}
