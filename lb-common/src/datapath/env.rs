//! What the engine asks of the world outside the packet. The kernel answers with maps and BPF
//! functions, a test with plain collections.

use super::Steps;
use crate::abi::{
    Address, Backend, Datagram, DatagramKey, Features, Flow, FlowKey, PortTable, Reason, Reverse,
    Rule, Service, ServiceKey, Ticks, V4, V6,
};

/// Everything that does not depend on the address family.
pub trait Env: Steps<V4> + Steps<V6> {
    /// A backend entry in place: its fields are read where they are used, because a copy would
    /// not fit the 512 bytes of a BPF program's stack.
    type BackendCell: Cell<Backend> + Copy;

    /// A datagram's entry in place.
    type DatagramCell: Cell<Datagram>;

    /// The stages in use, fixed when the program was loaded.
    fn features(&self) -> Features;

    /// First source port of `full-nat`, and of `nat` for clients whose own is taken, and how many there are from there.
    fn nat_ports(&self) -> (u16, u16);

    /// Words of each row in use, at most [`crate::abi::limits::ROW_WORDS`].
    fn rule_words(&self) -> u32;

    /// Index of the interface that the frame arrived on.
    fn ingress_interface(&self) -> u32;

    /// Bytes of the longest packet that an interface takes; 0 if that is not known.
    fn link_mtu(&self, interface: u32) -> usize;

    /// Remembers how many bytes the way to a backend takes, by the common form of its address.
    fn note_path_mtu(&mut self, backend: [u64; 2], mtu: u32);

    /// A datagram of which the first fragment was seen.
    fn datagram(&self, key: &DatagramKey) -> Option<Self::DatagramCell>;

    /// Writes a datagram, new or not; a table that refuses it loses its later fragments.
    fn insert_datagram(&mut self, key: &DatagramKey, datagram: &Datagram);

    /// Forgets a datagram.
    fn remove_datagram(&mut self, key: &DatagramKey);

    /// Coarse monotonic time.
    fn now(&self) -> Ticks;

    /// A random word.
    fn random(&mut self) -> u32;

    /// Whether one more ICMP error may be sent; each is counted.
    fn may_send_error(&mut self) -> bool;

    /// The backend id in a slot.
    fn slot(&self, index: u32) -> Option<u32>;

    /// A backend by its id.
    fn backend(&self, id: u32) -> Option<Self::BackendCell>;

    /// Takes the next value of a service's cursor; no two callers get the same.
    fn next_cursor(&mut self, service: u32) -> u64;

    /// The row that a port selects.
    fn port_row(&self, table: PortTable, index: u16) -> u32;

    /// One word of a row; 0 where there is no such row.
    fn row_word(&self, row: u32, word: u32) -> u64;

    /// A rule by its position.
    fn rule(&self, position: u32) -> Option<Rule>;

    /// Counts a frame that left for a reason.
    fn count_reason(&mut self, reason: Reason, bytes: u64);

    /// Counts a frame that a rule decided.
    fn count_rule(&mut self, id: u32, bytes: u64);

    /// Counts a frame from a client.
    fn count_ingress(&mut self, service: u32, backend: u32, bytes: u64, new_flow: bool);

    /// Counts a frame to a client.
    fn count_egress(&mut self, service: u32, backend: u32, bytes: u64);
}

/// The tables of one address family.
pub trait Tables<A: Address> {
    /// A service entry in place.
    type ServiceCell: Cell<Service> + Copy;
    /// A flow entry in place.
    type FlowCell: Cell<Flow>;
    /// A reverse entry in place.
    type ReverseCell: Cell<Reverse>;

    /// A service by its exact key.
    fn service(&self, key: &ServiceKey<A>) -> Option<Self::ServiceCell>;

    /// The row of the longest prefix that covers a source address, or that of uncovered ones.
    fn source_row(&self, address: A) -> u32;

    /// The row of the longest prefix that covers a destination address, or that of uncovered
    /// ones.
    fn destination_row(&self, address: A) -> u32;

    /// A client's flow.
    fn flow(&self, stage: Stage, key: &FlowKey<A>) -> Option<Self::FlowCell>;

    /// Writes a flow, new or not; false if the table refuses.
    fn insert_flow(&mut self, stage: Stage, key: &FlowKey<A>, flow: &Flow) -> bool;

    /// Forgets a flow.
    fn remove_flow(&mut self, stage: Stage, key: &FlowKey<A>);

    /// The way back that a backend's reply takes.
    fn reverse(&self, stage: Stage, key: &FlowKey<A>) -> Option<Self::ReverseCell>;

    /// Writes a new way back; false if the table refuses, or has one of this key.
    fn insert_reverse(&mut self, stage: Stage, key: &FlowKey<A>, reverse: &Reverse) -> bool;

    /// Forgets a way back.
    fn remove_reverse(&mut self, stage: Stage, key: &FlowKey<A>);
}

/// Which of the two flow tables: a flood of first packets churns only the pending one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// One packet seen.
    Pending,
    /// The client continued.
    Established,
}

/// A map value in place. Other CPUs may write it at the same time, and the kernel gives its memory
/// to another key as soon as the entry is gone, while it is still held here.
pub trait Cell<V: Copy> {
    /// Its value.
    fn load(&self) -> V;

    /// Its value once more, looked at behind everything that was read so far.
    #[inline(always)]
    fn reload(&self) -> V {
        self.load()
    }

    /// Changes the fields that `change` writes, and no others. What lies here by now may be
    /// another's: `change` looks at its mark.
    fn update(&self, change: impl FnOnce(&mut V));

    /// Shows its value where it is.
    fn with<R>(&self, see: impl FnOnce(&V) -> R) -> R;
}
