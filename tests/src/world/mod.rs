//! The engine's world on the host: plain collections, a clock that is set and chance that is
//! seeded. It decides nothing; what it holds is what the tables say.
//!
//! It does not imitate the kernel's eviction: a table that is full forgets its least recently
//! used entry exactly, or refuses, as a test wishes.
#![expect(
    clippy::panic,
    reason = "a test's world fails by panicking where the engine breaks its contract"
)]

mod env;
mod family;
mod frame;
mod setup;
mod table;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use lb_common::abi::address::narrow;
use lb_common::abi::limits::{DATAGRAMS, PENDING, SLOTS};
use lb_common::abi::{
    Backend, Datagram, DatagramKey, ErrorLimit, Reverse, Service, Settings, Slots, Ticks, V4, V6,
};
use lb_common::datapath::{self, Verdict};
use lb_userspace::reconcile::Write;
use lb_userspace::tables::{FirewallTables, ServiceTable, Tables, VipKey};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

pub use family::{Member, Part, tuple};
pub use frame::HostFrame;
pub use setup::{BackendSetup, OUR_MAC, Setup, addresses, backend_hop, rule};
pub use table::{Entry, Fixed, FlowTable, WhenFull};

use crate::ring::{Exit, FlowView, Ran, ReverseView, Ring, State, Table, Tuple};

/// The interface that frames arrive on; that of a test run in the kernel is the loopback.
pub const INTERFACE: u32 = 1;
/// Bytes of the longest packet that every interface takes: the loopback's.
pub const LINK_MTU: usize = 65_536;

/// Chooses a random word for the flow that was last looked up.
pub type Oracle = Box<dyn FnMut(Option<Tuple>) -> u32>;

enum Chance {
    Seeded(Box<StdRng>),
    Oracle(Oracle),
}

/// The engine's world on the host.
pub struct World {
    /// The clock.
    pub now: Ticks,
    /// The interface that frames arrive on.
    pub interface: u32,
    /// How many writes each frame lets through; `None` is all.
    pub writes: Option<usize>,
    settings: Settings,
    chance: Chance,
    /// The flow that was last looked up.
    asked: Cell<Option<Tuple>>,
    v4: Part<V4>,
    v6: Part<V6>,
    slots: Vec<u32>,
    next_slot: usize,
    backends: HashMap<u32, Backend>,
    firewall: FirewallTables,
    cursors: BTreeMap<u32, u64>,
    counted: State,
    errors: ErrorLimit,
    datagrams: FlowTable<DatagramKey, Datagram>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world with these tables, and with chance from a seed.
    pub fn new(tables: &Tables, seed: u64) -> Self {
        let flows = tables.flows as usize;
        let pending = PENDING as usize;
        let mut world = Self {
            // Late enough that every idle time lies behind us.
            now: Ticks(1_000_000),
            interface: INTERFACE,
            writes: None,
            settings: Settings::default(),
            chance: Chance::Seeded(Box::new(StdRng::seed_from_u64(seed))),
            asked: Cell::new(None),
            v4: Part::new(flows, pending),
            v6: Part::new(flows, pending),
            slots: vec![0; SLOTS as usize],
            next_slot: 0,
            backends: HashMap::new(),
            firewall: FirewallTables::default(),
            cursors: BTreeMap::new(),
            counted: State::default(),
            errors: ErrorLimit::default(),
            datagrams: FlowTable::new(DATAGRAMS as usize),
        };
        world.configure(tables);
        world
    }

    /// Takes chance from elsewhere.
    #[must_use]
    pub fn with_oracle(mut self, oracle: Oracle) -> Self {
        self.chance = Chance::Oracle(oracle);
        self
    }

    /// Limits a flow table of both families, and with it the ways back.
    pub fn limit(&mut self, table: Table, entries: usize, when_full: WhenFull) {
        self.v4.resize(table, entries, when_full);
        self.v6.resize(table, entries, when_full);
    }

    /// A new generation: configuration anew, flows and counters as they are.
    pub fn configure(&mut self, tables: &Tables) {
        self.settings = tables.settings(true);
        self.firewall = tables.firewall.clone();
        self.backends = tables.backends.iter().map(|(id, b)| (*id, *b)).collect();
        self.v4.services.clear();
        self.v6.services.clear();
        for (key, service) in &tables.services {
            self.write_service(key, service);
        }
        self.fill_prefixes(tables);
    }

    fn fill_prefixes(&mut self, tables: &Tables) {
        let sources = tables.firewall.sources.clone().unwrap_or_default();
        let destinations = tables.firewall.destinations.clone().unwrap_or_default();
        let v4 = |prefixes: &[([u8; 4], u8, u32)]| -> Vec<_> {
            prefixes
                .iter()
                .map(|(a, l, r)| (a.to_vec(), *l, *r))
                .collect()
        };
        let v6 = |prefixes: &[([u8; 16], u8, u32)]| -> Vec<_> {
            prefixes
                .iter()
                .map(|(a, l, r)| (a.to_vec(), *l, *r))
                .collect()
        };
        self.v4.sources.entries = v4(&sources.v4);
        self.v6.sources.entries = v6(&sources.v6);
        self.v4.destinations.entries = v4(&destinations.v4);
        self.v6.destinations.entries = v6(&destinations.v6);
        self.v4.sources.uncovered = sources.uncovered_v4;
        self.v6.sources.uncovered = sources.uncovered_v6;
        self.v4.destinations.uncovered = destinations.uncovered_v4;
        self.v6.destinations.uncovered = destinations.uncovered_v6;
    }

    /// Writes slots to a range that no packet has seen lately, then points the service there.
    fn write_service(&mut self, key: &VipKey, service: &ServiceTable) {
        let count = service.slots.len();
        if self.next_slot + count > self.slots.len() {
            self.next_slot = 0;
        }
        let first = self.next_slot;
        self.slots[first..first + count].copy_from_slice(&service.slots);
        self.next_slot += count;
        let entry = Service {
            id: service.id,
            slots: Slots::new(first as u32, count as u32),
            scheduler: service.scheduler,
            forward: service.forward,
            ..Service::default()
        };
        match key.address {
            IpAddr::V4(address) => {
                put(&mut self.v4, V4::from(address), key, entry);
            }
            IpAddr::V6(address) => {
                put(&mut self.v6, V6::from(address), key, entry);
            }
        }
    }

    fn view<A: Member>(&self, state: &mut State) {
        let part = A::part(self);
        for (table, flows) in [
            (Table::Pending, &part.pending),
            (Table::Established, &part.established),
        ] {
            for (key, flow) in flows.iter() {
                let view = FlowView {
                    backend: flow.backend.into(),
                    incarnation: flow.incarnation,
                    age: self.now.since(flow.seen),
                    source_port: flow.source_port,
                    state: flow.state,
                };
                state.flows.insert((table, tuple(key)), view);
            }
        }
        for (table, reverses) in [
            (Table::Pending, &part.pending_reverse),
            (Table::Established, &part.established_reverse),
        ] {
            for (key, reverse) in reverses.iter() {
                let view = reverse_view(&reverse, self.now);
                state.reverses.insert((table, tuple(key)), view);
            }
        }
    }
}

fn put<A: Member>(part: &mut Part<A>, address: A, key: &VipKey, entry: Service) {
    part.services
        .insert((address, key.port, key.protocol), entry);
    part.services.insert((address, 0, 0), Service::default());
}

/// A way back as cases write it.
pub fn reverse_view(reverse: &Reverse, now: Ticks) -> ReverseView {
    ReverseView {
        client: SocketAddr::new(narrow(reverse.client), reverse.client_port),
        vip: SocketAddr::new(narrow(reverse.vip), reverse.vip_port),
        service: reverse.service.into(),
        backend: reverse.backend.into(),
        age: now.since(reverse.seen),
        state: reverse.state,
        hop: reverse.hop,
    }
}

impl Ring for World {
    fn run(&mut self, frame: &[u8]) -> Ran {
        let mut frame = HostFrame::new(frame);
        if let Some(writes) = self.writes {
            frame = frame.failing_after(writes);
        }
        let outcome = datapath::ingress(&mut frame, self);
        Ran {
            exit: match outcome.verdict {
                Verdict::Pass => Exit::Pass,
                Verdict::Drop => Exit::Drop,
                Verdict::Tx => Exit::Tx,
                Verdict::Redirect(interface) => Exit::Redirect(Some(interface)),
            },
            trace: outcome.trace(),
            frame: frame.into_bytes(),
        }
    }

    fn apply(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Backend(id, backend) => {
                    self.backends.insert(*id, *backend);
                }
                Write::Service(key, service) => self.write_service(key, service),
            }
        }
    }

    fn generation(&mut self, tables: &Tables) {
        self.configure(tables);
    }

    fn forget_ways_back(&mut self) {
        self.v4.forget_ways_back();
        self.v6.forget_ways_back();
    }

    fn state(&mut self) -> State {
        let mut state = self.counted.clone();
        state.cursors = self.cursors.clone();
        self.view::<V4>(&mut state);
        self.view::<V6>(&mut state);
        state
    }

    fn wait(&mut self, ticks: u32) -> bool {
        self.now = Ticks(self.now.0 + ticks);
        true
    }
}
