//! What a backend is asked, and what the answers would be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use nix::ifaddrs::getifaddrs;

use super::datapath::{ANY_PORT, Made};
use super::evidence::Question;
use super::packets::{self, Link, Seen};
use crate::document::{Forward, Service};
use crate::route::NextHop;

/// Fewer bytes, which every way takes.
const SMALL: usize = 64;
/// Tells our echo requests from others'.
const ECHO_ID: u16 = 0x6c62;

/// The addresses of this host.
#[derive(Debug, Default)]
pub(super) struct Own {
    addresses: Vec<(String, IpNet)>,
}

impl Own {
    /// Those it has now.
    pub(super) fn read() -> Self {
        let entries = getifaddrs().into_iter().flatten();
        let addresses = entries.filter_map(|entry| {
            let ip = |storage: Option<nix::sys::socket::SockaddrStorage>| -> Option<IpAddr> {
                let storage = storage?;
                let v4 = storage.as_sockaddr_in().map(|address| address.ip().into());
                v4.or_else(|| storage.as_sockaddr_in6().map(|address| address.ip().into()))
            };
            let net = IpNet::with_netmask(ip(entry.address)?, ip(entry.netmask)?).ok()?;
            Some((entry.interface_name, net))
        });
        let addresses = addresses.collect();
        Self { addresses }
    }

    /// Where others reach this host: an address of the family, of that interface if it has one; none
    /// of a VIP.
    pub(super) fn address(&self, hop: &NextHop, v4: bool, vips: &[IpAddr]) -> Option<IpAddr> {
        let is_fit = |address: &IpAddr| {
            let narrow = match address {
                IpAddr::V4(address) => address.is_link_local(),
                IpAddr::V6(address) => address.is_unicast_link_local(),
            };
            address.is_ipv4() == v4
                && !narrow
                && !address.is_loopback()
                && !address.is_unspecified()
                && !vips.contains(address)
        };
        let nearest = self
            .addresses
            .iter()
            .filter(|(name, _)| *name == hop.interface_name);
        let others = self
            .addresses
            .iter()
            .filter(|(name, _)| *name != hop.interface_name);
        let known = nearest.chain(others).map(|(_, net)| net.addr());
        std::iter::once(hop.source).chain(known).find(is_fit)
    }

    /// Other addresses of the network that both this interface and a neighbour are in: two, because
    /// the neighbour may know whoever has one of them.
    fn strangers(&self, hop: &NextHop, neighbour: IpAddr) -> Vec<Ipv4Addr> {
        let net = self.addresses.iter().find_map(|(name, net)| match net {
            IpNet::V4(net) if *name == hop.interface_name && net.prefix_len() < 31 => {
                IpNet::V4(*net).contains(&neighbour).then_some(*net)
            }
            _ => None,
        });
        let Some(net) = net else {
            return Vec::new();
        };
        let is_free =
            |address: &Ipv4Addr| *address != net.addr() && IpAddr::V4(*address) != neighbour;
        let random = (0..8).map(|_| random_host(net));
        random.filter(is_free).take(2).collect()
    }
}

/// Neither the network's own address nor that of its broadcasts.
fn random_host(net: Ipv4Net) -> Ipv4Addr {
    let (first, last) = (net.network().to_bits() + 1, net.broadcast().to_bits() - 1);
    Ipv4Addr::from_bits(rand::random_range(first..=last))
}

/// What answers would say about a backend, each where it was asked.
#[derive(Debug, Default)]
pub(super) struct Probes {
    pub(super) questions: Vec<Question>,
    /// From the backend's own address and port to this host.
    pub(super) direct: Option<(SocketAddr, SocketAddr)>,
    /// To the packet that the program made.
    pub(super) made: Option<(SocketAddr, SocketAddr)>,
    /// To an echo request.
    pub(super) echo: Option<Seen>,
    /// To one of as many bytes as the way takes.
    pub(super) echo_full: Option<Seen>,
    /// To a packet to the VIP in a tunnel from this host's own address.
    pub(super) own_tunnel: Option<(SocketAddr, SocketAddr)>,
    /// To a packet to the backend's own address in a tunnel from `tunnel_source`.
    pub(super) own_inside: Option<(SocketAddr, SocketAddr)>,
    /// To the question who has the VIP, which the backend may not give.
    pub(super) vip_claimed: Option<Seen>,
    /// What the backend may not call itself when it asks for neighbours.
    pub(super) vip_announced: Option<Ipv4Addr>,
}

/// What a backend is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) service: &'a Service,
    pub(super) backend: SocketAddr,
    pub(super) hop: &'a NextHop,
    pub(super) mac: [u8; 6],
    /// This host's address of the backend's family.
    pub(super) own: Option<IpAddr>,
    /// This host's address of the VIP's family.
    pub(super) own_of_vip: Option<IpAddr>,
    /// The first of [`PORTS`] ports that nobody else uses.
    pub(super) port: u16,
}

/// How many ports are used for a backend.
pub(super) const PORTS: u16 = 4;

impl Subject<'_> {
    fn link(&self) -> Link {
        Link {
            source: self.hop.source_mac,
            destination: self.mac,
        }
    }

    fn vip(&self) -> SocketAddr {
        let vip = self.service.vip;
        let port = if vip.port == 0 { ANY_PORT } else { vip.port };
        SocketAddr::new(vip.address, port)
    }

    /// Everything that may tell what keeps packets from it.
    pub(super) fn probes(&self, own: &Own, made: Option<&Made>, outer: Option<IpAddr>) -> Probes {
        let mut probes = Probes::default();
        if let Some(made) = made {
            probes.made = Some(made.answer);
            self.ask(
                &mut probes,
                Some(made.frame.clone()),
                &spoken(made.answer),
                true,
            );
        }
        self.ask_directly(&mut probes);
        match self.service.forward {
            Forward::Dsr => self.ask_neighbour(&mut probes, own),
            Forward::Ipip | Forward::Gue => self.ask_inside(&mut probes, outer),
            Forward::FullNat | Forward::Nat => {}
        }
        probes
    }

    fn ask(&self, probes: &mut Probes, frame: Option<Vec<u8>>, answers: &[Seen], is_vital: bool) {
        let Some(frame) = frame else {
            return;
        };
        probes.questions.push(Question {
            interface: self.hop.interface,
            frame,
            answers: answers.to_vec(),
            is_vital,
        });
    }

    /// At its own address, as anybody would.
    fn ask_directly(&self, probes: &mut Probes) {
        let Some(own) = self.own else {
            return;
        };
        let (mut to, from) = (self.backend, SocketAddr::new(own, self.port));
        if to.port() == 0 {
            to.set_port(self.vip().port());
        }
        probes.direct = Some((to, from));
        let frame = packets::syn(self.link(), from, to);
        self.ask(probes, frame, &spoken((to, from)), true);
        let full = usize::try_from(self.hop.mtu).unwrap_or(SMALL);
        let ends = (own, to.ip());
        for (seq, length) in [(0, SMALL), (1, full)] {
            // Told apart by their sequence number, and backends by their port.
            let answer = Seen::Echo(to.ip(), own, ECHO_ID ^ self.port, seq);
            let frame = packets::echo(self.link(), ends, (ECHO_ID ^ self.port, seq), length);
            self.ask(probes, frame, &[answer], true);
            if seq == 0 {
                probes.echo = Some(answer);
            } else {
                probes.echo_full = Some(answer);
            }
        }
    }

    /// Whether it tells others that it has the VIP.
    fn ask_neighbour(&self, probes: &mut Probes, own: &Own) {
        let (IpAddr::V4(vip), Some(IpAddr::V4(from))) = (self.vip().ip(), self.own) else {
            return;
        };
        let claim = Seen::Has(self.mac, vip);
        probes.vip_claimed = Some(claim);
        let question = packets::who_has(self.hop.source_mac, from, vip);
        self.ask(probes, question, &[claim], false);
        // For its answer to a neighbour that it does not know it has to ask, as somebody.
        for stranger in own.strangers(self.hop, self.backend.ip()) {
            probes.vip_announced = Some(vip);
            let from = SocketAddr::new(stranger.into(), self.port + 1);
            let asked = [
                Seen::Asks(self.mac, vip, stranger),
                Seen::Asks(self.mac, as_v4(self.backend.ip()), stranger),
            ];
            let frame = packets::syn(self.link(), from, self.vip());
            self.ask(probes, frame, &asked, false);
        }
    }

    /// Whether it unpacks anything at all.
    fn ask_inside(&self, probes: &mut Probes, outer: Option<IpAddr>) {
        let (link, is_gue) = (self.link(), self.service.forward == Forward::Gue);
        let to = self.backend.ip();
        if let (Some(own), Some(own_of_vip)) = (self.own, self.own_of_vip) {
            let from = SocketAddr::new(own_of_vip, self.port + 2);
            let inner = packets::syn(link, from, self.vip());
            let frame = inner.and_then(|inner| packets::inside(link, (own, to), is_gue, &inner));
            let refused = [4, 41, 17].map(|protocol| Seen::Refused(to, protocol));
            let mut answers = spoken((self.vip(), from)).to_vec();
            answers.extend(refused);
            self.ask(probes, frame, &answers, false);
            probes.own_tunnel = Some((self.vip(), from));
        }
        if let (Some(own), Some(outer), Some((direct, _))) = (self.own, outer, probes.direct) {
            let from = SocketAddr::new(own, self.port + 3);
            let inner = packets::syn(link, from, direct);
            let frame = inner.and_then(|inner| packets::inside(link, (outer, to), is_gue, &inner));
            self.ask(probes, frame, &spoken((direct, from)), false);
            probes.own_inside = Some((direct, from));
        }
    }
}

fn as_v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// A segment from one to the other, whatever it says.
pub(super) fn spoken((from, to): (SocketAddr, SocketAddr)) -> [Seen; 2] {
    [Seen::Tcp(from, to), Seen::Reset(from, to)]
}
