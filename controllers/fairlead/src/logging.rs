//! Logs on standard error: text for people or JSON for machines, and how much of it.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::prelude::*;

/// The form of the log, by kube-controller-manager's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Format {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!(r#"must be "text" or "json", but got {text:?}"#)),
        }
    }
}

/// Form and amount of the log.
#[derive(Debug)]
pub(crate) struct Logging {
    format: Format,
    filter: Targets,
}

impl Logging {
    /// `verbosity` is klog's number; `rust_log`, the variable of that name, decides instead if it is not empty.
    /// Fails with a sentence if the variable cannot be understood.
    pub(crate) fn new(format: Format, verbosity: i32, rust_log: Option<&str>) -> Result<Self, String> {
        let (directives, variable) = match rust_log.map(str::trim) {
            Some(directives) if !directives.is_empty() => (directives, true),
            _ => (directives(verbosity), false),
        };
        let explain = |error: ParseError| {
            let subject = if variable { "the environment variable RUST_LOG" } else { "the log filter" };
            format!(
                "{subject} must be a list such as info,fairlead=debug, but got {directives:?}: {error}; change or \
                 unset it"
            )
        };
        let filter = directives.parse().map_err(explain)?;
        Ok(Self { format, filter })
    }

    #[cfg(test)]
    pub(crate) fn filter(&self) -> String {
        self.filter.to_string()
    }

    /// Starts logging in this process. Fails with a sentence if something else logs already.
    pub(crate) fn start(self) -> Result<(), String> {
        let colours =
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(colours);
        let log = tracing_subscriber::registry().with(self.filter);
        match self.format {
            Format::Text => log.with(lines).try_init(),
            Format::Json => log.with(lines.json().flatten_event(true)).try_init(),
        }
        .map_err(|error| format!("cannot start logging: {error}"))
    }
}

/// klog's levels are finer than ours: up to 2 is what an operator wants to see, 4 is "debug level verbosity", 5
/// "trace level verbosity"; from 8 on client-go shows requests and answers, which here is libraries' own log. Until
/// then kube is quiet, because informers and writers say themselves, and once, what is wrong with a watch or a write.
fn directives(verbosity: i32) -> &'static str {
    match verbosity {
        ..=2 => "info,kube_runtime=error,kube_client=off",
        3..=4 => "info,kube_runtime=error,kube_client=off,fairlead=debug",
        5..=7 => "info,kube_runtime=error,kube_client=off,fairlead=trace",
        8..=9 => "debug,fairlead=trace",
        10.. => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(verbosity: i32, rust_log: Option<&str>) -> Result<String, String> {
        Logging::new(Format::Text, verbosity, rust_log).map(|logging| logging.filter())
    }

    #[test]
    fn verbosity_is_klogs() {
        for (range, expected) in [
            (0..=2, "kube_runtime=error,kube_client=off,info"),
            (3..=4, "kube_runtime=error,kube_client=off,fairlead=debug,info"),
            (5..=7, "kube_runtime=error,kube_client=off,fairlead=trace,info"),
            (8..=9, "fairlead=trace,debug"),
            (10..=10, "trace"),
        ] {
            for verbosity in range {
                assert_eq!(filter(verbosity, None).unwrap(), expected, "{verbosity}");
            }
        }
    }

    #[test]
    fn rust_log_decides_if_it_is_set() {
        assert_eq!(filter(10, Some("warn")).unwrap(), "warn");
        assert_eq!(filter(0, Some("kube=debug")).unwrap(), "kube=debug");
        for empty in ["", "  "] {
            assert_eq!(filter(0, Some(empty)).unwrap(), filter(0, None).unwrap());
        }
        let sentence = filter(0, Some("fairlead=loud")).unwrap_err();
        assert!(sentence.starts_with("the environment variable RUST_LOG must be a list"), "{sentence}");
        assert!(sentence.contains(r#"but got "fairlead=loud": "#), "{sentence}");
    }

    #[test]
    fn formats() {
        assert_eq!(Format::parse("text"), Ok(Format::Text));
        assert_eq!(Format::parse("json"), Ok(Format::Json));
        for text in ["", "xml", "JSON"] {
            assert_eq!(Format::parse(text), Err(format!(r#"must be "text" or "json", but got {text:?}"#)));
        }
    }
}
