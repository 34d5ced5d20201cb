//! What became of frames, for counters.

use super::codec::Malformed;

/// What became of a frame that came as a beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BeaconResult {
    /// It was new and authentic.
    Accepted,
    /// It has been taken before, in another form or by way of another node.
    Duplicate,
    /// A later round of its sender has been heard.
    Old,
    /// It is one of ours.
    Own,
    /// The wall clock of its sender is too far from ours.
    ClockSkew,
    /// There is no place for another participant.
    TooMany,
    /// It is too short or too long.
    Length,
    /// It is no beacon.
    Magic,
    /// Its version is not ours.
    Version,
    /// It is of another cluster.
    Cluster,
    /// It names a key that we do not have.
    Key,
    /// Nobody with its key made it.
    Forged,
    /// More frames of unknown senders came than are looked at.
    Refused,
    /// It is authentic, and a section has a wrong length.
    Section,
    /// It is authentic, and claims are not in order.
    Order,
    /// It is authentic, and a claim is outside of its range.
    Range,
    /// It is authentic, and its page is not one of its round.
    PageNumber,
    /// It is authentic, and states the claims of a family twice.
    Repeated,
    /// It came from behind a router.
    HopLimit,
}

impl BeaconResult {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Accepted,
        Self::Duplicate,
        Self::Old,
        Self::Own,
        Self::ClockSkew,
        Self::TooMany,
        Self::Length,
        Self::Magic,
        Self::Version,
        Self::Cluster,
        Self::Key,
        Self::Forged,
        Self::Refused,
        Self::Section,
        Self::Order,
        Self::Range,
        Self::PageNumber,
        Self::Repeated,
        Self::HopLimit,
    ];

    /// As metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Old => "old",
            Self::Own => "own",
            Self::ClockSkew => "clock_skew",
            Self::TooMany => "too_many",
            Self::Length => "length",
            Self::Magic => "magic",
            Self::Version => "version",
            Self::Cluster => "cluster",
            Self::Key => "key",
            Self::Forged => "forged",
            Self::Refused => "refused",
            Self::Section => "malformed_section",
            Self::Order => "malformed_order",
            Self::Range => "malformed_range",
            Self::PageNumber => "malformed_page_number",
            Self::Repeated => "malformed_repeated",
            Self::HopLimit => "hop_limit",
        }
    }
}

impl From<Malformed> for BeaconResult {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Length => Self::Length,
            Malformed::Magic => Self::Magic,
            Malformed::Version => Self::Version,
            Malformed::Section => Self::Section,
            Malformed::Order => Self::Order,
            Malformed::Range => Self::Range,
            Malformed::PageNumber => Self::PageNumber,
            Malformed::Repeated => Self::Repeated,
        }
    }
}
