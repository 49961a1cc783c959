//! What can be typed, and how listings look, to the letter.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use clap::CommandFactory as _;
use jiff::{SignedDuration, Timestamp};

use super::output::Output;
use super::stats::View;
use super::*;
use crate::api::types::{FirewallList, Stats, Status, Traffic};

const PIPE: Output = Output {
    terminal: false,
    colour: false,
};
const TERMINAL: Output = Output {
    terminal: true,
    colour: true,
};

fn stats() -> Stats {
    serde_json::from_str(include_str!("../../tests/interface/stats.json")).unwrap()
}

fn daemon() -> Status {
    serde_json::from_str(include_str!("../../tests/interface/status.json")).unwrap()
}

fn firewall_list() -> FirewallList {
    serde_json::from_str(include_str!("../../tests/interface/firewall.json")).unwrap()
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_visible_command_has_examples() {
    let mut waiting = vec![Cli::command()];
    let mut seen = 0;
    while let Some(command) = waiting.pop() {
        waiting.extend(
            command
                .get_subcommands()
                .filter(|it| !it.is_hide_set())
                .cloned(),
        );
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            help.contains("Examples:\n  "),
            "{}: {help:?}",
            command.get_name()
        );
        seen += 1;
    }
    assert_eq!(seen, 24);
}

#[test]
fn every_example_can_be_typed() {
    let mut waiting = vec![Cli::command()];
    let mut seen = 0;
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().cloned());
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let help = help.replace("\\\n", " ").replace('\'', "");
        for line in help.lines().filter_map(|line| line.strip_prefix("  ")) {
            // An explanation stands behind several blanks, a filter behind a bar.
            let typed = line.split("   ").next().unwrap_or_default();
            let typed = typed
                .split('|')
                .map(str::trim)
                .find(|it| it.contains("lb "));
            let Some(start) = typed.and_then(|it| it.find("lb ").map(|at| &it[at..])) else {
                continue;
            };
            let words = start.split_whitespace();
            if let Err(error) = Cli::try_parse_from(words) {
                assert!(!error.use_stderr(), "{line}\n{error}");
            }
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} examples were found");
}

#[test]
fn stats_in_a_pipe_are_aligned_and_plain() {
    let text = stats::render(
        &stats(),
        View {
            before: None,
            all: false,
            rates: false,
        },
        PIPE,
    );
    assert_eq!(text, include_str!("tests/stats.txt"));
}

#[test]
fn stats_on_a_terminal_are_ruled_and_coloured() {
    let text = stats::render(
        &stats(),
        View {
            before: None,
            all: false,
            rates: false,
        },
        TERMINAL,
    );
    assert_eq!(text, include_str!("tests/stats_terminal.txt"));
    for part in [
        "\u{1b}[38;5;10mup",
        "\u{1b}[38;5;11mdraining",
        "\u{1b}[38;5;9mdown",
        "───",
    ] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[test]
fn without_colours_a_terminal_gets_no_control_sequence() {
    let output = Output {
        terminal: true,
        colour: false,
    };
    let text = stats::render(
        &stats(),
        View {
            before: None,
            all: false,
            rates: false,
        },
        output,
    );
    assert!(text.contains("───") && !text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn all_reasons_are_shown_when_asked_for() {
    let view = View {
        before: None,
        all: false,
        rates: false,
    };
    assert!(!stats::render(&stats(), view, PIPE).contains("not_ip"));
    assert!(stats::render(&stats(), View { all: true, ..view }, PIPE).contains("not_ip"));
}

#[test]
fn rates_need_a_reading_before_and_counters_that_grew() {
    let before = stats();
    let mut after = stats();
    after.at = before.at + SignedDuration::from_secs(2);
    after.rules[1].packets += 3_000;
    after.services[0].backends[1].traffic.packets_in += 500;
    // The maps were made anew: less than before is no rate.
    after.services[0].backends[2].traffic = Traffic::default();
    let view = View {
        before: Some(&before),
        all: false,
        rates: true,
    };
    assert_eq!(
        stats::render(&after, view, PIPE),
        include_str!("tests/stats_rates.txt")
    );
    let same = stats::render(&before, view, PIPE);
    assert!(
        !same.contains("/s"),
        "no time passed, so there is no rate: {same}"
    );
}

#[test]
fn status_tells_what_runs() {
    let text = status::render(&daemon(), now(), PIPE);
    assert_eq!(text, include_str!("tests/status.txt"));
}

#[test]
fn listings_are_tables() {
    let stats = stats();
    let services = backend::chosen(&stats, None).unwrap();
    let text = [
        service::render(&stats, PIPE),
        backend::render(&services, PIPE),
        firewall::render(&firewall_list(), now(), PIPE),
    ]
    .join("\n");
    assert_eq!(text, include_str!("tests/listings.txt"));
}

#[test]
fn empty_listings_say_what_to_do() {
    let mut stats = stats();
    stats.services.clear();
    assert!(service::render(&stats, PIPE).contains("`lb service add`"));
    let nothing = FirewallList {
        blocks: vec![],
        rules: vec![],
        sets: vec![],
    };
    assert_eq!(
        firewall::render(&nothing, now(), PIPE),
        "nothing is blocked; block a source with `lb firewall block`\n\nthere are no \
         rules\n\nthere are no sets\n"
    );
}

#[test]
fn a_block_cannot_end_after_the_end_of_time() {
    let day = std::time::Duration::from_hours(24);
    assert_eq!(
        firewall::end(now(), day).unwrap().to_string(),
        "2026-01-03T03:04:05Z"
    );
    let error = firewall::end(now(), std::time::Duration::MAX).unwrap_err();
    assert!(
        error.to_string().starts_with("--for is too long"),
        "{error}"
    );
}

#[test]
fn what_a_backend_says_cannot_move_the_cursor() {
    let mut stats = stats();
    stats.services[0].backends[0].detail = "HTTP 500 \u{1b}[2Jnice\ntry".to_owned();
    let text = backend::render(&backend::chosen(&stats, Some("web")).unwrap(), PIPE);
    assert!(
        text.contains("HTTP 500 \u{fffd}[2Jnice\u{fffd}try\n"),
        "{text:?}"
    );
}
