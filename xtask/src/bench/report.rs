//! The report: a table on a terminal, or one JSON object.

use anyhow::{Result, bail};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;

use super::Cost;
use super::side_by_side::Comparison;

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// A row for each scenario.
    pub(super) rows: Vec<Row>,
    /// What could not be measured, and why.
    pub(super) skipped: Vec<String>,
}

/// One scenario. What does not apply is absent.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) scenario: String,
    /// Nanoseconds of a packet: the median of the rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ns: Option<i64>,
    /// The cheapest and the dearest round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ns_range: Option<(i64, i64)>,
    /// Instructions of a packet in the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instructions: Option<i64>,
    /// Ours to the peer's: the median of the rounds' ratios.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio: Option<f64>,
    /// The lowest and the highest of the rounds' ratios.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio_range: Option<(f64, f64)>,
    /// What it was compared with, and the figures of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comparison: Option<Comparison>,
}

impl Report {
    /// Adds what an instrument measured, or why it did not.
    pub(super) fn note<T>(
        &mut self,
        instrument: &str,
        measured: Result<T>,
        add: impl FnOnce(&mut Self, T),
    ) {
        match measured {
            Ok(measured) => add(self, measured),
            Err(error) => self.skipped.push(format!("{instrument}: {error:#}")),
        }
    }

    pub(super) fn add_times(&mut self, costs: Vec<Cost>) {
        for cost in costs {
            let row = self.row(cost.scenario);
            row.ns = Some(cost.median);
            row.ns_range = Some((cost.low, cost.high));
        }
    }

    pub(super) fn add_instructions(&mut self, costs: Vec<Cost>) {
        for cost in costs {
            self.row(cost.scenario).instructions = Some(cost.median);
        }
    }

    pub(super) fn add_comparisons(&mut self, comparisons: Vec<Comparison>) {
        for comparison in comparisons {
            self.rows.push(Row {
                scenario: comparison.name(),
                ratio: Some(comparison.ratio),
                ratio_range: Some((comparison.ratio_low, comparison.ratio_high)),
                comparison: Some(comparison),
                ..Row::default()
            });
        }
    }

    fn row(&mut self, scenario: String) -> &mut Row {
        let known = self.rows.iter().position(|row| row.scenario == scenario);
        let index = known.unwrap_or_else(|| {
            self.rows.push(Row {
                scenario,
                ..Row::default()
            });
            self.rows.len() - 1
        });
        &mut self.rows[index]
    }

    /// Prints it; an error if there is something that could not be measured.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
        } else {
            for table in [self.costs(), self.comparisons()] {
                if table.row_count() > 0 {
                    println!("{table}\n");
                }
            }
        }
        for skipped in &self.skipped {
            eprintln!("skipped: {skipped}");
        }
        if !self.skipped.is_empty() {
            bail!("{} of the instruments could not run", self.skipped.len());
        }
        Ok(())
    }

    fn costs(&self) -> Table {
        let mut table = table(["A PACKET OF", "NS", "FROM", "TO", "INSTRUCTIONS"]);
        for row in self.rows.iter().filter(|row| row.ratio.is_none()) {
            let range = row.ns_range;
            table.add_row([
                row.scenario.clone(),
                number(row.ns),
                number(range.map(|range| range.0)),
                number(range.map(|range| range.1)),
                number(row.instructions),
            ]);
        }
        align(table)
    }

    fn comparisons(&self) -> Table {
        let mut table = table(["SIDE BY SIDE", "LB", "PEER", "RATIO", "FROM", "TO"]);
        for row in &self.rows {
            let Some(comparison) = &row.comparison else {
                continue;
            };
            table.add_row([
                row.scenario.clone(),
                format!("{:.0}", comparison.ours_per_second),
                format!("{:.0}", comparison.peer_per_second),
                format!("{:.2}", comparison.ratio),
                format!("{:.2}", comparison.ratio_low),
                format!("{:.2}", comparison.ratio_high),
            ]);
        }
        align(table)
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    table
}

/// Numbers lean to the right.
fn align(mut table: Table) -> Table {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn number(number: Option<i64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(scenario: &str, median: i64) -> Cost {
        Cost {
            scenario: scenario.to_owned(),
            median,
            low: median - 1,
            high: median + 1,
        }
    }

    #[test]
    fn a_scenario_that_two_instruments_measured_is_one_row() {
        let mut report = Report::default();
        report.add_times(vec![cost("a", 100), cost("b", 200)]);
        report.add_instructions(vec![cost("b", 900)]);
        assert_eq!(report.rows.len(), 2);
        let row = &report.rows[1];
        assert_eq!((row.ns, row.instructions), (Some(200), Some(900)));
        let text = report.costs().to_string();
        assert!(
            text.lines().nth(2).is_some_and(|line| line.contains("900")),
            "{text}"
        );
    }

    #[test]
    fn what_could_not_run_is_an_error_and_in_the_json() {
        let mut report = Report::default();
        report.note("time", Err(anyhow::anyhow!("no root")), Report::add_times);
        assert_eq!(report.skipped, ["time: no root"]);
        assert!(report.print(true).is_err());
    }
}
