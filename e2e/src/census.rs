//! A census: everybody on the segment is asked again and again who has an address, and all who answer are written down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::frames::{Arp, Content, Frame, Mac, Solicitation};
use crate::host::Host;
use crate::lab::Lab;
use crate::manager::further_host;
use crate::tap::{Frames, Tap};

/// How often everybody is asked.
const PERIOD: Duration = Duration::from_millis(50);

/// A host on the segment that asks and listens, and sends nothing else. What a client believes stays as it is: nobody
/// but the observer hears the answers.
#[derive(Clone, Debug)]
pub struct Observer {
    host: Host,
}

/// One question about one address, and everybody who answered before the next one.
#[derive(Clone, Debug)]
pub struct Round {
    /// When it was asked.
    pub asked: Instant,
    /// Who answered, in this order, and how long after the question.
    pub answers: Vec<(Mac, Duration)>,
}

/// What was seen of each address.
#[derive(Clone, Debug, Default)]
pub struct Record {
    rounds: BTreeMap<IpAddr, Vec<Round>>,
}

/// A census under way. Dropping it ends it, too.
#[derive(Debug)]
pub struct Census {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Result<Record>>>>,
}

impl Lab {
    /// A host that watches the segment.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the lab's addresses are used up.
    pub async fn observer(&self, name: &str) -> Result<Observer> {
        let host = further_host(&self.shared_arc(), name).await?;
        Ok(Observer { host })
    }
}

impl Observer {
    /// Its network namespace.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// A raw socket of its own.
    ///
    /// # Errors
    /// As [`Tap::open`].
    pub fn tap(&self, frames: Frames) -> Result<Tap> {
        Tap::open(&self.host, self.host.ipv4(), frames)
    }

    /// Begins a census of these addresses, each of which is asked for every 50 ms by a broadcast ARP request or a
    /// multicast neighbour solicitation.
    ///
    /// # Errors
    /// As [`Tap::open`].
    pub fn census(&self, addresses: &[IpAddr]) -> Result<Census> {
        let tap = self.tap(Frames::All)?;
        let (asker4, asker6) = (self.host.ipv4(), self.host.ipv6());
        let addresses = addresses.to_vec();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = self.host.spawn("census", move || {
            let mut record = Record::default();
            let mut next = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                for &address in &addresses {
                    let round = Round { asked: Instant::now(), answers: Vec::new() };
                    record.rounds.entry(address).or_default().push(round);
                    // The cable of the observer stays in.
                    tap.send(&question(tap.mac(), asker4, asker6, address))?;
                }
                next = (next + PERIOD).max(Instant::now());
                while let Some(bytes) = tap.receive(next)? {
                    let heard = Instant::now();
                    let frame = Frame::parse(&bytes).filter(|frame| frame.source != tap.mac());
                    if let Some((address, mac)) =
                        frame.as_ref().and_then(|frame| answer(frame, asker4, asker6))
                    {
                        record.take(address, mac, heard);
                    }
                }
            }
            Ok(record)
        })?;
        Ok(Census { stop, thread: Some(thread) })
    }

    /// Everybody who answers for an address within `time`, which is asked for once.
    ///
    /// # Errors
    /// As [`Tap::open`].
    pub fn who_has(&self, address: IpAddr, time: Duration) -> Result<BTreeSet<Mac>> {
        let tap = self.tap(if address.is_ipv4() { Frames::Arp } else { Frames::Ipv6 })?;
        let (asker4, asker6) = (self.host.ipv4(), self.host.ipv6());
        tap.send(&question(tap.mac(), asker4, asker6, address))?;
        let deadline = Instant::now() + time;
        let mut macs = BTreeSet::new();
        let is_answer = |frame: &Frame| answer(frame, asker4, asker6).filter(|(found, _)| *found == address);
        while let Some((_, mac)) = tap.find(deadline, is_answer)? {
            macs.insert(mac);
        }
        Ok(macs)
    }
}

/// What a host sends that wants to know who has an address.
pub(crate) fn question(mac: Mac, asker4: Ipv4Addr, asker6: Ipv6Addr, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(target) => Arp::request(mac, asker4, target).to_frame(Mac::BROADCAST),
        IpAddr::V6(target) => Solicitation::multicast(mac, asker6, target).to_group_frame(mac),
    }
}

/// The address and who has it, if this answers one of our questions: to us, not to everybody.
fn answer(frame: &Frame, asker4: Ipv4Addr, asker6: Ipv6Addr) -> Option<(IpAddr, Mac)> {
    let ours = match &frame.content {
        Content::Arp(arp) => arp.operation == 2 && arp.target == asker4,
        Content::Advertisement(it) => it.solicited && it.destination == asker6,
        _ => false,
    };
    frame.claim().filter(|_| ours)
}

impl Census {
    /// Ends it.
    ///
    /// # Errors
    /// [`Error::Io`] when the observer could not ask.
    pub fn end(mut self) -> Result<Record> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or_else(|| Error::Invalid("this census has ended".into()))?;
        match thread.join() {
            Ok(outcome) => outcome.flatten(),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Record {
    fn take(&mut self, address: IpAddr, mac: Mac, heard: Instant) {
        let round = self.rounds.get_mut(&address).and_then(|rounds| rounds.last_mut());
        if let Some(round) = round.filter(|round| round.answers.iter().all(|(known, _)| *known != mac)) {
            round.answers.push((mac, heard.duration_since(round.asked)));
        }
    }

    /// All rounds about an address.
    #[must_use]
    pub fn rounds(&self, address: IpAddr) -> &[Round] {
        self.rounds.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    /// Everybody who ever answered for it, in the order of their first answers.
    #[must_use]
    pub fn owners(&self, address: IpAddr) -> Vec<Mac> {
        let mut owners = Vec::new();
        for (mac, _) in self.rounds(address).iter().flat_map(|round| &round.answers) {
            if !owners.contains(mac) {
                owners.push(*mac);
            }
        }
        owners
    }

    /// How long more than one answered, summed up over all rounds about the address that began at `from` or later.
    #[must_use]
    pub fn contested_since(&self, address: IpAddr, from: Instant) -> Duration {
        let rounds = self.rounds(address).iter().filter(|round| round.asked >= from);
        let contested = rounds.filter(|round| round.answers.len() > 1).count();
        PERIOD * u32::try_from(contested).unwrap_or(u32::MAX)
    }

    /// How long more than one answered.
    #[must_use]
    pub fn contested(&self, address: IpAddr) -> Duration {
        let first = self.rounds(address).first();
        first.map_or(Duration::ZERO, |round| self.contested_since(address, round.asked))
    }

    /// The longest time in which nobody answered: from the last question before it that was answered until the first one
    /// after it.
    #[must_use]
    pub fn silence(&self, address: IpAddr) -> Duration {
        let mut longest = Duration::ZERO;
        let mut since = None;
        let rounds = self.rounds(address);
        for round in rounds {
            if round.answers.is_empty() {
                since = since.or(Some(round.asked));
            } else if let Some(began) = since.take() {
                longest = longest.max(round.asked - began);
            }
        }
        match (since, rounds.last()) {
            (Some(began), Some(last)) => longest.max(last.asked + PERIOD - began),
            _ => longest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 64));

    /// A record of one address with so many different answers in each round.
    fn record(answers: &[u8]) -> Record {
        let began = Instant::now();
        let rounds = (0..).zip(answers).map(|(number, &count)| Round {
            asked: began + PERIOD * number,
            answers: (0..count).map(|mac| (Mac([mac; 6]), Duration::from_millis(1))).collect(),
        });
        Record { rounds: BTreeMap::from([(ADDRESS, rounds.collect())]) }
    }

    #[test]
    fn silence_is_the_longest_and_not_the_sum() {
        assert_eq!(record(&[1, 0, 0, 1, 0, 1]).silence(ADDRESS), PERIOD * 2);
        assert_eq!(record(&[1, 1]).silence(ADDRESS), Duration::ZERO);
        assert_eq!(record(&[0, 1, 0, 0, 0]).silence(ADDRESS), PERIOD * 3);
    }

    #[test]
    fn contested_rounds_are_summed_up() {
        let record = record(&[1, 2, 1, 3]);
        assert_eq!(record.contested(ADDRESS), PERIOD * 2);
        assert_eq!(record.contested_since(ADDRESS, record.rounds(ADDRESS)[2].asked), PERIOD);
        assert_eq!(record.owners(ADDRESS).len(), 3);
    }
}
