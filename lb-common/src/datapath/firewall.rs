//! The firewall: the first rule that every dimension of the packet accepts decides.
//!
//! It is asked about every IP packet, before any table of flows, so that a drop also cuts flows
//! that are established. It keeps no state of its own.

use super::{Env, Tables};
use crate::abi::limits::ROW_WORDS;
use crate::abi::trace::NONE;
use crate::abi::{Action, Features, FlowKey, PortTable};
use crate::wire::Family;
use crate::wire::transport::{TCP, UDP};

/// What the firewall says of a packet, in one number, because a global BPF function can return no
/// more: the rule's counter index, or [`NONE`]; bit 32 if it drops the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling(pub u64);

/// The rows that a packet selects, one for each dimension.
struct Rows {
    source: u32,
    destination: u32,
    port: u32,
    source_port: u32,
}

impl Ruling {
    const DROPS: u64 = 1 << 32;
    /// No rule matches.
    pub const NONE: Self = Self(NONE as u64);

    /// The rule's counter index, or [`NONE`].
    #[inline(always)]
    pub(super) fn rule(self) -> u32 {
        self.0 as u32
    }

    /// Whether the packet may not pass.
    #[inline(always)]
    pub(super) fn drops(self) -> bool {
        self.0 & Self::DROPS != 0
    }
}

/// Finds the rule that decides; without `ports`, those of the key are not the packet's.
#[inline(always)]
pub fn judge<A: Family, E: Env + Tables<A>>(env: &E, key: &FlowKey<A>, ports: bool) -> Ruling {
    let rows = Rows {
        source: source(env, key.remote),
        destination: destination(env, key.local),
        port: port(env, key, ports),
        source_port: source_port(env, key, ports),
    };
    let rule = first_match(env, &rows).and_then(|position| env.rule(position));
    let Some(rule) = rule else {
        return Ruling::NONE;
    };
    let drops = rule.action == Action::DROP;
    Ruling(u64::from(rule.id) | if drops { Ruling::DROPS } else { 0 })
}

/// The position of the first rule whose bit is set in every row.
#[inline(always)]
fn first_match<E: Env>(env: &E, rows: &Rows) -> Option<u32> {
    let features = env.features();
    let words = env.rule_words();
    for word in 0..ROW_WORDS {
        if word >= words {
            break;
        }
        let mut bits = u64::MAX;
        if features.has(Features::RULE_SOURCE) {
            bits &= env.row_word(rows.source, word);
        }
        if features.has(Features::RULE_DESTINATION) {
            bits &= env.row_word(rows.destination, word);
        }
        // Row 0 is that of all rules: it also clears the bits beyond the last rule.
        bits &= env.row_word(rows.port, word);
        if features.has(Features::RULE_SOURCE_PORT) {
            bits &= env.row_word(rows.source_port, word);
        }
        if bits != 0 {
            return Some(word * 64 + lowest_bit(bits));
        }
    }
    None
}

/// The position of the lowest bit that is set; the target has no instruction for it.
#[expect(
    clippy::verbose_bit_mask,
    reason = "the suggestion is what the target lacks"
)]
#[inline(always)]
fn lowest_bit(bits: u64) -> u32 {
    let mut position = 0;
    let mut bits = bits;
    if bits & 0xffff_ffff == 0 {
        position += 32;
        bits >>= 32;
    }
    if bits & 0xffff == 0 {
        position += 16;
        bits >>= 16;
    }
    if bits & 0xff == 0 {
        position += 8;
        bits >>= 8;
    }
    if bits & 0xf == 0 {
        position += 4;
        bits >>= 4;
    }
    if bits & 0x3 == 0 {
        position += 2;
        bits >>= 2;
    }
    if bits & 1 == 0 {
        position += 1;
    }
    position
}

#[inline(always)]
fn source<A: Family, E: Env + Tables<A>>(env: &E, address: A) -> u32 {
    if env.features().has(Features::RULE_SOURCE) {
        env.source_row(address)
    } else {
        0
    }
}

#[inline(always)]
fn destination<A: Family, E: Env + Tables<A>>(env: &E, address: A) -> u32 {
    if env.features().has(Features::RULE_DESTINATION) {
        env.destination_row(address)
    } else {
        0
    }
}

#[inline(always)]
fn port<A, E: Env>(env: &E, key: &FlowKey<A>, ports: bool) -> u32 {
    if !env.features().has(Features::RULE_PORT) {
        return 0;
    }
    let number = u16::from(key.protocol);
    match (key.protocol, ports) {
        (TCP, true) => env.port_row(PortTable::TcpDestination, key.local_port),
        (UDP, true) => env.port_row(PortTable::UdpDestination, key.local_port),
        (TCP | UDP, false) => env.port_row(PortTable::Other, number + PortTable::FRAGMENT),
        _ => env.port_row(PortTable::Other, number),
    }
}

#[inline(always)]
fn source_port<A, E: Env>(env: &E, key: &FlowKey<A>, ports: bool) -> u32 {
    if !env.features().has(Features::RULE_SOURCE_PORT) {
        return 0;
    }
    let number = u16::from(key.protocol);
    match (key.protocol, ports) {
        (TCP, true) => env.port_row(PortTable::TcpSource, key.remote_port),
        (UDP, true) => env.port_row(PortTable::UdpSource, key.remote_port),
        (TCP | UDP, false) => env.port_row(PortTable::Other, number + PortTable::FRAGMENT),
        _ => env.port_row(PortTable::Other, number),
    }
}

#[cfg(test)]
mod tests {
    use super::lowest_bit;

    #[test]
    fn lowest_bit_agrees_with_the_instruction() {
        for shift in 0..64 {
            for high in [0, 1 << 63, u64::MAX] {
                let bits = (1 << shift) | high << shift;
                assert_eq!(lowest_bit(bits), bits.trailing_zeros());
            }
        }
    }
}
