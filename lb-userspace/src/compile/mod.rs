//! From the checked document to the content of every map. Pure: no I/O, no clock.

mod firewall;
mod ports;
mod prefixes;
mod rows;
mod schedule;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use lb_common::abi::address::wide;
use lb_common::abi::{self, AddressFamily, BackendState, Hop};

use crate::document::{self, Document};
use crate::ids::Ids;
use crate::tables::{ServiceTable, Tables, VipKey};

/// What is known of a backend outside the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendView {
    /// The last word of its health check.
    pub healthy: bool,
    /// The way to it.
    pub way: Way,
}

/// The way to a backend; the default while that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Way {
    /// Where its packets leave.
    pub hop: Hop,
    /// Our address on it.
    pub source: Option<IpAddr>,
    /// Bytes of the longest packet; 0 while that is not known.
    pub mtu: u16,
}

/// Why a document that is valid in itself cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The rules divide addresses and ports into too many classes.
    #[error(
        "the firewall rules tell {rows} classes of addresses and ports apart, but the tables hold \
         {limit}; use fewer rules with ranges that overlap in part, or put their prefixes into sets"
    )]
    TooManyRows {
        /// Classes needed.
        rows: usize,
        /// Classes there may be.
        limit: u32,
    },
}

/// What compilation needs beside the document.
pub struct Surroundings<'a> {
    /// The numbers of everything that the document names.
    pub ids: &'a Ids,
    /// What is known of a backend, by its service's name and address.
    pub view: &'a dyn Fn(&str, SocketAddr) -> BackendView,
    /// Source ports of `full-nat`: the first, and how many.
    pub nat_ports: (u16, u16),
    /// Whether the last decision is left in the trace map.
    pub trace: bool,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("ids", self.ids)
            .field("nat_ports", &self.nat_ports)
            .finish_non_exhaustive()
    }
}

/// Compiles a document.
pub fn compile(document: &Document, around: &Surroundings<'_>) -> Result<Tables, CompileError> {
    let mut tables = Tables {
        services: std::collections::BTreeMap::new(),
        backends: std::collections::BTreeMap::new(),
        firewall: firewall::compile(&document.firewall, around.ids)?,
        flows: document.flows,
        nat_ports: around.nat_ports,
        debug: document.debug,
        trace: around.trace,
    };
    for service in &document.services {
        let mut eligible = Vec::new();
        for backend in &service.backends {
            let (id, entry) = compile_backend(document, service, backend, around);
            // New connections wait for the way to be known; flows that have one keep it.
            if entry.state == BackendState::UP && entry.hop.interface != 0 {
                eligible.push((id, backend.weight));
            }
            tables.backends.insert(id, entry);
        }
        tables.services.insert(
            VipKey::from(service.vip),
            ServiceTable {
                id: around.ids.service(&service.name),
                scheduler: abi::Scheduler::CURSOR,
                forward: match service.forward {
                    document::Forward::FullNat => abi::Forward::FULL_NAT,
                    document::Forward::Nat => abi::Forward::NAT,
                    document::Forward::Dsr => abi::Forward::DSR,
                    document::Forward::Ipip => abi::Forward::IPIP,
                    document::Forward::Gue => abi::Forward::GUE,
                },
                slots: schedule::slots(service.scheduler, &eligible),
            },
        );
    }
    Ok(tables)
}

fn compile_backend(
    document: &Document,
    service: &document::Service,
    backend: &document::Backend,
    around: &Surroundings<'_>,
) -> (u32, abi::Backend) {
    let (id, incarnation) = around.ids.backend(&service.name, backend.address);
    let view = (around.view)(&service.name, backend.address);
    let address = backend.address.ip();
    let (source, source_bits) = match service.forward {
        document::Forward::Ipip | document::Forward::Gue => {
            let (source, bits) = tunnel_source(document, address);
            (wide(source), bits)
        }
        document::Forward::FullNat => {
            let source = nat_source(document, service, address, view.way.source);
            (wide(source), 0)
        }
        document::Forward::Nat | document::Forward::Dsr => ([0, 0], 0),
    };
    let state = match (view.healthy, backend.drain) {
        (false, _) => BackendState::DOWN,
        (true, true) => BackendState::DRAINING,
        (true, false) => BackendState::UP,
    };
    let entry = abi::Backend {
        incarnation,
        service: around.ids.service(&service.name),
        state,
        family: AddressFamily::of(address),
        mtu: view.way.mtu,
        source_bits,
        port: backend.address.port(),
        hop: view.way.hop,
        address: wide(address),
        source,
        ..abi::Backend::default()
    };
    (id, entry)
}

/// Our address in `full-nat` packets to a backend.
fn nat_source(
    document: &Document,
    service: &document::Service,
    backend: IpAddr,
    preferred: Option<IpAddr>,
) -> IpAddr {
    let configured = document
        .nat_source
        .iter()
        .find(|source| source.is_ipv4() == backend.is_ipv4());
    // The VIP is our address too: without any other, replies to it still come here.
    configured
        .copied()
        .or(preferred)
        .unwrap_or(service.vip.address)
}

/// Our address in tunnels to a backend, and how many of its last bits vary with the flow. The
/// document has been checked to have one.
fn tunnel_source(document: &Document, backend: IpAddr) -> (IpAddr, u8) {
    let prefix = document
        .tunnel_source
        .iter()
        .find(|source| source.addr().is_ipv4() == backend.is_ipv4());
    let bits = |prefix: &IpNet| (prefix.max_prefix_len() - prefix.prefix_len()).min(32);
    prefix.map_or((backend, 0), |prefix| (prefix.addr(), bits(prefix)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const DOCUMENT: &str = r#"
interfaces = ["eth0"]
[[service]]
name = "web"
vip = "192.0.2.10:80/tcp"
backend = [
  { address = "10.0.0.11:8080" },
  { address = "10.0.0.12:8080", drain = true },
  { address = "10.0.0.13:8080" },
  { address = "10.0.0.14:8080" },
]
"#;

    fn tables(view: &dyn Fn(&str, SocketAddr) -> BackendView) -> (Tables, Vec<u32>) {
        let document = document::parse(DOCUMENT, "test").unwrap();
        let mut ids = Ids::default();
        ids.assign(&document);
        let around = Surroundings {
            ids: &ids,
            view,
            nat_ports: (1024, 1000),
            trace: false,
        };
        let backends = &document.services[0].backends;
        let numbers = backends
            .iter()
            .map(|b| ids.backend("web", b.address).0)
            .collect();
        (compile(&document, &around).unwrap(), numbers)
    }

    #[test]
    fn only_backends_that_are_up_and_reachable_have_slots() {
        let view = |_: &str, address: SocketAddr| BackendView {
            healthy: address.ip() != IpAddr::from([10, 0, 0, 13]),
            way: if address.ip() == IpAddr::from([10, 0, 0, 14]) {
                Way::default()
            } else {
                Way {
                    hop: Hop::new(2, [2; 6], [4; 6]),
                    source: Some(IpAddr::from([10, 0, 0, 2])),
                    mtu: 1500,
                }
            },
        };
        let (tables, ids) = tables(&view);
        let service = tables.services.values().next().unwrap();
        assert_eq!(service.slots, [ids[0]]);
        let states: Vec<_> = ids.iter().map(|id| tables.backends[id].state).collect();
        let (up, down) = (BackendState::UP, BackendState::DOWN);
        assert_eq!(states, [up, BackendState::DRAINING, down, up]);
    }

    #[test]
    fn full_nat_without_a_known_source_uses_the_vip() {
        let view = |_: &str, _: SocketAddr| BackendView {
            healthy: true,
            way: Way::default(),
        };
        let (tables, ids) = tables(&view);
        let vip = wide(IpAddr::from([192, 0, 2, 10]));
        assert!(ids.iter().all(|id| tables.backends[id].source == vip));
    }
}
