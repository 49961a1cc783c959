//! The HTTP/JSON interface of the daemon, on its Unix socket, and its client.
//!
//! What a request does is not decided here: the controller implements [`control::Control`].

pub mod client;
pub mod control;
pub mod server;
pub mod socket;
pub mod types;
