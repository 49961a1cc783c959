//! A live flow keeps its backend while that is up or draining.
//!
//! Which flow a packet belongs to is known from the packets before it, and exactly, unless they
//! were under way at the same time: then it belongs to one that they found or made. An entry that
//! was evicted binds nobody any more.

use std::net::SocketAddr;

use lb_common::abi::Reason;
use lb_common::datapath::Stage;

use super::super::connection::{Connection, Known};
use super::super::presence::Cause;
use super::super::{Flight, Simulation};
use crate::packet::verify::Received;
use crate::packet::{ACK, FIN, RST, SYN};
use crate::ring::Ran;

/// Ticks that any UDP flow is remembered at least (300 s).
const UDP_TICKS: u32 = 275;
/// Ticks that a TCP flow with one packet is remembered at least (240 s).
const OPENING_TICKS: u32 = 220;
/// Ticks that an established TCP flow is remembered at least (7440 s).
const ESTABLISHED_TICKS: u32 = 6900;

impl Simulation {
    /// Judges whether a client's packet had to stay in its flow, and did.
    pub(super) fn judge_keeping(
        &mut self,
        id: u32,
        flight: &Flight,
        ran: &Ran,
        reason: Reason,
    ) -> Result<(), String> {
        if reason == Reason::FirewallDrop || !self.must_stay(id, flight) {
            return Ok(());
        }
        let connection = &self.connections[id as usize];
        let key = connection.tuple();
        let flown = self.flown(flight);
        let ways = connection.flows.iter();
        let ways: Vec<String> = ways
            .map(|known| self.ways.story(&known.reply(key.protocol), flown))
            .collect();
        let why = |what: &str| {
            format!(
                "{what}: {} ({}) must stay in one of {:?}; its entry: {}, idle for {}, ways back: \
                 {ways:?}",
                connection.client,
                connection.scene,
                connection.flows,
                self.flows.story(&key, flown),
                flight.idle
            )
        };
        match reason {
            Reason::NoNextHop => {}
            Reason::ToBackend if ran.trace.new_flow == 0 => {}
            _ => return Err(why("a flow that is remembered is not found")),
        }
        self.tally.kept += 1;
        self.tally.kept_in_crowd += u64::from(connection.crowd.size > 1);
        Ok(())
    }

    /// Whether everything that binds a packet to its flow was so throughout its flight.
    fn must_stay(&self, id: u32, flight: &Flight) -> bool {
        let connection = &self.connections[id as usize];
        let flown = self.flown(flight);
        let key = connection.tuple();
        let opens = flight.frame.flags & (SYN | ACK) == SYN;
        if connection.flows.is_empty()
            || (connection.closing && (opens || connection.scene.is_tcp()))
        {
            return false;
        }
        let established = self.flows.stood(Stage::Established, &key, flown);
        let limit = match connection.scene.is_tcp() {
            true if established => ESTABLISHED_TICKS,
            true => OPENING_TICKS,
            false => UDP_TICKS,
        };
        // An entry that another packet of the client writes anew may be missed, and by a packet
        // that opens, which is not looked for twice, also one that moves.
        let misses = self.flows.causes(&key, flown).any(|cause| match cause {
            Cause::Replaced => true,
            Cause::Removed(_, by) => opens && by != flown.serial,
            Cause::Laid | Cause::Evicted => false,
        });
        flight.idle <= limit
            && !misses
            && self.flows.held_throughout(&key, key, flown)
            && connection.flows.iter().all(|known| {
                let reply = known.reply(key.protocol);
                let lent = connection.scene.is_nat() && self.ways.lent(&reply, key, flown);
                let entries = flight
                    .generation
                    .backends_between(known.backend, flown.span);
                !lent && entries.iter().all(|entry| known.is_kept_by(entry))
            })
    }

    /// Learns from a packet what the connection's flow is.
    pub(super) fn learn(
        &mut self,
        id: u32,
        flight: &Flight,
        ran: &Ran,
        received: Option<&Received>,
    ) -> Result<(), String> {
        let reason = ran.reason();
        let began = ran.trace.new_flow == 1 || reason == Some(Reason::Stray);
        let span = self.flown(flight).span;
        let entries = flight.generation.backends_between(ran.trace.backend, span);
        let now = self.now;
        let connection = &mut self.connections[id as usize];
        let alone = connection.crowd.size == 1;
        if let Some(received) = received {
            connection.touched = connection.touched.max(flight.clock - 1);
            connection.left = now;
            if began && alone {
                let ends = flight.frame.flags & (FIN | RST) != 0;
                connection.closing = connection.scene.is_tcp() && ends;
            }
            let before = connection.flows.len();
            for entry in entries {
                let known = Known {
                    backend: ran.trace.backend,
                    incarnation: entry.incarnation,
                    source: received.source,
                    destination: received.destination,
                };
                if began && !connection.flows.contains(&known) {
                    connection.flows.push(known);
                }
                if !began && !connection.crowd.kept.contains(&known) {
                    connection.crowd.kept.push(known);
                }
            }
            if began && !alone && before > 0 {
                self.tally.extra_turns += u64::from(ran.trace.new_flow);
            }
        }
        connection.crowd.active -= 1;
        if connection.crowd.active > 0 {
            return Ok(());
        }
        connection.crowd.size = 0;
        check_kept(connection)?;
        let shown = received.map(|received| (ran.trace.backend, received.source));
        self.settle(id, flight, shown.filter(|_| alone));
        Ok(())
    }

    /// Once a client has no packet under way, the tables say how many flows may be left.
    fn settle(&mut self, id: u32, flight: &Flight, shown: Option<(u32, SocketAddr)>) {
        let key = self.connections[id as usize].tuple();
        let stages = [Stage::Pending, Stage::Established];
        let entries = stages.map(|stage| self.flows.owner(stage, &key).is_some());
        let mut causes = self.flows.causes(&key, self.flown(flight));
        let evicted = causes.any(|cause| cause == Cause::Evicted);
        let flows = &mut self.connections[id as usize].flows;
        match (entries, shown) {
            ([false, false], _) => flows.clear(),
            // With one entry, a packet that was alone has shown which.
            ([true, false] | [false, true], Some(shown)) if !evicted => {
                flows.retain(|known| (known.backend, known.source) == shown);
            }
            _ => {}
        }
    }
}

/// The packets that found a flow found one that was known.
fn check_kept(connection: &mut Connection) -> Result<(), String> {
    let same = |a: &Known, b: &Known| (a.backend, a.source) == (b.backend, b.source);
    for found in std::mem::take(&mut connection.crowd.kept) {
        if !connection.flows.iter().any(|known| same(known, &found)) {
            return Err(format!(
                "{} ({}) is in {found:?}, which is none of {:?}",
                connection.client, connection.scene, connection.flows
            ));
        }
    }
    Ok(())
}
