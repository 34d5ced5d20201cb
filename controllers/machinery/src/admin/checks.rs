//! Named readiness checks, which the components set and `/readyz` reads.

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::shutdown::Shutdown;

/// The readiness checks of the process. Clones share them.
///
/// The process is ready while every check is ok and no shutdown has begun: the check `shutdown` is always there
/// and fails from the first signal on, so that nothing new is sent to a process that is about to end.
#[derive(Clone, Debug)]
pub struct Checks {
    shutdown: Shutdown,
    checks: Arc<RwLock<Vec<Arc<Entry>>>>,
}

/// The handle by which a component says how it is. Clones set the same check; dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Check(Arc<Entry>);

#[derive(Debug)]
struct Entry {
    name: Cow<'static, str>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Ok,
    /// Ok, and there is something to be said.
    Noted(Cow<'static, str>),
    /// Why it fails.
    Failed(Cow<'static, str>),
}

impl Checks {
    /// No checks but `shutdown`.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, checks: Arc::default() }
    }

    /// Adds a check, such as `informer/pods`, that fails until [`Check::ok`] is called. `waiting_for` is the reason
    /// until then. Checks are listed in the order in which they were added; add all of them before the server
    /// starts, so that the process is not seen ready too early.
    #[must_use = "a check that nobody sets keeps the process unready for ever"]
    pub fn add(
        &self,
        name: impl Into<Cow<'static, str>>,
        waiting_for: impl Into<Cow<'static, str>>,
    ) -> Check {
        let entry =
            Arc::new(Entry { name: name.into(), state: Mutex::new(State::Failed(waiting_for.into())) });
        self.checks.write().push(Arc::clone(&entry));
        Check(entry)
    }

    /// What all checks say now.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        for check in self.checks.read().iter() {
            match &*check.state.lock() {
                State::Ok => report.line(&check.name, None),
                State::Noted(note) => report.lines.extend(["[+]", &check.name, " ok: ", note, "\n"]),
                State::Failed(reason) => report.line(&check.name, Some(reason)),
            }
        }
        report.line("shutdown", self.shutdown.has_begun().then_some("the process is shutting down"));
        report
    }
}

impl Check {
    /// The component is ready.
    pub fn ok(&self) {
        *self.0.state.lock() = State::Ok;
    }

    /// The component is ready, and people who look (`/readyz?verbose`) are told this.
    pub fn ok_with(&self, note: impl Into<Cow<'static, str>>) {
        *self.0.state.lock() = State::Noted(note.into());
    }

    /// The component is not ready; the reason is for people.
    pub fn fail(&self, reason: impl Into<Cow<'static, str>>) {
        *self.0.state.lock() = State::Failed(reason.into());
    }
}

/// The answer of a set of checks, in the form that kube-apiserver prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    lines: String,
    failed: bool,
}

impl Report {
    /// Whether every check was ok.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        !self.failed
    }

    /// One line per check: `[+]name ok`, `[+]name ok: note` or `[-]name failed: reason`.
    #[must_use]
    pub fn lines(&self) -> &str {
        &self.lines
    }

    pub(super) fn line(&mut self, name: &str, failure: Option<&str>) {
        match failure {
            None => self.lines.extend(["[+]", name, " ok\n"]),
            Some(reason) => {
                self.failed = true;
                self.lines.extend(["[-]", name, " failed: ", reason, "\n"]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_fails_until_it_is_set_and_can_fail_again() {
        let checks = Checks::new(Shutdown::new());
        assert_eq!((checks.report().is_ok(), checks.report().lines()), (true, "[+]shutdown ok\n"));

        let pods = checks.add("informer/pods", "waiting for the first list");
        let nodes = checks.add("informer/nodes", "waiting for the first list");
        nodes.ok();
        let report = checks.report();
        assert!(!report.is_ok());
        assert_eq!(
            report.lines(),
            "[-]informer/pods failed: waiting for the first list\n[+]informer/nodes ok\n[+]shutdown ok\n"
        );

        pods.clone().ok();
        assert!(checks.clone().report().is_ok());
        pods.fail(format!("{} watches failed", 3));
        assert!(checks.report().lines().starts_with("[-]informer/pods failed: 3 watches failed\n"));
        drop(pods);
        assert!(!checks.report().is_ok());
    }

    #[test]
    fn a_note_is_listed_and_fails_nothing() {
        let checks = Checks::new(Shutdown::new());
        let rival = checks.add("rival", "starting");
        rival.ok_with("stands aside");
        let report = checks.report();
        assert!(report.is_ok());
        assert_eq!(report.lines(), "[+]rival ok: stands aside\n[+]shutdown ok\n");
        rival.fail("no");
        assert!(!checks.report().is_ok());
    }

    #[test]
    fn shutdown_ends_readiness() {
        let shutdown = Shutdown::new();
        let checks = Checks::new(shutdown.clone());
        checks.add("queue", "starting").ok();
        assert!(checks.report().is_ok());
        shutdown.begin();
        let report = checks.report();
        assert!(!report.is_ok());
        assert_eq!(report.lines(), "[+]queue ok\n[-]shutdown failed: the process is shutting down\n");
    }
}
