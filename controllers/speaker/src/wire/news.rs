//! What a segment reports, as those who talk to the API server want to hear it.

use fairlead_layer2::segment::{Condition, Report as Reported, ReportKind, Unusable};
use jiff::Timestamp;
use tracing::{debug, info, warn};

use crate::links::{News, Report};

/// What a report means; nothing if it is only for the log.
pub(super) fn news_of(Reported { link, kind }: Reported, interface: &str) -> Option<Report> {
    let news = match kind {
        ReportKind::Owned { address, epoch, since, mac, outage } => {
            debug!(interface, %address, epoch, ?outage, "an address is answered for from now on");
            let since = i64::try_from(since).ok().and_then(|since| Timestamp::from_microsecond(since).ok());
            News::Owned { address, epoch, since: since.unwrap_or_default(), mac, outage }
        }
        ReportKind::Lost { address, epoch, cause } => {
            debug!(interface, %address, epoch, ?cause, "an address is answered for no longer");
            News::Lost { address, epoch }
        }
        ReportKind::Probed { address, user: None, .. } => News::Probed { address },
        ReportKind::Probed { address, epoch, user: Some(user) } => {
            News::Taken { address, mac: user.mac, epoch }
        }
        ReportKind::Conflict { address, with } => News::Conflict { address, mac: with.mac, node: with.node },
        ReportKind::ConflictOver { address } => News::ConflictOver { address },
        ReportKind::Unusable { address, reason } => {
            warn!(interface, %address, "an address cannot be answered for here: {}", describe_unusable(reason));
            return None;
        }
        ReportKind::Usable { address } => {
            info!(interface, %address, "an address can be answered for here again");
            return None;
        }
        ReportKind::Condition { condition, holds } => {
            let what = describe(condition);
            if holds {
                warn!(interface, "{what}");
            } else {
                info!(interface, "no longer so: {what}");
            }
            return None;
        }
    };
    Some(Report { link, news })
}

fn describe_unusable(reason: Unusable) -> &'static str {
    match reason {
        Unusable::AddressOnNode => {
            "this node has it on an interface, so that its kernel answers for it anyway"
        }
        Unusable::Gateway => "it is the address of a gateway",
        Unusable::Network => "it is the address of the subnet itself",
        Unusable::Broadcast => "it is the broadcast address of the subnet",
    }
}

fn describe(condition: Condition) -> String {
    match condition {
        Condition::ClockSkew(node) => format!(
            "the clock of the node with the id {node} is more than ten minutes from ours, so that it is not heard: \
             set its clock"
        ),
        Condition::TwinInterface => {
            "another interface of this node is on the same segment; the one with the lower index \
             answers alone"
                .to_owned()
        }
        Condition::IdentityClash => {
            "another process says that it is this node: see that each node runs one speaker, and \
             that no two clusters share key and names"
                .to_owned()
        }
        Condition::BeaconsBlocked(node) => format!(
            "ARP of the node with the id {node} arrives, its beacons do not: see what filters EtherType 0x88B5 and UDP port \
             7486 between the two"
        ),
        Condition::TooManyParticipants => {
            "there are more speakers on the segment than can be kept apart (256)".to_owned()
        }
        Condition::TooManyAddresses => {
            "there are more addresses on the segment than can be told (16384)".to_owned()
        }
        Condition::Deaf => "nothing at all is received: see to the interface and its cable".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use fairlead_layer2::segment::{LostCause, Stranger};
    use fairlead_layer2::{MacAddress, NodeId};

    use super::*;

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

    #[test]
    fn an_address_is_owned_and_lost_with_its_epoch() {
        let address = IpAddr::from([198, 51, 100, 7]);
        let tell = |kind| news_of(Reported { link: 2, kind }, "eth0").map(|report| report.news);
        let owned =
            tell(ReportKind::Owned { address, epoch: 7, since: 1_500_000, mac: MAC, outage: None }).unwrap();
        let since = "1970-01-01T00:00:01.5Z".parse().unwrap();
        assert_eq!(owned, News::Owned { address, epoch: 7, since, mac: MAC, outage: None });
        let lost = tell(ReportKind::Lost { address, epoch: 7, cause: LostCause::Yielded }).unwrap();
        assert_eq!(lost, News::Lost { address, epoch: 7 });
        let with = Stranger { mac: MAC, node: Some(NodeId::of("abc")) };
        let conflict = tell(ReportKind::Conflict { address, with }).unwrap();
        assert_eq!(conflict, News::Conflict { address, mac: MAC, node: Some(NodeId::of("abc")) });
        assert_eq!(tell(ReportKind::Condition { condition: Condition::Deaf, holds: true }), None);
    }
}
