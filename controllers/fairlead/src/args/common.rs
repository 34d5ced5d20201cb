//! The flags that every role has.

use std::path::PathBuf;

use clap::Args;
use http::Uri;

use super::Environment;
use super::values::{Problems, int32, server};
use crate::logging::{Format, Logging};

const LOGS: &str = "Logs flags";
const MISC: &str = "Misc flags";

/// Our namespace where neither the flag nor the Pod says another.
const NAMESPACE: &str = "fairlead-system";

/// The flags as they were given.
#[derive(Args, Debug)]
pub(super) struct CommonFlags {
    /// Sets the log format. Permitted formats: "json", "text".
    #[arg(long, value_name = "string", default_value = "text", help_heading = LOGS)]
    logging_format: String,

    /// Number for the log level verbosity, 0 to 10: up to 2 information, 3 and 4 debugging, 5 to 7 tracing, from 8
    /// on libraries as well. The environment variable RUST_LOG, if set, decides instead.
    #[arg(short = 'v', long = "v", value_name = "Level", default_value = "0", help_heading = LOGS)]
    verbosity: String,

    /// Path to kubeconfig file with authorization and master location information (the master location can be
    /// overridden by the master flag). Default: the service account of the Pod.
    #[arg(long, value_name = "string", default_value = "", help_heading = MISC)]
    kubeconfig: String,

    /// The URL of the Kubernetes API server (overrides any value in kubeconfig).
    #[arg(long, value_name = "string", default_value = "", help_heading = MISC)]
    master: String,
}

impl CommonFlags {
    /// How the process logs, and the API server's URL in place of the kubeconfig's; `Some(None)` if that is to count.
    #[expect(clippy::option_option, reason = "wrong, or not given")]
    pub(super) fn check(
        &self,
        environment: &Environment,
        problems: &mut Problems,
    ) -> (Option<Logging>, Option<Option<Uri>>) {
        let format = problems.take("logging-format", Format::parse(&self.logging_format));
        let verbosity = problems.take("v", int32(&self.verbosity, &(0..=10)));
        let master = match self.master.as_str() {
            "" => Some(None),
            master => problems.take("master", server(master)).map(Some),
        };
        // A wrong format or level is noted already; the variable is looked at all the same.
        let logging = Logging::new(
            format.unwrap_or(Format::Text),
            verbosity.unwrap_or_default(),
            environment.rust_log.as_deref(),
        )
        .map_err(|problem| problems.add(problem))
        .ok();
        (logging, master)
    }

    /// The kubeconfig; `None`: the service account of the Pod.
    pub(super) fn kubeconfig(&self) -> Option<PathBuf> {
        (!self.kubeconfig.is_empty()).then(|| PathBuf::from(&self.kubeconfig))
    }
}

/// What `--namespace` means: what it says, or that of the Pod, or that of our manifests.
pub(super) fn namespace_or_default<'a>(flag: &'a str, environment: &'a Environment) -> &'a str {
    match (flag, &environment.pod_namespace) {
        ("", Some(pod)) => pod,
        ("", None) => NAMESPACE,
        (namespace, _) => namespace,
    }
}
