//! Small values that are written as text: names, durations, ports, status ranges.
//!
//! Each reader notes what is wrong with the text it was given; addresses are in `addresses`.

use std::time::Duration;

use jiff::SignedDuration;

use super::limits;
use super::reader::Node;
use super::report::Report;

/// A name: for counters, listings and commands, so it must print on one line.
pub(super) fn name<'a>(node: &Node<'a>, report: &mut Report<'_>) -> Option<&'a str> {
    let text = node.string(report, "write a name in quotes")?;
    let wrong = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > limits::NAME {
        format!("is longer than {} bytes", limits::NAME)
    } else if text.trim() != text || text.chars().any(char::is_control) {
        "begins or ends with a blank, or holds a control character".to_owned()
    } else {
        return Some(text);
    };
    let remedy = "write a short name on one line, such as \"web\"";
    node.wrong(report, format!("the name {wrong}"), remedy);
    None
}

/// A duration such as `500ms`, `2s` or `10m`, within [`limits::PROBE`].
pub(super) fn duration(node: &Node<'_>, report: &mut Report<'_>) -> Option<Duration> {
    let remedy = "write a number and a unit, such as \"500ms\", \"2s\", \"10m\" or \"1h\"";
    let text = node.string(report, remedy)?;
    let Ok(signed) = text.parse::<SignedDuration>() else {
        node.wrong(report, format!("`{text}` is not a duration"), remedy);
        return None;
    };
    let duration = Duration::try_from(signed)
        .ok()
        .filter(|duration| limits::PROBE.contains(duration));
    if duration.is_none() {
        let message = if signed.is_zero() {
            "a duration of zero never ends a wait".to_owned()
        } else {
            format!("`{text}` is out of range")
        };
        node.wrong(report, message, "write a duration from \"1ms\" to \"24h\"");
    }
    duration
}

/// Ports of a rule: a number, `"1000-2000"`, or a list of them, as inclusive ranges.
pub(super) fn ports(node: &Node<'_>, report: &mut Report<'_>) -> Option<Vec<(u16, u16)>> {
    let remedy = "write a port from 0 to 65535, a range such as \"1000-2000\", or a list of them";
    let items = node.one_or_many(report);
    if items.is_empty() {
        node.wrong(report, "an empty list matches no port", remedy);
        return None;
    }
    let count = items.len();
    let ranges: Vec<(u16, u16)> = items
        .iter()
        .filter_map(|item| {
            if !item.is_string() {
                return item.number(report, 0..=u16::MAX).map(|port| (port, port));
            }
            range(item, report, "port", remedy)
        })
        .collect();
    (ranges.len() == count).then_some(ranges)
}

/// HTTP statuses that count as success: 200 or `"200-399"`.
pub(super) fn status(node: &Node<'_>, report: &mut Report<'_>) -> Option<(u16, u16)> {
    let remedy = "write a status from 100 to 599, or a range such as \"200-399\"";
    if !node.is_string() {
        return node
            .number(report, 100..=599)
            .map(|status| (status, status));
    }
    let (first, last) = range(node, report, "status", remedy)?;
    if first < 100 || last > 599 {
        node.wrong(report, "HTTP has no such status", remedy);
        return None;
    }
    Some((first, last))
}

/// `FIRST-LAST` or one number, inclusive.
fn range(node: &Node<'_>, report: &mut Report<'_>, what: &str, remedy: &str) -> Option<(u16, u16)> {
    let text = node.string(report, remedy)?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let bounds = (first.trim().parse::<u16>(), last.trim().parse::<u16>());
    let (Ok(first), Ok(last)) = bounds else {
        node.wrong(
            report,
            format!("`{text}` is not a {what} or a range"),
            remedy,
        );
        return None;
    };
    if first > last {
        let message = format!("the range `{text}` ends before it begins");
        node.wrong(report, message, format!("write \"{last}-{first}\""));
        return None;
    }
    Some((first, last))
}
