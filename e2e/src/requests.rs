//! A client that does not wait: a new connection every few milliseconds, whatever has become of those before.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::error::{Context, Error, Result};
use crate::host::Host;

/// How often a request is begun.
const PERIOD: Duration = Duration::from_millis(10);
/// Just below the second after which a lost SYN is sent again: a request fails if any of its frames is lost, and not
/// because the machine is busy.
const TIMEOUT: Duration = Duration::from_millis(900);

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// When it was begun.
    pub sent: Instant,
    /// How long the answer took; none if it failed.
    pub took: Option<Duration>,
}

/// What became of all requests, in their order.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Each of them.
    pub requests: Vec<Request>,
}

/// RequestStream under way. Dropping them ends them, too.
#[derive(Debug)]
pub struct RequestStream {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<io::Result<Tally>>>>,
}

impl Host {
    /// Begins to ask an HTTP server for `/`, on a new connection every 10 ms, each of which has 900 ms.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no thread for it.
    pub fn requests(&self, to: SocketAddr) -> Result<RequestStream> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = self.spawn("requests", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(ask(to, &stopped)))
        })?;
        Ok(RequestStream { stop, thread: Some(thread) })
    }
}

async fn ask(to: SocketAddr, stop: &AtomicBool) -> Tally {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut running = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        running.push(tokio::spawn(async move {
            let sent = Instant::now();
            let answer = tokio::time::timeout(TIMEOUT, request(to)).await;
            Request { sent, took: answer.is_ok_and(|it| it.is_ok()).then(|| sent.elapsed()) }
        }));
    }
    let requests = futures::future::join_all(running).await;
    // None of them panics or is aborted.
    Tally { requests: requests.into_iter().filter_map(Result::ok).collect() }
}

async fn request(to: SocketAddr) -> io::Result<()> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let mut stream = socket.connect(to).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

impl RequestStream {
    /// Ends them, and waits for those that are under way.
    ///
    /// # Errors
    /// [`Error::Io`] when none could be made at all.
    pub async fn end(mut self) -> Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or_else(|| Error::Invalid("these requests have ended".into()))?;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        match joined.map_err(io::Error::other).context(|| "waiting for the requests".into())? {
            Ok(outcome) => outcome?.context(|| "asking from a host of the lab".into()),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for RequestStream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Tally {
    /// How many failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.requests.iter().filter(|request| request.took.is_none()).count()
    }

    /// The longest time in which no request was begun that was answered; none if none ever was.
    ///
    /// It is counted from the first request that failed to the next one that was answered, so that a client that was late
    /// itself is not taken for a loss.
    #[must_use]
    pub fn outage(&self) -> Option<Duration> {
        self.requests.iter().find(|request| request.took.is_some())?;
        let mut longest = Duration::ZERO;
        let mut since: Option<Instant> = None;
        for request in &self.requests {
            match (request.took, since) {
                (None, None) => since = Some(request.sent),
                (Some(_), Some(began)) => {
                    longest = longest.max(request.sent - began);
                    since = None;
                }
                _ => {}
            }
        }
        if let (Some(began), Some(last)) = (since, self.requests.last()) {
            longest = longest.max(last.sent - began + PERIOD);
        }
        Some(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(answered: &[bool]) -> Tally {
        let began = Instant::now();
        let request = |(number, answered): (u32, &bool)| Request {
            sent: began + PERIOD * number,
            took: answered.then_some(Duration::from_millis(1)),
        };
        Tally { requests: (0..).zip(answered).map(request).collect() }
    }

    #[test]
    fn an_outage_lasts_from_the_first_failure_to_the_next_answer() {
        let tally = tally(&[true, false, false, true, false, true, true]);
        assert_eq!((tally.failed(), tally.outage()), (3, Some(PERIOD * 2)));
    }

    #[test]
    fn an_outage_without_an_end_lasts_to_the_end() {
        assert_eq!(tally(&[true, false, false]).outage(), Some(PERIOD * 2));
        assert_eq!(tally(&[true, true]).outage(), Some(Duration::ZERO));
        assert_eq!(tally(&[false, false]).outage(), None);
    }
}
