//! Which frames are looked at, and how closely.
//!
//! What costs least comes first, so that a flood of frames that nobody with a key made costs little: length, magic,
//! version, cluster, key, the number of the round, and only then the HMAC. Of senders that nobody knows, no more than
//! 2,000 frames a second get that far; frames of the others do not wait for them.

use super::codec::Envelope;
use super::keys::KeyRing;
use super::{BeaconResult, Header, Page};
use crate::identity::ClusterId;
use crate::moment::Moment;

/// How many frames of unknown senders are verified in a second.
pub const VERIFICATIONS_PER_SECOND: u32 = 2_000;

/// How many of them may come at once: the pages of a large participant that is heard for the first time.
const BURST: u32 = 256;

/// What is remembered of the round that a frame says to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recollection {
    /// Nothing: it may be taken.
    New,
    /// The page has been taken.
    Taken,
    /// A later round of the same sender has been heard.
    Outdated,
}

/// What a frame has to pass before it is taken for what somebody with a key said.
#[derive(Debug)]
pub struct Admission {
    cluster: ClusterId,
    keys: KeyRing,
    budget: Budget,
}

impl Admission {
    /// For the frames of a cluster.
    #[must_use]
    pub fn new(cluster: ClusterId, keys: KeyRing) -> Self {
        Self { cluster, keys, budget: Budget::default() }
    }

    /// The keys changed.
    pub fn set_keys(&mut self, keys: KeyRing) {
        self.keys = keys;
    }

    /// Those that authenticate frames.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The cluster that frames have to name.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The page in the payload of a frame, or why it is not taken.
    ///
    /// `from_known` says that the frame came from the MAC address of a participant, `recall` what is remembered of the
    /// round. Whatever they say, no page is returned that does not authenticate.
    pub fn admit(
        &mut self,
        payload: &[u8],
        from_known: bool,
        now: Moment,
        recall: impl FnOnce(&Header) -> Recollection,
    ) -> Result<Page, BeaconResult> {
        let envelope = Envelope::read(payload)?;
        if envelope.cluster != self.cluster {
            return Err(BeaconResult::Cluster);
        }
        if !self.keys.accepts(envelope.key) {
            return Err(BeaconResult::Key);
        }
        match recall(&envelope.header) {
            Recollection::New => {}
            Recollection::Taken => return Err(BeaconResult::Duplicate),
            Recollection::Outdated => return Err(BeaconResult::Old),
        }
        if !(from_known || self.budget.spend(now)) {
            return Err(BeaconResult::Refused);
        }
        if !envelope.is_authentic(&self.keys) {
            return Err(BeaconResult::Forged);
        }
        Ok(envelope.open()?)
    }
}

/// A bucket of [`BURST`] verifications that fills by [`VERIFICATIONS_PER_SECOND`].
#[derive(Debug)]
struct Budget {
    /// In nanoseconds of filling, so that no fraction is lost.
    filled: u64,
    at: Moment,
}

const COST: u64 = 1_000_000_000 / VERIFICATIONS_PER_SECOND as u64;

impl Default for Budget {
    fn default() -> Self {
        Self { filled: COST * u64::from(BURST), at: Moment::default() }
    }
}

impl Budget {
    fn spend(&mut self, now: Moment) -> bool {
        let since = u64::try_from(now.since(self.at).as_nanos()).unwrap_or(u64::MAX);
        self.filled = self.filled.saturating_add(since).min(COST * u64::from(BURST));
        self.at = self.at.max(now);
        let left = self.filled.checked_sub(COST);
        self.filled = left.unwrap_or(self.filled);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::beacon::codec::tests::page;
    use crate::beacon::codec::{EMPTY_LENGTH, encode};

    fn cluster() -> ClusterId {
        ClusterId::of("here")
    }

    fn frame(keys: &KeyRing, cluster: ClusterId) -> Vec<u8> {
        let mut frame = Vec::new();
        encode(&page(), cluster, keys, &mut frame);
        frame
    }

    fn admit(admission: &mut Admission, frame: &[u8]) -> Result<Page, BeaconResult> {
        admission.admit(frame, true, Moment::default(), |_| Recollection::New)
    }

    #[test]
    fn what_somebody_with_a_key_said_is_taken() {
        let keys = KeyRing::new(&[[1; 32], [2; 32]]);
        let mut admission = Admission::new(cluster(), KeyRing::new(&[[2; 32], [3; 32]]));
        assert_eq!(admit(&mut admission, &frame(&keys, cluster())), Ok(page()));
    }

    #[test]
    fn each_check_has_its_name_and_the_cheap_ones_come_first() {
        let keys = KeyRing::new(&[[1; 32]]);
        let mut admission = Admission::new(cluster(), keys.clone());
        let good = frame(&keys, cluster());
        let with = |at: usize, value: u8| {
            let mut frame = good.clone();
            frame[at] ^= value;
            frame
        };
        assert_eq!(admit(&mut admission, &good[..EMPTY_LENGTH - 1]), Err(BeaconResult::Length));
        assert_eq!(admit(&mut admission, &[0; 1501]), Err(BeaconResult::Length));
        assert_eq!(admit(&mut admission, &with(0, 1)), Err(BeaconResult::Magic));
        assert_eq!(admit(&mut admission, &with(4, 3)), Err(BeaconResult::Version));
        let elsewhere = frame(&keys, ClusterId::of("elsewhere"));
        assert_eq!(admit(&mut admission, &elsewhere), Err(BeaconResult::Cluster));
        let old = frame(&KeyRing::new(&[[9; 32]]), cluster());
        assert_eq!(admit(&mut admission, &old), Err(BeaconResult::Key));
        for (remembered, result) in
            [(Recollection::Taken, BeaconResult::Duplicate), (Recollection::Outdated, BeaconResult::Old)]
        {
            // The last octet is one of the tag: the round is looked at before the HMAC.
            let forged = with(good.len() - 1, 1);
            let admitted = admission.admit(&forged, true, Moment::default(), |_| remembered);
            assert_eq!(admitted, Err(result));
        }
        for at in (8..16).map(|at| at + 16).chain([5, 6, 30, 40, 48, 49, 60, good.len() - 1]) {
            assert_eq!(admit(&mut admission, &with(at, 1)), Err(BeaconResult::Forged), "octet {at}");
        }
    }

    #[test]
    fn unknown_senders_share_a_budget_that_known_ones_do_not_touch() {
        let keys = KeyRing::new(&[[1; 32]]);
        let mut admission = Admission::new(cluster(), keys.clone());
        let good = frame(&keys, cluster());
        let mut forged = good.clone();
        forged[50] ^= 1;
        let mut verified = 0;
        // 10,000 frames a second for 10 seconds.
        for at in 0..100_000 {
            let now = Moment(Duration::from_micros(100 * at));
            match admission.admit(&forged, false, now, |_| Recollection::New) {
                Err(BeaconResult::Forged) => verified += 1,
                other => assert_eq!(other, Err(BeaconResult::Refused)),
            }
            if at % 1000 == 999 {
                assert!(admission.admit(&good, true, now, |_| Recollection::New).is_ok());
            }
        }
        assert!((20_000..=20_000 + BURST).contains(&verified), "{verified}");
    }

    #[test]
    fn a_clock_that_goes_back_fills_nothing() {
        let mut budget = Budget::default();
        let now = Moment(Duration::from_secs(9));
        assert_eq!((0..1000).filter(|_| budget.spend(now)).count(), 256);
        assert!(!budget.spend(Moment::default()) && !budget.spend(now));
        assert!(budget.spend(now + Duration::from_micros(500)));
    }
}
