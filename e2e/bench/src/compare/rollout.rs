//! Rolling updates: each Pod of a Service is replaced by a new one.

use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use lab::{Lab, Pod, Result};

use super::content::{Content, Member, create_pod};
use super::observer::{Observer, Want};

/// Services that are updated at a time.
const SERVICES: usize = 4;
/// Pods of a Service that are replaced at a time: a quarter, as a Deployment does by default, so that a Service of
/// ten Pods changes again and again while its slices are being written.
const PODS: usize = 3;
/// How long a Pod takes to end after it was asked to: a server without open connections.
const ENDING: Duration = Duration::from_millis(100);

/// What became of the endpoints of deleted Pods.
pub(super) struct Rollout {
    /// From asking a Pod to end until its endpoint is not ready in a watch of slices, or gone.
    pub(super) not_ready: Vec<Duration>,
    /// From removing a Pod until its endpoint is gone.
    pub(super) gone: Vec<Duration>,
}

/// Replaces all Pods of the first `services` Services.
pub(super) async fn run(
    lab: &Lab,
    observer: &Observer,
    content: &mut Content,
    services: usize,
    limit: Duration,
) -> Result<Rollout> {
    let updating = content.services.iter_mut().take(services).map(|member| update(lab, observer, member));
    stream::iter(updating).buffer_unordered(SERVICES).try_collect::<()>().await?;
    observer.all_seen(lab, limit).await?;
    Ok(Rollout { not_ready: observer.take_seen(Want::Ready(false)), gone: observer.take_seen(Want::Gone) })
}

async fn update(lab: &Lab, observer: &Observer, member: &mut Member) -> Result<()> {
    let replacing = member.pods.iter().map(|old| replace(lab, observer, member, old));
    let pods = stream::iter(replacing).buffered(PODS).try_collect().await?;
    member.pods = pods;
    Ok(())
}

/// As a Deployment does it: a new Pod is ready, the old one is asked to end, and then it is gone.
async fn replace(lab: &Lab, observer: &Observer, member: &Member, old: &Pod) -> Result<Pod> {
    let new = create_pod(lab, member, &next(old)).await?;
    observer.expect(old, Want::Ready(false));
    old.terminate().await?;
    tokio::time::sleep(ENDING).await;
    observer.expect(old, Want::Gone);
    old.remove().await?;
    Ok(new)
}

/// The suffix of a Pod's successor: `app-1-7` is followed by `app-1-7x`.
fn next(old: &Pod) -> String {
    let suffix = old.name().rsplit('-').next().unwrap_or_default();
    format!("{suffix}x")
}
