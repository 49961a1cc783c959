//! Fragments: the first names the ports, and the later ones follow it.

use super::departure::Order;
use super::{Cell, Env, Sent, Steps, Tables, answer, service};
use crate::abi::datagram::{Fit, Span};
use crate::abi::{Datagram, DatagramKey, Features, FlowKey, Ports, Reason};
use crate::wire::transport::Transport;
use crate::wire::{Family, Frame, Packet, TcpFlags};

/// What is known of a later fragment's datagram, in one number: a global BPF function can return no
/// more.
///
/// From the lowest bit: the ports, or why the fragment is refused, 32 bits; the protocol, eight; which
/// of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recalled(pub u64);

impl Recalled {
    /// Nothing.
    pub const NOTHING: Self = Self(0);
    const PORTS: u64 = 1;
    const REFUSED: u64 = 2;
    const PROTOCOL: u32 = 32;
    const KIND: u32 = 40;

    #[inline(always)]
    fn datagram(protocol: u8, ports: Ports) -> Self {
        let protocol = u64::from(protocol) << Self::PROTOCOL;
        Self(Self::PORTS << Self::KIND | protocol | u64::from(ports.0))
    }

    #[inline(always)]
    fn refused(reason: Reason) -> Self {
        Self(Self::REFUSED << Self::KIND | reason as u64)
    }

    /// What a later fragment has in place of a transport header, and its protocol, unless it may not
    /// go on.
    #[inline(always)]
    fn transport(self) -> Result<Option<(u8, Transport)>, Reason> {
        match self.0 >> Self::KIND {
            Self::PORTS => {
                let ports = Ports(self.0 as u32);
                let transport = Transport {
                    source_port: ports.source(),
                    destination_port: ports.destination(),
                    flags: TcpFlags(0),
                };
                Ok(Some(((self.0 >> Self::PROTOCOL) as u8, transport)))
            }
            Self::REFUSED => {
                let reason = Reason::from_number(self.0 as u32);
                Err(reason.unwrap_or(Reason::Fragment))
            }
            _ => Ok(None),
        }
    }
}

/// What stands for the protocol and the transport header of a later fragment, if its first was seen.
#[inline(always)]
pub(super) fn transport<A: Family, F: Frame, E: Env + Steps<A>>(
    env: &mut E,
    frame: &F,
    order: Order,
) -> Result<Option<(u8, Transport)>, Reason> {
    <E as Steps<A>>::recall(env, frame, order).transport()
}

/// The end of a fragment that does not say whose it is. None of a VIP's may reach the host.
#[inline(always)]
pub(super) fn unknown<A: Family, E: Env + Tables<A>>(env: &E, packet: &Packet<A>) -> Sent {
    if service::is_vip(env, packet.destination) {
        Err(Reason::Fragment)
    } else {
        Err(Reason::NotOurs)
    }
}

/// Finds the datagram of a later fragment, and adds the fragment to it.
#[inline(always)]
pub fn recall<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    frame: &F,
    order: Order,
) -> Recalled {
    let Some((key, span, is_last)) = read::<A, F>(frame, order) else {
        return Recalled::refused(Reason::Malformed);
    };
    let Some(cell) = env.datagram(&key) else {
        return Recalled::NOTHING;
    };
    if env.now().since(cell.load().seen) > Datagram::LIFETIME {
        return Recalled::NOTHING;
    }
    let first = cell.load();
    let recalled = Recalled::datagram(first.protocol as u8, first.ports);
    let mut fit = Fit::New;
    cell.update(|datagram| fit = datagram.add(span, is_last));
    match fit {
        Fit::New => recalled,
        Fit::Complete => {
            env.remove_datagram(&key);
            recalled
        }
        Fit::Overlap => Recalled::refused(Reason::OverlappingFragment),
        Fit::Scattered => Recalled::refused(Reason::Fragment),
    }
}

/// Remembers the ports of a first fragment that is a client's or a backend's, for the later ones;
/// false if it is none.
#[inline(always)]
pub fn remember<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    frame: &F,
    key: &FlowKey<A>,
    order: Order,
) -> bool {
    let features = env.features();
    let translates = features.has(Features::NAT) || features.has(Features::FULL_NAT);
    let is_ours =
        service::is_vip(env, key.local) || translates && answer::look_up(env, key).is_some();
    if !is_ours {
        return true;
    }
    let Some((datagram_key, span, _)) = read::<A, F>(frame, order) else {
        return false;
    };
    let datagram = Datagram::of(key, env.now(), span);
    env.insert_datagram(&datagram_key, &datagram);
    true
}

/// The datagram of a fragment, where in it the fragment lies, and whether it is the last.
#[inline(always)]
fn read<A: Family, F: Frame>(frame: &F, order: Order) -> Option<(DatagramKey, Span, bool)> {
    let at = order.place().at;
    let piece = A::piece(frame, at)?;
    let (source, destination) = A::addresses(frame, at)?;
    let key = DatagramKey {
        source: source.wide(),
        destination: destination.wide(),
        identification: piece.identification,
        protocol: piece.protocol.into(),
    };
    Some((key, piece.span()?, !piece.more))
}
