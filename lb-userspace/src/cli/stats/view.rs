//! Counters as tables; with an earlier reading, also rates.

use std::net::SocketAddr;

use comfy_table::Cell;

use crate::api::types::{ServiceStats, Stats, Traffic};
use crate::cli::output::Output;
use crate::cli::table::{Column, Table, action_cell, cell, heading, state_cell};
use crate::cli::units;

/// What of the counters is shown.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct View<'a> {
    /// The reading before, if there was one.
    pub(in crate::cli) before: Option<&'a Stats>,
    /// Also reasons at zero.
    pub(in crate::cli) all: bool,
    /// With columns of rates; they stay empty until there are two readings.
    pub(in crate::cli) rates: bool,
}

/// Every table.
pub(in crate::cli) fn render(stats: &Stats, view: View<'_>, output: Output) -> String {
    let mut tables: Vec<String> = stats
        .services
        .iter()
        .map(|service| of_service(service, stats, view, output))
        .collect();
    if stats.services.is_empty() {
        tables.push("there are no services; add one with `lb service add`\n".to_owned());
    }
    tables.push(of_rules(stats, view, output));
    tables.push(of_reasons(stats, view, output));
    tables.join("\n")
}

/// A service's line and the table of its backends, which ends with their sum.
fn of_service(service: &ServiceStats, stats: &Stats, view: View<'_>, output: Output) -> String {
    use Column::{Left, Right};
    let ServiceStats {
        name,
        vip,
        scheduler,
        forward,
        ..
    } = service;
    let title = heading(&format!("{name}  {vip}  {scheduler}  {forward}"), output);
    let mut columns = vec![
        Left("BACKEND"),
        Left("STATE"),
        Right("CONNECTIONS"),
        Right("PACKETS IN"),
        Right("BYTES IN"),
        Right("PACKETS OUT"),
        Right("BYTES OUT"),
    ];
    if view.rates {
        columns.extend([
            Right("CONNS"),
            Right("PKTS IN"),
            Right("RATE IN"),
            Right("PKTS OUT"),
            Right("RATE OUT"),
        ]);
    }
    let elapsed = seconds_between(view.before, stats);
    let before = view
        .before
        .and_then(|before| before.services.iter().find(|it| it.name == *name));
    let mut table = Table::new(columns, output);
    for backend in &service.backends {
        let earlier = before.and_then(|service| traffic_of(service, backend.address));
        let mut cells = vec![cell(backend.address), state_cell(backend.state)];
        cells.extend(traffic_cells(&backend.traffic, earlier, elapsed, view));
        table.row(cells);
    }
    let mut cells = vec![cell("total"), cell("")];
    let earlier = before.map(|service| service.traffic);
    cells.extend(traffic_cells(&service.traffic, earlier, elapsed, view));
    table.row(cells);
    title + &table.render()
}

fn traffic_of(service: &ServiceStats, address: SocketAddr) -> Option<Traffic> {
    let mut backends = service.backends.iter();
    backends
        .find(|backend| backend.address == address)
        .map(|backend| backend.traffic)
}

fn traffic_cells(
    now: &Traffic,
    before: Option<Traffic>,
    elapsed: Option<f64>,
    view: View<'_>,
) -> Vec<Cell> {
    let mut cells = vec![
        cell(units::count(now.connections)),
        cell(units::count(now.packets_in)),
        cell(units::bytes(now.bytes_in)),
        cell(units::count(now.packets_out)),
        cell(units::bytes(now.bytes_out)),
    ];
    if view.rates {
        let rate = |of: fn(&Traffic) -> u64| per_second(of(now), before.as_ref().map(of), elapsed);
        let [things, bits] = [units::rate, units::bits_rate];
        cells.extend([
            rate_cell(rate(|it| it.connections), things),
            rate_cell(rate(|it| it.packets_in), things),
            rate_cell(rate(|it| it.bytes_in), bits),
            rate_cell(rate(|it| it.packets_out), things),
            rate_cell(rate(|it| it.bytes_out), bits),
        ]);
    }
    cells
}

fn of_rules(stats: &Stats, view: View<'_>, output: Output) -> String {
    use Column::{Left, Right};
    let mut columns = vec![
        Left("RULE"),
        Left("ACTION"),
        Right("PACKETS"),
        Right("BYTES"),
    ];
    if view.rates {
        columns.push(Right("PKTS"));
    }
    let elapsed = seconds_between(view.before, stats);
    let mut table = Table::new(columns, output);
    for rule in &stats.rules {
        let earlier = view.before.and_then(|before| {
            before
                .rules
                .iter()
                .find(|it| it.name == rule.name)
                .map(|it| it.packets)
        });
        let mut cells = vec![cell(&rule.name), action_cell(&rule.action)];
        cells.extend([
            cell(units::count(rule.packets)),
            cell(units::bytes(rule.bytes)),
        ]);
        if view.rates {
            cells.push(rate_cell(
                per_second(rule.packets, earlier, elapsed),
                units::rate,
            ));
        }
        table.row(cells);
    }
    table.render()
}

fn of_reasons(stats: &Stats, view: View<'_>, output: Output) -> String {
    use Column::{Left, Right};
    let mut columns = vec![
        Left("REASON"),
        Left("VERDICT"),
        Right("PACKETS"),
        Right("BYTES"),
    ];
    if view.rates {
        columns.push(Right("PKTS"));
    }
    let elapsed = seconds_between(view.before, stats);
    let mut table = Table::new(columns, output);
    for reason in stats
        .reasons
        .iter()
        .filter(|reason| view.all || reason.packets > 0)
    {
        let earlier = view.before.and_then(|before| {
            before
                .reasons
                .iter()
                .find(|it| it.name == reason.name)
                .map(|it| it.packets)
        });
        let mut cells = vec![cell(&reason.name), action_cell(&reason.verdict)];
        cells.extend([
            cell(units::count(reason.packets)),
            cell(units::bytes(reason.bytes)),
        ]);
        if view.rates {
            cells.push(rate_cell(
                per_second(reason.packets, earlier, elapsed),
                units::rate,
            ));
        }
        table.row(cells);
    }
    table.render()
}

/// Seconds between two readings; `None` unless there are two, at different times.
fn seconds_between(before: Option<&Stats>, now: &Stats) -> Option<f64> {
    let seconds = now.at.duration_since(before?.at).as_secs_f64();
    (seconds > 0.0).then_some(seconds)
}

/// A counter's rate. What was not there before, or starts anew, has none yet.
fn per_second(now: u64, before: Option<u64>, elapsed: Option<f64>) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate for people needs no 53 bits"
    )]
    let more = now.checked_sub(before?)? as f64;
    Some(more / elapsed?)
}

fn rate_cell(rate: Option<f64>, write: fn(f64) -> String) -> Cell {
    cell(rate.map(write).unwrap_or_default())
}
