//! The design's invariants, judged on every frame.

use std::collections::BTreeMap;

use lb_common::abi::trace::NONE;
use lb_common::abi::{BackendState, Reason};

use super::Simulation;
use super::connection::{Connection, Known, Phase};
use super::network::{InFlight, Sender, is_ours};
use crate::packet::verify::{Received, receive};
use crate::packet::{ACK, SYN};
use crate::ring::{Exit, Ran};
use crate::world::OUR_MAC;

/// Ticks that a flow with one packet is remembered at least, way back included (30 s).
const OPENING_TICKS: u32 = 25;
/// Ticks that any established flow is remembered at least (UDP: 300 s).
const ESTABLISHED_TICKS: u32 = 270;

impl Simulation {
    /// Judges what became of a frame.
    pub(super) fn judge(
        &mut self,
        frame: &InFlight,
        ran: &Ran,
        cursors: &BTreeMap<u32, u64>,
    ) -> Result<(), String> {
        let reason = ran.reason().ok_or("a reason without a name")?;
        if matches!(reason, Reason::NoPort | Reason::FlowTableFull) {
            self.tally.exhausted += 1;
        }
        if !ran.is_forwarded() && ran.frame != frame.bytes {
            return Err(format!("{reason:?} has changed the frame"));
        }
        match frame.sender {
            Sender::Client(id) => {
                self.judge_denial(id, ran, reason)?;
                self.judge_turn(ran, cursors)?;
                self.judge_keeping(id, frame, ran, reason)?;
                if ran.is_forwarded() {
                    self.judge_at_backend(id, frame, ran)?;
                }
                if matches!(
                    reason,
                    Reason::NoPort | Reason::NoBackend | Reason::StrayReset
                ) {
                    // There is no flow, and if there was one it is forgotten.
                    self.connections[id as usize].flow = None;
                }
                Ok(())
            }
            Sender::Backend(id) => self.judge_reply(id, frame, ran, reason),
        }
    }

    /// A denied source goes nowhere, whatever flow it has.
    fn judge_denial(&mut self, id: u32, ran: &Ran, reason: Reason) -> Result<(), String> {
        let client = self.connections[id as usize].client;
        let denied = self.blocked.contains(&client.ip());
        self.tally.denied += u64::from(denied);
        if denied != (reason == Reason::FirewallDrop) {
            return Err(format!("{client}, denied: {denied}, leaves for {reason:?}"));
        }
        if denied && ran.exit != Exit::Drop {
            return Err(format!("the denied source {client} gets through"));
        }
        Ok(())
    }

    /// Backends have their turns one after the other.
    fn judge_turn(&mut self, ran: &Ran, cursors: &BTreeMap<u32, u64>) -> Result<(), String> {
        let now = self.world.state_of_cursors();
        let service = ran.trace.service;
        let turns = |cursors: &BTreeMap<u32, u64>| cursors.get(&service).copied().unwrap_or(0);
        let taken = turns(&now) - turns(cursors);
        if taken > 1 {
            return Err(format!("one packet takes {taken} turns"));
        }
        if taken == 0 || !self.writes.is_empty() || ran.trace.backend == NONE {
            return Ok(());
        }
        let members = self.world.slots_of(service);
        self.tally.turns += 1;
        self.turns.note(service, ran.trace.backend, members)
    }

    /// A live flow keeps its backend while that is up or draining.
    fn judge_keeping(
        &mut self,
        id: u32,
        frame: &InFlight,
        ran: &Ran,
        reason: Reason,
    ) -> Result<(), String> {
        let connection = &self.connections[id as usize];
        let Some(known) = connection.flow else {
            return Ok(());
        };
        // Tables that overflow, and ports that run short, are the exceptions that the design has.
        let scarce = self.options.room.is_some() || self.options.ports < 1000;
        if scarce || reason == Reason::FirewallDrop || known.phase == Phase::Closing {
            return Ok(());
        }
        if !self.is_kept(known) {
            // It moves, or ends where there is no other backend.
            self.connections[id as usize].flow = None;
            return Ok(());
        }
        let idle = self.world.now.0.saturating_sub(known.seen);
        let limit = if known.phase == Phase::Opening {
            OPENING_TICKS
        } else {
            ESTABLISHED_TICKS
        };
        if idle > limit {
            return Ok(());
        }
        self.tally.kept += 1;
        let reachable = self.world.backend_entry(known.backend).hop.interface != 0;
        let expected = if reachable {
            Reason::ToBackend
        } else {
            Reason::NoNextHop
        };
        if ran.trace.backend != known.backend || reason != expected {
            return Err(format!(
                "{} ({}), flags {:#04x}: {known:?}, idle for {idle}, now {reason:?} at {}",
                connection.client, connection.scene, frame.flags, ran.trace.backend
            ));
        }
        Ok(())
    }

    /// Whether the flow's backend keeps its flows.
    fn is_kept(&self, known: Known) -> bool {
        let backend = self.world.backend_entry(known.backend);
        backend.incarnation == known.incarnation
            && matches!(backend.state, BackendState::UP | BackendState::DRAINING)
    }

    /// What a backend receives is intact, is for it, and is of the connection it takes it for.
    fn judge_at_backend(&mut self, id: u32, frame: &InFlight, ran: &Ran) -> Result<(), String> {
        let received = receive(&ran.frame)?;
        let sent = receive(&frame.bytes)?;
        let connection = &self.connections[id as usize];
        let scene = connection.scene;
        let backend = self.world.backend_entry(ran.trace.backend);
        if ran.trace.new_flow == 1 && backend.state != BackendState::UP {
            return Err(format!(
                "a new flow for a backend that is {:?}",
                backend.state
            ));
        }
        if !matches!(backend.state, BackendState::UP | BackendState::DRAINING) {
            return Err(format!(
                "a packet for a backend that is {:?}",
                backend.state
            ));
        }
        if ran.frame[..6] != backend.hop.destination() || ran.frame[6..12] != OUR_MAC {
            return Err("the frame goes to another station".to_owned());
        }
        if received.payload != sent.payload {
            return Err("the payload has changed".to_owned());
        }
        if !scene.is_nat() {
            return if received == sent {
                Ok(())
            } else {
                Err(format!("dsr has changed the packet: {received:?}"))
            };
        }
        if received.hop_limit + 1 != sent.hop_limit || !is_ours(scene, received.source.ip()) {
            return Err(format!("full-nat has made {received:?}"));
        }
        let first = received.source.port().wrapping_sub(20_000);
        if first >= self.options.ports {
            return Err(format!("port {} is not ours", received.source.port()));
        }
        self.judge_owner(id, ran, &received)
    }

    /// No packet enters another connection: a source port changes hands with a new flow only.
    fn judge_owner(&mut self, id: u32, ran: &Ran, received: &Received) -> Result<(), String> {
        let protocol = self.connections[id as usize].scene.protocol.number();
        let key = (received.source, received.destination, protocol);
        let began = ran.trace.new_flow == 1 || ran.reason() == Some(Reason::Stray);
        let now = self.world.now.0;
        let overflows = self.options.room.is_some();
        match self.owners.get(&key) {
            Some((owner, _)) if *owner == id => return Ok(()),
            Some((owner, since)) => {
                // A table that overflows may forget a way back in the very tick of its flow's
                // last packet; the flow asks for it again in the next.
                let at_once = overflows && now.abs_diff(*since) <= 1;
                if !began && !at_once && !self.has_left(*owner, received) {
                    return Err(format!(
                        "a packet of {:?} enters the connection of {:?}",
                        self.connections[id as usize], self.connections[*owner as usize]
                    ));
                }
            }
            None => {}
        }
        self.owners.insert(key, (id, now));
        Ok(())
    }

    /// Whether a connection has gone on to another backend or port since.
    fn has_left(&self, owner: u32, received: &Received) -> bool {
        let destination = lb_common::abi::address::wide(received.destination.ip());
        self.connections[owner as usize].flow.is_none_or(|known| {
            let backend = self.world.backend_entry(known.backend);
            known.source != received.source || backend.address != destination
        })
    }

    /// A reply reaches the client whose connection it is, with the VIP as its source.
    fn judge_reply(
        &mut self,
        id: u32,
        frame: &InFlight,
        ran: &Ran,
        reason: Reason,
    ) -> Result<(), String> {
        if !ran.is_forwarded() {
            return match reason {
                Reason::NotOurs => self.judge_lost_reply(id, frame),
                other => Err(format!("a reply leaves for {other:?}")),
            };
        }
        if reason != Reason::ToClient {
            return Err(format!("a reply leaves for {reason:?}"));
        }
        let sent = receive(&frame.bytes)?;
        let received = receive(&ran.frame)?;
        let protocol = self.connections[id as usize].scene.protocol.number();
        // A late reply on a port that has changed hands is the new owner's.
        let key = (sent.destination, sent.source, protocol);
        let owner = self.owners.get(&key).map_or(id, |(owner, _)| *owner);
        let connection = &mut self.connections[owner as usize];
        let expected = Received {
            source: Connection::vip(connection.scene),
            destination: connection.client,
            hop_limit: sent.hop_limit - 1,
            payload: sent.payload,
        };
        if received != expected {
            return Err(format!("{expected:?} has become {received:?}"));
        }
        if ran.frame[..6] != connection.router || ran.frame[6..12] != OUR_MAC {
            return Err("the reply goes to another station".to_owned());
        }
        if frame.flags & !(SYN | ACK) != 0
            && connection.scene.is_tcp()
            && let Some(known) = &mut connection.flow
        {
            known.phase = Phase::Closing;
        }
        Ok(())
    }

    /// A reply is lost only if its way back may be gone.
    fn judge_lost_reply(&self, id: u32, frame: &InFlight) -> Result<(), String> {
        let scarce = self.options.room.is_some() || self.options.ports < 1000;
        let connection = &self.connections[id as usize];
        let sent = receive(&frame.bytes)?;
        let key = (
            sent.destination,
            sent.source,
            connection.scene.protocol.number(),
        );
        let owned = self.owners.get(&key).is_some_and(|(owner, _)| *owner == id);
        let Some(known) = connection.flow else {
            return Ok(());
        };
        // A late answer to a former flow of the connection came to another port.
        let current = self.is_kept(known)
            && known.source == sent.destination
            && lb_common::abi::address::wide(sent.source.ip())
                == self.world.backend_entry(known.backend).address;
        let idle = self.world.now.0.saturating_sub(known.seen);
        if scarce || !owned || !current || idle > OPENING_TICKS || known.phase == Phase::Closing {
            return Ok(());
        }
        Err(format!("a reply to {connection:?} finds no way back"))
    }
}
