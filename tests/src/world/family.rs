//! The tables of one address family.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use lb_common::abi::{Address, Flow, FlowKey, Reverse, Service, ServiceKey, V4, V6};
use lb_common::datapath::{Stage, Tables};
use lb_common::wire::Family;

use super::World;
use super::table::{Entry, Fixed, FlowTable, WhenFull};
use crate::ring::{Table, Tuple};

/// An address family of the world.
pub trait Member: Family + std::hash::Hash + 'static {
    /// The family's tables.
    fn part(world: &World) -> &Part<Self>;

    /// The family's tables, to write.
    fn part_mut(world: &mut World) -> &mut Part<Self>;

    /// The standard library's form of an address.
    fn ip(self) -> IpAddr;

    /// Its bytes on the wire.
    fn bytes(&self) -> Vec<u8>;
}

/// The tables of one family.
#[derive(Debug)]
pub struct Part<A: Address> {
    /// By address, port and protocol.
    pub(super) services: HashMap<(A, u16, u8), Service>,
    pub(super) sources: PrefixTable,
    pub(super) destinations: PrefixTable,
    pub(super) pending: FlowTable<FlowKey<A>, Flow>,
    pub(super) established: FlowTable<FlowKey<A>, Flow>,
    pub(super) pending_reverse: FlowTable<FlowKey<A>, Reverse>,
    pub(super) established_reverse: FlowTable<FlowKey<A>, Reverse>,
}

/// Prefixes and their rows, searched one by one.
#[derive(Debug, Default)]
pub(super) struct PrefixTable {
    /// Address bytes, length in bits, row.
    pub(super) entries: Vec<(Vec<u8>, u8, u32)>,
    pub(super) uncovered: u32,
}

impl PrefixTable {
    fn row(&self, address: &[u8]) -> u32 {
        self.entries
            .iter()
            .filter(|(network, length, _)| covers(network, *length, address))
            .max_by_key(|(_, length, _)| *length)
            .map_or(self.uncovered, |(_, _, row)| *row)
    }
}

/// Whether the first `length` bits agree.
fn covers(network: &[u8], length: u8, address: &[u8]) -> bool {
    (0..usize::from(length)).all(|bit| {
        let mask = 0x80 >> (bit % 8);
        network[bit / 8] & mask == address[bit / 8] & mask
    })
}

impl<A: Member> Part<A> {
    pub(super) fn new(flows: usize, pending: usize) -> Self {
        Self {
            services: HashMap::new(),
            sources: PrefixTable::default(),
            destinations: PrefixTable::default(),
            pending: FlowTable::new(pending),
            established: FlowTable::new(flows),
            pending_reverse: FlowTable::new(pending),
            established_reverse: FlowTable::new(flows),
        }
    }

    pub(super) fn resize(&mut self, table: Table, capacity: usize, when_full: WhenFull) {
        match table {
            Table::Pending => {
                self.pending.resize(capacity, when_full);
                self.pending_reverse.resize(capacity, when_full);
            }
            Table::Established => {
                self.established.resize(capacity, when_full);
                self.established_reverse.resize(capacity, when_full);
            }
        }
    }

    pub(super) fn forget_ways_back(&mut self) {
        self.pending_reverse.clear();
        self.established_reverse.clear();
    }

    fn flows(&self, stage: Stage) -> &FlowTable<FlowKey<A>, Flow> {
        match stage {
            Stage::Pending => &self.pending,
            Stage::Established => &self.established,
        }
    }

    fn flows_mut(&mut self, stage: Stage) -> &mut FlowTable<FlowKey<A>, Flow> {
        match stage {
            Stage::Pending => &mut self.pending,
            Stage::Established => &mut self.established,
        }
    }

    fn reverses(&self, stage: Stage) -> &FlowTable<FlowKey<A>, Reverse> {
        match stage {
            Stage::Pending => &self.pending_reverse,
            Stage::Established => &self.established_reverse,
        }
    }

    fn reverses_mut(&mut self, stage: Stage) -> &mut FlowTable<FlowKey<A>, Reverse> {
        match stage {
            Stage::Pending => &mut self.pending_reverse,
            Stage::Established => &mut self.established_reverse,
        }
    }
}

impl Member for V4 {
    fn part(world: &World) -> &Part<Self> {
        &world.v4
    }

    fn part_mut(world: &mut World) -> &mut Part<Self> {
        &mut world.v4
    }

    fn ip(self) -> IpAddr {
        IpAddr::from(self.octets())
    }

    fn bytes(&self) -> Vec<u8> {
        self.octets().to_vec()
    }
}

impl Member for V6 {
    fn part(world: &World) -> &Part<Self> {
        &world.v6
    }

    fn part_mut(world: &mut World) -> &mut Part<Self> {
        &mut world.v6
    }

    fn ip(self) -> IpAddr {
        IpAddr::from(self.octets())
    }

    fn bytes(&self) -> Vec<u8> {
        self.octets().to_vec()
    }
}

/// The standard library's form of a flow's key.
pub fn tuple<A: Member>(key: &FlowKey<A>) -> Tuple {
    Tuple {
        remote: SocketAddr::new(key.remote.ip(), key.remote_port),
        local: SocketAddr::new(key.local.ip(), key.local_port),
        protocol: key.protocol,
    }
}

impl<A: Member> Tables<A> for World {
    type ServiceCell = Fixed<Service>;
    type FlowCell = Entry<Flow>;
    type ReverseCell = Entry<Reverse>;

    fn service(&self, key: &ServiceKey<A>) -> Option<Self::ServiceCell> {
        let key = (key.address, key.port, key.protocol);
        A::part(self).services.get(&key).copied().map(Fixed)
    }

    fn source_row(&self, address: A) -> u32 {
        A::part(self).sources.row(&address.bytes())
    }

    fn destination_row(&self, address: A) -> u32 {
        A::part(self).destinations.row(&address.bytes())
    }

    fn flow(&self, stage: Stage, key: &FlowKey<A>) -> Option<Self::FlowCell> {
        self.asked.set(Some(tuple(key)));
        A::part(self).flows(stage).find(key)
    }

    fn insert_flow(&mut self, stage: Stage, key: &FlowKey<A>, flow: &Flow) -> bool {
        A::part_mut(self).flows_mut(stage).insert(key, *flow, false)
    }

    fn remove_flow(&mut self, stage: Stage, key: &FlowKey<A>) {
        A::part_mut(self).flows_mut(stage).remove(key);
    }

    fn reverse(&self, stage: Stage, key: &FlowKey<A>) -> Option<Self::ReverseCell> {
        A::part(self).reverses(stage).find(key)
    }

    fn insert_reverse(&mut self, stage: Stage, key: &FlowKey<A>, reverse: &Reverse) -> bool {
        A::part_mut(self)
            .reverses_mut(stage)
            .insert(key, *reverse, true)
    }

    fn remove_reverse(&mut self, stage: Stage, key: &FlowKey<A>) {
        A::part_mut(self).reverses_mut(stage).remove(key);
    }
}
