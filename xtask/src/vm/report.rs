//! The matrix as a table or as JSON, and the verdict over it.

use std::fmt;

use anyhow::Result;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::matrix::{Outcome, Row};
use super::trial::Figures;
use crate::test::tally::Tally;

/// How the whole run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// As they should: passed, or refused where that is right.
    held: usize,
    failed: usize,
    skipped: usize,
    /// Whether skipping so many is no failure.
    may_skip: bool,
}

/// Counts the rows. A skipped kernel is never one that passed: on a developer's machine the run
/// fails if all are skipped. In CI it fails if one is, unless there is no network to fetch it
/// from, which says nothing about the change under test.
pub(super) fn judge(rows: &[Row], ci: bool) -> Verdict {
    let count =
        |wanted: fn(&Outcome) -> bool| rows.iter().filter(|row| wanted(&row.outcome)).count();
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped { .. }));
    let no_network =
        count(|outcome| matches!(outcome, Outcome::Skipped { no_network, .. } if *no_network));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(..)));
    Verdict {
        held: rows.len() - skipped - failed,
        failed,
        skipped,
        may_skip: if ci {
            skipped == no_network
        } else {
            skipped < rows.len()
        },
    }
}

impl Verdict {
    pub(super) fn is_success(&self) -> bool {
        self.failed == 0 && self.may_skip
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            held,
            failed,
            skipped,
            may_skip,
        } = self;
        write!(
            f,
            "{held} as they should, {failed} failed, {skipped} skipped"
        )?;
        if !may_skip {
            write!(f, ": too many skipped")?;
        }
        Ok(())
    }
}

/// The table, which README can show as it is.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "kernel",
            "arch",
            "kernel ring",
            "end to end",
            "verified",
            "off",
            "result",
            "seconds",
        ]);
    for row in rows {
        let figures = figures(&row.outcome).cloned().unwrap_or_default();
        let kernel = if row.version.is_empty() {
            row.name
        } else {
            &row.version
        };
        table.add_row([
            kernel.to_owned(),
            row.arch.to_owned(),
            tests(Some(figures.ring)),
            tests(figures.end_to_end),
            largest(&figures).map_or_else(dash, |most| most.to_string()),
            off(&row.outcome),
            words(&row.outcome).0.to_owned(),
            row.seconds.to_string(),
        ]);
    }
    let reasons = rows.iter().filter_map(reason);
    reasons.fold(table.to_string(), |text, reason| text + "\n" + &reason)
}

/// Everything known, for programs.
pub(super) fn json(rows: &[Row], verdict: &Verdict) -> Result<String> {
    let rows: Vec<_> = rows.iter().map(row_json).collect();
    let whole = json!({ "rows": rows, "success": verdict.is_success() });
    Ok(serde_json::to_string_pretty(&whole)?)
}

fn row_json(row: &Row) -> Value {
    let tally = |tally: Tally| json!({ "passed": tally.passed, "failed": tally.failed });
    let (word, why) = words(&row.outcome);
    let figures = figures(&row.outcome);
    let verified = figures.map(|figures| {
        let verified = figures.verified.iter();
        let one =
            verified.map(|one| json!({ "program": one.program, "instructions": one.instructions }));
        one.collect::<Vec<_>>()
    });
    json!({
        "name": row.name,
        "kernel": row.version,
        "arch": row.arch,
        "result": word,
        "why": why,
        "ring": figures.map(|figures| tally(figures.ring)),
        "end_to_end": figures.and_then(|figures| figures.end_to_end.map(tally)),
        "verified": verified,
        "off": figures.map(|figures| figures.off.clone()),
        "seconds": row.seconds,
    })
}

fn figures(outcome: &Outcome) -> Option<&Figures> {
    match outcome {
        Outcome::Passed(figures) | Outcome::Failed(figures, _) => Some(figures),
        Outcome::Refused(_) | Outcome::Skipped { .. } => None,
    }
}

fn words(outcome: &Outcome) -> (&'static str, Option<&str>) {
    match outcome {
        Outcome::Passed(_) => ("passed", None),
        Outcome::Refused(message) => ("refused", Some(message)),
        Outcome::Failed(_, why) => ("failed", Some(why)),
        Outcome::Skipped { why, .. } => ("skipped", Some(why)),
    }
}

/// Why a kernel did not simply pass, which is too long for a cell of the table.
fn reason(row: &Row) -> Option<String> {
    let (word, why) = words(&row.outcome);
    Some(format!("{}: {word}: {}", row.name, why?))
}

fn tests(tally: Option<Tally>) -> String {
    match tally {
        Some(Tally {
            passed: 0,
            failed: 0,
        })
        | None => dash(),
        Some(Tally { passed, failed }) => format!("{passed} of {}", passed + failed),
    }
}

/// The program that takes most of the verifier's budget.
fn largest(figures: &Figures) -> Option<u64> {
    figures.verified.iter().map(|one| one.instructions).max()
}

fn off(outcome: &Outcome) -> String {
    match figures(outcome) {
        Some(figures) if !figures.off.is_empty() => figures.off.join(", "),
        Some(figures) if !figures.verified.is_empty() => "nothing".to_owned(),
        _ => dash(),
    }
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn row(outcome: Outcome) -> Row {
        Row {
            name: "6.1",
            version: "6.1.0-50".to_owned(),
            arch: "amd64",
            seconds: 9,
            outcome,
        }
    }

    fn passed() -> Row {
        let tally = |passed, failed| Tally { passed, failed };
        row(Outcome::Passed(Figures {
            ring: tally(14, 0),
            end_to_end: Some(tally(2, 0)),
            ..Figures::default()
        }))
    }

    fn skipped(no_network: bool) -> Row {
        let why = "no space".to_owned();
        row(Outcome::Skipped { why, no_network })
    }

    #[test]
    fn a_skipped_kernel_never_passes() {
        let success = |rows: &[Row], ci| judge(rows, ci).is_success();
        assert!(success(&[passed()], false) && success(&[passed()], true));
        // On a developer's machine some may be skipped, in CI none but for want of a network.
        assert!(success(&[passed(), skipped(false)], false));
        assert!(!success(&[passed(), skipped(false)], true));
        assert!(success(&[passed(), skipped(true)], true));
        assert!(!success(&[skipped(true)], false));
        assert!(!success(&[skipped(false)], true));
        let failed = row(Outcome::Failed(Figures::default(), "why".to_owned()));
        assert!(!success(&[passed(), failed], false));
        let refused = row(Outcome::Refused("too old".to_owned()));
        assert!(success(&[refused], true));
        let verdict = judge(&[skipped(true), passed()], false).to_string();
        assert_eq!(verdict, "1 as they should, 0 failed, 1 skipped");
    }

    #[test]
    fn the_table_has_a_line_for_each_kernel_and_reasons_below() {
        let failed = row(Outcome::Failed(
            Figures::default(),
            "the guest's kernel panicked; its console:\n    a\n    b".to_owned(),
        ));
        let table = table(&[passed(), skipped(false), failed]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 9, "{table}");
        assert!(
            lines[2].contains("14 of 14") && lines[2].contains("2 of 2"),
            "{table}"
        );
        assert!(lines[3].contains("| skipped |"), "{table}");
        assert_eq!(lines[5], "6.1: skipped: no space");
        assert!(lines[6].starts_with("6.1: failed: the guest's kernel panicked"));
    }

    #[test]
    fn json_holds_the_rows_and_the_verdict() {
        let rows = [passed(), skipped(true)];
        let text = json(&rows, &judge(&rows, true)).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["success"], true);
        assert_eq!(value["rows"][0]["ring"]["passed"], 14);
        assert_eq!(value["rows"][1]["why"], "no space");
        assert_eq!(value["rows"][1]["result"], "skipped");
    }
}
