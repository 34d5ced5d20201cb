//! A watch on its way to the client, event by event.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fairlead_fake_api::{AnswerBody, Refusal};
use futures::StreamExt;
use http::Response;
use http::header::CONTENT_TYPE;
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

/// How the events of a watch are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// In JSON, one on each line.
    Json,
    /// In protobuf, each with its length in four bytes before it.
    Protobuf,
}

impl Form {
    pub(crate) fn of<B>(answer: &Response<B>) -> Self {
        let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_protobuf =
            media_type.is_some_and(|text| text.starts_with("application/vnd.kubernetes.protobuf"));
        if is_protobuf { Self::Protobuf } else { Self::Json }
    }

    /// Where the first event ends, if all of it is there.
    fn end_of_first(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Json => bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1),
            Self::Protobuf => {
                let (length, rest) = bytes.split_first_chunk()?;
                let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
                (length <= rest.len()).then_some(size_of::<u32>() + length)
            }
        }
    }

    /// The event that ends a watch whose version was compacted.
    pub(crate) fn expired(self) -> Bytes {
        let status = Refusal::expired().status();
        if self == Self::Json {
            return Bytes::from(json!({ "type": "ERROR", "object": status }).to_string() + "\n");
        }
        let text = |key: &str| status[key].as_str().unwrap_or_default().as_bytes().to_vec();
        // `Status` of apimachinery, with the code 410.
        let status =
            [field(2, &text("status")), field(3, &text("message")), field(4, &text("reason"))].concat();
        let status = [status, vec![6 << 3, 0x9a, 0x03]].concat();
        let types = [field(1, b"v1"), field(2, b"Status")].concat();
        let unknown = [b"k8s\0".to_vec(), field(1, &types), field(2, &status)].concat();
        let event = [field(1, b"ERROR"), field(2, &field(1, &unknown))].concat();
        // Some hundred bytes.
        let length = u32::try_from(event.len()).unwrap_or_default().to_be_bytes();
        [length.to_vec(), event].concat().into()
    }
}

/// A text or message in protobuf, shorter than 16 KiB.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    // The masks leave seven bits.
    let byte = |bits: usize| u8::try_from(bits & 0x7f).unwrap_or_default();
    [&[number << 3 | 2, byte(length) | 0x80, byte(length >> 7)], content].concat()
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
    form: Form,
    /// The beginning of an event.
    rest: Vec<u8>,
    /// Whole events, each with the time at which it is due.
    events: VecDeque<(Instant, Bytes)>,
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
    form: Form,
    upstream: kube::client::Body,
) -> AnswerBody {
    let mut watch = Watch {
        proxy,
        asked,
        calm,
        rules: Some(fate.rules),
        upstream,
        ended: None,
        form,
        rest: Vec::new(),
        events: VecDeque::new(),
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
        self.events.iter_mut().for_each(|(due, _)| *due = now);
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
            let due = self.events.front().map(|(due, _)| *due);
            if due.is_some_and(|due| due <= Instant::now()) {
                let (_, event) = self.events.pop_front()?;
                return self.deliver(event).await;
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
                while let Some(end) = self.form.end_of_first(&self.rest) {
                    let event: Vec<u8> = self.rest.drain(..end).collect();
                    self.events.push_back((due, event.into()));
                }
            }
        }
    }

    async fn deliver(&mut self, event: Bytes) -> Option<io::Result<Bytes>> {
        let by_dice = self.end.filter(|(at, _)| *at <= Instant::now()).map(|(_, fault)| fault);
        let fault = by_dice.or_else(|| self.proxy.rules.lock().at_event(&self.asked));
        if let Some(fault) = fault {
            self.proxy.count(fault);
        }
        match fault {
            Some(Fault::Cut) => {
                self.last = Last::Break;
                Some(Ok(event.slice(..event.len() / 2)))
            }
            Some(Fault::Expired) => {
                self.last = Last::End;
                Some(Ok(self.form.expired()))
            }
            Some(Fault::Silence) => {
                // A rule that is newer than the last calm lasts until the next one.
                let _ = self.calm.changed().await;
                Some(Err(reset()))
            }
            _ => Some(Ok(event)),
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
