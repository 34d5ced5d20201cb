//! Sending the writes of a plan.

use std::sync::Arc;
use std::time::Duration;

use fairlead_discovery::names::{SERVICE_NAME, SLICE_MANAGED_BY};
use fairlead_machinery::write::{WriteError, WriteFailure};
use fairlead_objects::{Family, ObjectKey, Record, Slice};
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Controller;
use crate::{Action, Written, service_of};

/// Writes of one family of one Service that are sent at a time.
const WRITES_AT_A_TIME: usize = 8;

/// The writes of one round that failed: the first of each family.
#[derive(Default)]
pub(super) struct Errors(pub(super) Vec<(Option<Family>, WriteError)>);

impl Errors {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn failed(&self, family: Family) -> bool {
        self.0.iter().any(|(failed, _)| *failed == Some(family))
    }

    /// How long the API server asked to wait.
    pub(super) fn pause(&self) -> Duration {
        let pauses = self.0.iter().map(|(_, error)| match error.kind {
            WriteFailure::Throttled(pause) => pause,
            _ => Duration::ZERO,
        });
        pauses.max().unwrap_or_default()
    }
}

impl Controller {
    /// Sends the writes: the families of the Service side by side, then what families that it no longer has have
    /// left. Returns the answers, and what failed.
    pub(super) async fn apply(
        &self,
        key: &ObjectKey,
        actions: Vec<Action>,
        wanted: &[Family],
    ) -> (Vec<Written>, Errors) {
        let mut families: Vec<(Option<Family>, Vec<Action>)> = Vec::new();
        for action in actions {
            let family = action.family();
            match families.iter_mut().find(|(known, _)| *known == family) {
                Some((_, actions)) => actions.push(action),
                None => families.push((family, vec![action])),
            }
        }
        let (current, left): (Vec<_>, Vec<_>) = families
            .into_iter()
            .partition(|(family, _)| family.is_some_and(|family| wanted.contains(&family)));
        let (mut answers, mut errors) = (Vec::new(), Errors::default());
        for stage in [current, left] {
            let writes = stage.into_iter().map(async |(family, actions)| {
                let (answers, error) = self.apply_family(key, actions).await;
                (answers, error.map(|error| (family, error)))
            });
            for (of_family, error) in futures::future::join_all(writes).await {
                answers.extend(of_family);
                errors.0.extend(error);
            }
        }
        // Nothing can be created in a namespace that is being deleted, and nothing is owed there.
        errors.0.retain(|(_, error)| error.kind != WriteFailure::NamespaceTerminating);
        (answers, errors)
    }

    /// Creates, then updates, then deletes, each a few at a time. A failed write ends the rest: what was to follow
    /// may take away what it was to put in place.
    async fn apply_family(
        &self,
        key: &ObjectKey,
        actions: Vec<Action>,
    ) -> (Vec<Written>, Option<WriteError>) {
        let (mut creates, mut updates, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Create(_) => creates.push(action),
                Action::Update { .. } => updates.push(action),
                Action::Delete(_) => deletes.push(action),
            }
        }
        let answers = Mutex::new(Vec::new());
        for phase in [creates, updates, deletes] {
            // Those that are on their way are waited for: their answers must not get lost.
            let failure = Mutex::new(None);
            stream::iter(phase)
                .for_each_concurrent(WRITES_AT_A_TIME, async |action| {
                    if failure.lock().is_some() {
                        return;
                    }
                    match self.write(key, action).await {
                        Ok(answer) => answers.lock().push(answer),
                        Err(error) => {
                            failure.lock().get_or_insert(error);
                        }
                    }
                })
                .await;
            if let Some(error) = failure.into_inner() {
                return (answers.into_inner(), Some(error));
            }
        }
        (answers.into_inner(), None)
    }

    async fn write(&self, key: &ObjectKey, action: Action) -> Result<Written, WriteError> {
        let resource = &Slice::RESOURCE;
        let namespace = &key.namespace;
        match action {
            Action::Create(desired) => {
                let answer = self.writer.create(resource, namespace, &desired.create_body()).await?;
                self.metrics.wrote("create");
                self.check_answer(key, &desired, &answer);
                if service_of(&answer) != Some(&key.name) {
                    return Err(self.take_back(key, &answer).await);
                }
                Ok(Written::Created(self.stored(key, answer)))
            }
            Action::Update { current: before, desired } => {
                let body = desired.update_body(&before);
                let answer = self.writer.update(resource, namespace, &before.key.name, &body).await?;
                self.metrics.wrote("update");
                self.check_answer(key, &desired, &answer);
                Ok(Written::Updated { before, after: self.stored(key, answer) })
            }
            Action::Delete(slice) => {
                let uid = slice.uid.to_string();
                self.writer.delete(resource, namespace, &slice.key.name, &uid).await?;
                self.metrics.wrote("delete");
                self.own_writes.deleted(key, Arc::clone(&slice), Instant::now());
                Ok(Written::Deleted(slice))
            }
        }
    }

    /// Deletes a slice that was created and is not the Service's: nobody would ever find it again, and the next plan
    /// would create another one.
    async fn take_back(&self, key: &ObjectKey, slice: &Slice) -> WriteError {
        let uid = slice.uid.to_string();
        let deleted = self.writer.delete(&Slice::RESOURCE, &key.namespace, &slice.key.name, &uid).await;
        let outcome = match deleted {
            Ok(()) => "it was deleted again".to_owned(),
            Err(error) => error.to_string(),
        };
        WriteError {
            what: format!("create an EndpointSlice in namespace {}", key.namespace),
            kind: WriteFailure::Refused(format!(
                "an admission webhook or policy took away the labels {SERVICE_NAME} and {SLICE_MANAGED_BY}, by which {} \
                 belongs to the Service; {outcome}",
                slice.key.name
            )),
        }
    }

    fn stored(&self, key: &ObjectKey, answer: Slice) -> Arc<Slice> {
        let slice = Arc::new(answer);
        self.own_writes.stored(key, Arc::clone(&slice), Instant::now());
        slice
    }
}
