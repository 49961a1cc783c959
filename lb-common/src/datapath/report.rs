//! The ICMP errors that begin here: a packet is too long for the way ahead, which path MTU discovery
//! lives on (RFC 1191, RFC 8201), or its hop limit is used up, which `traceroute` shows.

use super::departure::{Departure, Order};
use super::{Env, Frame, Notes, Sent, Steps};
use crate::abi::Reason;
use crate::wire::ip::HOP_LIMIT;
use crate::wire::{Cut, Family, Fragment, Outer, ethernet, icmp};

/// Tells a packet's sender why it does not leave, if that is something to be told.
#[inline(always)]
pub(super) fn or_report<A: Family, F: Frame, E: Env + Steps<A>>(
    env: &mut E,
    frame: &mut F,
    order: Order,
    departure: Departure,
) -> Departure {
    if departure.is_to_be_told() {
        <E as Steps<A>>::report(env, frame, order, departure)
    } else {
        departure
    }
}

/// Tells a client that its packet may go no further.
#[inline(always)]
pub(super) fn used_up<A: Family, F: Frame, E: Env + Steps<A>>(
    env: &mut E,
    frame: &mut F,
    order: Order,
    notes: &mut Notes,
) -> Sent {
    let told = <E as Steps<A>>::report(env, frame, order, Departure::USED_UP);
    notes.grown = told.growth();
    told.sent(Reason::HopLimit)
}

/// Makes of a packet the message to its sender why it does not leave, from where it was sent to. It is
/// dropped without a word where too many were sent already (RFC 4443, section 2.4, item f), and where
/// nobody can be told (RFC 1122, section 3.2.2).
#[inline(always)]
pub fn report<A: Family, F: Frame, E: Env>(
    env: &mut E,
    frame: &mut F,
    order: Order,
    refused: Departure,
) -> Departure {
    let place = order.place();
    let (at, length) = (place.at, frame.length());
    let (kind, rest) = match refused.fitting() {
        Some(mtu) => (A::TOO_BIG, mtu),
        None => (A::TIME_EXCEEDED, 0),
    };
    let silent = Departure::refused(refused.reason());
    let Some(packet) = A::outline(frame, at) else {
        return silent;
    };
    // A later fragment says nothing of whose it is; but one that is too long is told so, because others
    // of its datagram may not be.
    let tells = (place.fragment != Fragment::Later || refused.fitting().is_some())
        && packet.length >= icmp::QUOTE_MIN
        && A::addresses(frame, at).is_some_and(|(client, _)| client.is_sender())
        && env.may_send_error();
    if !tells {
        return silent;
    }
    let quote = packet.length.min(icmp::QUOTE) & !(icmp::WORD - 1);
    if frame.truncate(at + quote).is_none() {
        return Departure::refused(Reason::RewriteFailed);
    }
    let by = A::HEADER_LENGTH + icmp::HEADER_LENGTH;
    if frame.grow_head(by).is_none() {
        return Departure::refused(Reason::NoHeadroom).resized(length, at + quote);
    }
    let departure = match write::<A, F>(frame, (at, by), quote, (kind, rest)) {
        Some(()) => Departure::error(env.ingress_interface(), refused.told_as()),
        None => Departure::refused(Reason::RewriteFailed),
    };
    departure.resized(length, at + by + quote)
}

/// Writes the message, `by` bytes, before the quote of so many.
#[inline(always)]
fn write<A: Family, F: Frame>(
    frame: &mut F,
    (at, by): (usize, usize),
    quote: usize,
    error: ((u8, u8), u16),
) -> Option<()> {
    ethernet::lift(frame, by, at, A::NETWORK)?;
    ethernet::turn(frame, by)?;
    write_header::<A, F>(frame, at, by, quote)?;
    icmp::write_error::<A, F>(frame, at, quote, error)
}

/// Writes the network header of the message, back from where the packet `by` bytes behind was sent to.
#[inline(always)]
fn write_header<A: Family, F: Frame>(
    frame: &mut F,
    at: usize,
    by: usize,
    quote: usize,
) -> Option<()> {
    let (client, vip) = A::addresses(frame, at + by)?;
    let outer = Outer {
        source: vip,
        destination: client,
        protocol: A::ICMP,
        traffic_class: A::ERROR_CLASS,
        hop_limit: HOP_LIMIT,
        payload_length: icmp::HEADER_LENGTH + quote,
        cut: Cut::NEVER,
        flow: 0,
    };
    A::write_outer(frame, at, &outer)
}
