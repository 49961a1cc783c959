//! Health checks as the document describes them.
//!
//! Nothing is probed here, and which port is probed is the business of `service`.

use std::time::Duration;

use super::reader::{Node, Table};
use super::report::{Report, nearest, one_of};
use super::{Check, CheckKind, HttpCheck, limits, values};

const KEYS: &[&str] = &[
    "kind", "path", "host", "status", "verify", "port", "interval", "timeout", "rise", "fall",
];
const KINDS: [&str; 3] = ["tcp", "http", "https"];

const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);
const RISE: u32 = 2;
const FALL: u32 = 3;
/// Any answer short of an error or a refusal.
const STATUS: (u16, u16) = (200, 399);

impl CheckKind {
    /// The kind's word in the document.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http(_) => "http",
            Self::Https { .. } => "https",
        }
    }
}

/// Reads the table `check`.
pub(super) fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Check> {
    let remedy = "write check = { kind = \"tcp\" }, or kind \"http\" or \"https\" with a path";
    let table = node.table(report, KEYS, remedy)?;
    let kind = kind(&table, report);
    let port = table
        .find("port")
        .map(|node| node.number(report, 1..=u16::MAX));
    let times = times(&table, report);
    let mut count = |key, default| {
        table
            .find(key)
            .map_or(Some(default), |node| node.number(report, limits::RISE_FALL))
    };
    let (rise, fall) = (count("rise", RISE), count("fall", FALL));
    let (interval, timeout) = times?;
    Some(Check {
        kind: kind?,
        port: match port {
            Some(read) => Some(read?),
            None => None,
        },
        interval,
        timeout,
        rise: rise?,
        fall: fall?,
    })
}

fn kind(table: &Table<'_>, report: &mut Report<'_>) -> Option<CheckKind> {
    let remedy = format!("write kind = {}, in quotes", one_of(KINDS));
    let node = table.require(report, "kind", &remedy)?;
    let text = node.string(report, &remedy)?;
    let foreign: &[&str] = match text {
        "tcp" => &["path", "host", "status", "verify"],
        "http" => &["verify"],
        "https" => &[],
        _ => {
            let remedy = match nearest(text, KINDS) {
                Some(kind) => format!("did you mean `{kind}`?"),
                None => remedy,
            };
            node.wrong(report, format!("`{text}` is not a kind of check"), remedy);
            return None;
        }
    };
    let mut foreigners = 0;
    for node in foreign.iter().filter_map(|key| table.find(key)) {
        foreigners += 1;
        let message = format!("a `{text}` check has no such key");
        let owner = if node.path.ends_with(".verify") {
            "https"
        } else {
            "http"
        };
        let remedy = format!("remove it, or set kind = \"{owner}\"");
        node.wrong(report, message, remedy);
    }
    if text == "tcp" {
        return (foreigners == 0).then_some(CheckKind::Tcp);
    }
    let http = http(table, report);
    let verify = table
        .find("verify")
        .map_or(Some(false), |node| node.boolean(report));
    if foreigners > 0 {
        return None;
    }
    Some(if text == "http" {
        CheckKind::Http(http?)
    } else {
        CheckKind::Https {
            http: http?,
            verify: verify?,
        }
    })
}

fn http(table: &Table<'_>, report: &mut Report<'_>) -> Option<HttpCheck> {
    let path = table
        .find("path")
        .map_or(Some("/"), |node| path(&node, report));
    let host = table.find("host").map(|node| host(&node, report));
    let status = table
        .find("status")
        .map_or(Some(STATUS), |node| values::status(&node, report));
    Some(HttpCheck {
        path: path?.to_owned(),
        host: match host {
            Some(read) => Some(read?.to_owned()),
            None => None,
        },
        status: status?,
    })
}

fn path<'a>(node: &Node<'a>, report: &mut Report<'_>) -> Option<&'a str> {
    let remedy = "write an absolute path, such as \"/healthz\"";
    let path = node.string(report, remedy)?;
    // RFC 3986, section 3.3: neither blanks nor other characters than ASCII go on the wire.
    if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(path);
    }
    let message = format!(
        "`{}` is not a path that can be asked for",
        path.escape_debug()
    );
    let remedy = format!("{remedy}; write blanks and other letters as %20 and the like");
    node.wrong(report, message, remedy);
    None
}

fn host<'a>(node: &Node<'a>, report: &mut Report<'_>) -> Option<&'a str> {
    let remedy = "write a host's name, such as \"www.example.com\"";
    let host = node.string(report, remedy)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if !host.is_empty() && host.bytes().all(plain) {
        return Some(host);
    }
    let message = format!("`{}` is not a host's name", host.escape_debug());
    node.wrong(report, message, remedy);
    None
}

/// The interval and the timeout.
fn times(table: &Table<'_>, report: &mut Report<'_>) -> Option<(Duration, Duration)> {
    let interval = table
        .find("interval")
        .map_or(Some(INTERVAL), |node| values::duration(&node, report));
    let node = table.find("timeout");
    let timeout = node.as_ref().map(|node| values::duration(node, report));
    let interval = interval?;
    let timeout = match timeout {
        Some(read) => read?,
        // A document that asks for quicker probes need not say that each is to be quick as well.
        None => TIMEOUT.min(interval),
    };
    if timeout > interval {
        let message = format!(
            "the timeout of {timeout:?} is longer than the interval of {interval:?}, so probes \
             would overlap"
        );
        if let Some(node) = node {
            node.wrong(
                report,
                message,
                "shorten the timeout or lengthen the interval",
            );
        }
        return None;
    }
    Some((interval, timeout))
}
