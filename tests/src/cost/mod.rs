//! What a packet costs: the program in the kernel with maps of a given size, run by
//! `BPF_PROG_TEST_RUN` behind a program that varies the flow.
//!
//! Nothing is attached to any interface, and nothing is sent. The unit is that of the kernel's
//! clock: nanoseconds on a host, and instructions in a guest whose clock counts those.

mod flows;
mod front;
mod measure;
mod scenario;
mod shared;

pub use measure::{Effort, Row, measure};
pub use scenario::{Scale, stages};
