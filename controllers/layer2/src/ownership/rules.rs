//! The rules that tests leave out one by one.

/// Which rules are kept: all of them. Tests of the protocol leave single ones out to show that they would notice.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches for tests")]
pub struct Rules {
    /// Claims are compared by their epochs.
    pub epochs: bool,
    /// A node whose own rounds are late drops its claims.
    pub fence: bool,
    /// A node listens before it claims.
    pub listen: bool,
    /// The owner of an offered address has it until it hears the claim.
    pub keep_offered: bool,
    /// A better claim ends one's own.
    pub yield_to_better: bool,
    /// A worse claim is answered.
    pub refute: bool,
    /// Nodes that are not first wait.
    pub stagger: bool,
    /// A node that the rival can not hear gives way.
    pub deaf: bool,
    /// Frames are passed on between nodes that can not hear each other.
    pub relay: bool,
    /// Claims of the smaller part of a segment are worse.
    pub minority: bool,
    /// Late peers are asked.
    pub questions: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            epochs: true,
            fence: true,
            listen: true,
            keep_offered: true,
            yield_to_better: true,
            refute: true,
            stagger: true,
            deaf: true,
            relay: true,
            minority: true,
            questions: true,
        }
    }
}
