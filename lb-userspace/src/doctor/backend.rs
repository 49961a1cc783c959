//! From what came back to what is missing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::datapath::{Datapath, Made};
use super::evidence::{Evidence, TRIES};
use super::live::{self, Trials};
use super::packets::Seen;
use super::probes::{Own, PORTS, Probes, Subject};
use super::wire::Wire;
use super::{DoctorError, Examined, Finding, Options, setup};
use crate::compile::Way;
use crate::document::{Document, Forward, Protocol, Service};
use crate::route::{NextHop, RouteError, Routes};

/// How long neighbours have to answer.
const RESOLVE: Duration = Duration::from_secs(1);
/// How often the kernel is asked whether they did.
const POLL: Duration = Duration::from_millis(20);
/// The first of the ports that questions come from: behind those of most hosts' own connections, and of
/// our flows.
const FIRST_PORT: u16 = 61_000;
/// As many follow it.
const PORT_COUNT: u16 = 4_500;
/// Clients that are nobody, of networks set aside for measurements (RFC 2544, RFC 5180).
const CLIENTS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1)),
];

type Hops = HashMap<IpAddr, Result<NextHop, RouteError>>;

/// Examines every backend of every service, all at once; and then, with those that answered, what
/// leaves of packets that arrive on these interfaces.
pub(super) async fn examine(
    document: &Document,
    options: &Options,
    routes: &Routes,
    doors: &[u32],
) -> Result<(Vec<Examined>, Trials), DoctorError> {
    let hops = resolve(document, routes).await;
    let ways: HashMap<IpAddr, Way> = hops
        .iter()
        .filter_map(|(address, hop)| Some((*address, hop.as_ref().ok()?)))
        .filter(|(_, hop)| hop.destination_mac.is_some())
        .map(|(address, hop)| (address, hop.way()))
        .collect();
    let mut ward = Ward {
        document,
        options,
        own: Own::read(),
        vips: document
            .services
            .iter()
            .map(|one| one.vip.address)
            .collect(),
        datapath: Datapath::load(document, &ways)?,
        hops: &hops,
        // Elsewhere each time: backends repeat what they answered to the one before.
        ports: rand::random_range(0..PORT_COUNT),
    };
    // Before the first question, so that no answer is lost.
    let mut wire = Wire::open()?;
    let mut patients = Vec::new();
    for service in &document.services {
        patients.extend(ward.patients(service)?);
    }
    let questions: Vec<_> = patients
        .iter()
        .flat_map(|patient| patient.probes.questions.iter().cloned())
        .collect();
    let failed = |source| DoctorError::Socket {
        what: "read",
        source,
    };
    let evidence = Evidence::gather(&mut wire, &questions, TRIES, |wire, question| {
        // An interface that is down refuses; that nothing came back is found out below.
        _ = wire.send(question.interface, &question.frame);
    });
    let evidence = evidence.map_err(failed)?;
    let examined = patients.iter().map(|one| one.examined(document, &evidence));
    let examined = examined.collect();
    let trials = live::prove(&mut ward, &mut wire, &patients, &evidence, doors)?;
    Ok((examined, trials))
}

/// The way to every backend; neighbours that nobody has talked to lately are asked for.
async fn resolve(document: &Document, routes: &Routes) -> Hops {
    let mut hops = Hops::new();
    let until = Instant::now() + RESOLVE;
    let services = document.services.iter();
    for backend in services.flat_map(|service| &service.backends) {
        let address = backend.address.ip();
        if hops.contains_key(&address) {
            continue;
        }
        let hop = routes.next_hop(address).await;
        if let Ok(hop) = &hop {
            // That nobody answers shows in a moment.
            _ = routes.solicit(hop).await;
        }
        hops.insert(address, hop);
    }
    let is_open = |hop: &Result<NextHop, _>| {
        let known = hop.as_ref();
        known.is_ok_and(|hop| hop.destination_mac.is_none())
    };
    while hops.values().any(is_open) && Instant::now() < until {
        tokio::time::sleep(POLL).await;
        for (address, hop) in &mut hops {
            if is_open(hop) {
                *hop = routes.next_hop(*address).await;
            }
        }
    }
    hops
}

/// What all have in common.
pub(super) struct Ward<'a> {
    document: &'a Document,
    options: &'a Options,
    own: Own,
    vips: Vec<IpAddr>,
    pub(super) datapath: Datapath,
    hops: &'a Hops,
    ports: u16,
}

/// One backend of one service, and what it is asked.
pub(super) struct Patient<'a> {
    pub(super) service: &'a Service,
    pub(super) backend: SocketAddr,
    hop: Option<&'a Result<NextHop, RouteError>>,
    pub(super) client: Option<IpAddr>,
    own: Option<IpAddr>,
    probes: Probes,
}

impl<'a> Ward<'a> {
    fn patients(&mut self, service: &'a Service) -> Result<Vec<Patient<'a>>, DoctorError> {
        let v4 = service.vip.address.is_ipv4();
        let mut patients = Vec::new();
        // Clients that answers find: ourselves where backends answer straight to them.
        let mut made: HashMap<Option<IpAddr>, HashMap<SocketAddr, Made>> = HashMap::new();
        for backend in &service.backends {
            let backend = backend.address;
            let hop = self.hops.get(&backend.ip());
            let known = hop.and_then(|hop| hop.as_ref().ok());
            let own = |v4| known.and_then(|hop| self.own.address(hop, v4, &self.vips));
            let (own_of_backend, own_of_vip) = (own(backend.is_ipv4()), own(v4));
            let client = match service.forward {
                Forward::Nat | Forward::FullNat => self.client(v4),
                Forward::Dsr | Forward::Ipip | Forward::Gue => own_of_vip,
            };
            if let Some(client) = client
                && !made.contains_key(&Some(client))
            {
                let port = self.take_ports(service.backends.len() as u16);
                let packets = self
                    .datapath
                    .packets(service, SocketAddr::new(client, port))?;
                made.insert(Some(client), packets);
            }
            let made = made.get(&client).and_then(|made| made.get(&backend));
            let port = self.take_ports(PORTS);
            let subject = known.and_then(|hop| {
                Some(Subject {
                    service,
                    backend,
                    hop,
                    mac: hop.destination_mac?,
                    own: own_of_backend,
                    own_of_vip,
                    port,
                })
            });
            let outer = self.tunnel_source(backend.ip());
            let probes = subject.map(|subject| subject.probes(&self.own, made, outer));
            patients.push(Patient {
                service,
                backend,
                hop,
                client,
                own: own_of_backend,
                probes: probes.unwrap_or_default(),
            });
        }
        Ok(patients)
    }

    pub(super) fn take_ports(&mut self, count: u16) -> u16 {
        if self.ports + count > PORT_COUNT {
            self.ports = 0;
        }
        let first = FIRST_PORT + self.ports;
        self.ports += count;
        first
    }

    /// A client to whom answers have to find the way.
    fn client(&self, v4: bool) -> Option<IpAddr> {
        let mut clients = self.options.clients.iter().chain(&CLIENTS);
        clients.find(|client| client.is_ipv4() == v4).copied()
    }

    /// One of the addresses that tunnels to a backend come from.
    fn tunnel_source(&self, backend: IpAddr) -> Option<IpAddr> {
        let mut sources = self.document.tunnel_source.iter();
        let source = sources.find(|one| one.addr().is_ipv4() == backend.is_ipv4());
        source.map(IpNet::addr)
    }
}

impl Patient<'_> {
    fn examined(&self, document: &Document, evidence: &Evidence) -> Examined {
        let answered = self.answers(evidence);
        let findings = match self.unreached(answered, evidence) {
            Some(finding) => vec![finding],
            None => self.findings(document, answered, evidence),
        };
        Examined {
            service: self.service.name.clone(),
            backend: self.backend,
            forward: self.service.forward.to_string(),
            answered,
            findings,
        }
    }

    /// The way to it.
    pub(super) fn way(&self) -> Option<&NextHop> {
        self.hop?.as_ref().ok()
    }

    /// Whether it answered a packet that the program made.
    pub(super) fn answers(&self, evidence: &Evidence) -> bool {
        self.probes.made.is_some_and(|made| evidence.spoke(made))
    }

    /// Why no packet gets to the backend at all.
    fn unreached(&self, answered: bool, evidence: &Evidence) -> Option<Finding> {
        let address = self.backend.ip();
        let hop = match self.hop? {
            Ok(hop) => hop,
            Err(error) => {
                let remedy = vec![format!("ip route add {address} via GATEWAY")];
                return Some(Finding::new("no-route", error.to_string(), remedy));
            }
        };
        let (via, interface) = (hop.via, &hop.interface_name);
        if self.service.forward == Forward::Dsr && via != address {
            let problem = format!(
                "dsr needs a link with the backend, but {address} is behind the router {via} on {interface}"
            );
            let remedy = vec!["in the document: forward = \"ipip\" for this service".to_owned()];
            return Some(Finding::new("shared-link", problem, remedy));
        }
        if hop.destination_mac.is_none() {
            let problem = format!("nobody on {interface} answers for {via}");
            let remedy = vec![format!(
                "look whether {via} is up, and on the network of {interface}: ip neighbour show {via}"
            )];
            return Some(Finding::new("neighbour", problem, remedy));
        }
        if self.own.is_none() {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            let problem = format!("this host has no {family} address to be answered at");
            let remedy = vec![format!("ip address add ADDRESS/PREFIX dev {interface}")];
            return Some(Finding::new("own-address", problem, remedy));
        }
        let lives = answered || self.answers_directly(evidence) || self.pings(evidence);
        if lives {
            return None;
        }
        let problem = format!(
            "{address} answers neither pings nor at port {}",
            self.port()
        );
        let remedy = vec![format!(
            "on the backend, look whether it drops packets from this host: nft list ruleset"
        )];
        Some(Finding::new("silent", problem, remedy))
    }

    /// What is amiss with a backend that is there.
    fn findings(&self, document: &Document, answered: bool, evidence: &Evidence) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !answered {
            findings.push(self.unanswered(document, evidence));
        } else if let Some(made) = self.probes.made
            && evidence.reset(made)
            && self.service.vip.protocol == Protocol::Tcp
        {
            findings.push(self.deaf());
        }
        if self.service.forward == Forward::Dsr {
            findings.extend(self.claims(evidence));
        }
        findings.extend(self.short(evidence));
        findings
    }

    /// Why the program's packet was not answered.
    fn unanswered(&self, document: &Document, evidence: &Evidence) -> Finding {
        let (vip, address) = (self.service.vip.address, self.backend.ip());
        match self.service.forward {
            Forward::Nat if self.answers_directly(evidence) => {
                let client = self
                    .client
                    .map_or_else(String::new, |one| format!(" such as {one}"));
                let problem = format!(
                    "{address} does not send answers to clients{client} back through this host"
                );
                let remedy = vec![setup::route_back(vip.is_ipv4(), self.own)];
                Finding::new("route-back", problem, remedy)
            }
            Forward::FullNat | Forward::Nat => {
                let problem = format!("nothing comes back from port {} of {address}", self.port());
                let remedy =
                    vec!["on the backend, look whether it drops them: nft list ruleset".to_owned()];
                Finding::new("port", problem, remedy)
            }
            Forward::Dsr => self.lacks_vip(),
            Forward::Ipip | Forward::Gue => self.packed(document, evidence),
        }
    }

    /// Why a tunnel's packet was not answered.
    fn packed(&self, document: &Document, evidence: &Evidence) -> Finding {
        const IN_IPV4: u8 = 4;
        const IN_IPV6: u8 = 41;
        const UDP: u8 = 17;
        let address = self.backend.ip();
        let mode = self.service.forward;
        let protocols: &[u8] = match self.service.forward {
            Forward::Gue => &[UDP],
            _ => &[IN_IPV4, IN_IPV6],
        };
        let spoke = |ends: Option<_>| ends.is_some_and(|ends| evidence.spoke(ends));
        if evidence.refused(address, protocols) {
            let problem = format!("nothing on {address} unpacks {mode}");
            return Finding::new("decapsulation", problem, vec![setup::decapsulate(document)]);
        }
        if spoke(self.probes.own_inside) {
            return self.lacks_vip();
        }
        let sources: Vec<String> = document
            .tunnel_source
            .iter()
            .map(ToString::to_string)
            .collect();
        let sources = sources.join(" and ");
        if spoke(self.probes.own_tunnel) {
            let problem = format!(
                "{address} unpacks {mode} from this host's address, but not from {sources}"
            );
            let remedy = vec![setup::rp_filter("INTERFACE")];
            return Finding::new("tunnel-source", problem, remedy);
        }
        let problem = format!(
            "{address} unpacks nothing that comes from {sources}, or drops what was inside"
        );
        let remedy = vec![setup::decapsulate(document), setup::rp_filter("TUNNEL")];
        Finding::new("tunnel-source", problem, remedy)
    }

    fn lacks_vip(&self) -> Finding {
        let vip = self.service.vip.address;
        let problem = format!(
            "{} does not have the virtual address {vip}",
            self.backend.ip()
        );
        Finding::new("vip", problem, vec![setup::hold(vip)])
    }

    /// Nobody listens there.
    fn deaf(&self) -> Finding {
        let at = match self.service.forward {
            Forward::FullNat | Forward::Nat => SocketAddr::new(self.backend.ip(), self.port()),
            _ => SocketAddr::new(self.service.vip.address, self.service.vip.port),
        };
        let problem = format!("nobody listens at {at} on {}", self.backend.ip());
        let remedy = vec![format!(
            "let the service listen at {at}, or at all addresses"
        )];
        Finding::new("listen", problem, remedy)
    }

    /// Whether others on the link take it for the one who has the VIP.
    fn claims(&self, evidence: &Evidence) -> Vec<Finding> {
        let (vip, address) = (self.service.vip.address, self.backend.ip());
        let mut findings = Vec::new();
        if self
            .probes
            .vip_claimed
            .is_some_and(|claim| evidence.has(&claim))
        {
            let problem = format!(
                "{address} answers ARP for the virtual address {vip}, so that clients' packets go around the balancer"
            );
            findings.push(Finding::new(
                "arp-ignore",
                problem,
                vec![setup::arp_ignore()],
            ));
        }
        if let (Some(vip), Some(mac)) = (self.probes.vip_announced, self.mac())
            && evidence.asked_as(mac, vip)
        {
            let problem = format!(
                "{address} asks for its neighbours in the name of {vip}, so that they take it for the one who has it"
            );
            findings.push(Finding::new(
                "arp-announce",
                problem,
                vec![setup::arp_announce()],
            ));
        }
        findings
    }

    /// Whether long packets get lost.
    fn short(&self, evidence: &Evidence) -> Option<Finding> {
        let full = self.probes.echo_full.filter(|full| !evidence.has(full))?;
        if !self.pings(evidence) {
            return None;
        }
        _ = full;
        let hop = self.way()?;
        let (address, mtu) = (self.backend.ip(), hop.mtu);
        let (problem, fits) = match evidence.too_big(address) {
            Some(fits) => (
                format!(
                    "packets of {mtu} bytes do not reach {address}: a router before it takes {fits}"
                ),
                fits.to_string(),
            ),
            None => (
                format!("packets of {mtu} bytes get lost before {address}, and nobody says so"),
                "BYTES".to_owned(),
            ),
        };
        let via = if hop.via == address {
            String::new()
        } else {
            format!(" via {}", hop.via)
        };
        let interface = &hop.interface_name;
        let remedy = vec![format!(
            "ip route replace {address}{via} dev {interface} mtu {fits}"
        )];
        Some(Finding::new("mtu", problem, remedy))
    }

    fn mac(&self) -> Option<[u8; 6]> {
        self.way()?.destination_mac
    }

    fn port(&self) -> u16 {
        match self.backend.port() {
            0 => self.service.vip.port,
            port => port,
        }
    }

    fn pings(&self, evidence: &Evidence) -> bool {
        self.probes
            .echo
            .is_some_and(|echo: Seen| evidence.has(&echo))
    }

    fn answers_directly(&self, evidence: &Evidence) -> bool {
        self.probes.direct.is_some_and(|ends| evidence.spoke(ends))
    }
}
