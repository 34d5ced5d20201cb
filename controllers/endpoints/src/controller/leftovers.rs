//! Endpoints of Services that are gone, or keep none any more.

use std::sync::Arc;

use fairlead_machinery::events::EventType;
use fairlead_machinery::worker::Outcome;
use fairlead_machinery::write::WriteFailure;
use fairlead_objects::{Endpoints, ObjectKey, Record, Service};

use super::Controller;
use super::apply::Failure;
use crate::dirty::{Cause, Dirty};
use crate::{Leftover, Memory, has_endpoints, is_without_service};

impl Controller {
    /// The Service is not in the cache. If it was deleted, or had been before the start, its Endpoints go, too. Those that
    /// appear later are somebody's own.
    pub(super) async fn service_is_gone(&self, key: &ObjectKey, dirty: Dirty) -> Outcome<Dirty> {
        let outcome = match self.remains(key, &dirty).await {
            Ok(Some(_)) if !self.writer.may_write() => return Outcome::Park(dirty),
            Ok(Some(remains)) => self.delete_remains(key, &remains).await,
            Ok(None) => Ok(()),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = outcome {
            self.complain(key, &failure);
            return failure.again(dirty);
        }
        if self.services.get(key).is_none() {
            self.forget(key);
        }
        Outcome::Done
    }

    /// The Endpoints object that the Service has left: also one that nobody has seen, because the answer was lost when it
    /// was created.
    async fn remains(&self, key: &ObjectKey, dirty: &Dirty) -> Result<Option<Arc<Endpoints>>, Failure> {
        let may_exist = self.memories.lock().get(key).is_some_and(Memory::may_exist);
        let current = match self.current(key) {
            None if may_exist => self.read(key).await?.map(Arc::new),
            known => known,
        };
        let was_deleted = dirty.cause == Cause::Service;
        Ok(current.filter(|it| was_deleted || (dirty.stray && is_without_service(it))))
    }

    async fn delete_remains(&self, key: &ObjectKey, remains: &Arc<Endpoints>) -> Result<(), Failure> {
        // The cache of Services may just be late, or have been filled by an API server that is.
        if self.read::<Service>(key).await?.is_some() {
            return Ok(());
        }
        match self.delete(remains, false).await {
            // Another object by now, which is somebody's own.
            Err(Failure(error)) if matches!(error.kind, WriteFailure::Conflict(_)) => {
                self.own_writes.forget(key);
                Ok(())
            }
            deleted => deleted,
        }
    }

    /// The object as the API server has it now, if it has one.
    async fn read<R: Record>(&self, key: &ObjectKey) -> Result<Option<R>, Failure> {
        match self.writer.read::<R>(&R::RESOURCE, &key.namespace, &key.name).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if matches!(error.kind, WriteFailure::NotFound(_)) => Ok(None),
            Err(error) => Err(Failure(error)),
        }
    }

    /// Leaves the Endpoints of a Service that keeps none, or deletes them if that is wanted, and tells people when it
    /// happens. `None`: the Service keeps them, and is to be planned.
    pub(super) async fn leave(&self, service: &Arc<Service>) -> Option<Outcome<Dirty>> {
        let key = &service.key;
        if has_endpoints(service) {
            self.metrics.left_behind(key, false);
            return None;
        }
        let mut leftover = Leftover::of(service, self.current(key).as_ref());
        // A memory means that this process planned the Service when it had a selector. What was found at the start may
        // serve somebody by now.
        let observed = self.memories.lock().get(key).is_some_and(Memory::had_endpoints);
        let prune = observed && self.settings.prune_leftovers;
        if prune && leftover.is_some() && !self.writer.may_write() {
            return Some(Outcome::Park(Dirty::service()));
        }
        if let Some(left) = leftover.take_if(|_| prune) {
            if let Err(failure) = self.delete(&left.endpoints, true).await {
                self.complain(key, &failure);
                return Some(failure.again(Dirty::service()));
            }
            let message = "Deleted the Endpoints that the Service left behind when it lost its selector or became an \
                           ExternalName (--prune-leftovers)";
            self.tell(service, EventType::Normal, "EndpointsPruned", message.to_owned());
        }
        if let Some(left) = leftover.as_ref().filter(|_| observed) {
            self.tell(service, EventType::Warning, "EndpointsLeftBehind", left.to_string());
        }
        self.metrics.truncated(key, false);
        self.metrics.left_behind(key, leftover.is_some());
        if let Some(memory) = self.memories.lock().get_mut(key) {
            memory.left();
        }
        self.rivalry.forget(key);
        Some(Outcome::Done)
    }
}
