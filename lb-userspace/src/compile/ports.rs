//! The dimensions of protocol and ports: a row for each of the 65,536 ports of TCP and UDP, and
//! one for each other protocol.

use lb_common::abi::{PortTable, Row};

use super::rows::{Rows, row};
use crate::document::{Protocol, Rule};
use crate::tables::PortRows;

const PORTS: usize = 65_536;

/// Compiles both dimensions; `None` if no rule asks.
pub(super) fn compile(rules: &[&Rule], rows: &mut Rows) -> Option<PortRows> {
    if rules.iter().all(|rule| rule.protocol.is_none()) {
        return None;
    }
    let (tcp, udp) = (Protocol::Tcp.number(), Protocol::Udp.number());
    // In the order of `PortTable`.
    let tables = vec![
        by_port(rules, tcp, |rule| &rule.port, rows),
        by_port(rules, udp, |rule| &rule.port, rows),
        by_protocol(rules, rows),
        by_port(rules, tcp, |rule| &rule.source_port, rows),
        by_port(rules, udp, |rule| &rule.source_port, rows),
    ];
    debug_assert_eq!(tables.len(), PortTable::COUNT as usize);
    let by_source = rules.iter().any(|rule| !rule.source_port.is_empty());
    Some(PortRows { tables, by_source })
}

/// The rows of one protocol's ports, evaluated once for each stretch between two boundaries.
fn by_port(
    rules: &[&Rule],
    protocol: u8,
    ranges: fn(&Rule) -> &Vec<(u16, u16)>,
    rows: &mut Rows,
) -> Vec<u16> {
    let mut starts = vec![0];
    for (first, last) in rules.iter().flat_map(|rule| ranges(rule)) {
        starts.push(usize::from(*first));
        starts.push(usize::from(*last) + 1);
    }
    starts.sort_unstable();
    starts.dedup();
    let mut table = Vec::with_capacity(PORTS);
    for (index, start) in starts
        .iter()
        .enumerate()
        .filter(|(_, start)| **start < PORTS)
    {
        let accepts = |rule: usize| {
            let (rule, port) = (rules[rule], *start as u16);
            rule.protocol.is_none_or(|wanted| wanted == protocol)
                && (ranges(rule).is_empty()
                    || ranges(rule)
                        .iter()
                        .any(|(first, last)| (*first..=*last).contains(&port)))
        };
        let number = narrow(rows, row(rules.len(), accepts));
        table.resize(
            starts.get(index + 1).copied().unwrap_or(PORTS).min(PORTS),
            number,
        );
    }
    table
}

/// The rows of protocols without ports; behind them those of fragments without their header,
/// which no rule about ports accepts.
fn by_protocol(rules: &[&Rule], rows: &mut Rows) -> Vec<u16> {
    let mut table = vec![0; PORTS];
    for protocol in 0..=u8::MAX {
        let accepts = |rule: usize| {
            let rule = rules[rule];
            rule.protocol.is_none_or(|wanted| wanted == protocol)
                && rule.port.is_empty()
                && rule.source_port.is_empty()
        };
        let number = narrow(rows, row(rules.len(), accepts));
        table[usize::from(protocol)] = number;
        table[usize::from(u16::from(protocol) + PortTable::FRAGMENT)] = number;
    }
    table
}

/// A row's number as the tables hold it. Too many rows are refused once all are counted; until
/// then the number only has to exist.
fn narrow(rows: &mut Rows, row: Row) -> u16 {
    u16::try_from(rows.number(row)).unwrap_or_default()
}
