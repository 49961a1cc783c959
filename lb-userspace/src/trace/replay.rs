//! The loaded program, run on one frame after the other.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use aya::maps::PerCpuArray;
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions};
use jiff::Timestamp;
use lb_common::abi::{Hop, Reason, Trace};

use super::names::Names;
use super::{TraceError, Traced};
use crate::compile::{BackendView, Surroundings, Way, compile};
use crate::dataplane::{DataplaneError, Generation, Host};
use crate::document::{self, Document};
use crate::ids::Ids;
use crate::route::Routes;

/// The interface that `BPF_PROG_TEST_RUN` lets frames arrive on: `lo`.
const INGRESS: u32 = 1;
/// Stands for next hops that this machine cannot resolve.
const PLACEHOLDER: [u8; 6] = [0x02, 0, 0, 0, 0, 0];
/// Fewer bytes are no Ethernet frame (IEEE 802.3), and the kernel takes none.
const ETHERNET_HEADER: usize = 14;
/// The longest frame that lies in one piece: a page of 4 KiB without the headroom of XDP (256
/// bytes) and the kernel's `skb_shared_info` (320 bytes). Of a longer one the program would see the
/// beginning only, which no driver shows to a program that does not ask for it.
const LONGEST: usize = 4096 - HEADROOM - 320;
/// As much a frame can grow.
const HEADROOM: usize = 256;
/// The map that the program leaves its decision in.
const TRACE: &str = "TRACE";
/// No reason has this number.
const NOT_RUN: Trace = Trace {
    reason: u32::MAX,
    rule: 0,
    service: 0,
    backend: 0,
    new_flow: 0,
    zero: 0,
};

/// The program, loaded with a document of its own.
#[derive(Debug)]
pub struct Replay {
    generation: Generation,
    names: Names,
    out: Vec<u8>,
}

impl Replay {
    /// Loads the program for a document, every backend taken as healthy.
    pub async fn load(config: &Path) -> Result<Self, TraceError> {
        let text = std::fs::read_to_string(config).map_err(|source| TraceError::Io {
            what: "read",
            path: config.to_owned(),
            source,
        })?;
        let mut document = document::parse(&text, &config.to_string_lossy())?;
        let now = Timestamp::now();
        document
            .firewall
            .blocks
            .retain(|block| block.until.is_none_or(|until| until > now));
        let ways = ways(&document).await;
        Self::of(&document, &ways)
    }

    /// Loads the program for a document, every backend taken as healthy, and as somewhere where its
    /// way is not given.
    pub fn of(document: &Document, ways: &HashMap<IpAddr, Way>) -> Result<Self, TraceError> {
        let host = Host::probe()?;
        let mut ids = Ids::default();
        ids.assign(document);
        let view = |_: &str, address: SocketAddr| {
            let way = ways.get(&address.ip()).copied();
            BackendView {
                healthy: true,
                way: way.unwrap_or_else(placeholder),
            }
        };
        let around = Surroundings {
            ids: &ids,
            view: &view,
            nat_ports: host.nat_ports,
            trace: true,
        };
        let tables = compile(document, &around)?;
        let mut generation = Generation::load(&tables, host.coarse_clock, None)?;
        generation.fill(&tables)?;
        let names = Names::new(document, &ids);
        Ok(Self {
            generation,
            names,
            out: Vec::new(),
        })
    }

    /// Runs the program on a frame; the frame as it left the program.
    pub fn packet(&mut self, index: u64, frame: &[u8]) -> Result<(Traced, &[u8]), TraceError> {
        self.packet_on(INGRESS, index, frame)
    }

    /// Runs the program on a frame that arrives on the interface of this index.
    pub fn packet_on(
        &mut self,
        interface: u32,
        index: u64,
        frame: &[u8],
    ) -> Result<(Traced, &[u8]), TraceError> {
        let mut traced = Traced {
            index,
            verdict: "aborted",
            reason: "too_long",
            rule: None,
            service: None,
            backend: None,
            new_flow: false,
            length_in: frame.len(),
            length_out: frame.len(),
        };
        self.out.clear();
        self.out.extend_from_slice(frame);
        if frame.len() < ETHERNET_HEADER {
            // What the engine says of such a frame; no driver would hand one up.
            traced.verdict = "drop";
            traced.reason = Reason::Malformed.name();
            return Ok((traced, &self.out));
        }
        if frame.len() > LONGEST {
            return Ok((traced, &self.out));
        }
        self.out.resize(frame.len() + HEADROOM, 0);
        // Overwritten on every CPU: the one that changes is the one that ran.
        self.generation.set_on_each_cpu(TRACE, 0, NOT_RUN)?;
        let arrival = arrival(interface, frame);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut self.out),
            // Without it the kernel takes the interface that is meant.
            ctx_in: (interface != INGRESS).then_some(&arrival),
            ..TestRunOptions::default()
        };
        let program = self.generation.program()?;
        let result = program.test_run(options).map_err(DataplaneError::from)?;
        self.out.truncate(result.data_size_out as usize);
        traced.length_out = self.out.len();
        traced.verdict = verdict(result.return_value);
        let trace = self.read_trace()?;
        traced.reason = Reason::from_number(trace.reason).map_or("unknown", Reason::name);
        traced.rule = self.names.rule(trace.rule);
        traced.service = self.names.service(trace.service);
        traced.backend = self.names.backend(trace.backend);
        traced.new_flow = trace.new_flow != 0;
        Ok((traced, &self.out))
    }

    /// Runs the program on a frame as if it had arrived on the interface of this index: what the
    /// program sends really leaves. Needs kernel 5.18 (commit b530e9e1063e).
    ///
    /// The kernel sends a frame of `XDP_TX` as one that is redirected to the interface that it came
    /// from.
    pub fn live(&mut self, interface: u32, frame: &[u8]) -> Result<(), TraceError> {
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&arrival(interface, frame)),
            attrs: TestRunAttrs::new().xdp_live_frames(1),
            ..TestRunOptions::default()
        };
        let program = self.generation.program()?;
        program.test_run(options).map_err(DataplaneError::from)?;
        Ok(())
    }

    fn read_trace(&self) -> Result<Trace, DataplaneError> {
        let map = self.generation.map(TRACE)?;
        let map: PerCpuArray<_, Trace> = map.try_into().map_err(DataplaneError::map(TRACE))?;
        let values = map.get(&0, 0).map_err(DataplaneError::map(TRACE))?;
        Ok(values
            .iter()
            .copied()
            .find(|trace| *trace != NOT_RUN)
            .unwrap_or(NOT_RUN))
    }
}

/// `struct xdp_md` (linux/bpf.h) of a frame that arrives on the interface: where it begins, where it
/// ends, no metadata, the interface, the first queue, none that it leaves by.
fn arrival(interface: u32, frame: &[u8]) -> [u8; 24] {
    let fields = [0, frame.len() as u32, 0, interface, 0, 0];
    let mut bytes = [0; 24];
    for (to, field) in bytes.chunks_exact_mut(4).zip(fields) {
        to.copy_from_slice(&field.to_ne_bytes());
    }
    bytes
}

fn placeholder() -> Way {
    Way {
        hop: Hop::new(INGRESS, PLACEHOLDER, PLACEHOLDER),
        ..Way::default()
    }
}

/// The way to each backend. A document whose interfaces do not exist here is
/// about another machine, whose routes this one does not know.
async fn ways(document: &Document) -> HashMap<IpAddr, Way> {
    let mut ways = HashMap::new();
    let exists = |name: &String| nix::net::if_::if_nametoindex(name.as_str()).is_ok();
    if !document.interfaces.iter().any(exists) {
        return ways;
    }
    let Ok(routes) = Routes::open().await else {
        return ways;
    };
    let backends = document
        .services
        .iter()
        .flat_map(|service| &service.backends);
    for address in backends.map(|backend| backend.address.ip()) {
        let Ok(mut next_hop) = routes.next_hop(address).await else {
            continue;
        };
        // Frames arrive on an interface of the document; leaving by it means TX.
        if document.interfaces.contains(&next_hop.interface_name) {
            next_hop.interface = INGRESS;
        }
        let mut way = next_hop.way();
        if next_hop.destination_mac.is_none() {
            way.hop = placeholder().hop;
        }
        ways.insert(address, way);
    }
    ways
}

/// The names of XDP's return values (`enum xdp_action`).
fn verdict(action: u32) -> &'static str {
    match action {
        1 => "drop",
        2 => "pass",
        3 => "tx",
        4 => "redirect",
        _ => "aborted",
    }
}
