//! All that may happen to two or three nodes within bounds, on the state machine that is shipped.
//!
//! `FAIRLEAD_MODEL=long` looks at some millions of states instead of some thousands.

mod errors;
mod explore;
mod scenario;
mod scenarios;
mod segment;
