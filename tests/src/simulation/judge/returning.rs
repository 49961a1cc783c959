//! Ways back: replies reach the client that asked, no packet enters another's connection, and no
//! source port is taken from a flow that lives.

use lb_common::abi::Reason;
use lb_common::datapath::Stage;

use super::super::connection::Connection;
use super::super::machine::Change;
use super::super::network::{Sender, read};
use super::super::presence::Flown;
use super::super::{Flight, Simulation};
use crate::packet::verify::Received;
use crate::packet::{FIN, RST};
use crate::ring::{Ran, Tuple};
use crate::world::OUR_MAC;

/// Ticks that a port rests at least where ports run short, clocks being a tick apart.
const PRESSED_TICKS: u32 = 2;
/// Ticks that an established flow keeps its port at least (UDP: 300 s).
const ESTABLISHED_TICKS: u32 = 275;

impl Simulation {
    /// A way back is laid by its own flow's packet, and takes no living flow's place.
    pub(super) fn judge_taking(
        &self,
        cpu: usize,
        stage: Stage,
        key: &Tuple,
        change: Change,
    ) -> Result<(), String> {
        let taker = self.flights[cpu].as_ref();
        let Some((Sender::Client(id), began)) =
            taker.map(|flight| (flight.frame.sender, flight.began))
        else {
            return Err(format!("{change:?}: a reply changes the ways back"));
        };
        let own = self.connections[id as usize].tuple();
        if let Change::Laid(client) = change
            && client != own
        {
            return Err(format!("a packet of {own:?} lays a way back to {client:?}"));
        }
        let Some(former) = self.ways.owner(stage, key) else {
            return Ok(());
        };
        if change == Change::Evicted || former == own {
            return Ok(());
        }
        let Some(owner) = self
            .numbers
            .get(&former)
            .map(|id| &self.connections[*id as usize])
        else {
            return Err(format!("a way back led to {former:?}, who is nobody"));
        };
        let idle = self.machine.memory.clock.get() - owner.touched;
        // Of several flows that it may be in it uses one.
        let uses_it = owner.flows.len() == 1 && owner.flows[0].reply(key.protocol) == *key;
        let established = stage == Stage::Established && !owner.closing;
        // Between the look at the former owner's time and the taking another packet of that may
        // pass: what counts is what was before this packet.
        let passed = owner.left >= began || owner.crowd.active > 0;
        if uses_it && !passed && (idle < PRESSED_TICKS || (established && idle < ESTABLISHED_TICKS))
        {
            return Err(format!(
                "{own:?} takes the port of {former:?}, idle for {idle}, {stage:?}"
            ));
        }
        Ok(())
    }

    /// No packet enters another connection: its way back is its own.
    pub(super) fn judge_owner(
        &self,
        id: u32,
        flight: &Flight,
        received: &Received,
    ) -> Result<(), String> {
        let own = self.connections[id as usize].tuple();
        let flown = self.flown(flight);
        let key = Tuple {
            remote: received.destination,
            local: received.source,
            protocol: own.protocol,
        };
        // A table that overflows may forget a way back in the very tick of its flow's last
        // packet; the flow asks for it again in the next.
        let at_once = flight.clock - 2;
        if self.ways.held_sometime(&key, own, flown) || self.ways.held_since(&key, own, at_once) {
            return Ok(());
        }
        let owners = self.ways.owners(&key, flown);
        Err(format!(
            "a packet of {own:?} uses {key:?}, whose way back leads to {owners:?}"
        ))
    }

    /// A reply reaches the client whose connection it is, with the VIP as its source.
    pub(super) fn judge_reply(
        &mut self,
        id: u32,
        reply: &Tuple,
        flight: &Flight,
        flown: Flown,
        ran: &Ran,
    ) -> Result<(), String> {
        let own = self.connections[id as usize].tuple();
        let bound = self.ways.held_throughout(reply, own, flown);
        if !ran.is_forwarded() {
            return match ran.reason() {
                Some(Reason::NotOurs) if !bound => Ok(()),
                // The element that it held went to another flow under it.
                Some(Reason::RewriteFailed) if self.ways.causes(reply, flown).any(|_| true) => {
                    Ok(())
                }
                _ => Err(format!("a reply to {own:?} is lost")),
            };
        }
        if ran.reason() != Some(Reason::ToClient) {
            return Err("a reply takes a client's way".to_owned());
        }
        let sent = read(&flight.frame.bytes)?;
        let received = read(&ran.frame)?;
        // A late reply on a port that has changed hands is the new owner's.
        let mut owners = self.ways.owners(reply, flown);
        if bound && !self.ways.lent(reply, own, flown) {
            owners = vec![own];
            self.tally.returned += 1;
        }
        let mut reached = None;
        for owner in &owners {
            let Some(number) = self.numbers.get(owner) else {
                continue;
            };
            let connection = &self.connections[*number as usize];
            let expected = Received {
                source: Connection::vip(connection.scene),
                destination: connection.client,
                hop_limit: sent.hop_limit - 1,
                payload: sent.payload.clone(),
            };
            if received == expected
                && ran.frame[..6] == connection.router
                && ran.frame[6..12] == OUR_MAC
            {
                reached = Some(*number);
            }
        }
        let Some(reached) = reached else {
            return Err(format!(
                "a reply to {own:?} is for one of {owners:?} and has become {received:?}, to \
                 {:02x?}",
                &ran.frame[..6]
            ));
        };
        self.tally.at_client += 1;
        let connection = &mut self.connections[reached as usize];
        connection.closing |= connection.scene.is_tcp() && flight.frame.flags & (FIN | RST) != 0;
        Ok(())
    }
}
