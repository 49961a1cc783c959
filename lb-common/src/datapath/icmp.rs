//! Control messages: an echo request to a VIP is answered, at once and whatever its service; an error
//! about a flow goes to whoever sent the packet in question.

use super::departure::{Departure, Order, Owner};
use super::{Env, Frame, Notes, Sent, Steps, Tables, errors, service};
use crate::abi::{Features, Reason};
use crate::wire::translation::Place;
use crate::wire::{Family, ethernet, icmp};

/// What becomes of a control message.
#[inline(always)]
pub(super) fn other<A: Family, F: Frame, E: Env + Steps<A>>(
    frame: &mut F,
    env: &mut E,
    order: Order,
    notes: &mut Notes,
) -> Sent {
    let mut owner = Owner::default();
    let departure = <E as Steps<A>>::control(env, frame, order, &mut owner);
    notes.owned(owner, departure.growth());
    departure.sent(if owner == Owner::default() {
        Reason::EchoReply
    } else {
        Reason::IcmpError
    })
}

/// Answers an echo request, or passes an error on or learns from it; other messages are the host's.
#[inline(always)]
pub fn control<A: Family, F: Frame, E: Env + Steps<A>>(
    env: &mut E,
    frame: &mut F,
    order: Order,
    owner: &mut Owner,
) -> Departure {
    let echoed = <E as Steps<A>>::echo(env, frame, order);
    if echoed != Departure::OTHER {
        return echoed;
    }
    let passed = errors::pass_on::<A, F, E>(env, frame, order, owner);
    if passed != Departure::NOT_OURS {
        return passed;
    }
    *owner = Owner::default();
    let features = env.features();
    if features.has(Features::IPIP) || features.has(Features::GUE) {
        return <E as Steps<A>>::learn(env, frame, order);
    }
    Departure::OTHER
}

/// Answers an echo request to a VIP; other messages are the host's. One packet is answered by one of
/// its length, so that nothing is amplified and no rate need be limited.
#[inline(always)]
pub fn echo<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &E,
    frame: &mut F,
    order: Order,
) -> Departure {
    let Place {
        at,
        payload_at: message_at,
        ..
    } = order.place();
    if !asks_vip::<A, F, E>(env, frame, at, message_at) {
        return Departure::OTHER;
    }
    let done = icmp::make_echo_reply::<A, F>(frame, message_at)
        .and_then(|()| A::turn(frame, at))
        .and_then(|()| ethernet::turn(frame, 0));
    Departure::rewritten(done, env.ingress_interface())
}

/// Whether it is an echo request from somebody who can be answered to a VIP.
#[inline(always)]
fn asks_vip<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &E,
    frame: &F,
    at: usize,
    message_at: usize,
) -> bool {
    let Some((packet, (source, destination))) = A::outline(frame, at).zip(A::addresses(frame, at))
    else {
        return false;
    };
    at + packet.length >= message_at + icmp::HEADER_LENGTH
        && icmp::is_echo_request::<A, F>(frame, message_at)
        && source.is_sender()
        && service::is_vip(env, destination)
}
