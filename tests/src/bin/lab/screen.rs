//! What the user watches: a live table on a terminal, otherwise a line per service and second.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use lb_tests::lab::Plan;
use lb_tests::lab::attack::Attempts;
use lb_tests::lab::traffic::Tally;
use lb_userspace::api::types::{BackendState, BackendStats, RuleStats, Stats, Traffic};

use crate::phase::service;

/// How many announcements stay under the table at most.
const ANNOUNCEMENTS: usize = 12;
/// How many of them are shown even where the terminal is too small.
const ANNOUNCEMENTS_MIN: usize = 3;
/// The height of a terminal that does not tell.
const ROWS_DEFAULT: usize = 24;

/// Time between two pictures.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// The terminal or the log.
#[derive(Debug)]
pub(crate) struct Screen {
    live: bool,
    started: Instant,
    announcements: VecDeque<String>,
    previous: Option<(Instant, Stats)>,
}

impl Screen {
    /// Standard output, live if it is a terminal.
    pub(crate) fn new() -> Self {
        Self {
            live: std::io::stdout().is_terminal(),
            started: Instant::now(),
            announcements: VecDeque::new(),
            previous: None,
        }
    }

    /// Tells what is done: on its own line, or from the next picture on.
    pub(crate) fn announce(&mut self, text: &str) {
        let line = format!("{:6.1}s  {text}", self.started.elapsed().as_secs_f64());
        if !self.live {
            say(&line);
        }
        if self.announcements.len() == ANNOUNCEMENTS {
            self.announcements.pop_front();
        }
        self.announcements.push_back(line);
    }

    /// Whether it is time for the next picture.
    pub(crate) fn due(&self) -> bool {
        self.previous
            .as_ref()
            .is_none_or(|(at, _)| at.elapsed() >= SHOW_EVERY)
    }

    /// Shows the counters, with rates since the last time.
    pub(crate) fn show(&mut self, stats: Stats, seen: &Tally, attempts: &Attempts) {
        let now = Instant::now();
        let rate = Rate {
            millis: self
                .previous
                .as_ref()
                .map(|(at, _)| (now - *at).as_millis() as u64),
            before: self.previous.take().map(|(_, stats)| stats),
        };
        if self.live {
            let mut picture = format!(
                "{}\n{}\n{}\n",
                backends(&stats, &rate),
                rules(&stats, &rate),
                counts(seen, attempts)
            );
            // What fits; a picture taller than the terminal would scroll.
            let fits = terminal_rows().saturating_sub(picture.lines().count() + 1);
            let first = self
                .announcements
                .len()
                .saturating_sub(fits.max(ANNOUNCEMENTS_MIN));
            for line in self.announcements.iter().skip(first) {
                picture.push('\n');
                picture.push_str(line);
            }
            // From the top left corner; what an earlier, longer picture left is erased.
            say(&format!(
                "\x1b[H{}\x1b[J",
                picture.replace('\n', "\x1b[K\n")
            ));
        } else {
            for line in plain(&stats, &rate) {
                say(&format!(
                    "{:6.1}s  {line}",
                    self.started.elapsed().as_secs_f64()
                ));
            }
            say(&format!(
                "{:6.1}s  {}",
                self.started.elapsed().as_secs_f64(),
                counts(seen, attempts)
            ));
        }
        self.previous = Some((now, stats));
    }

    /// Begins the live picture on an empty screen.
    pub(crate) fn begin(&self) {
        if self.live {
            say("\x1b[2J");
        }
    }
}

/// Prints a line; whoever closed standard output does not want to see it.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The height of the terminal on standard output, in lines.
fn terminal_rows() -> usize {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one `winsize` to the pointer, which names one that outlives the
    // call; on failure it writes nothing.
    let failed = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    if failed == 0 && size.ws_row > 0 {
        usize::from(size.ws_row)
    } else {
        ROWS_DEFAULT
    }
}

/// The counters of a while ago, and how long that while is.
struct Rate {
    before: Option<Stats>,
    millis: Option<u64>,
}

impl Rate {
    /// Per second, rounded; nothing at the first look.
    fn of(&self, now: u64, before: Option<u64>) -> String {
        match (before, self.millis) {
            (Some(before), Some(millis @ 1..)) => {
                let more = now.saturating_sub(before);
                scaled(more.saturating_mul(1000).saturating_add(millis / 2) / millis)
            }
            _ => String::new(),
        }
    }

    fn backend(&self, name: &str, now: &BackendStats) -> Option<Traffic> {
        let backends = &service(self.before.as_ref()?, name)?.backends;
        backends
            .iter()
            .find(|backend| backend.address == now.address)
            .map(|b| b.traffic)
    }

    fn rule(&self, now: &RuleStats) -> Option<&RuleStats> {
        self.before
            .as_ref()?
            .rules
            .iter()
            .find(|rule| rule.name == now.name)
    }
}

fn backends(stats: &Stats, rate: &Rate) -> Table {
    let mut table = table(&[
        "service",
        "vip",
        "backend",
        "state",
        "connections",
        "/s",
        "packets",
        "/s",
        "bytes",
        "/s",
    ]);
    for service in &stats.services {
        for backend in &service.backends {
            let before = rate.backend(&service.name, backend);
            let now = backend.traffic;
            table.add_row([
                service.name.clone(),
                service.vip.clone(),
                Plan::backend_name_of(backend.address.ip()).unwrap_or_default(),
                word(backend.state).to_owned(),
                now.connections.to_string(),
                rate.of(now.connections, before.map(|before| before.connections)),
                packets(now).to_string(),
                rate.of(packets(now), before.map(packets)),
                scaled(bytes(now)),
                rate.of(bytes(now), before.map(bytes)),
            ]);
        }
    }
    right_from(&mut table, 4);
    table
}

fn rules(stats: &Stats, rate: &Rate) -> Table {
    let mut table = table(&["rule", "action", "packets", "/s", "bytes"]);
    for rule in &stats.rules {
        let before = rate.rule(rule).map(|before| before.packets);
        table.add_row([
            rule.name.clone(),
            rule.action.clone(),
            rule.packets.to_string(),
            rate.of(rule.packets, before),
            scaled(rule.bytes),
        ]);
    }
    right_from(&mut table, 2);
    table
}

fn plain(stats: &Stats, rate: &Rate) -> Vec<String> {
    let mut lines = Vec::new();
    for service in &stats.services {
        let each = service.backends.iter().map(|backend| {
            let before = rate
                .backend(&service.name, backend)
                .map(|before| before.connections);
            let now = backend.traffic.connections;
            let name = Plan::backend_name_of(backend.address.ip()).unwrap_or_default();
            let since = match rate.of(now, before) {
                rate if rate.is_empty() => rate,
                rate => format!(" (+{rate}/s)"),
            };
            format!("{name} {} {now}{since}", word(backend.state))
        });
        lines.push(format!(
            "{:5} {}",
            service.name,
            each.collect::<Vec<_>>().join(", ")
        ));
    }
    let drops = stats.rules.iter().filter(|rule| rule.action == "drop");
    let drops = drops.map(|rule| format!("\"{}\" {}", rule.name, rule.packets));
    lines.push(format!("drops {}", drops.collect::<Vec<_>>().join(", ")));
    lines
}

fn counts(seen: &Tally, attempts: &Attempts) -> String {
    let requests: u64 = seen.values().map(|seen| seen.requests).sum();
    let failures: u64 = seen.values().map(|seen| seen.failures).sum();
    format!(
        "client: {requests} requests, {failures} failed; attacker: {} attempts, {} answered",
        attempts.made, attempts.answered
    )
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(header);
    table
}

fn right_from(table: &mut Table, first: usize) {
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn packets(traffic: Traffic) -> u64 {
    traffic.packets_in + traffic.packets_out
}

fn bytes(traffic: Traffic) -> u64 {
    traffic.bytes_in + traffic.bytes_out
}

fn word(state: BackendState) -> &'static str {
    match state {
        BackendState::Up => "up",
        BackendState::Draining => "draining",
        BackendState::Down => "DOWN",
    }
}

/// Up to four digits, with a unit of thousands.
fn scaled(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..10_000_000 => format!("{} k", number / 1_000),
        _ => format!("{} M", number / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        assert_eq!(scaled(9_999), "9999");
        assert_eq!(scaled(10_000), "10 k");
        assert_eq!(scaled(9_999_999), "9999 k");
        assert_eq!(scaled(12_345_678), "12 M");
    }

    #[test]
    fn a_rate_needs_an_earlier_look() {
        assert_eq!(
            Rate {
                before: None,
                millis: None
            }
            .of(5, None),
            ""
        );
        assert_eq!(
            Rate {
                before: None,
                millis: Some(2_000)
            }
            .of(26, Some(5)),
            "11"
        );
    }
}
