//! A watch on one Lease.

use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::time::sleep;

use super::requests::with_advice;
use super::{Input, Seen};
use crate::client::{chain, impatient};

/// Time between two attempts to watch: the first after trouble, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What the watch tells, or why it broke; it then begins anew after a pause. Does not end.
pub(super) fn news(
    client: &Client,
    namespace: &str,
    name: &str,
) -> impl Stream<Item = Result<Input, String>> + Send + use<> {
    let api: Api<Lease> = Api::namespaced(impatient(client, None), namespace);
    // The right to list and watch one object by name is given for just this selector.
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let what = format!("cannot watch Lease {namespace}/{name}");
    let (events, listed) = (watcher(api, config).boxed(), None);
    stream::unfold((events, listed, Duration::ZERO), move |(mut events, mut listed, mut pause)| {
        let what = what.clone();
        async move {
            loop {
                let input = match events.next().await? {
                    Ok(Event::Init) => {
                        listed = None;
                        continue;
                    }
                    Ok(Event::InitApply(lease)) => {
                        listed = Some(Seen(lease));
                        continue;
                    }
                    Ok(Event::InitDone) => Input::Told(listed.take()),
                    Ok(Event::Apply(lease)) => Input::Told(Some(Seen(lease))),
                    Ok(Event::Delete(_)) => Input::Told(None),
                    Err(error) => {
                        if !pause.is_zero() {
                            sleep(pause).await;
                        }
                        pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                        let reason = Err(format!("{what}: {}", reason(&error)));
                        return Some((reason, (events, listed, pause)));
                    }
                };
                return Some((Ok(input), (events, listed, Duration::ZERO)));
            }
        }
    })
}

/// Why the watch broke, as the API server says it, if it does.
fn reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => with_advice(status),
        error => chain(error),
    }
}
