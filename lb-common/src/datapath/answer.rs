//! A backend's reply on its way to the client.

use super::departure::{Departure, Order, Owner};
use super::flow::TCP_ESTABLISHED;
use super::{Cell, Direction, Env, Frame, Notes, Sent, Stage, Steps, Tables, across, nat, report};
use crate::abi::address::is_v4;
use crate::abi::{Features, FlowKey, FlowState, Hop, Reason, Reverse};
use crate::wire::{Family, TcpFlags, translation};

/// Sends a packet to the client that it is a reply to; `None` if it is none.
#[inline(always)]
pub(super) fn to_client<A: Family, F: Frame, E: Env + Steps<A>>(
    frame: &mut F,
    env: &mut E,
    order: Order,
    key: &FlowKey<A>,
    flags: TcpFlags,
    notes: &mut Notes,
) -> Option<Sent> {
    let mut owner = Owner::default();
    let departure = <E as Steps<A>>::reply(env, frame, key, flags, order, &mut owner);
    let sent = departure.sent(Reason::ToClient);
    if sent == Err(Reason::NotOurs) {
        return None;
    }
    notes.direction = Direction::ToClient;
    notes.owned(owner, departure.growth());
    Some(sent)
}

/// Sends a packet to the client that it is a reply to by [`answer`] or [`answer_across`], or tells the
/// backend that it is too long; [`Departure::NOT_OURS`] if it is no reply.
#[inline(always)]
pub fn reply<A: Family, F: Frame, E: Env + Steps<A>>(
    env: &mut E,
    frame: &mut F,
    key: &FlowKey<A>,
    flags: TcpFlags,
    order: Order,
    owner: &mut Owner,
) -> Departure {
    let mut sent = <E as Steps<A>>::answer(env, frame, key, flags, order, owner);
    if env.features().has(Features::CROSSING) && sent == Departure::NOT_OURS {
        sent = <E as Steps<A>>::answer_across(env, frame, key, flags, order, owner);
    }
    if flags.resets() && sent.leaves() {
        <E as Steps<A>>::close(env, key);
    }
    report::or_report::<A, F, E>(env, frame, order, sent)
}

/// Sends a packet to the client of its family that it is a reply to, and says whose it was;
/// [`Departure::NOT_OURS`] if it is none.
#[inline(always)]
pub fn answer<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    frame: &mut F,
    key: &FlowKey<A>,
    flags: TcpFlags,
    order: Order,
    owner: &mut Owner,
) -> Departure {
    let Some(cell) = take::<A, A, E>(env, key, flags, owner) else {
        return Departure::NOT_OURS;
    };
    let place = order.place();
    if is_used_up::<A, F>(frame, place.at) {
        return Departure::USED_UP;
    }
    let Some((to, hop)) = towards_client(env, key, &cell) else {
        return Departure::refused(Reason::RewriteFailed);
    };
    let written = translation::readdress(frame, place, key, &to, &hop);
    Departure::rewritten(written, hop.interface)
}

/// The same for the client of the other family.
#[inline(always)]
pub fn answer_across<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    frame: &mut F,
    key: &FlowKey<A>,
    flags: TcpFlags,
    order: Order,
    owner: &mut Owner,
) -> Departure {
    let Some(cell) = take::<A, A::Other, E>(env, key, flags, owner) else {
        return Departure::NOT_OURS;
    };
    if is_used_up::<A, F>(frame, order.place().at) {
        return Departure::USED_UP;
    }
    let Some((to, hop)) = towards_client(env, key, &cell) else {
        return Departure::refused(Reason::RewriteFailed);
    };
    let mtu = env.link_mtu(hop.interface);
    across::write(frame, (key, &to), &hop, order, mtu)
}

/// Whether a packet may go no further.
#[inline(always)]
pub(super) fn is_used_up<A: Family, F: Frame>(frame: &F, at: usize) -> bool {
    A::outline(frame, at).is_none_or(|outline| outline.hop_limit <= 1)
}

/// The way back to a client of family `C`, and whose it is.
#[inline(always)]
pub(super) fn way_back<A: Family, C: Family, E: Env + Tables<A>>(
    env: &E,
    key: &FlowKey<A>,
    owner: &mut Owner,
) -> Option<(<E as Tables<A>>::ReverseCell, Reverse)> {
    let (cell, reverse) = look_up(env, key)?;
    if !is_of::<C, E>(env, reverse.client) {
        return None;
    }
    owner.service = reverse.service.into();
    owner.backend = reverse.backend.into();
    Some((cell, reverse))
}

/// The way back of a reply, which keeps it alive.
#[inline(always)]
fn take<A: Family, C: Family, E: Env + Tables<A>>(
    env: &mut E,
    key: &FlowKey<A>,
    flags: TcpFlags,
    owner: &mut Owner,
) -> Option<<E as Tables<A>>::ReverseCell> {
    let (cell, reverse) = way_back::<A, C, E>(env, key, owner)?;
    let now = env.now();
    if now.since(reverse.seen) > TCP_ESTABLISHED {
        return None;
    }
    let ends = flags.closes() && reverse.state != FlowState::CLOSING;
    if ends || reverse.seen != now {
        let mark = reverse.mark;
        cell.update(|reverse| {
            if reverse.mark != mark {
                return;
            }
            reverse.seen = now;
            if flags.closes() {
                reverse.state = FlowState::CLOSING;
            }
        });
    }
    Some(cell)
}

/// A backend has reset a connection by this reply: the client may open a new one on the same port.
#[inline(always)]
pub fn close<A: Family, E: Env + Tables<A> + Tables<A::Other>>(env: &E, key: &FlowKey<A>) {
    let Some((cell, reverse)) = look_up(env, key) else {
        return;
    };
    if is_of::<A, E>(env, reverse.client) {
        close_flow::<A, A, E>(env, key, &cell);
    } else {
        close_flow::<A, A::Other, E>(env, key, &cell);
    }
}

/// Closes the connection of a client of family `C`.
#[inline(always)]
fn close_flow<A: Family, C: Family, E: Env + Tables<A> + Tables<C>>(
    env: &E,
    key: &FlowKey<A>,
    cell: &<E as Tables<A>>::ReverseCell,
) {
    let Some((answer, _)) = towards_client::<A, C, E>(env, key, cell) else {
        return;
    };
    let vip = (answer.remote, answer.remote_port);
    let client = (answer.local, answer.local_port);
    let key = FlowKey::new(client, vip, key.protocol);
    let cell = env
        .flow(Stage::Established, &key)
        .or_else(|| env.flow(Stage::Pending, &key));
    if let Some(cell) = cell {
        cell.update(|flow| {
            if flow.mark == key.mark() {
                flow.state = FlowState::CLOSING;
            }
        });
    }
}

/// Whether a client is of family `C`.
#[inline(always)]
fn is_of<C: Family, E: Env>(env: &E, client: [u64; 2]) -> bool {
    !env.features().has(Features::CROSSING) || is_v4(client) != C::IS_V6
}

/// The way back, in whichever table it is.
#[inline(always)]
pub(super) fn look_up<A: Family, E: Env + Tables<A>>(
    env: &E,
    key: &FlowKey<A>,
) -> Option<(<E as Tables<A>>::ReverseCell, Reverse)> {
    // Between the first two lookups another CPU may have moved the entry from there to here.
    nat::find(env, Stage::Established, key)
        .or_else(|| nat::find(env, Stage::Pending, key))
        .or_else(|| nat::find(env, Stage::Established, key))
}

/// The 5-tuple that a reply reaches the client with, and where the client's packets came from.
#[inline(always)]
pub(super) fn towards_client<A: Family, C: Family, E: Env + Tables<A>>(
    env: &E,
    key: &FlowKey<A>,
    cell: &<E as Tables<A>>::ReverseCell,
) -> Option<(FlowKey<C>, Hop)> {
    let source = (cell.load().vip, cell.load().vip_port);
    let destination = (cell.load().client, cell.load().client_port);
    let hop = cell.load().hop;
    // The last look before the first write: all this was one flow's. The port may have gone to a client
    // of the other family, under the very same key.
    let last = cell.reload();
    let still = (last.client, last.client_port) == destination;
    if !still || last.mark != key.mark() || !is_of::<C, E>(env, destination.0) {
        return None;
    }
    let to = FlowKey::new(
        (C::from_wide(source.0), source.1),
        (C::from_wide(destination.0), destination.1),
        key.protocol,
    );
    Some((to, hop))
}
