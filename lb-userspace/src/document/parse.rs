//! Text to checked document: the top level, and the order in which everything is read.
//!
//! Pure: neither the interfaces nor the addresses a document names need to exist.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use toml::de::DeTable;

use super::addresses;
use super::reader::{Node, Table};
use super::report::Report;
use super::{Document, DocumentError, XdpMode, firewall, limits, service, sources};

/// Keys of the top level.
const KEYS: &[&str] = &[
    "interfaces",
    "xdp_mode",
    "metrics",
    "nat_source",
    "tunnel_source",
    "debug",
    "flows",
    "service",
    "firewall",
];

/// Reads a document. `origin` is what errors call the text, such as the file's name.
///
/// # Errors
///
/// Everything that is wrong with the text, each with its place, what is wrong and the remedy; only
/// a text that is not TOML at all is reported up to the first mistake.
pub fn parse(text: &str, origin: &str) -> Result<Document, DocumentError> {
    let mut report = Report::new(text);
    let document = match DeTable::parse(text) {
        Ok(root) => document(&Table::root(&root, &mut report, KEYS), &mut report),
        Err(error) => {
            syntax(&error, &mut report);
            None
        }
    };
    report.finish(origin, document)
}

fn document(root: &Table<'_>, report: &mut Report<'_>) -> Option<Document> {
    let interfaces = interfaces(root, report);
    let xdp_mode = root
        .find("xdp_mode")
        .map_or(Some(XdpMode::default()), |node| node.word(report));
    let metrics = root.find("metrics").map(|node| metrics(&node, report));
    let nat_source = sources::nat(root, report);
    let tunnel_source = sources::tunnel(root, report);
    let debug = root
        .find("debug")
        .map_or(Some(false), |node| node.boolean(report));
    let flows = root
        .find("flows")
        .map_or(Some(limits::FLOWS_DEFAULT), |node| {
            node.number(report, limits::FLOWS)
        });
    // Without a word on sources that are wrong themselves.
    let services = service::read_all(root, tunnel_source.as_deref(), report);
    let firewall = firewall::read(root, report);
    Some(Document {
        interfaces: interfaces?,
        xdp_mode: xdp_mode?,
        metrics: match metrics {
            Some(read) => Some(read?),
            None => None,
        },
        nat_source: nat_source?,
        tunnel_source: tunnel_source?,
        debug: debug?,
        flows: flows?,
        services: services?,
        firewall: firewall?,
    })
}

/// Notes what keeps the text from being TOML.
fn syntax(error: &toml::de::Error, report: &mut Report<'_>) {
    let span = error.span().unwrap_or(0..0);
    let message = format!("this is not TOML: {}", error.message());
    let remedy = if error.message().contains("duplicate") {
        "write each key once; tables of one kind are written [[service]], two brackets"
    } else {
        "write `key = value`, one on each line, text in double quotes and lists in [ ]"
    };
    report.push(span, "", message, remedy);
}

fn interfaces(root: &Table<'_>, report: &mut Report<'_>) -> Option<Vec<String>> {
    const REMEDY: &str = "name the interfaces that clients arrive at: interfaces = [\"eth0\"]; `ip \
                          link` lists them";
    let node = root.require(report, "interfaces", REMEDY)?;
    let items = node.list(report, REMEDY)?;
    if items.is_empty() {
        node.wrong(report, "no interface is named", REMEDY);
        return None;
    }
    let count = items.len();
    let mut seen = HashMap::new();
    let names: Vec<String> = items
        .iter()
        .filter_map(|item| {
            let name = interface(item, report)?;
            unique(&mut seen, name, item, report, |line| {
                format!("the interface `{name}` is named twice, first in line {line}")
            })?;
            Some(name.to_owned())
        })
        .collect();
    (names.len() == count).then_some(names)
}

/// A name that the kernel could give to an interface (`dev_valid_name()`).
fn interface<'a>(node: &Node<'a>, report: &mut Report<'_>) -> Option<&'a str> {
    let name = node.string(
        report,
        "write the interface's name in quotes, such as \"eth0\"",
    )?;
    let message = if name.is_empty() {
        "the interface's name is empty".to_owned()
    } else if name.len() > limits::INTERFACE_NAME {
        format!(
            "the interface's name has {} bytes; the kernel's have at most {}",
            name.len(),
            limits::INTERFACE_NAME
        )
    } else if matches!(name, "." | "..")
        || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
    {
        format!("`{name}` cannot be an interface's name")
    } else {
        return Some(name);
    };
    node.wrong(
        report,
        message,
        "`ip link` lists the names of this host's interfaces",
    );
    None
}

fn metrics(node: &Node<'_>, report: &mut Report<'_>) -> Option<SocketAddr> {
    const REMEDY: &str = "write ADDRESS:PORT to listen at, such as \"127.0.0.1:9090\"";
    let text = node.string(report, REMEDY)?;
    match addresses::socket(text) {
        Ok(socket) => Some(socket),
        Err(complaint) => {
            node.wrong(report, complaint.message, REMEDY);
            None
        }
    }
}

/// Notes a second use of `key`; `message` is told the line of the first.
pub(super) fn unique<K: Eq + std::hash::Hash>(
    seen: &mut HashMap<K, usize>,
    key: K,
    node: &Node<'_>,
    report: &mut Report<'_>,
    message: impl FnOnce(usize) -> String,
) -> Option<()> {
    match seen.entry(key) {
        Entry::Vacant(vacant) => {
            vacant.insert(node.span.start);
            Some(())
        }
        Entry::Occupied(first) => {
            let line = report.line_of(*first.get());
            node.wrong(report, message(line), "remove or change one of the two");
            None
        }
    }
}
