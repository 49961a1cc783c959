//! Per-CPU counters. Readers add up the CPUs.

/// Packets and bytes; bytes are those of whole frames as received.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Number of packets.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

/// The traffic of a service or a backend.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// From clients.
    pub ingress: Tally,
    /// To clients, as far as replies pass here.
    pub egress: Tally,
    /// Flows scheduled.
    pub connections: u64,
}

impl Tally {
    /// Counts one frame.
    #[inline(always)]
    pub fn add(&mut self, bytes: u64) {
        self.packets += 1;
        self.bytes += bytes;
    }

    /// Adds another CPU's count.
    pub fn merge(&mut self, other: Self) {
        self.packets = self.packets.wrapping_add(other.packets);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

impl Traffic {
    /// Adds another CPU's count.
    pub fn merge(&mut self, other: Self) {
        self.ingress.merge(other.ingress);
        self.egress.merge(other.egress);
        self.connections = self.connections.wrapping_add(other.connections);
    }
}

const _: () = assert!(size_of::<Tally>() == 16 && size_of::<Traffic>() == 40);
