//! The firewall: the first rule that every dimension of the packet accepts decides.
//!
//! It is asked about every IP packet, before any table of flows, so that a drop also cuts flows
//! that are established. It keeps no state of its own.

use super::{Env, Notes, Tables};
use crate::abi::limits::ROW_WORDS;
use crate::abi::{Action, Features, PortTable, Reason};
use crate::wire::transport::{TCP, Transport, UDP};
use crate::wire::{Family, Packet};

/// The rows that a packet selects, one for each dimension.
struct Rows {
    source: u32,
    destination: u32,
    port: u32,
    source_port: u32,
}

/// Notes the rule that matches; `Err` if it drops the packet.
#[inline(always)]
pub(super) fn check<A: Family, E: Env + Tables<A>>(
    env: &E,
    packet: &Packet<A>,
    transport: Option<Transport>,
    notes: &mut Notes,
) -> Result<(), Reason> {
    if !env.features().has(Features::FIREWALL) {
        return Ok(());
    }
    let rows = Rows {
        source: source(env, packet.source),
        destination: destination(env, packet.destination),
        port: port(env, packet.protocol, transport),
        source_port: source_port(env, packet.protocol, transport),
    };
    let Some(position) = first_match(env, &rows) else {
        return Ok(());
    };
    let Some(rule) = env.rule(position) else {
        return Ok(());
    };
    notes.rule = rule.id;
    if rule.action == Action::DROP {
        Err(Reason::FirewallDrop)
    } else {
        Ok(())
    }
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
fn port<E: Env>(env: &E, protocol: u8, transport: Option<Transport>) -> u32 {
    if !env.features().has(Features::RULE_PORT) {
        return 0;
    }
    let number = u16::from(protocol);
    match (protocol, transport) {
        (TCP, Some(t)) => env.port_row(PortTable::TcpDestination, t.destination_port),
        (UDP, Some(t)) => env.port_row(PortTable::UdpDestination, t.destination_port),
        (TCP | UDP, None) => env.port_row(PortTable::Other, number + PortTable::FRAGMENT),
        _ => env.port_row(PortTable::Other, number),
    }
}

#[inline(always)]
fn source_port<E: Env>(env: &E, protocol: u8, transport: Option<Transport>) -> u32 {
    if !env.features().has(Features::RULE_SOURCE_PORT) {
        return 0;
    }
    let number = u16::from(protocol);
    match (protocol, transport) {
        (TCP, Some(t)) => env.port_row(PortTable::TcpSource, t.source_port),
        (UDP, Some(t)) => env.port_row(PortTable::UdpSource, t.source_port),
        (TCP | UDP, None) => env.port_row(PortTable::Other, number + PortTable::FRAGMENT),
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
