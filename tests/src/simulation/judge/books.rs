//! Counters add up, and the tables hold what was put into them.

use lb_common::abi::trace::NONE;
use lb_common::abi::{Reason, Tally};
use lb_common::datapath::Stage;

use super::super::network::Sender;
use super::super::{Flight, Simulation};
use crate::ring::{Ran, Tuple};

impl Simulation {
    /// Counts a packet as the counters must.
    pub(super) fn expect_counts(&mut self, flight: &Flight, ran: &Ran, reason: Reason) {
        let bytes = flight.frame.bytes.len() as u64;
        let trace = &ran.trace;
        let expected = &mut self.expected;
        let tally: &mut Tally = expected.reasons.entry(reason as u32).or_default();
        tally.add(bytes);
        if trace.rule != NONE {
            expected.rules.entry(trace.rule).or_default().add(bytes);
        }
        if trace.service == NONE {
            return;
        }
        let mut traffic = vec![expected.services.entry(trace.service).or_default()];
        if trace.backend != NONE {
            traffic.push(expected.backends.entry(trace.backend).or_default());
        }
        for traffic in traffic {
            if matches!(flight.frame.sender, Sender::Backend(..)) {
                traffic.egress.add(bytes);
            } else {
                traffic.ingress.add(bytes);
                traffic.connections += u64::from(trace.new_flow);
            }
        }
    }

    /// While no packet is under way, everything that arrived has been counted once.
    pub(in super::super) fn judge_books(&mut self) -> Result<(), String> {
        self.judge_rounds()?;
        let counted = self.machine.counted();
        let differences = self.expected.differences(&counted);
        if !differences.is_empty() {
            return Err(format!("wrong counters: {}", differences.join("\n")));
        }
        let packets: u64 = counted.reasons.values().map(|tally| tally.packets).sum();
        if packets != self.arrived {
            return Err(format!("{packets} packets counted of {}", self.arrived));
        }
        let [flows, ways] = self.machine.keys();
        for (found, known) in [(flows, &self.flows), (ways, &self.ways)] {
            for stage in [Stage::Pending, Stage::Established] {
                let mut found: Vec<Tuple> = found
                    .iter()
                    .filter(|(place, _)| *place == stage)
                    .map(|(_, key)| *key)
                    .collect();
                found.sort_unstable();
                if found != known.keys(stage) {
                    return Err(format!("the {stage:?} table is not what was put into it"));
                }
            }
        }
        Ok(())
    }
}
