//! Per-CPU counters. Readers add up the CPUs.

use super::Ticks;
use super::limits::ERRORS;

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

/// How many ICMP errors a CPU has sent.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorLimit {
    tick: Ticks,
    sent: u32,
}

impl ErrorLimit {
    /// Counts one more; false where there were [`ERRORS`] in this tick.
    #[inline(always)]
    pub fn permit(&mut self, now: Ticks) -> bool {
        if self.tick != now {
            (self.tick, self.sent) = (now, 0);
        }
        let permitted = self.sent < ERRORS;
        if permitted {
            self.sent += 1;
        }
        permitted
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_limited_in_each_tick() {
        let mut limit = ErrorLimit::default();
        for tick in [7, 8, 100] {
            for _ in 0..ERRORS {
                assert!(limit.permit(Ticks(tick)));
            }
            assert!(!limit.permit(Ticks(tick)));
        }
    }
}
