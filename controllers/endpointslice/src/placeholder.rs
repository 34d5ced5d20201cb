//! The slice of a family that has no endpoints. Each family of a Service has at least one slice, so that
//! readers can tell "no endpoints" from "not looked at yet".

use std::sync::Arc;

use fairlead_objects::{Labels, Slice};

/// Is the slice, whose family and namespace are right, what a placeholder would be? All labels count, in both
/// directions; name, owners and annotations do not.
fn is_placeholder(slice: &Slice, labels: &Labels) -> bool {
    slice.ports.is_empty() && slice.endpoints.is_empty() && slice.labels == *labels
}

/// What to do so that a family keeps a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placeholder {
    /// There will be another slice.
    Needless,
    /// The only slice, which is about to be deleted, is a placeholder already: keep it.
    Keep,
    /// A placeholder must be written.
    Make,
}

impl Placeholder {
    /// What to do in a family with this many slices, of which these are to be deleted while so many are to be
    /// created. `labels` are those of a new slice.
    pub(crate) fn needed(existing: usize, deletes: &[Arc<Slice>], creates: usize, labels: &Labels) -> Self {
        if existing > deletes.len() || creates > 0 {
            return Self::Needless;
        }
        match deletes {
            [only] if is_placeholder(only, labels) => Self::Keep,
            _ => Self::Make,
        }
    }
}
