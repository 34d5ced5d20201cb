//! The leader election of the process, from its connection to its end.

use std::time::Duration;

use fairlead_machinery::client::{self, ClientError, ClientSettings};
use fairlead_machinery::clock::Clock;
use fairlead_machinery::events;
use fairlead_machinery::lease::{Candidate, Election, End, LeaseMetrics, Reporter};
use fairlead_machinery::permit::{Permit, Term};
use fairlead_machinery::shutdown::{Ended, Tasks};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::args::{LeaderElection, ManagerConfig};
use crate::controllers::Process;
use crate::identity::Identity;

/// The component in Events about the Lease.
const COMPONENT: &str = "fairlead-manager";
/// By how much a term may be over without anybody having ended the process: client-go's.
const OVERDUE: Duration = Duration::from_secs(20);
/// How long giving the Lease back may take.
const RELEASE_GRACE: Duration = Duration::from_secs(6);
/// How long the Event that says that leadership was lost may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What makes this process write, or not. Without leader election it always may.
pub(crate) struct Leadership {
    term: Option<Term>,
    tasks: Tasks,
    /// The work is done.
    release: CancellationToken,
    /// No more is to be told.
    quiet: CancellationToken,
    lost: CancellationToken,
}

impl Leadership {
    /// Without leader election.
    pub(crate) fn none() -> Self {
        Self {
            term: None,
            tasks: Tasks::new(),
            release: CancellationToken::new(),
            quiet: CancellationToken::new(),
            lost: CancellationToken::new(),
        }
    }

    /// Takes part in the election; leadership is sought once the process is ready.
    pub(crate) async fn seek(
        election: &LeaderElection,
        config: &ManagerConfig,
        identity: &Identity,
        process: &Process<'_>,
    ) -> Result<Self, ClientError> {
        let Process { registry, events, checks, ready, .. } = *process;
        // Connections of its own: however busy those of the controllers are, the Lease is renewed.
        let client = client::connect(&ClientSettings {
            kubeconfig: config.kubeconfig.clone(),
            master: config.master.clone(),
            user_agent: identity.user_agent("leader election"),
        })
        .await?;
        let clock = Clock::boot();
        let term = Term::new(clock.clone());
        let candidate = Candidate {
            namespace: election.namespace.clone().unwrap_or_else(|| config.namespace.clone()),
            name: election.name.clone(),
            identity: identity.to_string(),
            timing: election.timing,
        };

        let watched = term.clone();
        checks.add_vital("leaderElection", move || {
            let overdue = watched.overdue().filter(|overdue| *overdue > OVERDUE)?;
            Some(format!("the lease expired {overdue:.0?} ago, and this process still runs as if it led"))
        });
        let mut leadership = Self { term: Some(term.clone()), ..Self::none() };
        // Who leads is told whether or not anything else may be written.
        let permit = Permit::until(CancellationToken::new());
        let (recorder, writer) = events::channel(client.clone(), COMPONENT, events.clone(), permit);
        leadership.tasks.spawn("events of the leader election", writer.run(leadership.quiet.clone()));
        let check = checks.add("leaderElection", "waiting for the first look at the Lease");
        let reporter = Reporter::new(LeaseMetrics::new(registry), recorder, check);
        let election = Election::new(client, &candidate, term, clock, reporter);
        let (ready, release, quiet, lost) =
            (ready.clone(), leadership.release.clone(), leadership.quiet.clone(), leadership.lost.clone());
        leadership.tasks.spawn("leader election", async move {
            if election.run(ready.cancelled_owned(), release).await == End::Lost {
                lost.cancel();
            }
            quiet.cancel();
        });
        Ok(leadership)
    }

    /// The permit as far as leadership gives it.
    pub(crate) fn narrow(&self, permit: &Permit) -> Permit {
        self.term.as_ref().map_or_else(|| permit.clone(), |term| permit.during(term))
    }

    /// Resolves when leadership is lost, which it never is for who has none.
    pub(crate) fn lost(&self) -> impl Future<Output = ()> + use<> {
        self.lost.clone().cancelled_owned()
    }

    /// The next task that ends. `None`: there is none left. Cancel safe.
    pub(crate) async fn next_ended(&mut self) -> Option<Ended> {
        self.tasks.next_ended().await
    }

    /// Gives leadership back, so that another process has it at once. Nothing may be on its way to the API server any more.
    pub(crate) async fn release(self) {
        self.release.cancel();
        let left = self.tasks.drain(RELEASE_GRACE).await;
        if !left.is_empty() {
            warn!(tasks = left.join(","), "the Lease could not be given back in time");
        }
    }

    /// Leadership was lost; only the Event about it may still be on its way.
    pub(crate) async fn end(self) {
        self.tasks.drain(LAST_WORDS).await;
    }
}
