//! The binary `packet-cost`: what a packet costs in this kernel, scenario by scenario.
//!
//! `cargo xtask bench` runs it twice: on the host, where the unit is nanoseconds, and in a guest
//! whose clock counts instructions. It prints one JSON object a line and no tables.

use std::io::Write as _;

use anyhow::Result;
use clap::Parser;
use lb_tests::cost::{Effort, Scale, measure, stages};

/// Measure what a packet costs, above the program that makes the packets.
#[derive(Debug, Parser)]
#[command(name = "packet-cost")]
struct Arguments {
    /// How many flows and prefixes there are.
    #[arg(long, value_enum, default_value = "full")]
    scale: Scale,
    /// Rounds of each scenario, whose median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Packets of a round.
    #[arg(long, default_value_t = 300_000)]
    packets: u32,
    /// Only the scenarios whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let effort = Effort {
        rounds: arguments.rounds,
        packets: arguments.packets,
    };
    for mut stage in stages(arguments.scale) {
        stage
            .scenarios
            .retain(|scenario| scenario.name.contains(&arguments.only));
        if stage.scenarios.is_empty() {
            continue;
        }
        eprintln!("packet-cost: {}", stage.name);
        for row in measure(&stage, effort)? {
            println!("{}", serde_json::to_string(&row)?);
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}
