//! One probe of one target.
//!
//! It has no patience of its own: the schedule sets the timeout.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::failure;
use super::http::HttpProbe;
use super::state::Outcome;
use super::tls::Trust;
use crate::document::{Check, CheckKind};

/// How a target is asked, prepared once.
#[derive(Debug)]
pub(super) enum Probe {
    /// A TCP connection is accepted.
    Tcp(SocketAddr),
    /// An HTTP request is answered as expected.
    Http(HttpProbe),
    /// The check cannot be carried out, for the reason given; every probe fails.
    Impossible(String),
}

impl Probe {
    /// Prepares the probes of the backend at `address`.
    pub(super) fn new(mut address: SocketAddr, check: &Check, trust: &Trust) -> Self {
        if let Some(port) = check.port {
            address.set_port(port);
        }
        if address.port() == 0 {
            return Self::Impossible("no port to probe: give the check a `port`".to_owned());
        }
        let http = match &check.kind {
            CheckKind::Tcp => return Self::Tcp(address),
            CheckKind::Http(http) => HttpProbe::plain(address, http),
            CheckKind::Https {
                http,
                verify: false,
            } => HttpProbe::unverified(address, http),
            CheckKind::Https { http, verify: true } => HttpProbe::verified(address, http, trust),
        };
        http.map_or_else(Self::Impossible, Self::Http)
    }

    /// Asks once, over a new connection.
    pub(super) async fn once(&self) -> Outcome {
        match self {
            Self::Tcp(address) => match TcpStream::connect(address).await {
                Ok(_stream) => Ok("connected".to_owned()),
                Err(error) => Err(failure::of_io(&error)),
            },
            Self::Http(probe) => probe.once().await,
            Self::Impossible(reason) => Err(reason.clone()),
        }
    }
}
