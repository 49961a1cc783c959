//! The budget: how many instructions each scenario's packet may cost. Landing an improvement
//! means lowering it, with `cargo xtask bench --only instructions --update-budget`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use serde::Deserialize;

use super::Cost;
use super::instructions::Measured;
use crate::workspace::Workspace;

/// Growth that still passes, in percent: the compiler's whims.
const GROWTH_MAX: i64 = 2;

const HEADER: &str = "\
# Instructions that a packet may cost above the front program, by scenario, in a guest with `-icount
# shift=0`. `cargo xtask test` fails where one costs over 2 % more. Written by `cargo xtask bench
# --only instructions --update-budget`.

";

/// The file.
#[derive(Debug, Deserialize)]
struct Budget {
    /// The kernel that the figures are of.
    kernel: String,
    instructions: BTreeMap<String, i64>,
}

/// Fails if a scenario costs too much, or is in one list and not in the other.
pub(super) fn check(workspace: &Workspace, measured: &Measured) -> Result<()> {
    let path = path(workspace);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let budget: Budget = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    let problems = compare(&budget.instructions, &measured.costs);
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "instructions do not keep to {} (of kernel {}; these are of {}):\n  {}\nIf it has to be, \
         write the new figures with `cargo xtask bench --only instructions --update-budget`, and \
         say why in the commit",
        path.display(),
        budget.kernel,
        measured.kernel,
        problems.join("\n  ")
    )
}

/// Makes these costs the budget.
pub(super) fn write(workspace: &Workspace, measured: &Measured) -> Result<()> {
    let mut text = HEADER.to_owned();
    writeln!(text, "kernel = \"{}\"\n\n[instructions]", measured.kernel)?;
    for cost in &measured.costs {
        writeln!(text, "\"{}\" = {}", cost.scenario, cost.median)?;
    }
    let path = path(workspace);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn path(workspace: &Workspace) -> PathBuf {
    workspace.root.join("tests").join("budget.toml")
}

fn compare(budget: &BTreeMap<String, i64>, costs: &[Cost]) -> Vec<String> {
    let mut problems = Vec::new();
    for cost in costs {
        match budget.get(&cost.scenario) {
            None => problems.push(format!("{}: not in the budget", cost.scenario)),
            Some(limit) if cost.median * 100 > limit * (100 + GROWTH_MAX) => {
                let percent = (cost.median - limit) * 100 / limit;
                problems.push(format!(
                    "{}: {} instructions, {percent} % above {limit}",
                    cost.scenario, cost.median
                ));
            }
            Some(_) => {}
        }
    }
    for scenario in budget.keys() {
        if !costs.iter().any(|cost| cost.scenario == *scenario) {
            problems.push(format!("{scenario}: in the budget, but not measured"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(scenario: &str, median: i64) -> Cost {
        Cost {
            scenario: scenario.to_owned(),
            median,
            low: median,
            high: median,
        }
    }

    #[test]
    fn two_percent_more_pass_and_three_do_not() {
        let budget = BTreeMap::from([("a".to_owned(), 1000)]);
        assert!(compare(&budget, &[cost("a", 1020)]).is_empty());
        assert!(compare(&budget, &[cost("a", 10)]).is_empty());
        let problems = compare(&budget, &[cost("a", 1030)]);
        assert_eq!(problems, ["a: 1030 instructions, 3 % above 1000"]);
    }

    #[test]
    fn scenarios_must_be_in_both_lists() {
        let budget = BTreeMap::from([("gone".to_owned(), 1)]);
        let problems = compare(&budget, &[cost("new", 1)]);
        assert_eq!(
            problems,
            [
                "new: not in the budget",
                "gone: in the budget, but not measured"
            ]
        );
    }
}
