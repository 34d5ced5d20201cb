//! Speakers on segments of network namespaces, without Kubernetes: what they answer to frames, and what becomes of that
//! when interfaces change. Frames are written and read by code that speakers share nothing with.

mod answering;
mod bed;
mod handing_over;
mod interfaces;
mod limits;
mod sockets;
mod speaker;
