//! Sending the writes of a plan.

use std::sync::Arc;
use std::time::Duration;

use fairlead_discovery::names::{SERVICE_NAME, SLICE_MANAGED_BY};
use fairlead_machinery::rivals::SLOW_GAP;
use fairlead_machinery::worker::Outcome;
use fairlead_machinery::write::{WriteError, WriteFailure};
use fairlead_objects::{Family, ObjectKey, Record, Slice};
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Controller;
use crate::dirty::Dirty;
use crate::{Action, Written, service_of};

/// Writes of one family of one Service that are sent at a time.
const WRITES_AT_A_TIME: usize = 8;

/// A write that failed.
pub(super) struct Failure {
    pub(super) error: WriteError,
    taken: Option<Taken>,
}

/// The write was done, but admission made a slice of it that is not the Service's.
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
pub(super) struct Errors(pub(super) Vec<(Option<Family>, Failure)>);

impl Errors {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn failed(&self, family: Family) -> bool {
        self.0.iter().any(|(failed, _)| *failed == Some(family))
    }

    /// How long to wait before the next try: as long as the API server asked for, and if new slices are taken away from
    /// the Service, as long as between reverts. Where endpoints were lost, that must not keep others from being created.
    fn pause(&self) -> Duration {
        let endpoints_lost = self.endpoints_lost();
        let pauses = self.0.iter().map(|(_, failure)| match (&failure.error.kind, failure.taken) {
            (WriteFailure::Throttled(pause), _) => *pause,
            (_, Some(Taken::Created)) if !endpoints_lost => SLOW_GAP,
            _ => Duration::ZERO,
        });
        pauses.max().unwrap_or_default()
    }

    /// What is to follow: another try, or, if something was not sent because nothing may be written now, none before that
    /// changes.
    pub(super) fn again(&self, dirty: Dirty) -> Outcome<Dirty> {
        if self.0.iter().any(|(_, failure)| failure.error.kind == WriteFailure::NotPermitted) {
            Outcome::Park(dirty)
        } else {
            Outcome::Retry(dirty, self.pause())
        }
    }

    /// Has the Service lost slices by our own doing, which no rivalry may keep from being created anew?
    pub(super) fn endpoints_lost(&self) -> bool {
        self.0.iter().any(|(_, failure)| failure.taken == Some(Taken::Updated))
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
                let (answers, failure) = self.apply_family(key, actions).await;
                (answers, failure.map(|failure| (family, failure)))
            });
            for (of_family, failure) in futures::future::join_all(writes).await {
                answers.extend(of_family);
                errors.0.extend(failure);
            }
        }
        // Nothing can be created in a namespace that is being deleted, and nothing is owed there.
        errors.0.retain(|(_, failure)| failure.error.kind != WriteFailure::NamespaceTerminating);
        (answers, errors)
    }

    /// Creates, then updates, then deletes, each a few at a time. A failed write ends the rest: what was to follow
    /// may take away what it was to put in place.
    async fn apply_family(&self, key: &ObjectKey, actions: Vec<Action>) -> (Vec<Written>, Option<Failure>) {
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
                        Err(failed) => {
                            failure.lock().get_or_insert(failed);
                        }
                    }
                })
                .await;
            if let Some(failure) = failure.into_inner() {
                return (answers.into_inner(), Some(failure));
            }
        }
        (answers.into_inner(), None)
    }

    async fn write(&self, key: &ObjectKey, action: Action) -> Result<Written, Failure> {
        let resource = &Slice::RESOURCE;
        let namespace = &key.namespace;
        match action {
            Action::Create(desired) => {
                let answer = self.writer.create(resource, namespace, &desired.create_body()).await?;
                self.metrics.wrote("create");
                self.check_answer(key, &desired, &answer);
                if service_of(&answer) != Some(&key.name) {
                    return Err(self.take_back(key, answer, Taken::Created).await);
                }
                Ok(Written::Created(self.stored(key, answer)))
            }
            Action::Update { current: before, desired } => {
                let body = desired.update_body(&before);
                let answer = self.writer.update(resource, namespace, &before.key.name, &body).await?;
                self.metrics.wrote("update");
                self.check_answer(key, &desired, &answer);
                if service_of(&answer) != Some(&key.name) {
                    return Err(self.take_back(key, answer, Taken::Updated).await);
                }
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

    /// Deletes a slice that was written and is not the Service's: nobody would ever find it again, and the next plan
    /// creates another one.
    async fn take_back(&self, key: &ObjectKey, slice: Slice, taken: Taken) -> Failure {
        let slice = Arc::new(slice);
        let (namespace, name) = (&key.namespace, &slice.key.name);
        let deleted = self.writer.delete(&Slice::RESOURCE, namespace, name, &slice.uid.to_string()).await;
        let outcome = match deleted {
            Ok(()) => {
                if taken == Taken::Updated {
                    // The cache may show it as it was.
                    self.own_writes.deleted(key, Arc::clone(&slice), Instant::now());
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
             belongs to the Service; {outcome}"
        );
        Failure { error: WriteError { what, kind: WriteFailure::Refused(reason) }, taken: Some(taken) }
    }

    fn stored(&self, key: &ObjectKey, answer: Slice) -> Arc<Slice> {
        let slice = Arc::new(answer);
        self.own_writes.stored(key, Arc::clone(&slice), Instant::now());
        slice
    }
}
