//! Foreign questions: ARP requests of many hosts for addresses that nobody has.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::{Arp, Mac, Result, Tap};

/// How often a batch is sent.
const PERIOD: Duration = Duration::from_millis(1);

/// Questions under way.
pub(super) struct Noise {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(u64, Duration)>>,
}

impl Noise {
    /// Begins to ask at this rate, everybody or one.
    pub(super) fn start(tap: &Arc<Tap>, to: Mac, rate: u32) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (tap, stopped) = (tap.clone(), stop.clone());
        let work = move || {
            let began = Instant::now();
            let mut sent = 0_u64;
            while !stopped.load(Ordering::Relaxed) {
                // What is due by now: a thread that was late makes up for it.
                let due = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX) * u64::from(rate)
                    / 1_000_000;
                while sent < due {
                    tap.send(&question(tap.mac(), sent).to_frame(to))?;
                    sent += 1;
                }
                std::thread::sleep(PERIOD);
            }
            Ok((sent, began.elapsed()))
        };
        let thread = std::thread::Builder::new().name("noise".to_owned()).spawn(work);
        let thread = thread.map_err(|error| lab::Error::Invalid(format!("starting the noise: {error}")))?;
        Ok(Self { stop, thread })
    }

    /// Ends it, and says how many questions a second there were.
    pub(super) fn end(self) -> Result<f64> {
        self.stop.store(true, Ordering::Relaxed);
        let (sent, took) = match self.thread.join() {
            Ok(outcome) => outcome?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        // Far below 2^53.
        #[expect(clippy::cast_precision_loss)]
        let rate = sent as f64 / took.as_secs_f64();
        Ok(rate)
    }
}

/// The question with this number: of one of 250 hosts, for one of 60,000 addresses.
fn question(mac: Mac, number: u64) -> Arp {
    let byte = |value: u64| u8::try_from(value % 250 + 1).unwrap_or(1);
    let asker = Ipv4Addr::new(198, 19, 0, byte(number));
    Arp::request(mac, asker, Ipv4Addr::new(198, 19, byte(number / 250), byte(number)))
}
