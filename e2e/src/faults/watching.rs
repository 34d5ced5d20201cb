//! A watch on its way to the client, event by event.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fairlead_fake_api::{AnswerBody, Refusal};
use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::proxy::{Proxy, reset};
use super::request::Asked;
use super::rules::{Fate, Fault};

/// Time for the half of an event to leave before the connection breaks.
const FLUSH: Duration = Duration::from_millis(20);

/// The line that ends a watch whose version was compacted.
pub(crate) fn expired() -> Bytes {
    Bytes::from(json!({ "type": "ERROR", "object": Refusal::expired().status() }).to_string() + "\n")
}

struct Watch {
    proxy: Arc<Proxy>,
    asked: Asked,
    calm: watch::Receiver<u64>,
    /// The rules that its fate comes from; none after a calm.
    rules: Option<u64>,
    upstream: kube::client::Body,
    /// How the API server ended it.
    ended: Option<io::Result<()>>,
    /// The beginning of a line.
    rest: Vec<u8>,
    /// Whole lines, each with the time at which it is due.
    lines: VecDeque<(Instant, Bytes)>,
    lag: Duration,
    end: Option<(Instant, Fault)>,
    last: Last,
}

/// What comes after the last piece.
enum Last {
    Open,
    Break,
    End,
}

/// Passes a watch on, with the faults of its fate and those that tests ask for.
pub(crate) fn pass_on(
    proxy: Arc<Proxy>,
    asked: Asked,
    fate: &Fate,
    calm: watch::Receiver<u64>,
    upstream: kube::client::Body,
) -> AnswerBody {
    let mut watch = Watch {
        proxy,
        asked,
        calm,
        rules: Some(fate.rules),
        upstream,
        ended: None,
        rest: Vec::new(),
        lines: VecDeque::new(),
        lag: Duration::ZERO,
        end: None,
        last: Last::Open,
    };
    watch.meet(fate);
    let frames = futures::stream::unfold(watch, |mut watch| async {
        let piece = watch.next().await?;
        Some((piece.map(Frame::data), watch))
    });
    BodyExt::boxed_unsync(StreamBody::new(frames.boxed()))
}

impl Watch {
    fn meet(&mut self, fate: &Fate) {
        self.rules = Some(fate.rules);
        self.lag = fate.lag.unwrap_or_default();
        self.end = fate.end.map(|(after, fault)| (Instant::now() + after, fault));
        if fate.lag.is_some() {
            self.proxy.count(Fault::Lag);
        }
    }

    /// A watch that is open meets new rules at its next event.
    fn meet_new_rules(&mut self) {
        let fate = {
            let mut rules = self.proxy.rules.lock();
            if self.rules == Some(rules.version()) {
                return;
            }
            rules.of_open_watch(&self.asked)
        };
        self.meet(&fate);
    }

    fn calm_down(&mut self) {
        (self.rules, self.lag, self.end) = (None, Duration::ZERO, None);
        let now = Instant::now();
        self.lines.iter_mut().for_each(|(due, _)| *due = now);
    }

    /// The next piece of the body. `None`: it ends in good order.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self.last {
            Last::Open => {}
            Last::End => return None,
            Last::Break => {
                tokio::time::sleep(FLUSH).await;
                return Some(Err(reset()));
            }
        }
        loop {
            let due = self.lines.front().map(|(due, _)| *due);
            if due.is_some_and(|due| due <= Instant::now()) {
                let (_, line) = self.lines.pop_front()?;
                return self.deliver(line).await;
            }
            if due.is_none()
                && let Some(ended) = self.ended.take()
            {
                self.last = Last::End;
                return ended.err().map(Err);
            }
            tokio::select! {
                frame = self.upstream.frame(), if self.ended.is_none() => self.take(frame),
                () = until(due), if due.is_some() => {}
                // The sender lives as long as the proxy.
                _ = self.calm.changed() => self.calm_down(),
            }
        }
    }

    fn take(&mut self, frame: Option<Result<Frame<Bytes>, kube::Error>>) {
        match frame {
            None => self.ended = Some(Ok(())),
            Some(Err(error)) => self.ended = Some(Err(io::Error::other(error))),
            Some(Ok(frame)) => {
                self.meet_new_rules();
                let due = Instant::now() + self.lag;
                self.rest.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
                while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.rest.drain(..=end).collect();
                    self.lines.push_back((due, line.into()));
                }
            }
        }
    }

    async fn deliver(&mut self, line: Bytes) -> Option<io::Result<Bytes>> {
        let by_dice = self.end.filter(|(at, _)| *at <= Instant::now()).map(|(_, fault)| fault);
        let fault = by_dice.or_else(|| self.proxy.rules.lock().at_event(&self.asked));
        if let Some(fault) = fault {
            self.proxy.count(fault);
        }
        match fault {
            Some(Fault::Cut) => {
                self.last = Last::Break;
                Some(Ok(line.slice(..line.len() / 2)))
            }
            Some(Fault::Expired) => {
                self.last = Last::End;
                Some(Ok(expired()))
            }
            Some(Fault::Silence) => {
                // A rule that is newer than the last calm lasts until the next one.
                let _ = self.calm.changed().await;
                Some(Err(reset()))
            }
            _ => Some(Ok(line)),
        }
    }
}

/// Waits for a time, if there is one.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
