//! What the elector asks for, done: requests, the watch, the timer, and the term that permits hang on.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::StreamExt;
use futures::future::{BoxFuture, OptionFuture};
use jiff::Timestamp;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::report::{Reporter, Way};
use super::requests::{Answer, Remote};
use super::timer::sleep_until;
use super::watch;
use super::{Elector, Input, Request, Role, Step, Timing};
use crate::clock::Clock;
use crate::permit::Term;

/// The longest that one attempt may take; a leader's also ends with its term.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Who takes part in which election.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Unique among all that ever take part.
    pub identity: String,
    /// The times; checked ([`Timing::check`]).
    pub timing: Timing,
}

/// How an election ended for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It led, and does so no longer: the process must end, since what it knows may rest on what it no longer is.
    Lost,
    /// It was told to stop, and holds the Lease no longer if it did.
    Stopped,
}

/// Takes part in an election.
pub struct Election {
    client: Client,
    elector: Elector,
    remote: Remote,
    term: Term,
    reporter: Reporter,
    role: Role,
}

impl Election {
    /// Prepares it. `client` should be of its own connections: what keeps those of the controllers busy must not keep the
    /// Lease from being renewed. `term` begins when the Lease is won; both it and the election go by `clock`.
    #[must_use]
    pub fn new(client: Client, candidate: &Candidate, term: Term, clock: Clock, reporter: Reporter) -> Self {
        let Candidate { namespace, name, identity, timing } = candidate;
        let remote = Remote {
            api: Api::namespaced(client.clone(), namespace),
            namespace: namespace.clone(),
            name: name.clone(),
            clock,
        };
        let elector = Elector::new(namespace, name, identity, *timing, fastrand::f64());
        Self { client, elector, remote, term, reporter, role: Role::Follower }
    }

    /// Follows the Lease, takes it once `ready` is over, and keeps it until it is lost, or until `release`: then it is
    /// given back, so that another can have it at once. The work that it guards must have ended before that.
    pub async fn run(mut self, ready: impl Future<Output = ()> + Send, release: CancellationToken) -> End {
        self.reporter.begins(&self.elector);
        let (namespace, name) = (self.remote.namespace.clone(), self.remote.name.clone());
        let mut news = pin!(watch::news(&self.client, &namespace, &name));
        let mut ready = pin!(ready.fuse());
        let mut asked: Option<BoxFuture<'static, Answer>> = None;
        let mut input = Input::Tick;
        loop {
            let step = self.step(input, &mut asked);
            if step.role == Role::Ended {
                self.reporter.lost(&self.elector);
                return End::Lost;
            }
            input = tokio::select! {
                () = release.cancelled() => break,
                () = &mut ready => Input::Ready,
                Some(answer) = OptionFuture::from(asked.as_mut()) => {
                    asked = None;
                    self.answered(answer)
                }
                Some(told) = news.next() => {
                    let (told, trouble) = told.map_or_else(|reason| (Input::Blind, Some(reason)), |told| (told, None));
                    self.reporter.trouble(&self.elector, Way::Watch, trouble);
                    told
                }
                () = sleep_until(&self.remote.clock, step.wake) => Input::Tick,
            };
        }
        self.term.end();
        // Its outcome decides which version is to be replaced, and whether there is anything to give back.
        if let Some(asked) = asked {
            let input = self.answered(asked.await);
            self.elector.step(self.remote.clock.now(), Timestamp::now(), input);
        }
        self.release().await;
        End::Stopped
    }

    fn step(&mut self, input: Input, asked: &mut Option<BoxFuture<'static, Answer>>) -> Step {
        let now = self.remote.clock.now();
        let mut step = self.elector.step(now, Timestamp::now(), input);
        self.role = step.role;
        match step.role {
            Role::Leader { valid_until } => self.term.extend(valid_until),
            Role::Ended => self.term.end(),
            Role::Follower => {}
        }
        self.reporter.follow(&self.elector, step.role);
        if let Some(request) = step.request.take() {
            let mut deadline = now + ATTEMPT;
            if let Role::Leader { valid_until } = step.role {
                deadline = deadline.min(valid_until);
                if request == Request::Read {
                    self.reporter.slow_path(&self.elector);
                }
            }
            *asked = Some(self.remote.clone().ask(request, deadline).boxed());
        }
        step
    }

    fn answered(&mut self, answer: Answer) -> Input {
        self.reporter.trouble(&self.elector, Way::Requests, answer.trouble);
        answer.input
    }

    /// Gives the Lease back, once: if that fails, others wait until it expires.
    async fn release(&mut self) {
        let Some(lease) = self.elector.release(Timestamp::now()) else { return };
        let lease_name = self.elector.lease();
        let deadline = self.remote.clock.now() + ATTEMPT;
        let request = Request::Replace(Box::new(lease));
        match self.remote.clone().ask(request, deadline).await {
            Answer { input: Input::Written { .. }, .. } => {
                info!(lease = lease_name, "released the Lease");
                if matches!(self.role, Role::Leader { .. }) {
                    self.reporter.tell(&self.elector, "stopped leading");
                }
            }
            Answer { trouble, .. } => warn!(
                lease = lease_name,
                "could not release the Lease, others will wait until it expires: {}",
                trouble.as_deref().unwrap_or("somebody else has written it")
            ),
        }
    }
}
