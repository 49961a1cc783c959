//! The packet engine: the whole path of a packet, one file per stage.
//!
//! It is compiled to BPF and for the host, over [`Frame`] and [`Env`]. There are no errors here:
//! each packet leaves with one [`Reason`], and each reason is counted. The engine never waits,
//! never allocates, and never leaves a frame half rewritten: everything that can fail is done
//! before the first write.

mod env;
mod firewall;
mod flow;
mod forward;
mod nat;
mod outcome;
mod schedule;
mod service;

pub use env::{Cell, Env, Stage, Tables};
pub use outcome::{Direction, Notes, Outcome, Verdict};

pub use crate::wire::Frame;

use crate::abi::{Features, FlowKey, Hop, Reason, V4, V6};
use crate::wire::ethernet::{self, Link, Network};
use crate::wire::transport::{self, TcpFlags, Transport};
use crate::wire::{Family, Fragment, Packet};

/// A packet that is to find its flow.
///
/// The key is borrowed: BPF functions take its address, and whatever shares a struct with it would
/// be forced onto the stack with it.
struct Arrival<'a, A, F> {
    frame: &'a F,
    key: &'a FlowKey<A>,
    flags: TcpFlags,
}

impl<A, F> Clone for Arrival<'_, A, F> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, F> Copy for Arrival<'_, A, F> {}

/// A packet that leaves by an interface, or the reason why it does not.
type Sent = Result<(Reason, Hop), Reason>;

/// Takes one frame from arrival to verdict, and counts it.
#[inline(always)]
pub fn ingress<F: Frame, E: Env>(frame: &mut F, env: &mut E) -> Outcome {
    let bytes = frame.length() as u64;
    let mut notes = Notes::default();
    let sent = match ethernet::parse(frame) {
        Ok(link) => match link.network {
            Network::V4 => network::<V4, F, E>(frame, env, link, &mut notes),
            Network::V6 => network::<V6, F, E>(frame, env, link, &mut notes),
            Network::Other => Err(Reason::NotIp),
        },
        Err(reason) => Err(reason),
    };
    let outcome = Outcome::of(sent, notes, env.ingress_interface());
    outcome::account(env, &outcome, bytes);
    outcome
}

/// The path of an IP packet.
#[inline(always)]
fn network<A, F, E>(frame: &mut F, env: &mut E, link: Link, notes: &mut Notes) -> Sent
where
    A: Family,
    F: Frame,
    E: Env + Tables<A>,
{
    let packet = A::parse(frame, link.payload_at)?;
    let transport = transport::parse(frame, &packet)?;
    firewall::check(env, &packet, transport, notes)?;
    if link.multicast {
        return Err(Reason::Multicast);
    }
    let transport = balanced(env, &packet, transport)?;
    let key = FlowKey {
        remote: packet.source,
        local: packet.destination,
        remote_port: transport.source_port,
        local_port: transport.destination_port,
        protocol: packet.protocol,
        zero: [0; 3],
    };
    if let Some(reverse) = nat::reply(env, &key, transport.flags) {
        notes.service = u32::from(reverse.load().service);
        notes.backend = u32::from(reverse.load().backend);
        notes.direction = Direction::ToClient;
        return forward::to_client(frame, &packet, &key, &reverse);
    }
    let service = service::lookup(env, &key).ok_or(Reason::NotOurs)?;
    notes.service = service.load().id;
    if packet.hop_limit <= 1 && flow::uses_nat(env, &service) {
        return Err(Reason::HopLimit);
    }
    let arrival = Arrival {
        frame: &*frame,
        key: &key,
        flags: transport.flags,
    };
    let assigned = flow::assign(env, arrival, service, notes)?;
    forward::to_backend(frame, &packet, &key, &service, &assigned)
}

/// The transport header of a packet that services may balance, or why there is none.
#[inline(always)]
fn balanced<A: Family, E: Env + Tables<A>>(
    env: &E,
    packet: &Packet<A>,
    transport: Option<Transport>,
) -> Result<Transport, Reason> {
    if packet.fragment == Fragment::Whole {
        return transport.ok_or(Reason::OtherProtocol);
    }
    // Only the first fragment names the ports. Until later ones can be steered after it, none of
    // a VIP's may reach a backend or the host.
    if service::is_vip(env, packet.destination) {
        Err(Reason::Fragment)
    } else {
        Err(Reason::NotOurs)
    }
}

/// Whether any service of the family is configured.
#[inline(always)]
fn has_services<A: Family, E: Env>(env: &E) -> bool {
    let family = if A::IS_V6 {
        Features::SERVICES_V6
    } else {
        Features::SERVICES_V4
    };
    env.features().has(family)
}
