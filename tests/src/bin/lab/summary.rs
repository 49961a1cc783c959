//! The end: connections per backend and phase, drops, failures, and the verdict.

use std::collections::{BTreeSet, VecDeque};
use std::process::ExitCode;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use lb_tests::lab::attack::Attempts;
use lb_tests::lab::example::{RULE_ADDRESS, RULE_SET, SERVICES};
use lb_userspace::api::types::Stats;

use crate::phase::{BackendShare, Kind, Phase};
use crate::screen::say;
use crate::verdict::{judge_attack, judge_phase};

/// Phases shown at the end: four rounds of the script. Older ones were judged like all others.
const PHASES_MAX: usize = 48;
/// Problems remembered; more of them say nothing new.
const PROBLEMS_MAX: usize = 100;

/// What is known of the run so far, bounded however long it lasts.
#[derive(Debug, Default)]
pub(crate) struct Record {
    phases: VecDeque<Phase>,
    problems: Vec<String>,
    /// Failed requests where none may fail.
    failures: u64,
    /// Failed requests while a killed server was not yet noticed.
    failures_excusable: u64,
}

impl Record {
    /// Judges a phase that is over, and returns what was wrong with it.
    pub(crate) fn add(&mut self, phase: Phase) -> Vec<String> {
        let found = judge_phase(&phase);
        let room = PROBLEMS_MAX.saturating_sub(self.problems.len());
        self.problems.extend(found.iter().take(room).cloned());
        let failed: u64 = SERVICES
            .iter()
            .map(|name| phase.share(name).seen.failures)
            .sum();
        match phase.kind {
            Kind::Failure(_) => self.failures_excusable += failed,
            Kind::Steady | Kind::Change => self.failures += failed,
        }
        if self.phases.len() == PHASES_MAX {
            self.phases.pop_front();
        }
        self.phases.push_back(phase);
        found
    }

    /// Prints everything; the exit status is a success if nothing was wrong.
    pub(crate) fn print(mut self, attempts: &Attempts, stats: &Stats) -> ExitCode {
        say(&format!(
            "\nconnections per backend, as the daemon counted them\n{}",
            self.counts()
        ));
        let rules = stats.rules.iter();
        let rules = rules.filter(|rule| [RULE_SET, RULE_ADDRESS].contains(&rule.name.as_str()));
        let mut drops = 0;
        for rule in rules {
            drops += rule.packets;
            say(&format!(
                "rule \"{}\": {} packets dropped",
                rule.name, rule.packets
            ));
        }
        say(&format!(
            "attacker: {} attempts, {} answered",
            attempts.made, attempts.answered
        ));
        say(&format!(
            "failed requests: {}, and {} while a killed server was not yet noticed",
            self.failures, self.failures_excusable
        ));
        self.problems.extend(judge_attack(attempts, drops));
        if self.phases.is_empty() {
            self.problems
                .push("no phase was completed, so nothing is proven".to_owned());
        }
        if self.problems.is_empty() {
            say(
                "round robin was even, nothing forbidden got through, no request failed needlessly",
            );
            return ExitCode::SUCCESS;
        }
        say(&format!("{} problems:", self.problems.len()));
        for problem in self.problems {
            say(&format!("  {problem}"));
        }
        ExitCode::FAILURE
    }

    /// A row per phase and service. In a change, membership counts are no matter of evenness.
    fn counts(&self) -> Table {
        let shares = || {
            self.phases
                .iter()
                .flat_map(|phase| SERVICES.map(|name| (phase, name, phase.share(name))))
        };
        let names: BTreeSet<String> = shares()
            .flat_map(|(.., share)| share.backends.into_keys())
            .collect();
        let mut table = Table::new();
        let head = ["phase", "seconds", "service"]
            .map(str::to_owned)
            .into_iter();
        let tail = ["requests", "failed"].map(str::to_owned);
        table.load_style(UTF8_BORDERS_ONLY);
        table.set_header(head.chain(names.iter().cloned()).chain(tail));
        for (phase, service, share) in shares() {
            let first = service == SERVICES[0];
            let seconds = format!("{:.1}", phase.took.as_secs_f64());
            let mut row = vec![
                if first {
                    phase.title.clone()
                } else {
                    String::new()
                },
                if first { seconds } else { String::new() },
                service.to_owned(),
            ];
            row.extend(names.iter().map(|name| cell(share.backends.get(name))));
            row.extend([
                share.seen.requests.to_string(),
                share.seen.failures.to_string(),
            ]);
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

/// A number where the backend had its due; in brackets where it was down, draining or changed.
fn cell(share: Option<&BackendShare>) -> String {
    match share {
        None => "-".to_owned(),
        Some(share) if share.eligible() => share.connections.to_string(),
        Some(share) => format!("({})", share.connections),
    }
}
