//! Keys and values of the maps, as the kernel and user space both see them.
//!
//! Every type is `repr(C)`, padded explicitly, valid for any bytes, and has its size asserted.
//! Integers are in host order; addresses keep the order of the wire inside opaque words. What
//! lies on the BPF program's stack is aligned to eight bytes, because the verifier refuses
//! misaligned access there ("misaligned stack access off") while the compiler, allowed to access
//! packets unaligned, merges fields into eight-byte accesses.

pub mod address;
pub mod backend;
pub mod counters;
pub mod datagram;
pub mod features;
pub mod flow;
pub mod limits;
pub mod path;
#[cfg(feature = "user")]
mod pod;
pub mod reason;
pub mod rule;
pub mod service;
pub mod trace;

pub use address::{Address, V4, V6};
pub use backend::{AddressFamily, Backend, BackendState, Hop};
pub use counters::{ErrorLimit, Tally, Traffic};
pub use datagram::{Datagram, DatagramKey, Ports};
pub use features::{Features, Settings};
pub use flow::{Flow, FlowKey, FlowState, Reverse, Ticks};
pub use path::PathMtu;
pub use reason::Reason;
pub use rule::{Action, PortTable, Row, Rule};
pub use service::{Forward, Scheduler, Service, ServiceKey, Slots};
pub use trace::Trace;
