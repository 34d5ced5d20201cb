//! Sending what is to be written.

use fairlead_machinery::write::{Patch, WriteError, WriteFailure, Writer};
use fairlead_objects::Record;
use serde_json::Value;

use crate::facts::Address;

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is written: the object as it is now.
    Written(Address),
    /// Somebody else has written meanwhile: the object as it is now, from which is to be planned anew.
    Changed(Address),
    /// The object is gone.
    Gone,
    /// It is not known to be written.
    Failed(WriteError),
}

/// Writes the status of addresses.
#[derive(Clone)]
pub(crate) struct StatusWriter(Writer);

impl StatusWriter {
    /// By this writer, which keeps the pace.
    pub(crate) fn new(writer: Writer) -> Self {
        Self(writer)
    }

    /// Sends a patch of the status of an object. If somebody else was faster, looks at what is there now.
    pub(crate) async fn write(&self, name: &str, patch: &Value) -> Outcome {
        let resource = &Address::RESOURCE;
        match self.0.patch_status(resource, "", name, Patch::Merge, patch).await {
            Ok(object) => Outcome::Written(object),
            Err(WriteError { kind: WriteFailure::NotFound(_), .. }) => Outcome::Gone,
            Err(WriteError { kind: WriteFailure::Conflict(_), .. }) => {
                match self.0.read(resource, "", name).await {
                    Ok(object) => Outcome::Changed(object),
                    Err(WriteError { kind: WriteFailure::NotFound(_), .. }) => Outcome::Gone,
                    Err(error) => Outcome::Failed(error),
                }
            }
            Err(error) => Outcome::Failed(error),
        }
    }
}
