//! The measurement: rounds of the program behind the front and of the front alone, in turn.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, ensure};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions};
use lb_common::abi::limits;
use lb_userspace::dataplane::{Generation, Host};
use lb_userspace::tables::Tables;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;

use super::flows::{self, Order, Spread};
use super::front::{Front, Run};
use super::scenario::{Fate, Flows, Scenario, Stage, filled};
use crate::kernel::{now, until_next_tick};
use crate::packet::{ACK, Packet, SYN, verify};

/// How long to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Rounds of each scenario; odd, for the median to be one of them.
    pub rounds: usize,
    /// Packets of each round.
    pub packets: u32,
}

/// The cost of one scenario's packets above that of the front.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub scenario: String,
    /// The median of the rounds.
    pub median: i64,
    /// The cheapest round.
    pub low: i64,
    /// The dearest round.
    pub high: i64,
}

/// Packets that open flows before the client's next ones are sent: far fewer than the pending
/// table holds.
const OPEN_AT_ONCE: u32 = 16_384;
/// Fewest and most packets before a round.
const WARM_UP: (u32, u32) = (1000, 200_000);

/// Measures a stage's scenarios, all of them in each round.
pub fn measure(stage: &Stage, effort: Effort) -> Result<Vec<Row>> {
    stay_on_one_cpu()?;
    let mut bench = Bench::new(&(stage.tables)())?;
    let mut scenarios = stage.scenarios.clone();
    for scenario in &mut scenarios {
        bench
            .prepare(scenario)
            .with_context(|| scenario.name.clone())?;
    }
    let mut costs: Vec<Vec<i64>> = vec![Vec::new(); scenarios.len()];
    for _ in 0..effort.rounds {
        for (scenario, costs) in scenarios.iter().zip(&mut costs) {
            let cost = bench.round(scenario, effort.packets);
            costs.push(cost.with_context(|| scenario.name.clone())?);
        }
    }
    let rows = scenarios.iter().zip(costs);
    Ok(rows
        .map(|(scenario, costs)| Row::of(&scenario.name, costs))
        .collect())
}

/// A loaded program with the front before it.
struct Bench {
    generation: Generation,
    program: ProgramFd,
    front: Front,
    /// How many flows are open, numbered from 0.
    open: u32,
    /// The next source that no packet had yet.
    fresh: u32,
}

impl Bench {
    fn new(tables: &Tables) -> Result<Self> {
        let host = Host::probe()?;
        let mut generation = Generation::load(tables, host.coarse_clock, None)?;
        generation.fill(tables)?;
        Ok(Self {
            program: generation.program()?.fd()?.try_clone()?,
            front: Front::load()?,
            generation,
            open: 0,
            // Above all flows that are opened.
            fresh: 1 << 28,
        })
    }

    /// Does what comes before the first round.
    fn prepare(&mut self, scenario: &mut Scenario) -> Result<()> {
        match scenario.flows {
            Flows::Known(flows, _) => self.open_flows(&scenario.packet, flows),
            Flows::Reply => {
                self.open_flows(&scenario.packet, 1)?;
                scenario.packet = self.reply(&scenario.packet)?;
                scenario.flows = Flows::Sources(1);
                Ok(())
            }
            Flows::Sources(_) | Flows::New => Ok(()),
        }
    }

    /// Opens the flows that are not yet: a SYN from each client, then what it sends next.
    fn open_flows(&mut self, packet: &Packet, flows: u32) -> Result<()> {
        let opening = packet.clone().flags(SYN);
        while self.open < flows {
            let count = OPEN_AT_ONCE.min(flows - self.open);
            for packet in [&opening, packet] {
                self.front.send(packet, Order::From(self.open))?;
                let run = self.front.run(Some(&self.program), count)?;
                check(run, Fate::Tx)?;
            }
            self.open += count;
        }
        Ok(())
    }

    /// What the backend answers to a packet.
    fn reply(&mut self, packet: &Packet) -> Result<Packet> {
        let frame = packet.bytes();
        // The other family's header may be longer.
        let mut sent = vec![0; frame.len() + 20];
        self.generation.program()?.test_run(TestRunOptions {
            data_in: Some(&frame),
            data_out: Some(&mut sent),
            ..TestRunOptions::default()
        })?;
        let sent = verify::receive(&sent).map_err(Error::msg)?;
        Ok(filled(Packet::tcp(sent.destination, sent.source, ACK)))
    }

    /// The cost of a scenario's packets above that of the front, once.
    fn round(&mut self, scenario: &Scenario, packets: u32) -> Result<i64> {
        let (order, warm_up) = self.order(scenario.flows, packets)?;
        self.front.send(&scenario.packet, order)?;
        self.front.run(None, warm_up)?;
        let front = self.front.run(None, packets)?;
        if matches!(order, Order::Cycle(flows) if flows > warm_up) {
            // An earlier round may have met those that are not warmed up, in this tick or not.
            sleep_until_next_tick();
        }
        let whole = self.within_a_tick(warm_up, packets)?;
        check(whole, scenario.fate)?;
        Ok(whole.cost - front.cost)
    }

    /// Runs the program on packets, after others that bring caches and tables to the state they
    /// will be in. A flow's time stamp changes once in a tick, so a tick that ends meanwhile makes
    /// packets dearer: then all is done once more, from the beginning of the next one.
    fn within_a_tick(&mut self, warm_up: u32, packets: u32) -> Result<Run> {
        let began = now();
        let run = self.warm_run(warm_up, packets)?;
        if now() == began {
            return Ok(run);
        }
        sleep_until_next_tick();
        self.warm_run(warm_up, packets)
    }

    fn warm_run(&mut self, warm_up: u32, packets: u32) -> Result<Run> {
        self.front.run(Some(&self.program), warm_up)?;
        self.front.run(Some(&self.program), packets)
    }

    /// The order of a round's flows, and how many packets it takes to meet each of them, so that
    /// caches and tables are as they will be.
    fn order(&mut self, flows: Flows, packets: u32) -> Result<(Order, u32)> {
        let (flows, spread) = match flows {
            Flows::Known(flows, spread) => (flows, spread),
            Flows::Sources(sources) => (sources, Spread::Uniform),
            Flows::Reply => (1, Spread::Uniform),
            Flows::New => {
                let first = self.fresh;
                let warm_up = 2 * limits::PENDING;
                self.fresh = self.fresh.wrapping_add(2 * (warm_up + packets));
                return Ok((Order::From(first), warm_up));
            }
        };
        let sequence = flows::sequence(flows, spread)?;
        self.front.write_sequence(&sequence)?;
        let length = u32::try_from(sequence.len())?;
        Ok((Order::Cycle(length), length.clamp(WARM_UP.0, WARM_UP.1)))
    }
}

fn sleep_until_next_tick() {
    sleep(Duration::from_nanos(until_next_tick()));
}

fn check(run: Run, fate: Fate) -> Result<()> {
    ensure!(
        run.action == fate as u32,
        "XDP returned {} where {fate:?} ({}) was expected",
        run.action,
        fate as u32
    );
    Ok(())
}

/// The clock and the caches of one CPU.
fn stay_on_one_cpu() -> Result<()> {
    let current = nix::sched::sched_getcpu()?;
    let mut only = CpuSet::new();
    only.set(current)?;
    sched_setaffinity(Pid::from_raw(0), &only).context("cannot stay on one CPU")
}

impl Row {
    fn of(scenario: &str, mut costs: Vec<i64>) -> Self {
        costs.sort_unstable();
        let at = |index: usize| costs.get(index).copied().unwrap_or_default();
        Self {
            scenario: scenario.to_owned(),
            median: at(costs.len() / 2),
            low: at(0),
            high: at(costs.len().saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Row;

    #[test]
    fn a_row_is_the_median_between_the_cheapest_and_the_dearest() {
        let row = Row::of("some", vec![30, 10, 20, 50, 40]);
        assert_eq!((row.low, row.median, row.high), (10, 30, 50));
    }
}
