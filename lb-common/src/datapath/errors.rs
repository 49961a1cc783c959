//! ICMP errors about packets that went through here. They go on to whoever sent the packet that they
//! quote, in the terms that it knows (RFC 5508).

use super::departure::{Departure, Order, Owner};
use super::{Cell, Env, Frame, Stage, Steps, Tables, answer, flow, forward, nat, service, tunnel};
use crate::abi::{FlowKey, Forward, Reason};
use crate::wire::{Family, ethernet, quote};

/// Whose packet an error quotes, in one number: a global BPF function can return no more.
///
/// From the lowest bit: what it is, eight bits; the mode, eight; from bit 16 the source port towards
/// the backend; from bit 32 the backend's id; from bit 48 the service's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted(pub u64);

impl Quoted {
    /// Nobody's.
    pub const NOTHING: Self = Self(0);
    /// Nobody's who sends through a VIP; maybe one that we sent to a backend.
    const NO_VIP: Self = Self(1);
    const REPLY: u64 = 2;

    /// One that a backend sent to a client.
    #[inline(always)]
    fn reply(mode: Forward, source_port: u16, owner: Owner) -> Self {
        let (backend, service) = (u64::from(owner.backend as u16), u64::from(owner.service));
        let sent = u64::from(source_port) << 16 | u64::from(mode.0) << 8 | Self::REPLY;
        Self(sent | backend << 32 | service << 48)
    }

    #[inline(always)]
    fn is_reply(self) -> bool {
        self.0 & 0xff == Self::REPLY
    }

    #[inline(always)]
    fn owner(self) -> Owner {
        Owner {
            service: (self.0 >> 48) as u32,
            backend: u32::from((self.0 >> 32) as u16),
        }
    }

    #[inline(always)]
    fn mode(self) -> Forward {
        Forward((self.0 >> 8) as u8)
    }

    #[inline(always)]
    fn source_port(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

/// Passes an error on: one about what a client was sent to the backend, one about what a backend was
/// sent to the client. Any other is the host's.
#[inline(always)]
pub(super) fn pass_on<A: Family, F: Frame, E: Env + Steps<A>>(
    env: &mut E,
    frame: &mut F,
    order: Order,
    owner: &mut Owner,
) -> Departure {
    let mut key = FlowKey::default();
    let quoted = <E as Steps<A>>::find_quoted(env, frame, order, &mut key);
    if quoted == Quoted::NO_VIP {
        return <E as Steps<A>>::error_to_client(env, frame, &key, order, owner);
    }
    *owner = quoted.owner();
    let Some(backend) = env.backend(owner.backend).filter(|_| quoted.is_reply()) else {
        return Departure::NOT_OURS;
    };
    let mode = quoted.mode();
    if mode != Forward::DSR && answer::is_used_up::<A, F>(frame, order.place().at) {
        return Departure::refused(Reason::HopLimit);
    }
    let order = order.in_mode(mode, quoted.source_port());
    if tunnel::is_mode(env, mode) {
        <E as Steps<A>>::send(env, frame, &key, backend, order)
    } else {
        <E as Steps<A>>::error_to_backend(env, frame, &key, backend, order)
    }
}

/// Finds out whose packet an error quotes, and writes its flow.
#[inline(always)]
pub fn find_quoted<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &E,
    frame: &F,
    order: Order,
    key: &mut FlowKey<A>,
) -> Quoted {
    let Some(found) = quote::flow::<A, F>(frame, order.place()) else {
        return Quoted::NOTHING;
    };
    *key = found;
    let Some(service) = service::lookup(env, &found) else {
        return Quoted::NO_VIP;
    };
    let known = flow::find(env, Stage::Established, &found)
        .or_else(|| flow::find(env, Stage::Pending, &found));
    let Some((_, flow)) = known else {
        return Quoted::NOTHING;
    };
    match flow::backend(env, &flow) {
        Some((backend, _)) if !nat::is_across::<A, E>(env, &backend) => {
            let owner = Owner {
                service: service.load().id,
                backend: flow.backend.into(),
            };
            Quoted::reply(service.load().forward, flow.source_port, owner)
        }
        _ => Quoted::NOTHING,
    }
}

/// Sends an error about a flow to its backend, which sent the packet that it quotes.
#[inline(always)]
pub fn error_to_backend<A: Family, F: Frame, E: Env>(
    env: &E,
    frame: &mut F,
    key: &FlowKey<A>,
    backend: E::BackendCell,
    order: Order,
) -> Departure {
    let Some(hop) = forward::next_hop(&backend) else {
        return Departure::NO_NEXT_HOP;
    };
    if order.mode() == Forward::DSR {
        return Departure::rewritten(ethernet::readdress(frame, &hop), hop.interface);
    }
    let place = order.place();
    let Some((reporter, _)) = A::addresses(frame, place.at) else {
        return Departure::refused(Reason::RewriteFailed);
    };
    let to = nat::sent_key::<A, A, E>(env, key, &backend, order.source_port());
    // A backend that answers to us alone may have no way to anybody else.
    let source = if nat::keeps_client(env, &backend) {
        reporter
    } else {
        to.remote
    };
    let written = quote::translate(frame, place, source, key, &to, &hop);
    Departure::rewritten(written, hop.interface)
}

/// Sends an error about a flow to its client, from the VIP, and says whose it was;
/// [`Departure::NOT_OURS`] if it is about no flow.
#[inline(always)]
pub fn error_to_client<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &E,
    frame: &mut F,
    key: &FlowKey<A>,
    order: Order,
    owner: &mut Owner,
) -> Departure {
    let Some((cell, _)) = answer::way_back::<A, A, E>(env, key, owner) else {
        return Departure::NOT_OURS;
    };
    let place = order.place();
    if answer::is_used_up::<A, F>(frame, place.at) {
        return Departure::refused(Reason::HopLimit);
    }
    let Some((to, hop)) = answer::towards_client(env, key, &cell) else {
        return Departure::refused(Reason::RewriteFailed);
    };
    let written = quote::translate(frame, place, to.remote, key, &to, &hop);
    Departure::rewritten(written, hop.interface)
}

/// Learns from an error about a packet of a tunnel of ours how long those may be.
#[inline(always)]
pub fn learn<A: Family, F: Frame, E: Env>(env: &mut E, frame: &F, order: Order) -> Departure {
    match quote::tunnel_mtu::<A, F>(frame, order.place()) {
        Some((backend, mtu)) => {
            env.note_path_mtu(backend.wide(), mtu);
            Departure::refused(Reason::PathMtu)
        }
        None => Departure::OTHER,
    }
}
