//! The HTTP/JSON interface of the daemon, on its Unix socket.

pub mod types;
