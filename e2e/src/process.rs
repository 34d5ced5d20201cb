//! A long-running process of the lab: its log, its end, and an account of both when it ends unasked.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use crate::error::{Context, Error, Result};

/// How many lines of its log an error shows.
const TAIL: usize = 15;

/// A process that the lab started, such as etcd or a kube-proxy. Cloning gives another handle on it.
#[derive(Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    log: PathBuf,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    run: Mutex<Run>,
}

/// One run of the process: it can be ended and started again.
struct Run {
    pid: Pid,
    /// Somebody asked it to end, so its end is no failure.
    asked: bool,
    ended: watch::Receiver<Option<ExitStatus>>,
    waiter: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts what `command` makes, with standard output and error appended to `log`. `name` is for messages.
    pub(crate) fn start(
        name: String,
        log: PathBuf,
        command: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Result<Self> {
        let run = spawn(&name, &log, command())?;
        Ok(Self { inner: Arc::new(Inner { name, log, command: Box::new(command), run: Mutex::new(run) }) })
    }

    /// Its name, such as `kube-apiserver of lab 0`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its process id, as seen inside the lab.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.inner.run.lock().pid.as_raw_nonzero().get()
    }

    /// Where its log is.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.inner.log
    }

    /// Its whole log so far, over all of its runs.
    ///
    /// # Errors
    /// [`Error::Io`] when the log cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes =
            std::fs::read(&self.inner.log).context(|| format!("reading {}", self.inner.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.inner.run.lock().ended.borrow().is_none()
    }

    /// Fails if it has ended although nobody asked it to.
    ///
    /// # Errors
    /// [`Error::Component`] with how it ended and the last lines of its log.
    pub fn check(&self) -> Result<()> {
        let run = self.inner.run.lock();
        let ended = *run.ended.borrow();
        match ended {
            Some(status) if !run.asked => Err(self.failure(&format!("ended by itself ({status})"))),
            _ => Ok(()),
        }
    }

    /// An error about this process with the end of its log.
    pub(crate) fn failure(&self, happened: &str) -> Error {
        let log = self.log().unwrap_or_else(|error| error.to_string());
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        Error::Component {
            component: self.inner.name.clone(),
            happened: happened.to_owned(),
            tail,
            log: self.inner.log.clone(),
        }
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it run on after [`Process::freeze`].
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end (SIGTERM) and waits for that, without a limit: put a timeout around it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does not run.
    pub async fn terminate(&self) -> Result<ExitStatus> {
        self.end(Signal::TERM).await
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does not run.
    pub async fn kill(&self) -> Result<ExitStatus> {
        self.end(Signal::KILL).await
    }

    /// Waits until it ends, for whatever reason, and takes that as intended.
    ///
    /// # Errors
    /// [`Error::Io`] when nobody can tell any more how it ended.
    pub async fn ended(&self) -> Result<ExitStatus> {
        let mut ended = {
            let mut run = self.inner.run.lock();
            run.asked = true;
            run.ended.clone()
        };
        let status = *ended
            .wait_for(Option::is_some)
            .await
            .map_err(|_| std::io::Error::other("the thread that waits for it is gone"))
            .context(|| format!("waiting for {}", self.inner.name))?;
        // `wait_for` returns only on a status.
        status.ok_or_else(|| Error::Invalid(format!("{} still runs", self.inner.name)))
    }

    /// Starts it again with the same command, after it has ended.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it still runs.
    pub fn restart(&self) -> Result<()> {
        let mut run = self.inner.run.lock();
        if run.ended.borrow().is_none() {
            return Err(Error::Invalid(format!(
                "{} still runs: end it before it is started again",
                self.inner.name
            )));
        }
        *run = spawn(&self.inner.name, &self.inner.log, (self.inner.command)())?;
        Ok(())
    }

    async fn end(&self, signal: Signal) -> Result<ExitStatus> {
        self.inner.run.lock().asked = true;
        self.signal(signal)?;
        self.ended().await
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let run = self.inner.run.lock();
        if run.ended.borrow().is_some() {
            return Err(Error::Invalid(format!("{} does not run any more", self.inner.name)));
        }
        kill_process(run.pid, signal)
            .map_err(std::io::Error::from)
            .context(|| format!("sending {signal:?} to {}", self.inner.name))
    }

    /// Kills it and waits, blocking: the first half of every clean-up.
    pub(crate) fn destroy(&self) {
        // Sent to all before anybody is waited for, see `Inner::clean_up` of the lab.
        self.inner.run.lock().asked = true;
        // It may have ended by itself.
        let _ = self.signal(Signal::KILL);
    }

    /// Waits for the end after [`Process::destroy`].
    pub(crate) fn reap(&self) {
        let waiter = self.inner.run.lock().waiter.take();
        if let Some(waiter) = waiter {
            // The thread only waits; it has nothing to panic about.
            let _ = waiter.join();
        }
    }
}

fn spawn(name: &str, log: &Path, mut command: Command) -> Result<Run> {
    let out = open_log(log)?;
    let err = out.try_clone().context(|| format!("sharing {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    // A person's own configuration has no business in the lab.
    command.env_remove("KUBECONFIG");
    let mut child = command.spawn().context(|| format!("starting {name}"))?;
    let pid = Pid::from_child(&child);
    let (sender, ended) = watch::channel(None);
    let waiter = std::thread::Builder::new()
        .name("lab-waiter".to_owned())
        .spawn(move || {
            // Waiting for an own child fails only if somebody else has waited for it.
            let status = child.wait().unwrap_or_default();
            sender.send_replace(Some(status));
        })
        .context(|| format!("starting a thread for {name}"))?;
    Ok(Run { pid, asked: false, ended, waiter: Some(waiter) })
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .context(|| format!("opening the log {}", path.display()))
}
