//! What people are told about topology-aware hints, in upstream's words.

use std::fmt;

use fairlead_objects::Family;

/// Why a family has no hints although topology mode `Auto` asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A Node tells no zone or no CPU, or there are fewer than two zones.
    NodeInformation,
    /// Fewer ready endpoints than zones.
    TooFewEndpoints {
        /// Ready endpoints.
        endpoints: usize,
        /// Zones of the Node table.
        zones: usize,
    },
    /// What the zones need at least, each rounded up, is more than there is.
    MinimumExceeded {
        /// Ready endpoints.
        endpoints: usize,
        /// Zones of the Node table.
        zones: usize,
    },
    /// A ready endpoint has no zone.
    NoZone,
}

impl Failure {
    /// Is it the same reason, whatever the figures?
    pub(crate) fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeInformation => f.write_str(
                "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes",
            ),
            Self::TooFewEndpoints { endpoints, zones } => {
                write!(f, "Insufficient number of endpoints ({endpoints} endpoints, {zones} zones)")
            }
            Self::MinimumExceeded { endpoints, zones } => write!(
                f,
                "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold \
                 ({endpoints} endpoints, {zones} zones)"
            ),
            Self::NoZone => f.write_str("One or more endpoints do not have a zone specified"),
        }
    }
}

/// Something to tell about the hints of a Service, once.
///
/// Upstream tells of a failure at every sync (kubernetes/kubernetes issue 119990); here only a change is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintEvent {
    /// Endpoints of the family have hints now.
    Enabled(Family),
    /// Hints were removed, or could not be set; without a failure: they are no longer asked for.
    Disabled(Family, Option<Failure>),
}

impl HintEvent {
    /// Should somebody look?
    #[must_use]
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::Disabled(..))
    }

    /// The reason of the Event.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Enabled(_) => "TopologyAwareHintsEnabled",
            Self::Disabled(..) => "TopologyAwareHintsDisabled",
        }
    }
}

impl fmt::Display for HintEvent {
    /// The message of the Event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Enabled(family) | Self::Disabled(family, _)) = self;
        match self {
            Self::Enabled(_) => f.write_str("Topology Aware Hints has been enabled")?,
            Self::Disabled(_, None) => f.write_str("Topology Aware Hints has been disabled")?,
            Self::Disabled(_, Some(failure)) => write!(f, "{failure}")?,
        }
        write!(f, ", addressType: {}", family.as_str())
    }
}
