//! What every role does at its beginning and at its end.

use std::error::Error;
use std::time::Duration;

use fairlead_machinery::shutdown::{Ended, Tasks};
use tracing::warn;

/// How long the admin server may take to end, once everything else has.
pub(crate) const ADMIN_GRACE: Duration = Duration::from_secs(5);

/// Runs a role on one thread.
pub(crate) fn block_on<E: From<String>>(role: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| E::from(format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(role);
    // What blocks a thread, such as a credential plugin that hangs, must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// Waits for tasks that were told to end, and says which did not in time. Whether all did.
pub(crate) async fn drain(tasks: Tasks, grace: Duration) -> bool {
    let left = tasks.drain(grace).await;
    if !left.is_empty() {
        warn!(tasks = left.join(","), "some tasks did not end in time");
    }
    left.is_empty()
}

/// Why the process ends when a task did that was to go on.
pub(crate) fn too_early(ended: Ended) -> Box<dyn Error> {
    let how = ended.panic.unwrap_or_else(|| "it returned".to_owned());
    format!("the task {} ended before its time: {how}", ended.name).into()
}

/// Whose credentials the process has, for its log.
pub(crate) fn credentials(kubeconfig: Option<&std::path::Path>) -> String {
    kubeconfig.map_or_else(|| "service account of the Pod".to_owned(), |path| path.display().to_string())
}
