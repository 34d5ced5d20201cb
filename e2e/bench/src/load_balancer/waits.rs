//! How long Services wait for their addresses, as a client of the API sees it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lab::{Lab, Result};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::watch::{self, Event};

/// A watch of all Services.
pub(super) struct Waits {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// By `namespace/name`: since when, and for how many addresses.
    awaited: HashMap<String, (Instant, usize)>,
    waits: Vec<Duration>,
    /// When the last one that was awaited came.
    last: Option<Instant>,
    /// Why nothing more will be seen.
    ended: Option<String>,
}

#[derive(Deserialize)]
struct Service {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    load_balancer: LoadBalancer,
}

#[derive(Default, Deserialize)]
struct LoadBalancer {
    #[serde(default)]
    ingress: Vec<serde::de::IgnoredAny>,
}

impl Waits {
    /// Begins to watch.
    pub(super) async fn start(lab: &Lab) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (events, end) = (Arc::clone(&seen), Arc::clone(&seen));
        let take_in = move |line: &[u8], now| events.lock().take_in(line, now);
        watch::start(lab, "/api/v1/services", take_in, move |why| end.lock().ended = Some(why)).await?;
        Ok(Self { seen })
    }

    /// From now on the Service of this `namespace/name` waits for so many addresses.
    pub(super) fn expect(&self, key: String, addresses: usize) {
        self.seen.lock().awaited.insert(key, (Instant::now(), addresses));
    }

    /// Waits until all have what they wait for; how long each waited, and when the last one had it.
    pub(super) async fn all(&self, lab: &Lab, limit: Duration) -> Result<(Vec<Duration>, Instant)> {
        lab.wait_until("all Services to have addresses", limit, async || {
            let mut seen = self.seen.lock();
            match (&seen.ended, seen.awaited.len()) {
                (Some(why), _) => Err(format!("the watch of Services ended: {why}").into()),
                (None, 0) => Ok((std::mem::take(&mut seen.waits), seen.last.unwrap_or_else(Instant::now))),
                (None, count) => Err(format!("{count} have none").into()),
            }
        })
        .await
    }
}

impl Seen {
    fn take_in(&mut self, line: &[u8], now: Instant) -> serde_json::Result<()> {
        let event: Event<'_> = serde_json::from_slice(line)?;
        if self.awaited.is_empty() || !matches!(event.kind, "ADDED" | "MODIFIED") {
            return Ok(());
        }
        let service: Service = serde_json::from_str(event.object.get())?;
        let key = format!("{}/{}", service.metadata.namespace, service.metadata.name);
        if let Some((since, wanted)) = self.awaited.get(&key)
            && service.status.load_balancer.ingress.len() >= *wanted
        {
            self.waits.push(now.saturating_duration_since(*since));
            self.last = Some(now);
            self.awaited.remove(&key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, addresses: &[&str]) -> Vec<u8> {
        let ingress: Vec<_> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
        let status = json!({ "loadBalancer": if ingress.is_empty() { json!({}) } else { json!({ "ingress": ingress }) } });
        let object = json!({ "metadata": { "namespace": "n", "name": "s" }, "status": status });
        json!({ "type": kind, "object": object }).to_string().into_bytes()
    }

    #[test]
    fn a_service_waits_until_it_has_all_of_its_addresses() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let later = |millis| start + Duration::from_millis(millis);
        seen.awaited.insert("n/s".into(), (start, 2));
        seen.take_in(&event("ADDED", &[]), later(1)).unwrap();
        seen.take_in(&event("MODIFIED", &["203.0.113.1"]), later(2)).unwrap();
        assert_eq!((seen.awaited.len(), seen.waits.len()), (1, 0));
        seen.take_in(&event("MODIFIED", &["203.0.113.1", "2001:db8::1"]), later(5)).unwrap();
        assert_eq!(
            (seen.waits.as_slice(), seen.last),
            ([Duration::from_millis(5)].as_slice(), Some(later(5)))
        );
    }
}
