//! Named checks: of readiness, which the components set and `/readyz` reads, and of life, which `/livez` asks.

use std::borrow::Cow;
use std::fmt;
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
    vital: Arc<RwLock<Vec<Vital>>>,
}

/// A check of life.
struct Vital {
    name: &'static str,
    failure: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

impl fmt::Debug for Vital {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The handle by which a component says how it is. Clones set the same check; dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Check(Arc<Entry>);

#[derive(Debug)]
struct Entry {
    name: Cow<'static, str>,
    /// Why it fails, or what there is to say besides that it is ok.
    state: Mutex<Result<Option<Cow<'static, str>>, Cow<'static, str>>>,
}

impl Checks {
    /// No checks but `shutdown`.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, checks: Arc::default(), vital: Arc::default() }
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
        let entry = Arc::new(Entry { name: name.into(), state: Mutex::new(Err(waiting_for.into())) });
        self.checks.write().push(Arc::clone(&entry));
        Check(entry)
    }

    /// What all checks say now.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        for check in self.checks.read().iter() {
            match &*check.state.lock() {
                Ok(note) => report.ok(&check.name, note.as_deref()),
                Err(reason) => report.failed(&check.name, reason),
            }
        }
        if self.shutdown.has_begun() {
            report.failed("shutdown", "the process is shutting down");
        } else {
            report.ok("shutdown", None);
        }
        report
    }

    /// Adds a check of life, such as `leaderElection`: `failure` says why the process had better be ended and started
    /// again, if so. It is called at each request.
    pub fn add_vital(
        &self,
        name: &'static str,
        failure: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) {
        self.vital.write().push(Vital { name, failure: Box::new(failure) });
    }

    /// Whether the process is alive: it answers, and every check of life is ok.
    #[must_use]
    pub fn life(&self) -> Report {
        let mut report = Report::default();
        report.ok("ping", None);
        for vital in self.vital.read().iter() {
            match (vital.failure)() {
                None => report.ok(vital.name, None),
                Some(reason) => report.failed(vital.name, &reason),
            }
        }
        report
    }
}

impl Check {
    /// The component is ready.
    pub fn ok(&self) {
        *self.0.state.lock() = Ok(None);
    }

    /// The component is ready, and `/readyz?verbose` says this about it.
    pub fn ok_with(&self, note: impl Into<Cow<'static, str>>) {
        *self.0.state.lock() = Ok(Some(note.into()));
    }

    /// The component is not ready; the reason is for people.
    pub fn fail(&self, reason: impl Into<Cow<'static, str>>) {
        *self.0.state.lock() = Err(reason.into());
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

    fn ok(&mut self, name: &str, note: Option<&str>) {
        match note {
            None => self.lines.extend(["[+]", name, " ok\n"]),
            Some(note) => self.lines.extend(["[+]", name, " ok: ", note, "\n"]),
        }
    }

    fn failed(&mut self, name: &str, reason: &str) {
        self.failed = true;
        self.lines.extend(["[-]", name, " failed: ", reason, "\n"]);
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

        nodes.ok_with("two of them");
        assert!(checks.report().lines().contains("[+]informer/nodes ok: two of them\n"));
        pods.clone().ok();
        assert!(checks.clone().report().is_ok());
        pods.fail(format!("{} watches failed", 3));
        assert!(checks.report().lines().starts_with("[-]informer/pods failed: 3 watches failed\n"));
        drop(pods);
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

    #[test]
    fn life_is_asked_for_each_time() {
        let checks = Checks::new(Shutdown::new());
        let stuck = Arc::new(Mutex::new(None));
        let shown = Arc::clone(&stuck);
        checks.add_vital("leaderElection", move || shown.lock().clone());
        assert_eq!(
            (checks.life().is_ok(), checks.life().lines()),
            (true, "[+]ping ok\n[+]leaderElection ok\n")
        );
        *stuck.lock() = Some("too late".to_owned());
        assert!(!checks.life().is_ok());
        assert!(checks.life().lines().ends_with("[-]leaderElection failed: too late\n"));
        assert!(checks.report().is_ok(), "readiness is another question");
    }
}
