//! Answering for addresses on layer 2, on a real API server with real kube-proxies, as clients and the segment see it. Names
//! such as A6 and C1 are those of the scenarios that MetalLB tests end to end, X1 to X19 of what nobody tested. What this
//! kernel cannot have (IPVS, bonds, VLANs) is stood in for, and the name of the test says so.

mod announcements;
mod api_outage;
mod conflicts;
mod drill;
mod failures;
mod interfaces;
mod moves;
mod neighbours;
mod paths;
mod world;
