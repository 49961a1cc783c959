//! The simulation, from a list of seeds. `LB_SEED` runs one seed instead, `LB_SIMULATION_SECONDS`
//! goes on with further seeds for so long in each test.

use std::time::{Duration, Instant};

use lb_tests::simulation::{Options, Simulation, Tally};

/// Where chance comes from unless `LB_SEED` says otherwise.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().ok();
    assert!(number.is_some(), "{name}={text} is not a whole number");
    number
}

/// Runs a kind of simulation from every seed; the sum of what came up.
fn run_all(options: Options) -> Tally {
    let mut sum = Tally::default();
    let began = Instant::now();
    let longer = Duration::from_secs(number("LB_SIMULATION_SECONDS").unwrap_or(0));
    let first = number("LB_SEED");
    let seeds = first.map_or(SEEDS, |seed| seed..=seed);
    let more = seeds.end() + 1..;
    let more = more.take_while(|_| began.elapsed() < longer);
    for seed in seeds.chain(more) {
        let tally = Simulation::new(Options { seed, ..options }).run();
        println!("seed {seed}: {tally:?}");
        sum.add(&tally);
    }
    println!("{sum:?}");
    sum
}

/// Whether what must come up has: a single seed is no measure.
fn expect(sum: &Tally, busy: bool) {
    assert!(number("LB_SEED").is_some() || busy, "{sum:?}");
}

const PLENTY: Options = Options {
    name: "simulation_with_room",
    seed: 0,
    packets: 6000,
    cpus: 4,
    room: None,
    ports: 30_000,
    connections: 4000,
};

#[test]
fn simulation_with_room() {
    let sum = run_all(PLENTY);
    expect(&sum, sum.is_busy() && sum.exhausted + sum.evicted == 0);
}

#[test]
fn simulation_with_few_ports() {
    let sum = run_all(Options {
        name: "simulation_with_few_ports",
        ports: 12,
        ..PLENTY
    });
    expect(&sum, sum.is_busy() && sum.exhausted > 100);
}

#[test]
fn simulation_with_small_tables() {
    let sum = run_all(Options {
        name: "simulation_with_small_tables",
        room: Some((24, 48)),
        ..PLENTY
    });
    expect(&sum, sum.is_busy() && sum.evicted > 100);
}

#[test]
fn simulation_with_little_of_everything() {
    let sum = run_all(Options {
        name: "simulation_with_little_of_everything",
        room: Some((16, 64)),
        ports: 24,
        ..PLENTY
    });
    expect(&sum, sum.is_busy() && sum.evicted > 100);
}

#[test]
fn simulation_is_the_same_from_the_same_seed() {
    let options = Options {
        name: "simulation_is_the_same_from_the_same_seed",
        seed: 9,
        packets: 2000,
        ..PLENTY
    };
    let ends = [
        Simulation::new(options).run(),
        Simulation::new(options).run(),
    ];
    assert_eq!(ends[0], ends[1]);
}
