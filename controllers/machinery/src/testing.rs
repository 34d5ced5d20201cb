//! Sources that play a script, for the tests of this crate.

use std::collections::VecDeque;
use std::time::Duration;

use fairlead_objects::Record;
use tokio_util::sync::CancellationToken;

use crate::informer::Informer;
use crate::metrics::Informers;
use crate::source::{Source, SourceError, SourceEvent};

/// Plays its events, then waits for ever.
pub(crate) struct Script<R>(VecDeque<Result<SourceEvent<R>, SourceError>>);

impl<R: Record> Source<R> for Script<R> {
    async fn next(&mut self) -> Result<SourceEvent<R>, SourceError> {
        match self.0.pop_front() {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

/// An informer of its own registry.
pub(crate) fn informer<R: Record>() -> Informer<R> {
    Informer::new(&Informers::new(&prometheus::Registry::new()))
}

/// Runs an informer through a script, to the end; time must be paused.
pub(crate) async fn play<R: Record>(
    informer: Informer<R>,
    script: impl IntoIterator<Item = Result<SourceEvent<R>, SourceError>>,
) {
    let stop = CancellationToken::new();
    let task = tokio::spawn(informer.run(Script(script.into_iter().collect()), stop.clone()));
    tokio::time::sleep(Duration::from_mins(10)).await;
    stop.cancel();
    task.await.expect("the informer does not panic");
}
