//! Sending the write of a plan.

use std::sync::Arc;
use std::time::Duration;

use fairlead_machinery::worker::Outcome;
use fairlead_machinery::write::{WriteError, WriteFailure};
use fairlead_objects::{Endpoints, ObjectKey, Record};
use tokio::time::Instant;

use super::Controller;
use crate::Action;
use crate::dirty::Dirty;

/// A write that failed.
pub(super) struct Failure(pub(super) WriteError);

impl Failure {
    /// What is to follow: another try, not before the time that the API server asked for; or, if nothing may be written
    /// now, none before that changes.
    pub(super) fn again(&self, dirty: Dirty) -> Outcome<Dirty> {
        match self.0.kind {
            WriteFailure::NotPermitted => Outcome::Park(dirty),
            WriteFailure::Throttled(pause) => Outcome::Retry(dirty, pause),
            _ => Outcome::Retry(dirty, Duration::ZERO),
        }
    }

    /// Is it unknown whether it was done?
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.0.kind, WriteFailure::Unanswered(_))
    }
}

impl Controller {
    /// Sends the write and returns what was stored. `None`: nothing can be created in a namespace that is being deleted,
    /// and nothing is owed there.
    pub(super) async fn write(&self, action: &Action) -> Result<Option<Arc<Endpoints>>, Failure> {
        let desired = action.desired();
        let ObjectKey { namespace, name } = &desired.key;
        let resource = &Endpoints::RESOURCE;
        let (operation, sent) = match action {
            Action::Create(desired) => {
                ("create", self.writer.create(resource, namespace, &desired.create_body()).await)
            }
            Action::Update { current, desired } => {
                ("update", self.writer.update(resource, namespace, name, &desired.update_body(current)).await)
            }
        };
        match sent {
            Ok(answer) => {
                self.metrics.wrote(operation);
                let answer: Arc<Endpoints> = Arc::new(answer);
                self.own_writes.stored(&desired.key, Arc::clone(&answer), Instant::now());
                self.check_answer(desired, &answer);
                Ok(Some(answer))
            }
            Err(WriteError { kind: WriteFailure::NamespaceTerminating, .. }) => Ok(None),
            Err(error) => Err(Failure(error)),
        }
    }

    /// Deletes the object; one that is gone already is no failure. `only_as_seen`: not if anybody changed it since.
    pub(super) async fn delete(&self, endpoints: &Arc<Endpoints>, only_as_seen: bool) -> Result<(), Failure> {
        let ObjectKey { namespace, name } = &endpoints.key;
        let (resource, uid) = (&Endpoints::RESOURCE, endpoints.uid.to_string());
        let sent = if only_as_seen {
            self.writer.delete_version(resource, namespace, name, &uid, &endpoints.version).await
        } else {
            self.writer.delete(resource, namespace, name, &uid).await
        };
        sent.map_err(Failure)?;
        self.metrics.wrote("delete");
        self.own_writes.deleted(&endpoints.key, Arc::clone(endpoints), Instant::now());
        // The watch may have told already; then nobody would take this back.
        let _ = self.current(&endpoints.key);
        Ok(())
    }
}
