//! The packet engine: the whole path of a packet, one file per stage.
//!
//! It is compiled to BPF and for the host, over [`Frame`] and [`Env`]. There are no errors here:
//! each packet leaves with one [`Reason`], and each reason is counted. The engine never waits,
//! never allocates, and never leaves a frame half rewritten: everything that can fail is done
//! before the first write.

mod across;
mod answer;
mod departure;
mod env;
mod errors;
mod firewall;
mod flow;
mod forward;
mod fragments;
mod icmp;
mod nat;
mod open;
mod outcome;
mod report;
mod schedule;
mod service;
mod settle;
mod settled;
mod steps;
mod tunnel;

pub use across::send_across;
pub use answer::{answer, answer_across, close, reply};
pub use departure::{Departure, Order, Owner};
pub use env::{Cell, Env, Stage, Tables};
pub use errors::{Quoted, error_to_backend, error_to_client, find_quoted, learn};
pub use firewall::{Ruling, judge};
pub use forward::{deliver, send};
pub use fragments::{Recalled, recall, remember};
pub use icmp::{control, echo};
pub use nat::claim;
pub use open::open;
pub use outcome::{Direction, Notes, Outcome, Verdict};
pub use report::report;
pub use settle::{renew, settle};
pub use settled::Settled;
pub use steps::Steps;

pub use crate::wire::Frame;

use crate::abi::{Features, FlowKey, Reason, V4, V6};
use crate::wire::ethernet::{self, Link, Network};
use crate::wire::transport::{self, Transport};
use crate::wire::{Family, Fragment, Packet};

/// Why a packet leaves and by which interface, or why it does not.
type Sent = Result<(Reason, u32), Reason>;

/// Takes one frame from arrival to verdict, and counts it.
#[inline(always)]
pub fn ingress<F: Frame, E: Env>(frame: &mut F, env: &mut E) -> Outcome {
    match ethernet::parse(frame) {
        Ok(link) => match link.network {
            Network::V4 => network::<V4, F, E>(frame, env, link),
            Network::V6 => network::<V6, F, E>(frame, env, link),
            Network::Other => leave(frame, env, Err(Reason::NotIp), Notes::default()),
        },
        Err(reason) => leave(frame, env, Err(reason), Notes::default()),
    }
}

/// The path of an IP packet.
///
/// What cannot be parsed leaves before there are notes: with one exit for all, the compiler would
/// set every note again before each check of a header, which was a tenth of all instructions.
#[inline(always)]
fn network<A, F, E>(frame: &mut F, env: &mut E, link: Link) -> Outcome
where
    A: Family,
    F: Frame,
    E: Env + Steps<A>,
{
    let (packet, transport) = match parse::<A, F>(frame, link) {
        Ok(parsed) => parsed,
        Err(reason) => return leave(frame, env, Err(reason), Notes::default()),
    };
    let mut notes = Notes::default();
    let sent = decide(frame, env, link, &packet, transport, &mut notes);
    leave(frame, env, sent, notes)
}

/// Reads the headers of network and transport.
#[inline(always)]
fn parse<A, F>(frame: &F, link: Link) -> Result<(Packet<A>, Option<Transport>), Reason>
where
    A: Family,
    F: Frame,
{
    let packet = A::parse(frame, link.payload_at)?;
    let transport = transport::parse(frame, &packet)?;
    Ok((packet, transport))
}

/// The stages behind the headers.
#[inline(always)]
fn decide<A, F, E>(
    frame: &mut F,
    env: &mut E,
    link: Link,
    packet: &Packet<A>,
    transport: Option<Transport>,
    notes: &mut Notes,
) -> Sent
where
    A: Family,
    F: Frame,
    E: Env + Steps<A>,
{
    let order = Order::new(packet);
    // Zeros where there is none: the verifier follows no value that may be anything.
    let mut header = transport.unwrap_or_default();
    let (mut protocol, mut has_ports) = (packet.protocol, transport.is_some());
    if packet.fragment == Fragment::Later
        && let Some(first) = fragments::transport::<A, F, E>(env, frame, order)?
    {
        ((protocol, header), has_ports) = (first, true);
    }
    let key = FlowKey::new(
        (packet.source, header.source_port),
        (packet.destination, header.destination_port),
        protocol,
    );
    if env.features().has(Features::FIREWALL) {
        let ruling = <E as Steps<A>>::judge(env, &key, has_ports);
        notes.rule = ruling.rule();
        if ruling.drops() {
            return Err(Reason::FirewallDrop);
        }
    }
    if link.multicast {
        return Err(Reason::Multicast);
    }
    if !has_ports {
        if packet.fragment != Fragment::Whole {
            return fragments::unknown(env, packet);
        }
        if protocol != A::ICMP {
            return Err(Reason::OtherProtocol);
        }
        return icmp::other::<A, F, E>(frame, env, order, notes);
    }
    if packet.fragment == Fragment::First && !<E as Steps<A>>::remember(env, frame, &key, order) {
        return Err(Reason::Malformed);
    }
    // Replies of `full-nat` come to our own address, those of `nat` to the clients'.
    if env.features().has(Features::FULL_NAT) && nat::is_port(env, key.local_port) {
        let sent = answer::to_client(frame, env, order, &key, header.flags, notes);
        if let Some(sent) = sent {
            return sent;
        }
    }
    let Some(service) = service::lookup(env, &key) else {
        if env.features().has(Features::NAT) {
            let sent = answer::to_client(frame, env, order, &key, header.flags, notes);
            return sent.unwrap_or(Err(Reason::NotOurs));
        }
        return Err(Reason::NotOurs);
    };
    notes.service = service.load().id;
    if packet.hop_limit <= 1 && !forward::is_direct(env, &service) {
        return report::used_up::<A, F, E>(env, frame, order, notes);
    }
    let assigned = flow::assign(env, frame, &key, service, header.flags, notes)?;
    forward::to_backend(frame, env, order, &key, &service, &assigned, notes)
}

/// The exit of every packet: its verdict, counted with the length that it arrived with.
#[inline(always)]
fn leave<F: Frame, E: Env>(frame: &F, env: &mut E, sent: Sent, notes: Notes) -> Outcome {
    let outcome = Outcome::of(sent, notes, env.ingress_interface());
    let arrived = frame.length().wrapping_sub(notes.grown);
    outcome::account(env, &outcome, arrived as u64);
    outcome
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
