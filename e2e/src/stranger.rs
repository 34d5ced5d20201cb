//! A machine that answers for addresses that are not its own: a stand-in for a device that somebody has given an address
//! of a pool, and for a speaker where the lab itself is tested.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::{Context, Result};
use crate::frames::{ALL_NODES, Advertisement, Arp, Content, Frame, Mac};
use crate::host::Host;
use crate::lab::Lab;
use crate::manager::further_host;
use crate::tap::{Frames, Tap};

/// How soon it notices that it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// A host that answers ARP and NDP for addresses by raw frames, whoever else does. It is silent from when it is dropped.
#[derive(Debug)]
pub struct Stranger {
    host: Host,
    mac: Mac,
    tap: Arc<Tap>,
    addresses: Arc<Mutex<HashSet<IpAddr>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Lab {
    /// A further host on the segment that answers for no address yet.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when the lab's addresses are used up.
    pub async fn stranger(&self, name: &str) -> Result<Stranger> {
        let host = further_host(&self.shared_arc(), name).await?;
        // What it draws to itself is lost, instead of being forwarded to whoever else answers.
        for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            let path = format!("/proc/sys/net/{setting}");
            host.run(|| std::fs::write(&path, "0"))?.context(|| format!("writing 0 to {path}"))?;
        }
        Stranger::on(&host)
    }
}

impl Stranger {
    /// On a host that there is already, beside what the host itself answers.
    ///
    /// # Errors
    /// As [`Tap::open`].
    pub fn on(host: &Host) -> Result<Self> {
        let tap = Arc::new(Tap::open(host, host.ipv4(), Frames::All)?);
        let addresses = Arc::new(Mutex::new(HashSet::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (ears, known, stopped) = (tap.clone(), addresses.clone(), stop.clone());
        let thread = host.spawn("stranger", move || {
            while !stopped.load(Ordering::Relaxed) {
                let frame = ears.receive(Instant::now() + LOOK)?.and_then(|bytes| Frame::parse(&bytes));
                let frame = frame.filter(|frame| frame.source != ears.mac());
                if let Some(answer) = frame.and_then(|frame| answer(&frame, ears.mac(), &known.lock())) {
                    // While the host is cut off nobody hears it, and that is no failure.
                    let _ = ears.send(&answer);
                }
            }
            Ok(())
        })?;
        Ok(Self { host: host.clone(), mac: tap.mac(), tap, addresses, stop, thread: Some(thread) })
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The Ethernet address that it answers with.
    #[must_use]
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// Answers for an address from now on, without telling anybody.
    pub fn take_silently(&self, address: IpAddr) {
        self.addresses.lock().insert(address);
    }

    /// Answers for an address from now on, and announces it, as a machine does when it gets an address.
    ///
    /// # Errors
    /// As [`Tap::send`].
    pub fn take(&self, address: IpAddr) -> Result<()> {
        self.take_silently(address);
        self.announce(address)
    }

    /// Announces an address once, whether it answers for it or not.
    ///
    /// # Errors
    /// As [`Tap::send`].
    pub fn announce(&self, address: IpAddr) -> Result<()> {
        let frame = match address {
            IpAddr::V4(address) => Arp::announcement(self.mac, address).to_frame(Mac::BROADCAST),
            IpAddr::V6(address) => {
                Advertisement::unsolicited(self.mac, address).to_frame(self.mac, Mac::of_group(ALL_NODES))
            }
        };
        self.tap.send(&frame)
    }

    /// Sends any frame.
    ///
    /// # Errors
    /// As [`Tap::send`].
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        self.tap.send(frame)
    }

    /// Answers for an address no more.
    pub fn leave(&self, address: IpAddr) {
        self.addresses.lock().remove(&address);
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whatever ended it early ends with it.
            let _ = thread.join();
        }
    }
}

/// The answer to a question about one of these addresses.
fn answer(frame: &Frame, mac: Mac, addresses: &HashSet<IpAddr>) -> Option<Vec<u8>> {
    match frame.content {
        Content::Arp(arp) if arp.operation == 1 && !arp.is_gratuitous() => {
            addresses.contains(&arp.target.into()).then(|| arp.reply(mac).to_frame(arp.sender_mac))
        }
        Content::Solicitation(asked) if addresses.contains(&asked.target.into()) => {
            let nobody = asked.source == Ipv6Addr::UNSPECIFIED;
            let destination = if nobody { ALL_NODES } else { asked.source };
            let to = if nobody { Mac::of_group(ALL_NODES) } else { asked.source_mac.unwrap_or(frame.source) };
            let answer = Advertisement::unsolicited(mac, asked.target);
            Some(Advertisement { destination, solicited: !nobody, ..answer }.to_frame(mac, to))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn only_questions_about_its_addresses_are_answered() {
        let (own, other) = (Ipv4Addr::new(198, 51, 100, 7), Ipv4Addr::new(198, 51, 100, 8));
        let addresses = HashSet::from([IpAddr::V4(own)]);
        let (mac, asker) = (Mac([2; 6]), Mac([4; 6]));
        let answer_about = |target| {
            let bytes = Arp::request(asker, Ipv4Addr::new(198, 51, 100, 1), target).to_frame(Mac::BROADCAST);
            answer(&Frame::parse(&bytes).unwrap(), mac, &addresses)
        };
        let answer = Frame::parse(&answer_about(own).unwrap()).unwrap();
        assert_eq!((answer.destination, answer.claim()), (asker, Some((own.into(), mac))));
        assert_eq!(answer_about(other), None);
    }
}
