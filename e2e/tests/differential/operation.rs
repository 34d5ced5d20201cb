//! What can happen to a namespace, as data: it is made from a seed, replayed on both sides, shrunk and saved.

use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ApiResource;
use lab::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands for the namespace in the texts of an operation. Nodes have no namespace, so it is part of their names.
pub(crate) const NAMESPACE: &str = "$NS";

/// The kinds that operations are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Kind {
    Service,
    Pod,
    Node,
    Endpoints,
    EndpointSlice,
}

impl Kind {
    pub(crate) fn resource(self) -> ApiResource {
        match self {
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::Pod => ApiResource::erase::<Pod>(&()),
            Self::Node => ApiResource::erase::<Node>(&()),
            Self::Endpoints => ApiResource::erase::<Endpoints>(&()),
            Self::EndpointSlice => ApiResource::erase::<EndpointSlice>(&()),
        }
    }
}

/// One thing that somebody does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub(crate) enum Operation {
    /// Creates an object, and then writes its status if it has one.
    Create { kind: Kind, object: Value },
    /// Merges into an object, or into its status.
    Patch {
        kind: Kind,
        name: String,
        #[serde(default)]
        status: bool,
        patch: Value,
    },
    /// Deletes an object; a Pod with its grace period unless another one is given.
    Delete {
        kind: Kind,
        name: String,
        #[serde(default)]
        grace: Option<u32>,
    },
    /// Merges into one of the slices of a Service, or deletes it. They have names that differ, so the one at this place
    /// is taken when they are sorted by what is in them.
    Slice { service: String, at: usize, patch: Option<Value> },
    /// The controllers end in good order and start anew.
    Restart,
}

impl Operation {
    /// The operation in a namespace of this name.
    pub(crate) fn within(&self, namespace: &str) -> Result<Self> {
        let text = serde_json::to_string(self).map_err(|error| invalid(&error))?;
        serde_json::from_str(&text.replace(NAMESPACE, namespace)).map_err(|error| invalid(&error))
    }

    /// Whether this is about slices or Endpoints that a controller writes, to which upstream reacts a second late.
    pub(crate) fn is_interference(&self) -> bool {
        self.interferes_with().is_some()
    }

    /// Whose slices or Endpoints it interferes with: the Service, or a slice that somebody else made.
    pub(crate) fn interferes_with(&self) -> Option<&str> {
        match self {
            Self::Slice { service, .. } => Some(service),
            Self::Create { kind: Kind::EndpointSlice, object } => {
                object["metadata"]["labels"]["kubernetes.io/service-name"].as_str()
            }
            Self::Create { kind: Kind::Endpoints, object } => object["metadata"]["name"].as_str(),
            Self::Patch { kind: Kind::Endpoints | Kind::EndpointSlice, name, .. }
            | Self::Delete { kind: Kind::Endpoints | Kind::EndpointSlice, name, .. } => Some(name),
            _ => None,
        }
    }
}

/// Operations in their order, one in a line.
pub(crate) fn to_lines(operations: &[Operation]) -> Result<String> {
    let lines: Result<Vec<_>, _> = operations.iter().map(serde_json::to_string).collect();
    Ok(lines.map_err(|error| invalid(&error))?.join("\n") + "\n")
}

/// Reads what [`to_lines`] wrote; lines that begin with `#` are for readers.
pub(crate) fn from_lines(text: &str) -> Result<Vec<Operation>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).map_err(|error| invalid(&error))).collect()
}

fn invalid(error: &serde_json::Error) -> Error {
    Error::Invalid(format!("an operation: {error}"))
}
