//! The lab of network namespaces and what the test rings share.
#![expect(
    clippy::missing_panics_doc,
    reason = "what serves tests fails by panicking"
)]

pub mod case;
pub mod cost;
pub mod fuzz;
pub mod kernel;
pub mod lab;
pub mod packet;
pub mod pair;
pub mod ring;
pub mod side_by_side;
pub mod simulation;
pub mod traffic;
pub mod world;
