//! Sending the writes of a plan.

use std::sync::Arc;
use std::time::Duration;

use fairlead_discovery::names::{SERVICE_NAME, SLICE_MANAGED_BY};
use fairlead_machinery::queue::Dirt;
use fairlead_machinery::rivals::SLOW_GAP;
use fairlead_machinery::worker::Outcome;
use fairlead_machinery::write::{WriteError, WriteFailure};
use fairlead_objects::{Family, ObjectKey, Record, Slice};
use tokio::time::Instant;

use super::Controller;
use crate::dirty::Dirty;
use crate::{Action, DesiredSlice, mirrored_by};

/// A write that failed.
pub(super) struct Failure {
    pub(super) error: WriteError,
    taken: Option<Taken>,
}

/// The write was done, but admission made a slice of it that does not mirror the Endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// A new slice.
    Created,
    /// One that had endpoints until then.
    Updated,
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self { error, taken: None }
    }
}

/// The writes of one round that failed: the first of each family.
#[derive(Default)]
pub(super) struct Errors(pub(super) Vec<Failure>);

impl Errors {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is to follow: another try, or, if something was not sent because nothing may be written now, none before that
    /// changes.
    pub(super) fn again(&self, mut dirty: Dirty) -> Outcome<Dirty> {
        if self.lost_endpoints() {
            // No rivalry may keep them from being published anew.
            dirty.merge(Dirty::called_for());
        }
        if self.0.iter().any(|failure| failure.error.kind == WriteFailure::NotPermitted) {
            Outcome::Park(dirty)
        } else {
            Outcome::Retry(dirty, self.pause())
        }
    }

    /// As long as the API server asked for, and if new slices are taken away, as long as between reverts.
    fn pause(&self) -> Duration {
        let pauses = self.0.iter().map(|failure| match (&failure.error.kind, failure.taken) {
            (WriteFailure::Throttled(pause), _) => *pause,
            (_, Some(Taken::Created)) if !self.lost_endpoints() => SLOW_GAP,
            _ => Duration::ZERO,
        });
        pauses.max().unwrap_or_default()
    }

    fn lost_endpoints(&self) -> bool {
        self.0.iter().any(|failure| failure.taken == Some(Taken::Updated))
    }
}

impl Controller {
    /// Sends the writes: the families side by side, each in its order. A failed write ends the rest of its family: what
    /// was to follow may take away what it was to put in place.
    pub(super) async fn apply(&self, key: &ObjectKey, actions: Vec<Action>) -> Errors {
        let mut families: Vec<(Option<Family>, Vec<Action>)> = Vec::new();
        for action in actions {
            let family = action.family();
            match families.iter_mut().find(|(known, _)| *known == family) {
                Some((_, actions)) => actions.push(action),
                None => families.push((family, vec![action])),
            }
        }
        let writes = families.into_iter().map(async |(_, actions)| {
            for action in actions {
                self.write(key, action).await?;
            }
            Ok::<_, Failure>(())
        });
        let failures = futures::future::join_all(writes).await.into_iter().filter_map(Result::err);
        // Nothing can be created in a namespace that is being deleted, and nothing is owed there.
        Errors(failures.filter(|it| it.error.kind != WriteFailure::NamespaceTerminating).collect())
    }

    async fn write(&self, key: &ObjectKey, action: Action) -> Result<(), Failure> {
        let (resource, namespace) = (&Slice::RESOURCE, &key.namespace);
        match action {
            Action::Create(desired) => {
                let answer = self.writer.create(resource, namespace, &desired.create_body()).await?;
                self.metrics.wrote("create");
                self.check(key, &desired, answer, Taken::Created).await
            }
            Action::Update { current, desired } => {
                let body = desired.update_body(&current);
                let answer = self.writer.update(resource, namespace, &current.key.name, &body).await?;
                self.metrics.wrote("update");
                self.check(key, &desired, answer, Taken::Updated).await
            }
            Action::Empty(slice) => {
                let body = Action::emptied_body(&slice);
                let answer = self.writer.update(resource, namespace, &slice.key.name, &body).await?;
                self.metrics.wrote("update");
                self.own_writes.stored(key, Arc::new(answer), Instant::now());
                Ok(())
            }
            Action::Delete(slice) => {
                let uid = slice.uid.to_string();
                self.writer.delete(resource, namespace, &slice.key.name, &uid).await?;
                self.metrics.wrote("delete");
                self.own_writes.deleted(key, slice, Instant::now());
                Ok(())
            }
        }
    }

    /// Remembers what was stored, and looks whether it is what was sent.
    async fn check(
        &self,
        key: &ObjectKey,
        sent: &DesiredSlice,
        answer: Slice,
        how: Taken,
    ) -> Result<(), Failure> {
        let is_ours = mirrored_by(&answer) == Some(&key.name);
        if sent.is_altered(&answer) {
            self.altered(key, &answer, is_ours);
        }
        let answer = Arc::new(answer);
        if !is_ours {
            return Err(self.take_back(key, answer, how).await);
        }
        self.own_writes.stored(key, answer, Instant::now());
        Ok(())
    }

    /// Deletes a slice that was written and does not belong to the Endpoints: nobody would ever find it again, and the
    /// next plan creates another one.
    async fn take_back(&self, key: &ObjectKey, slice: Arc<Slice>, taken: Taken) -> Failure {
        let (namespace, name) = (&key.namespace, slice.key.name.clone());
        let deleted = self.writer.delete(&Slice::RESOURCE, namespace, &name, &slice.uid.to_string()).await;
        let outcome = match deleted {
            Ok(()) => {
                if taken == Taken::Updated {
                    // The cache may show it as it was.
                    self.own_writes.deleted(key, slice, Instant::now());
                }
                "it was deleted".to_owned()
            }
            Err(error) => error.to_string(),
        };
        let what = match taken {
            Taken::Created => format!("create an EndpointSlice in namespace {namespace}"),
            Taken::Updated => format!("update EndpointSlice {namespace}/{name}"),
        };
        let reason = format!(
            "an admission webhook or policy took away the labels {SERVICE_NAME} and {SLICE_MANAGED_BY}, by which {name} \
             belongs to the Endpoints; {outcome}"
        );
        Failure { error: WriteError { what, kind: WriteFailure::Refused(reason) }, taken: Some(taken) }
    }
}
