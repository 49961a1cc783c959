//! What a packet leaves in the tables: one entry of its flow, and no way back of a former one.
//!
//! Packets of one client that meet may leave more, which later ones find or forget.

use lb_common::abi::Reason;
use lb_common::datapath::Stage;

use super::super::connection::Known;
use super::super::presence::{Cause, Presence};
use super::super::{Flight, Simulation};
use crate::ring::{Ran, Tuple};

impl Simulation {
    /// Judges what a client's packet that was alone leaves behind.
    pub(super) fn judge_leaving(&self, id: u32, flight: &Flight, ran: &Ran) -> Result<(), String> {
        let connection = &self.connections[id as usize];
        if connection.crowd.size > 1 {
            return Ok(());
        }
        let key = connection.tuple();
        if self.doubles(&self.flows, &key, key, flight) {
            return Err(format!("the flow of {key:?} is now in both tables"));
        }
        for known in connection
            .flows
            .iter()
            .filter(|_| connection.scene.is_nat())
        {
            let reply = known.reply(key.protocol);
            if self.doubles(&self.ways, &reply, key, flight) {
                return Err(format!("the way back of {key:?} is now in both tables"));
            }
        }
        let began = ran.trace.new_flow == 1 || ran.reason() == Some(Reason::Stray);
        match connection.flows[..] {
            [former] if began && connection.scene.is_nat() => {
                self.judge_former(&key, former, flight)
            }
            _ => Ok(()),
        }
    }

    /// Whether a packet has made two entries of its own of one. Another client's that is being moved
    /// is in both tables for a moment.
    fn doubles(&self, entries: &Presence, key: &Tuple, owner: Tuple, flight: &Flight) -> bool {
        let stages = [Stage::Pending, Stage::Established];
        let flown = self.flown(flight);
        stages
            .iter()
            .all(|stage| entries.owner(*stage, key) == Some(owner))
            && !stages.iter().all(|stage| entries.stood(*stage, key, flown))
    }

    /// A flow that was given up for another takes its way back with it.
    fn judge_former(&self, key: &Tuple, former: Known, flight: &Flight) -> Result<(), String> {
        let flown = self.flown(flight);
        let span = flown.span;
        let entries = flight.generation.backends_between(former.backend, span);
        let reply = former.reply(key.protocol);
        let same = entries
            .iter()
            .all(|entry| entry.incarnation == former.incarnation);
        let laid_anew = self
            .ways
            .causes(&reply, flown)
            .any(|cause| matches!(cause, Cause::Laid | Cause::Replaced));
        for stage in [Stage::Pending, Stage::Established] {
            // What was left in the other table by packets that met is not this one's.
            let given_up = self
                .flows
                .causes(key, flown)
                .any(|cause| cause == Cause::Removed(stage, flight.serial));
            let stood = self.flows.stood(stage, key, flown);
            let left = self.ways.owner(stage, &reply) == Some(*key);
            if same && given_up && !laid_anew && stood && left {
                return Err(format!("{key:?} leaves the way back of {former:?}"));
            }
        }
        Ok(())
    }
}
