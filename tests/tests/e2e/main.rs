//! End to end: real clients, real servers and the real daemon in network namespaces.
//!
//! Each test builds a lab of its own and leaves nothing behind. They need root; elsewhere they say
//! why they do nothing, and in CI that is a failure.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod churn;
mod counts;
mod doctor;
mod doctor_host;
mod firewall;
mod life;
mod modes;
mod scene;
mod side_by_side;
mod starts;
