//! Round robin: turn n of a service is member n's, counted around.
//!
//! Turns are numbered by the cursor, and none comes twice, so that N turns over B equal backends
//! differ by at most one however many CPUs take them. Connections are as even as turns are, except
//! that first packets of one connection that meet take a turn each.

use lb_common::abi::Reason;

use super::super::{Flight, Simulation};
use crate::ring::Ran;

impl Simulation {
    /// Judges the turn that a client's packet took, or none.
    pub(super) fn judge_turn(
        &mut self,
        id: u32,
        flight: &Flight,
        ran: &Ran,
        reason: Reason,
    ) -> Result<(), String> {
        let (service, turn) = match flight.turns[..] {
            [] if ran.trace.new_flow == 1 => return Err("a new flow takes no turn".to_owned()),
            [] => return self.judge_stray(flight, ran, reason),
            [turn] => turn,
            _ => return Err(format!("one packet takes turns {:?}", flight.turns)),
        };
        let tuple = self.connections[id as usize].tuple();
        if self.service_of(&tuple) != Some(service) {
            return Err(format!("it takes a turn of service {service}"));
        }
        let next = self.turns.entry(service).or_default();
        if !next.insert(turn) {
            return Err(format!("turn {turn} of service {service} is taken twice"));
        }
        let dropped = !ran.is_forwarded();
        let members = flight
            .generation
            .members_between(service, self.flown(flight).span);
        let has_turn = |members: &Vec<u32>| {
            let place = turn.checked_rem(members.len() as u64);
            place.is_some_and(|place| members[place as usize] == ran.trace.backend)
        };
        if (dropped && reason == Reason::NoBackend) || members.iter().any(has_turn) {
            self.tally.turns += 1;
            return Ok(());
        }
        Err(format!(
            "turn {turn} of service {service} is not that of {} among {members:?}",
            ran.trace.backend
        ))
    }

    /// A packet that is scheduled without a turn goes to one of the members.
    fn judge_stray(&self, flight: &Flight, ran: &Ran, reason: Reason) -> Result<(), String> {
        if reason != Reason::Stray {
            return Ok(());
        }
        let span = self.flown(flight).span;
        let members = flight.generation.members_between(ran.trace.service, span);
        if members.iter().any(|all| all.contains(&ran.trace.backend)) {
            return Ok(());
        }
        let backend = ran.trace.backend;
        Err(format!(
            "a stray goes to {backend}, which is not of {members:?}"
        ))
    }

    /// At rest every turn up to the last has been taken.
    pub(super) fn judge_rounds(&mut self) -> Result<(), String> {
        for (service, taken) in &mut self.turns {
            let first = self.turns_before.get(service).copied().unwrap_or(0);
            let count = taken.len() as u64;
            if taken.iter().copied().ne(first..first + count) {
                return Err(format!(
                    "service {service} has had turns {taken:?} since {first}"
                ));
            }
            self.turns_before.insert(*service, first + count);
            taken.clear();
        }
        Ok(())
    }
}
