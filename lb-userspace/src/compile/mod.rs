//! From the checked document to the content of every map. Pure: no I/O, no clock.

mod firewall;
mod ports;
mod prefixes;
mod rows;
mod schedule;

use std::net::{IpAddr, SocketAddr};

use lb_common::abi::address::wide;
use lb_common::abi::{self, BackendState, Hop};

use crate::document::{self, Document};
use crate::ids::Ids;
use crate::tables::{ServiceTable, Tables, VipKey};

/// What is known of a backend outside the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendView {
    /// The last word of its health check.
    pub healthy: bool,
    /// Where its packets leave; the default while that is not known.
    pub hop: Hop,
    /// Our address on the way to it; `None` while that is not known.
    pub source: Option<IpAddr>,
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
            if entry.state == BackendState::UP {
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
                    document::Forward::Dsr => abi::Forward::DSR,
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
    let configured = document
        .nat_source
        .iter()
        .find(|s| s.is_ipv4() == address.is_ipv4());
    // The VIP is our address too: without any other, replies to it still come here.
    let source = configured
        .copied()
        .or(view.source)
        .unwrap_or(service.vip.address);
    let state = match (view.healthy, backend.drain) {
        (false, _) => BackendState::DOWN,
        (true, true) => BackendState::DRAINING,
        (true, false) => BackendState::UP,
    };
    let entry = abi::Backend {
        incarnation,
        service: around.ids.service(&service.name),
        state,
        port: backend.address.port(),
        hop: view.hop,
        address: wide(address),
        source: wide(source),
        ..abi::Backend::default()
    };
    (id, entry)
}
