//! What a segment counts.

use crate::beacon::BeaconResult;

/// What a segment counted since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Of ARP.
    pub arp: Answering,
    /// Of neighbour discovery.
    pub ndp: Answering,
    /// Frames of beacons that were sent, ours.
    pub beacons_sent: u64,
    /// Frames of beacons that were passed on for others.
    pub beacons_relayed: u64,
    /// Conflicts that were reported.
    pub conflicts: u64,
    /// Announcements against a machine that is not ours.
    pub defences: u64,
    /// How often this node fenced itself off, as its own beacons were late.
    pub fences: u64,
    received: [u64; BeaconResult::ALL.len()],
}

/// What was counted of one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answering {
    /// Requests for addresses that are wanted here.
    pub requests: u64,
    /// Answers to them.
    pub replies: u64,
    /// Requests that were too old to be answered: the process stood still.
    pub late: u64,
    /// Gratuitous frames.
    pub gratuitous: u64,
}

impl Counters {
    /// How many beacons met this end.
    #[must_use]
    pub fn received(&self, result: BeaconResult) -> u64 {
        self.received[result as usize]
    }

    pub(crate) fn count(&mut self, result: BeaconResult) {
        self.received[result as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_is_counted_for_itself() {
        let mut counters = Counters::default();
        for (times, result) in BeaconResult::ALL.into_iter().enumerate() {
            for _ in 0..times {
                counters.count(result);
            }
        }
        let counted = BeaconResult::ALL.map(|result| counters.received(result));
        assert!(counted.into_iter().zip(0..).all(|(counted, times)| counted == times), "{counted:?}");
    }
}
