//! The daemon's interface from outside: its API, its socket, and the real command line.
//!
//! Behind the real server stands a fake controller; nothing here touches the kernel's network.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod api;
mod cli;
mod fake;
mod socket;
