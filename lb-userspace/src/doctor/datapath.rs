//! The program, which makes the packet that each backend is sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::packets::{self, Link, Seen};
use crate::compile::Way;
use crate::document::{Document, Firewall, Forward, Protocol, Scheduler, Service};
use crate::trace::{Replay, TraceError};

/// Between these the program is shown a client's packet; it writes others.
const LINK: Link = Link {
    source: [2, 0, 0, 0, 0, 1],
    destination: [2, 0, 0, 0, 0, 2],
};

/// A packet for a backend, and what answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) frame: Vec<u8>,
    /// From whom to whom the answer is.
    pub(super) answer: (SocketAddr, SocketAddr),
}

/// The loaded program.
#[derive(Debug)]
pub(super) struct Datapath {
    replay: Replay,
    vips: BTreeMap<String, SocketAddr>,
}

impl Datapath {
    /// Loads the program for the document's services, each with all its backends.
    pub(super) fn load(
        document: &Document,
        ways: &HashMap<IpAddr, Way>,
    ) -> Result<Self, TraceError> {
        let document = plain(document);
        let vips = document.services.iter().map(|service| {
            let vip = SocketAddr::new(service.vip.address, service.vip.port);
            (service.name.clone(), vip)
        });
        Ok(Self {
            vips: vips.collect(),
            replay: Replay::of(&document, ways)?,
        })
    }

    /// A client's first packets, until every backend of the service has one. `from` are an address
    /// and the first of as many ports as there are backends.
    pub(super) fn packets(
        &mut self,
        service: &Service,
        from: SocketAddr,
    ) -> Result<HashMap<SocketAddr, Made>, TraceError> {
        let mut made = HashMap::new();
        let Some(mut vip) = self.vips.get(&service.name).copied() else {
            return Ok(made);
        };
        if vip.port() == 0 {
            vip.set_port(ANY_PORT);
        }
        for offset in 0..service.backends.len() {
            let port = from.port().wrapping_add(offset as u16);
            let client = SocketAddr::new(from.ip(), port);
            let Some(frame) = packets::syn(LINK, client, vip) else {
                continue;
            };
            let (traced, frame) = self.replay.packet(0, &frame)?;
            let backend = traced.backend.and_then(|name| name.parse().ok());
            let Some(backend) = backend.filter(|_| matches!(traced.verdict, "tx" | "redirect"))
            else {
                continue;
            };
            let answer = match (service.forward, packets::read(frame)) {
                (Forward::Nat | Forward::FullNat, Some(Seen::Tcp(from, to))) => (to, from),
                _ => (vip, client),
            };
            let frame = frame.to_vec();
            made.insert(backend, Made { frame, answer });
        }
        Ok(made)
    }
}

/// The port asked for where a service has all.
pub(super) const ANY_PORT: u16 = 80;

/// The document as it must be for its backends to be asked one after the other: all alike and in
/// turn, and with TCP, which is answered whether anybody listens or not.
fn plain(document: &Document) -> Document {
    let mut document = document.clone();
    document.firewall = Firewall::default();
    let mut vips: BTreeSet<(IpAddr, u16)> = BTreeSet::new();
    for service in &document.services {
        if service.vip.protocol == Protocol::Tcp {
            vips.insert((service.vip.address, service.vip.port));
        }
    }
    for service in &mut document.services {
        service.scheduler = Scheduler::RoundRobin;
        for backend in &mut service.backends {
            (backend.weight, backend.drain) = (1, false);
        }
        if service.vip.protocol == Protocol::Udp {
            service.vip.protocol = Protocol::Tcp;
            while !vips.insert((service.vip.address, service.vip.port)) {
                service.vip.port = service.vip.port.wrapping_add(1).max(1);
            }
        }
    }
    document
}
