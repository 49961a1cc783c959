//! The ICMP error that a packet is too long for its tunnel, which path MTU discovery lives on
//! (RFC 1191, RFC 8201).

use super::departure::{Departure, Order};
use super::{Env, Frame, Steps};
use crate::abi::Reason;
use crate::wire::ip::HOP_LIMIT;
use crate::wire::{Cut, Family, Outer, ethernet, icmp};

/// Tells a packet's sender how long it may be, if it does not leave because it is longer.
#[inline(always)]
pub(super) fn or_report<A: Family, F: Frame, E: Env + Steps<A>>(
    env: &mut E,
    frame: &mut F,
    order: Order,
    departure: Departure,
) -> Departure {
    match departure.fitting() {
        Some(mtu) => <E as Steps<A>>::report_too_big(env, frame, order, mtu),
        None => departure,
    }
}

/// Makes of a packet the message to its sender that only `mtu` bytes of it would fit, from where it
/// was sent to. It is dropped without a word where too many were sent already (RFC 4443, section 2.4,
/// item f).
#[inline(always)]
pub fn report_too_big<A: Family, F: Frame, E: Env>(
    env: &mut E,
    frame: &mut F,
    order: Order,
    mtu: u16,
) -> Departure {
    let at = order.place().at;
    let length = frame.length();
    let tells = A::outline(frame, at).is_some_and(|packet| packet.length >= icmp::QUOTE)
        && A::addresses(frame, at).is_some_and(|(client, _)| client.is_sender())
        && env.may_send_error();
    if !tells {
        return Departure::refused(Reason::TooBig);
    }
    let by = A::HEADER_LENGTH + icmp::HEADER_LENGTH;
    match write::<A, F>(frame, at, by, mtu) {
        Some(()) => {
            let error = Departure::error(env.ingress_interface());
            error.resized(length, at + by + icmp::QUOTE)
        }
        None => Departure::refused(Reason::RewriteFailed),
    }
}

/// Puts the message, `by` bytes, before the quote.
#[inline(always)]
fn write<A: Family, F: Frame>(frame: &mut F, at: usize, by: usize, mtu: u16) -> Option<()> {
    frame.truncate(at + icmp::QUOTE)?;
    frame.grow_head(by)?;
    ethernet::lift(frame, by, at, A::NETWORK)?;
    ethernet::turn(frame, by)?;
    write_header::<A, F>(frame, at, by)?;
    icmp::write_too_big::<A, F>(frame, at, mtu)
}

/// Writes the network header of the message, back from where the packet `by` bytes behind was sent to.
#[inline(always)]
fn write_header<A: Family, F: Frame>(frame: &mut F, at: usize, by: usize) -> Option<()> {
    let (client, vip) = A::addresses(frame, at + by)?;
    let outer = Outer {
        source: vip,
        destination: client,
        protocol: A::ICMP,
        traffic_class: A::ERROR_CLASS,
        hop_limit: HOP_LIMIT,
        payload_length: icmp::HEADER_LENGTH + icmp::QUOTE,
        cut: Cut::NEVER,
        flow: 0,
    };
    A::write_outer(frame, at, &outer)
}
