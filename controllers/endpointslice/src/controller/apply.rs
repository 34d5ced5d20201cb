//! Sending the writes of a plan.

use std::sync::Arc;
use std::time::Duration;

use fairlead_machinery::write::{WriteError, WriteFailure};
use fairlead_objects::{Family, ObjectKey, Record, Slice};
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Controller;
use crate::Action;

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
    /// left.
    pub(super) async fn apply(&self, key: &ObjectKey, actions: Vec<Action>, wanted: &[Family]) -> Errors {
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
        let mut errors = Errors::default();
        for stage in [current, left] {
            let writes = stage.into_iter().map(async |(family, actions)| {
                self.apply_family(key, actions).await.err().map(|error| (family, error))
            });
            errors.0.extend(futures::future::join_all(writes).await.into_iter().flatten());
        }
        // Nothing can be created in a namespace that is being deleted, and nothing is owed there.
        errors.0.retain(|(_, error)| error.kind != WriteFailure::NamespaceTerminating);
        errors
    }

    /// Creates, then updates, then deletes, each a few at a time. A failed write ends the rest: what was to follow
    /// may take away what it was to put in place.
    async fn apply_family(&self, key: &ObjectKey, actions: Vec<Action>) -> Result<(), WriteError> {
        let (mut creates, mut updates, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Create(_) => creates.push(action),
                Action::Update { .. } => updates.push(action),
                Action::Delete(_) => deletes.push(action),
            }
        }
        for phase in [creates, updates, deletes] {
            // Those that are on their way are waited for: their answers must not get lost.
            let failure = Mutex::new(None);
            stream::iter(phase)
                .for_each_concurrent(WRITES_AT_A_TIME, async |action| {
                    if failure.lock().is_none()
                        && let Err(error) = self.write(key, action).await
                    {
                        failure.lock().get_or_insert(error);
                    }
                })
                .await;
            if let Some(error) = failure.into_inner() {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write(&self, key: &ObjectKey, action: Action) -> Result<(), WriteError> {
        let resource = &Slice::RESOURCE;
        let namespace = &key.namespace;
        let answer: Slice = match &action {
            Action::Create(desired) => {
                let answer = self.writer.create(resource, namespace, &desired.create_body()).await?;
                self.metrics.wrote("create");
                answer
            }
            Action::Update { current, desired } => {
                let body = desired.update_body(current);
                let answer = self.writer.update(resource, namespace, &current.key.name, &body).await?;
                self.metrics.wrote("update");
                answer
            }
            Action::Delete(slice) => {
                let uid = slice.uid.to_string();
                self.writer.delete(resource, namespace, &slice.key.name, &uid).await?;
                self.metrics.wrote("delete");
                self.own_writes.deleted(key, Arc::clone(slice), Instant::now());
                return Ok(());
            }
        };
        self.own_writes.stored(key, Arc::new(answer), Instant::now());
        Ok(())
    }
}
