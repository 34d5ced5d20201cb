//! Does somebody else do a controller's whole work? It is asked by a canary, and if so, ours stands aside.
//!
//! The endpoint controllers copy labels: of a Service to its Endpoints and EndpointSlices, and of Endpoints to the slices
//! that mirror them. So a label with a new value on a Service of our own is a question that only a running controller
//! answers, whatever process it is in; kube-controller-manager does within 0.4 s. What lies around from earlier answers
//! has another value. Our own controllers leave the canaries alone ([`Canaries`]), so an answer is never ours.
//!
//! ```text
//! lease of kube-controller-manager, note ──▶ first_stance ─┐                    ┌──▶ Gate: may the controller write?
//!                                                          ▼                    │
//! Service, Endpoints ◀── question (label) ── Asker ◀──▶ Inquiry (pure): Asking, Working, Aside
//! Endpoints, slices  ──▶ answer (label) ─────▲                                  │
//!                        note (annotation) ◀─┘                                  └──▶ Report: event, metrics, readyz, log
//! ```
//!
//! | What | How |
//! |---|---|
//! | who asks | the process that leads, for each of its controllers apart, once in [`PERIOD`] |
//! | before the first write | is asked if kube-controller-manager's Lease is alive, or cannot be read; else beside the work |
//! | an answer | the controller writes nothing from then on |
//! | [`SILENT_ROUNDS`] questions without one | it works again |
//! | a question that cannot be put | is like one without an answer: what is broken must not stop the cluster |
//! | a new leader | begins as the one before ended, if that noted it less than [`FRESH`] ago |
//!
//! A Fairlead of another namespace answers as well, since its own canaries are others: of two, the one that was there
//! first works.

mod ask;
mod inquiry;
mod note;
mod objects;
mod report;

pub use self::ask::Asker;
pub use self::inquiry::{
    BLIND, Heard, Inquiry, LOOKS, LOST_AT_START, News, PERIOD, REFUSED_AT_START, SHORTEST_PERIOD,
    SILENT_ROUNDS, Stance, Step, Trouble, Verdict,
};
pub use self::note::{FRESH, LEASE_TOLERANCE, Note, UpstreamLease, first_stance};
pub use self::objects::{Canaries, Canary, MIRRORED, SERVICE};
pub use self::report::{CanaryMetrics, Report};
