//! Sending the writes of a plan.

use std::net::IpAddr;
use std::time::Duration;

use fairlead_crds::address::address_name;
use fairlead_machinery::worker::Outcome;
use fairlead_machinery::write::{Patch, WriteError, WriteFailure};
use fairlead_objects::{ObjectKey, Record, Service};
use serde_json::Value;

use super::{Controller, Look};
use crate::action::{Action, Guard, Publication};
use crate::body;
use crate::records::Address;

/// Why the rest of a plan is left for the next one.
pub(super) enum Stop {
    /// A write, or a look, failed.
    Failed(WriteError),
    /// Somebody else has created the object of the address that was picked.
    Taken,
    /// The API server shows something else than the plan was made from.
    Unconfirmed,
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        Self::Failed(error)
    }
}

impl Stop {
    /// What is to follow: another try, or, if something was not sent because nothing may be written now, none before that
    /// changes.
    pub(super) fn again(&self) -> Outcome<Look> {
        match self {
            Self::Failed(WriteError { kind: WriteFailure::NotPermitted, .. }) => Outcome::Park(Look),
            Self::Failed(WriteError { kind: WriteFailure::Throttled(pause), .. }) => {
                Outcome::Retry(Look, *pause)
            }
            Self::Failed(_) | Self::Taken | Self::Unconfirmed => Outcome::Retry(Look, Duration::ZERO),
        }
    }
}

impl Controller {
    pub(super) async fn sync_service(&self, key: &ObjectKey) -> Outcome<Look> {
        let plan = self.update(|ledger| ledger.plan_service(key, self.now()));
        tracing::debug!(service = %key, standing = ?plan.standing, writes = plan.actions.len(), "planned");
        let outcome = if plan.actions.is_empty() {
            self.until(plan.wait)
        } else if self.writer.may_write() {
            match self.apply(plan.actions).await {
                Ok(()) => self.until(plan.wait),
                Err(stop) => {
                    self.report_stop(key, &stop);
                    stop.again()
                }
            }
        } else {
            Outcome::Park(Look)
        };
        self.update(|ledger| ledger.settle(key));
        self.stands(key, plan.standing);
        outcome
    }

    pub(super) async fn sync_address(&self, address: IpAddr) -> Outcome<Look> {
        let plan = self.update(|ledger| ledger.plan_address(address, self.now()));
        if plan.actions.is_empty() {
            return self.until(plan.wait);
        }
        if !self.writer.may_write() {
            return Outcome::Park(Look);
        }
        match self.apply(plan.actions).await {
            Ok(()) => self.until(plan.wait),
            Err(stop) => {
                self.report_stop(&ObjectKey::new("", address_name(address)), &stop);
                stop.again()
            }
        }
    }

    /// Sends writes, one after the other: what is to follow relies on what came before.
    async fn apply(&self, actions: Vec<Action>) -> Result<(), Stop> {
        for action in actions {
            match action {
                Action::Create { address, spec } => {
                    self.create(address, &body::create_address(address, &spec)).await?;
                }
                Action::Update { current, spec, guard } => {
                    self.confirm(&guard).await?;
                    let patch = body::update_address(&current, &spec);
                    let answer = self.writer.merge(&Address::RESOURCE, "", &current.key.name, &patch).await?;
                    self.show(answer);
                }
                Action::Publish(publication) => self.publish(&publication).await?,
                Action::Cool { current, until, guard } => {
                    self.confirm(&guard).await?;
                    self.patch_status(&current, &body::cool_address(&current, until)).await?;
                }
                Action::NotProbed { current, message, now } => {
                    self.patch_status(&current, &body::not_probed(&current, &message, now)).await?;
                }
                Action::Silence { current, message, now } => {
                    self.patch_status(&current, &body::silence(&current, &message, now)).await?;
                }
                Action::Delete { current, guard } => {
                    self.confirm(&guard).await?;
                    let (name, uid) = (&current.key.name, current.uid.to_string());
                    self.writer.delete_version(&Address::RESOURCE, "", name, &uid, &current.version).await?;
                    self.addresses.deleted(&current);
                    self.update(|ledger| ledger.remove_address(&current));
                }
            }
        }
        Ok(())
    }

    /// Merges this into the status of an address.
    async fn patch_status(&self, current: &Address, patch: &Value) -> Result<(), Stop> {
        let name = &current.key.name;
        let answer = self.writer.patch_status(&Address::RESOURCE, "", name, Patch::Merge, patch).await?;
        self.show(answer);
        Ok(())
    }

    /// Allocates an address.
    async fn create(&self, address: IpAddr, body: &Value) -> Result<(), Stop> {
        let name = address_name(address);
        match self.writer.create_named(&Address::RESOURCE, "", &name, body).await {
            Ok(answer) => {
                self.show(answer);
                Ok(())
            }
            Err(WriteError { kind: WriteFailure::AlreadyExists(_), .. }) => {
                // Ours, if an answer was lost; else that of a process that was faster.
                self.show(self.writer.read(&Address::RESOURCE, "", &name).await?);
                Err(Stop::Taken)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The API server answered with this state of an address.
    fn show(&self, answer: Address) {
        self.update(|ledger| {
            if let Some(address) = self.addresses.answered(answer) {
                ledger.put_address(&address);
            }
        });
    }

    /// Looks whether the API server, past the cache, confirms what an address is taken away for.
    async fn confirm(&self, guard: &Guard) -> Result<(), Stop> {
        let Some(ObjectKey { namespace, name }) = guard.service() else { return Ok(()) };
        let live: Option<Service> = match self.writer.read(&Service::RESOURCE, namespace, name).await {
            Ok(service) => Some(service),
            Err(WriteError { kind: WriteFailure::NotFound(_), .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if guard.holds(live.as_ref()) { Ok(()) } else { Err(Stop::Unconfirmed) }
    }

    /// Writes addresses and condition of a Service.
    async fn publish(&self, publication: &Publication) -> Result<(), Stop> {
        let key = &publication.service.key;
        let patch = body::publish(publication);
        let answer: Service = self
            .writer
            .patch_status(&Service::RESOURCE, &key.namespace, &key.name, Patch::Strategic, &patch)
            .await?;
        self.update(|ledger| {
            if let Some(service) = self.services.answered(answer) {
                ledger.put_service(&service, self.now());
            }
        });
        if publication.addresses.as_ref().is_some_and(|addresses| !addresses.is_empty())
            && let Some(since) = self.not_waiting(key)
        {
            self.metrics.assigned(since.elapsed());
        }
        if let Some(event) = &publication.event {
            self.tell(&publication.service, event);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fairlead_machinery::write::{WriteError, WriteFailure};

    use super::*;

    #[test]
    fn what_follows_a_failure() {
        let failed = |kind| Stop::Failed(WriteError { what: "create".into(), kind }).again();
        assert!(matches!(failed(WriteFailure::NotPermitted), Outcome::Park(_)));
        let pause = Duration::from_secs(7);
        assert!(matches!(failed(WriteFailure::Throttled(pause)), Outcome::Retry(_, it) if it == pause));
        assert!(matches!(failed(WriteFailure::Unanswered("lost".into())), Outcome::Retry(_, Duration::ZERO)));
        assert!(matches!(Stop::Taken.again(), Outcome::Retry(_, Duration::ZERO)));
    }
}
