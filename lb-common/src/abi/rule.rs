//! The firewall's compiled form.
//!
//! Each dimension of a packet (source, destination, protocol and port, source port) selects one
//! row of bits, bit i saying whether rule i accepts that dimension. The lowest bit that is set in
//! every row is the first rule that matches.

use super::limits::ROW_WORDS;

/// A row of bits, one for each rule.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// Bit i of word w is rule 64 w + i.
    pub words: [u64; ROW_WORDS as usize],
}

/// What a rule does.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rule {
    /// Index of its counter.
    pub id: u32,
    /// What happens to the packet.
    pub action: Action,
}

/// What happens to a packet that a rule matches.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Action(pub u32);

impl Action {
    /// No later rule is asked.
    pub const ACCEPT: Self = Self(0);
    /// The packet is gone.
    pub const DROP: Self = Self(1);
}

/// The tables of rows by protocol and port; each has 65,536 entries.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortTable {
    /// TCP by destination port.
    TcpDestination = 0,
    /// UDP by destination port.
    UdpDestination = 1,
    /// What has no ports: index is the protocol number, for TCP and UDP fragments without their
    /// header 256 more.
    Other = 2,
    /// TCP by source port.
    TcpSource = 3,
    /// UDP by source port.
    UdpSource = 4,
}

impl PortTable {
    /// How many tables there are.
    pub const COUNT: u32 = 5;
    /// Added to the protocol number for fragments without a transport header.
    pub const FRAGMENT: u16 = 256;
}

impl Row {
    /// No rule.
    pub const NONE: Self = Self {
        words: [0; ROW_WORDS as usize],
    };
}

const _: () = assert!(size_of::<Row>() == 128 && size_of::<Rule>() == 8);
