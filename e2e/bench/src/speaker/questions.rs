//! Questions for addresses, and how soon they are answered.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use lab::{Arp, Content, Frame, Mac, Result, Tap};

/// Who has not answered by then does not.
const LIMIT: Duration = Duration::from_millis(200);
/// How many questions of a sweep are asked at once, and how long answers may take.
const BATCH: usize = 100;
const SWEEP: Duration = Duration::from_millis(15);

/// What became of many questions.
#[derive(Default)]
pub(super) struct Answers {
    /// How long the answers took.
    pub(super) took: Vec<Duration>,
    pub(super) unanswered: usize,
}

/// An answer to this asker.
fn answer(frame: &Frame, asker: Ipv4Addr) -> Option<(Ipv4Addr, Mac)> {
    match &frame.content {
        Content::Arp(arp) if arp.operation == 2 && arp.target == asker => Some((arp.sender, arp.sender_mac)),
        _ => None,
    }
}

/// Asks once for each of these addresses, and says who answered for which.
pub(super) fn sweep(tap: &Tap, asker: Ipv4Addr, targets: &[Ipv4Addr]) -> Result<BTreeMap<Ipv4Addr, Mac>> {
    let mut found = BTreeMap::new();
    for batch in targets.chunks(BATCH) {
        for &target in batch {
            tap.send(&Arp::request(tap.mac(), asker, target).to_frame(Mac::BROADCAST))?;
        }
        let deadline = Instant::now() + SWEEP;
        let mut left = batch.len();
        while left > 0 {
            let Some((address, mac)) = tap.find(deadline, |frame| answer(frame, asker))? else { break };
            left -= usize::from(found.insert(address, mac).is_none());
        }
    }
    Ok(found)
}

/// Asks for addresses of several kinds in turn, one question after the other, `count` of each.
pub(super) fn alternating<const KINDS: usize>(
    tap: &Tap,
    asker: Ipv4Addr,
    mut kinds: [(&[Ipv4Addr], &mut Answers); KINDS],
    count: usize,
) -> Result<()> {
    let mut dice = fastrand::Rng::new();
    for _ in 0..count {
        for (targets, answers) in &mut kinds {
            let Some(&target) = dice.choice(targets.iter()) else { continue };
            let question = Arp::request(tap.mac(), asker, target).to_frame(Mac::BROADCAST);
            let sent = Instant::now();
            tap.send(&question)?;
            let is_answer = |frame: &Frame| answer(frame, asker).filter(|(of, _)| *of == target);
            match tap.find(sent + LIMIT, is_answer)? {
                Some(_) => answers.took.push(sent.elapsed()),
                None => answers.unanswered += 1,
            }
            // Neither side has a warm processor from the question before.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_to_the_asker_count() {
        let (asker, target) = (Ipv4Addr::new(100, 64, 255, 1), Ipv4Addr::new(100, 64, 0, 1));
        let request = Arp::request(Mac([2; 6]), asker, target);
        let reply = Frame::parse(&request.reply(Mac([4; 6])).to_frame(Mac([2; 6]))).unwrap();
        assert_eq!(answer(&reply, asker), Some((target, Mac([4; 6]))));
        assert_eq!(answer(&reply, target), None);
        let own = Frame::parse(&request.to_frame(Mac::BROADCAST)).unwrap();
        assert_eq!(answer(&own, asker), None);
    }
}
