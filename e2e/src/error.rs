//! What can go wrong in a lab, in sentences.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The result of everything that a lab does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the lab could not do what it was asked.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The process is not inside namespaces of its own, where alone a lab may run.
    #[error(
        "the lab makes interfaces and mounts and runs only in namespaces of its own: start this command as \
         `hack/in-namespace COMMAND...`, or through cargo, which does so by itself"
    )]
    Outside,
    /// A binary that the lab starts is not there.
    #[error("{name} is missing ({looked_at}): {remedy}")]
    MissingBinary {
        /// File name of the binary.
        name: String,
        /// Where it was looked for.
        looked_at: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A short-lived command, such as `ip` or `kubectl`, failed.
    #[error("`{command}` failed ({status}): {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it wrote on standard error.
        stderr: String,
    },
    /// A component ended although nobody asked it to, or did not become ready.
    #[error("{component} {happened}; its log is {}, and its last lines are:\n{tail}", log.display())]
    Component {
        /// Name of the component and its lab.
        component: String,
        /// What happened to it.
        happened: String,
        /// The last lines of its log.
        tail: String,
        /// The whole log; it lives as long as the lab.
        log: PathBuf,
    },
    /// Something awaited did not come in time.
    #[error("waited {waited:.1?} for {what}; last seen: {last}")]
    Timeout {
        /// What was awaited.
        what: String,
        /// How long.
        waited: Duration,
        /// Why the last look was not enough.
        last: String,
    },
    /// The API server refused a request, or could not be asked.
    #[error("{what}: {source}")]
    Api {
        /// What was attempted, on which object.
        what: String,
        /// Why it failed.
        source: Box<kube::Error>,
    },
    /// An HTTP request inside the lab was not answered.
    #[error("asking {url} from {from}: {reason}")]
    Http {
        /// Host that asked.
        from: String,
        /// What it asked for.
        url: String,
        /// Why there was no answer.
        reason: String,
    },
    /// A file, socket or namespace could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted, on which file.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The lab was asked for something that it does not have.
    #[error("{0}")]
    Invalid(String),
}

/// Tests that return an error print it by `Debug`; people should read the sentence there too.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// For tests that use a Kubernetes client of their own: `?` says no more than the API server's own words.
impl From<kube::Error> for Error {
    fn from(source: kube::Error) -> Self {
        Self::Api { what: "a request to the API server failed".to_owned(), source: Box::new(source) }
    }
}

/// Adds what was attempted to an error of a lower layer.
pub(crate) trait Context<T> {
    /// `what` is a phrase such as "writing /run/x".
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}

impl<T> Context<T> for std::result::Result<T, kube::Error> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Api { what: what(), source: Box::new(source) })
    }
}

impl<T> Context<T> for std::result::Result<T, rcgen::Error> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source: io::Error::other(source) })
    }
}
