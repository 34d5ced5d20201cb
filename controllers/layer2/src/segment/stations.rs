//! Stations that can be asked whether anything is heard at all.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::mac::MacAddress;
use crate::moment::Moment;

/// How many are remembered.
const MOST: usize = 4;
/// How long a station that asks nothing any more is remembered.
const MEMORY: Duration = Duration::from_mins(10);

/// Who asked lately, the last one first.
#[derive(Debug, Default)]
pub(super) struct Stations(VecDeque<Station>);

#[derive(Debug)]
struct Station {
    address: IpAddr,
    mac: MacAddress,
    asked_at: Moment,
}

impl Stations {
    /// A station asked for an address. One that has no address itself yet can not be asked.
    pub(super) fn note(&mut self, address: IpAddr, mac: MacAddress, now: Moment) {
        if address.is_unspecified() {
            return;
        }
        self.0.retain(|station| station.address != address || station.mac != mac);
        self.0.truncate(MOST - 1);
        self.0.push_front(Station { address, mac, asked_at: now });
    }

    /// Forgets those who have not asked for long.
    pub(super) fn forget(&mut self, now: Moment) {
        while self.0.back().is_some_and(|station| now.since(station.asked_at) > MEMORY) {
            self.0.pop_back();
        }
    }

    /// Whether none is known.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The known ones.
    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, MacAddress)> + '_ {
        self.0.iter().map(|station| (station.address, station.mac))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mac(last: u8) -> MacAddress {
        MacAddress([2, 0, 0, 0, 0, last])
    }

    #[test]
    fn the_last_to_ask_are_known_for_a_while() {
        let mut stations = Stations::default();
        let at = |seconds| Moment(Duration::from_secs(seconds));
        stations.note(IpAddr::from([0, 0, 0, 0]), mac(9), at(0));
        assert!(stations.is_empty(), "a probe has no sender");
        for last in 1..=5 {
            stations.note(IpAddr::from([198, 51, 100, last]), mac(last), at(last.into()));
        }
        stations.note(IpAddr::from([198, 51, 100, 3]), mac(3), at(9));
        let known =
            |stations: &Stations| stations.iter().map(|(_, MacAddress(mac))| mac[5]).collect::<Vec<_>>();
        assert_eq!(known(&stations), [3, 5, 4, 2]);
        stations.forget(at(604));
        assert_eq!(known(&stations), [3, 5, 4]);
        stations.forget(at(610));
        assert!(stations.is_empty());
    }
}
