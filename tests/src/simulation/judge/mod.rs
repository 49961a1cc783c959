//! The design's invariants, judged on every packet when it leaves.
//!
//! A packet is under way for a while, and what it may have seen is what was there at some moment
//! of its flight: each judge asks what held throughout.

mod arrival;
mod books;
mod keeping;
mod leaving;
mod returning;
mod turns;

use lb_common::abi::Reason;

use super::machine::Change;
use super::machine::Event;
use super::network::Sender;
use super::presence::Flown;
use super::{Flight, Simulation};
use crate::ring::{Exit, Ran};

impl Simulation {
    /// Takes note of what the packet on a CPU has done to what it shares.
    pub(super) fn witness(&mut self, cpu: usize) -> Result<(), String> {
        for event in self.machine.events() {
            let moment = (self.now, self.machine.memory.clock.get());
            let Some(flight) = &mut self.flights[cpu] else {
                return Err(format!("{event:?} comes from a CPU without a packet"));
            };
            let serial = flight.serial;
            match event {
                Event::Turn(service, turn) => flight.turns.push((service, turn)),
                Event::Flow(stage, key, change) => {
                    self.tally.evicted += u64::from(change == Change::Evicted);
                    self.flows.note((stage, key, change), moment, serial);
                }
                Event::Way(stage, key, change) => {
                    self.judge_taking(cpu, stage, &key, change)?;
                    self.tally.evicted += u64::from(change == Change::Evicted);
                    self.ways.note((stage, key, change), moment, serial);
                }
            }
        }
        Ok(())
    }

    /// The packet on a CPU has left.
    pub(super) fn end(&mut self, cpu: usize, ran: &Ran) -> Result<(), String> {
        self.witness(cpu)?;
        let Some(flight) = self.flights[cpu].take() else {
            return Err("a packet leaves that has not arrived".to_owned());
        };
        self.judge(&flight, ran).map_err(|broken| {
            let Flight { frame, serial, .. } = &flight;
            let (reason, backend) = (ran.reason(), ran.trace.backend);
            format!(
                "{broken}\n  packet {serial} of {:?} on CPU {cpu}, flags {:#04x}, leaves for \
                 {reason:?}, backend {backend}",
                frame.sender, frame.flags
            )
        })
    }

    fn judge(&mut self, flight: &Flight, ran: &Ran) -> Result<(), String> {
        let reason = ran.reason().ok_or("a reason without a name")?;
        let flown = self.flown(flight);
        self.tally.amid_change += u64::from(flight.generation.changed() > flight.began);
        self.expect_counts(flight, ran, reason);
        if matches!(reason, Reason::NoPort | Reason::FlowTableFull) {
            self.tally.exhausted += 1;
        }
        if !ran.is_forwarded() && ran.frame != flight.frame.bytes {
            return Err(format!("{reason:?} has changed the frame"));
        }
        match flight.frame.sender {
            Sender::Client(id) => {
                self.judge_denial(id, flight, ran, reason)?;
                self.judge_turn(id, flight, ran, reason)?;
                self.judge_keeping(id, flight, ran, reason)?;
                self.judge_leaving(id, flight, ran)?;
                let received = if ran.is_forwarded() {
                    Some(self.judge_at_backend(id, flight, ran)?)
                } else {
                    self.judge_loss(flight, ran, reason)?;
                    None
                };
                self.learn(id, flight, ran, received.as_ref())?;
                if let Some(received) = received {
                    self.tally.at_backend += 1;
                    self.answer(id, &flight.frame, ran, &received);
                }
                Ok(())
            }
            Sender::Backend(id, reply) => self.judge_reply(id, &reply, flight, flown, ran),
        }
    }

    /// A denied source goes nowhere, whatever flow it has.
    fn judge_denial(
        &mut self,
        id: u32,
        flight: &Flight,
        ran: &Ran,
        reason: Reason,
    ) -> Result<(), String> {
        let client = self.connections[id as usize].client;
        let denied = flight.generation.denied.contains(&client.ip());
        self.tally.denied += u64::from(denied);
        if denied != (reason == Reason::FirewallDrop) {
            return Err(format!("{client}, denied: {denied}, leaves for {reason:?}"));
        }
        if denied && ran.exit != Exit::Drop {
            return Err(format!("the denied source {client} gets through"));
        }
        Ok(())
    }

    /// A client's packet is dropped for what was so at some moment of its flight.
    fn judge_loss(&self, flight: &Flight, ran: &Ran, reason: Reason) -> Result<(), String> {
        let span = self.flown(flight).span;
        let entries = flight.generation.backends_between(ran.trace.backend, span);
        let members = flight.generation.members_between(ran.trace.service, span);
        let justified = match reason {
            Reason::FirewallDrop => true,
            Reason::StrayReset => flight.frame.flags & crate::packet::RST != 0,
            Reason::NoNextHop => entries.iter().any(|entry| entry.hop.interface == 0),
            Reason::NoBackend => {
                members.iter().any(Vec::is_empty) || flight.generation.changed() >= flight.began
            }
            Reason::NoPort => self.options.ports < 1000,
            _ => false,
        };
        if justified {
            Ok(())
        } else {
            Err(format!("{reason:?} without a cause"))
        }
    }

    pub(super) fn flown(&self, flight: &Flight) -> Flown {
        Flown {
            serial: flight.serial,
            span: (flight.began, self.now),
        }
    }
}
