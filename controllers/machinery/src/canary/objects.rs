//! The objects that questions are put to, and where the answers are.

use fairlead_objects::{Endpoints, Istr, ObjectKey, Record, Resource, Service};
use serde_json::{Value, json};

/// The Service that endpoints-controller and endpointslice-controller answer for.
pub const SERVICE: &str = "fairlead-canary";
/// The Service and the Endpoints that endpointslice-mirroring-controller answers for.
pub const MIRRORED: &str = "fairlead-canary-mirroring";
/// An address that nobody has (RFC 5737): mirroring makes a slice only of Endpoints that have one.
const ADDRESS: &str = "192.0.2.1";
/// The discard service; nobody connects to it.
const PORT: u16 = 9;

/// The objects that belong to the question whether a rival runs. No controller of ours does anything for them: it would
/// take itself for a rival.
///
/// They are known by their names in our own namespace, where no tenant has rights, and not by a label, with which anybody
/// could take objects out of our hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canaries {
    namespace: Istr,
}

impl Canaries {
    /// Those of this namespace.
    #[must_use]
    pub fn of(namespace: &str) -> Self {
        Self { namespace: namespace.into() }
    }

    /// Is this the key of a canary, as a Service or as Endpoints?
    #[must_use]
    pub fn has(&self, key: &ObjectKey) -> bool {
        key.namespace == self.namespace && [SERVICE, MIRRORED].contains(&key.name.as_str())
    }
}

/// The question of one controller: whether another one of its kind runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// The controller's name in kube-controller-manager.
    pub controller: &'static str,
    answer: Answer,
}

/// What the controller makes of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Endpoints of the same name, with this value of `endpoints.kubernetes.io/managed-by`.
    Endpoints(&'static str),
    /// Slices of the Service with this value of `endpointslice.kubernetes.io/managed-by`.
    Slices(&'static str),
}

impl Canary {
    /// endpoints-controller: Endpoints with the labels of their Service.
    pub const ENDPOINTS: Self =
        Self { controller: "endpoints-controller", answer: Answer::Endpoints("endpoint-controller") };
    /// endpointslice-controller: slices with the labels of their Service.
    pub const ENDPOINTSLICE: Self = Self {
        controller: "endpointslice-controller",
        answer: Answer::Slices("endpointslice-controller.k8s.io"),
    };
    /// endpointslice-mirroring-controller: slices with the labels of their Endpoints.
    pub const MIRRORING: Self = Self {
        controller: "endpointslice-mirroring-controller",
        answer: Answer::Slices("endpointslicemirroring-controller.k8s.io"),
    };

    /// The Service that the question is about.
    pub(super) fn service(&self) -> &'static str {
        if *self == Self::MIRRORING { MIRRORED } else { SERVICE }
    }

    /// The object that has the question on it, and the note: of this resource, with the name of the Service.
    pub(super) fn questioned(&self) -> &'static Resource {
        if *self == Self::MIRRORING { &Endpoints::RESOURCE } else { &Service::RESOURCE }
    }

    /// The label with the question, which only a running controller copies.
    pub(super) fn question_label(&self) -> String {
        format!("question.fairlead.dev/{}", self.controller)
    }

    /// The annotation with the note.
    pub(super) fn note_annotation(&self) -> String {
        format!("rival.fairlead.dev/{}", self.controller)
    }

    pub(super) fn answer(&self) -> Answer {
        self.answer
    }

    /// The objects as they have to be, to be created or merged into what there is, in this order. The last one is
    /// [`Canary::questioned`].
    pub(super) fn objects(
        &self,
        namespace: &str,
        question: &str,
        note: Option<&str>,
    ) -> Vec<(&'static Resource, Value)> {
        let name = self.service();
        let question = |object: &mut Value| {
            object["metadata"]["labels"][self.question_label()] = question.into();
            if let Some(note) = note {
                object["metadata"]["annotations"] = json!({ self.note_annotation(): note });
            }
        };
        let mut service = object("Service", namespace, name);
        service["spec"] = json!({
            "clusterIP": "None",
            "ports": [{ "name": "canary", "port": PORT, "protocol": "TCP", "targetPort": PORT }],
        });
        if *self != Self::MIRRORING {
            // No Pod of ours has it, and nobody else has Pods in our namespace.
            service["spec"]["selector"] = json!({ "fairlead.dev/canary": "nobody" });
            question(&mut service);
            return vec![(&Service::RESOURCE, service)];
        }
        service["spec"]["selector"] = Value::Null;
        let mut endpoints = object("Endpoints", namespace, name);
        endpoints["subsets"] = json!([{
            "notReadyAddresses": [{ "ip": ADDRESS }],
            "ports": [{ "name": "canary", "port": PORT, "protocol": "TCP" }],
        }]);
        question(&mut endpoints);
        vec![(&Service::RESOURCE, service), (&Endpoints::RESOURCE, endpoints)]
    }
}

/// An object without content. The label, which the answers have, too, keeps it from every kube-proxy: a question is
/// nothing that each node of a cluster should hear of.
fn object(kind: &str, namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": { "service.kubernetes.io/service-proxy-name": "fairlead-canary" },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_are_two_names_in_one_namespace() {
        let canaries = Canaries::of("fairlead-system");
        for (namespace, name, is_one) in [
            ("fairlead-system", SERVICE, true),
            ("fairlead-system", MIRRORED, true),
            ("default", SERVICE, false),
            ("fairlead-system", "web", false),
            ("fairlead-system", "fairlead-canary-2", false),
            ("", SERVICE, false),
        ] {
            assert_eq!(canaries.has(&ObjectKey::new(namespace, name)), is_one, "{namespace}/{name}");
        }
    }

    #[test]
    fn the_question_is_on_the_object_whose_labels_the_controller_copies() {
        for (canary, kinds) in [
            (Canary::ENDPOINTS, vec!["Service"]),
            (Canary::ENDPOINTSLICE, vec!["Service"]),
            (Canary::MIRRORING, vec!["Service", "Endpoints"]),
        ] {
            let objects = canary.objects("ns", "abc-1", Some("working then"));
            let found: Vec<_> = objects.iter().map(|(resource, _)| resource.kind).collect();
            assert_eq!(found, kinds);
            let (resource, last) = objects.last().unwrap();
            assert_eq!(*resource, canary.questioned());
            assert_eq!(last["metadata"]["labels"][canary.question_label()], "abc-1");
            assert_eq!(last["metadata"]["annotations"][canary.note_annotation()], "working then");
            for (resource, object) in &objects {
                assert_eq!(
                    (object["kind"].as_str(), &object["metadata"]["name"]),
                    (Some(resource.kind), &canary.service().into())
                );
            }
            // The mirroring controller mirrors only what has no selector, the others care only for what has one.
            assert_eq!(objects[0].1["spec"]["selector"].is_null(), canary == Canary::MIRRORING);
        }
        let silent = Canary::MIRRORING.objects("ns", "abc-1", None);
        assert!(silent.iter().all(|(_, object)| object["metadata"]["annotations"].is_null()));
    }

    #[test]
    fn label_and_annotation_keys_are_valid() {
        for canary in [Canary::ENDPOINTS, Canary::ENDPOINTSLICE, Canary::MIRRORING] {
            for key in [canary.question_label(), canary.note_annotation()] {
                assert!(key.split_once('/').is_some_and(|(_, name)| name.len() <= 63), "{key}");
            }
        }
    }
}
