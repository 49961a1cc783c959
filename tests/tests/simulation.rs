//! The simulation, from a list of seeds. `LB_SEED` runs one seed more, `LB_SIMULATION_STEPS` sets
//! how many things happen in each.

use lb_tests::simulation::{Options, Simulation, Tally};

/// Where chance comes from unless `LB_SEED` says more.
const SEEDS: [u64; 4] = [1, 2, 3, 0x1b];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs a kind of simulation from every seed; the sum of what came up.
fn run_all(options: Options) -> Tally {
    let mut sum = Tally::default();
    let steps = number("LB_SIMULATION_STEPS").unwrap_or(u64::from(options.steps)) as u32;
    for seed in SEEDS.into_iter().chain(number("LB_SEED")) {
        let tally = Simulation::new(Options {
            seed,
            steps,
            ..options
        })
        .run();
        println!("seed {seed}: {tally:?}");
        sum.at_backend += tally.at_backend;
        sum.at_client += tally.at_client;
        sum.denied += tally.denied;
        sum.kept += tally.kept;
        sum.turns += tally.turns;
        sum.changes += tally.changes;
        sum.exhausted += tally.exhausted;
    }
    let everything = [
        sum.at_backend,
        sum.at_client,
        sum.denied,
        sum.turns,
        sum.changes,
    ];
    assert!(everything.iter().all(|count| *count > 100), "{sum:?}");
    sum
}

const PLENTY: Options = Options {
    seed: 0,
    steps: 40_000,
    room: None,
    ports: 30_000,
    connections: 4000,
};

#[test]
fn invariants_hold_while_there_is_room() {
    let sum = run_all(PLENTY);
    assert!(sum.kept > 1000 && sum.exhausted == 0, "{sum:?}");
}

#[test]
fn invariants_hold_while_ports_run_short() {
    let sum = run_all(Options {
        ports: 12,
        ..PLENTY
    });
    assert!(sum.exhausted > 100, "{sum:?}");
}

#[test]
fn invariants_hold_while_tables_overflow() {
    run_all(Options {
        room: Some((24, 48)),
        ..PLENTY
    });
}

#[test]
fn invariants_hold_while_all_run_short() {
    run_all(Options {
        room: Some((16, 64)),
        ports: 24,
        ..PLENTY
    });
}

#[test]
fn a_seed_leads_to_the_same_end() {
    let options = Options {
        seed: 9,
        steps: 5000,
        ..PLENTY
    };
    let ends = [
        Simulation::new(options).run(),
        Simulation::new(options).run(),
    ];
    assert_eq!(ends[0], ends[1]);
}
