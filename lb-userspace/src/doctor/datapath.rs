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
    /// The client's packet, of which the program made it.
    pub(super) shown: Vec<u8>,
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
        for client in clients(service, from) {
            if let Some((backend, packet)) = self.packet(service, client, ANYWHERE)? {
                made.insert(backend, packet);
            }
        }
        Ok(made)
    }

    /// A client's first packet that arrives on the interface of this index and goes to this backend.
    pub(super) fn packet_to(
        &mut self,
        service: &Service,
        from: SocketAddr,
        interface: u32,
        to: SocketAddr,
    ) -> Result<Option<Made>, TraceError> {
        for client in clients(service, from) {
            let packet = self.packet(service, client, interface)?;
            if let Some((_, made)) = packet.filter(|(backend, _)| *backend == to) {
                return Ok(Some(made));
            }
        }
        Ok(None)
    }

    /// Shows the program a client's packet once more, and lets what it makes of it leave.
    pub(super) fn live(&mut self, interface: u32, shown: &[u8]) -> Result<(), TraceError> {
        self.replay.live(interface, shown)
    }

    /// A client's first packet, and the backend that it goes to.
    fn packet(
        &mut self,
        service: &Service,
        client: SocketAddr,
        interface: u32,
    ) -> Result<Option<(SocketAddr, Made)>, TraceError> {
        let Some(mut vip) = self.vips.get(&service.name).copied() else {
            return Ok(None);
        };
        if vip.port() == 0 {
            vip.set_port(ANY_PORT);
        }
        let Some(shown) = packets::syn(LINK, client, vip) else {
            return Ok(None);
        };
        let (traced, frame) = self.replay.packet_on(interface, 0, &shown)?;
        let backend = traced.backend.and_then(|name| name.parse().ok());
        let Some(backend) = backend.filter(|_| matches!(traced.verdict, "tx" | "redirect")) else {
            return Ok(None);
        };
        let answer = match (service.forward, packets::read(frame)) {
            (Forward::Nat | Forward::FullNat, Some(Seen::Tcp(from, to))) => (to, from),
            _ => (vip, client),
        };
        let made = Made {
            frame: frame.to_vec(),
            answer,
            shown,
        };
        Ok(Some((backend, made)))
    }
}

/// As many clients as there are backends, so that in turn each has one.
fn clients(service: &Service, from: SocketAddr) -> impl Iterator<Item = SocketAddr> + use<> {
    let ports = 0..service.backends.len() as u16;
    ports.map(move |offset| SocketAddr::new(from.ip(), from.port().wrapping_add(offset)))
}

/// Loopback, where no frame of the document's arrives.
const ANYWHERE: u32 = 1;

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
