//! Firewall rules, with references to sets resolved.
//!
//! Which rule comes first, and how rules become tables, is decided elsewhere.

use std::collections::HashMap;

use ipnet::IpNet;

use super::firewall::{SetsByName, prefix};
use super::names::PROTOCOLS;
use super::parse::unique;
use super::reader::{Node, Table};
use super::report::{Report, nearest, one_of};
use super::{Action, AddressMatch, Protocol, Rule, limits, values};

const KEYS: &[&str] = &[
    "name",
    "source",
    "destination",
    "protocol",
    "port",
    "source_port",
    "action",
];

/// The name under which `[[firewall.block]]` is counted.
const RESERVED: &str = "block";

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

const ADDRESS_REMEDY: &str = "write a prefix, an address or a \"@set\", a list of them, each with \
                              \"!\" in front to exclude it";

/// Prefixes that rules have written out so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    used: usize,
}

impl AddressMatch {
    /// Every prefix that takes part, wanted or not.
    pub fn prefixes(&self) -> impl Iterator<Item = &IpNet> + Clone {
        self.within.iter().flatten().chain(&self.outside)
    }

    /// Whether an address of the family can match, as far as `within` tells.
    fn may_be(&self, is_v4: bool) -> bool {
        self.within.as_ref().is_none_or(|within| {
            // An empty set may be filled later; nothing is wrong with the rule.
            within.is_empty() || within.iter().any(|prefix| prefix.addr().is_ipv4() == is_v4)
        })
    }
}

/// Reads one `[[firewall.rule]]`.
pub(super) fn read(
    node: &Node<'_>,
    sets: &SetsByName<'_>,
    taken: &mut HashMap<String, usize>,
    budget: &mut Budget,
    report: &mut Report<'_>,
) -> Option<Rule> {
    let remedy = "begin each rule with a line [[firewall.rule]]";
    let table = node.table(report, KEYS, remedy)?;
    let name = name(&table, taken, report);
    let mut addresses = |key| match table.find(key) {
        Some(node) => address_match(&node, sets, budget, report),
        None => Some(AddressMatch::default()),
    };
    let (source, destination) = (addresses("source"), addresses("destination"));
    let protocol = table
        .find("protocol")
        .map_or(Some(None), |node| protocol(&node, report).map(Some));
    let mut ports = |key| {
        let Some(node) = table.find(key) else {
            return Some(Vec::new());
        };
        let ports = values::ports(&node, report);
        if let Some(protocol) = protocol {
            ports_apply(&node, protocol, report)?;
        }
        ports
    };
    let (port, source_port) = (ports("port"), ports("source_port"));
    let remedy = "say what happens: action = \"drop\" or action = \"accept\"";
    let action: Option<Action> = table
        .require(report, "action", remedy)
        .and_then(|node| node.word(report));
    let rule = Rule {
        name: name?,
        source: source?,
        destination: destination?,
        protocol: protocol?,
        port: port?,
        source_port: source_port?,
        action: action?,
    };
    possible(&rule, &table, report)?;
    Some(rule)
}

fn name(
    table: &Table<'_>,
    taken: &mut HashMap<String, usize>,
    report: &mut Report<'_>,
) -> Option<String> {
    let remedy = "name the rule, counters go by it: name = \"ssh only from the office\"";
    let node = table.require(report, "name", remedy)?;
    let name = values::name(&node, report)?;
    if name == RESERVED {
        let message = format!("the name `{RESERVED}` stands for `lb firewall block`");
        node.wrong(report, message, "choose another name");
        return None;
    }
    unique(taken, name.to_owned(), &node, report, |line| {
        format!("the rule in line {line} is called `{name}` as well")
    })?;
    Some(name.to_owned())
}

fn address_match(
    node: &Node<'_>,
    sets: &SetsByName<'_>,
    budget: &mut Budget,
    report: &mut Report<'_>,
) -> Option<AddressMatch> {
    let items = node.one_or_many(report);
    if items.is_empty() {
        node.wrong(report, "an empty list matches no address", ADDRESS_REMEDY);
        return None;
    }
    let mut found = AddressMatch::default();
    let mut complete = true;
    for item in &items {
        complete &= add_item(item, sets, budget, &mut found, report).is_some();
    }
    complete.then_some(found)
}

/// Adds a prefix, an address or a set, wanted or not.
fn add_item(
    item: &Node<'_>,
    sets: &SetsByName<'_>,
    budget: &mut Budget,
    found: &mut AddressMatch,
    report: &mut Report<'_>,
) -> Option<()> {
    let text = item.string(report, ADDRESS_REMEDY)?;
    let (wanted, rest) = match text.strip_prefix('!') {
        Some(rest) => (false, rest),
        None => (true, text),
    };
    let single;
    let prefixes = if let Some(name) = rest.strip_prefix('@') {
        let Some(set) = sets.get(name) else {
            unknown_set(item, name, sets, report);
            return None;
        };
        // A set that is wrong has been noted where it stands.
        set.as_ref()?.entries.as_slice()
    } else {
        single = [prefix(item, rest, report)?];
        &single
    };
    if budget.used <= limits::RESOLVED_PREFIXES {
        budget.used += prefixes.len();
        if budget.used > limits::RESOLVED_PREFIXES {
            let message = format!(
                "up to here the rules write out more than {} prefixes, each reference to a set \
                 counted in full",
                limits::RESOLVED_PREFIXES
            );
            item.wrong(report, message, "refer to large sets from fewer rules");
        }
    }
    if budget.used > limits::RESOLVED_PREFIXES {
        return None;
    }
    found.text.push(text.to_owned());
    if wanted {
        found.within.get_or_insert_default().extend(prefixes);
    } else {
        found.outside.extend(prefixes);
    }
    Some(())
}

fn unknown_set(node: &Node<'_>, name: &str, sets: &SetsByName<'_>, report: &mut Report<'_>) {
    let names = sets.keys().copied();
    let remedy = match nearest(name, names.clone()) {
        Some(near) => format!("did you mean \"@{near}\"?"),
        None if sets.is_empty() => {
            format!("define it: [[firewall.set]] with name = \"{name}\" and entries = [..]")
        }
        None => {
            let mut names: Vec<&str> = names.collect();
            names.sort_unstable();
            names.truncate(10);
            format!("define it, or use one of {}", names.join(", "))
        }
    };
    node.wrong(report, format!("there is no set called `{name}`"), remedy);
}

fn protocol(node: &Node<'_>, report: &mut Report<'_>) -> Option<u8> {
    if !node.is_string() {
        return node.number(report, 0..=u8::MAX);
    }
    let names = PROTOCOLS.iter().map(|(name, _)| *name);
    let remedy = format!("write {}, or the protocol's number", one_of(names.clone()));
    let text = node.string(report, &remedy)?;
    let found = PROTOCOLS.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let remedy = match nearest(text, names) {
            Some(name) => format!("did you mean `{name}`? {remedy}"),
            None => remedy,
        };
        node.wrong(
            report,
            format!("`{text}` is not a protocol known by name"),
            remedy,
        );
    }
    found.map(|(_, number)| *number)
}

/// Whether packets of the protocol have ports.
fn ports_apply(node: &Node<'_>, protocol: Option<u8>, report: &mut Report<'_>) -> Option<()> {
    if protocol.is_some_and(|number| {
        [Protocol::Tcp, Protocol::Udp]
            .map(Protocol::number)
            .contains(&number)
    }) {
        return Some(());
    }
    let message = match protocol {
        Some(number) => format!(
            "protocol {} has no ports",
            super::names::protocol_text(number)
        ),
        None => "without a protocol there are no ports".to_owned(),
    };
    let remedy = "set protocol = \"tcp\" or protocol = \"udp\"; both need two rules";
    node.wrong(report, message, remedy);
    None
}

/// Whether any packet can match.
fn possible(rule: &Rule, table: &Table<'_>, report: &mut Report<'_>) -> Option<()> {
    let may_be = |is_v4| rule.source.may_be(is_v4) && rule.destination.may_be(is_v4);
    let (v4, v6) = (may_be(true), may_be(false));
    let (message, remedy) = if !v4 && !v6 {
        (
            "the rule matches nothing: one of source and destination is IPv4 only, the other IPv6 \
             only",
            "use the same family in both, or split the rule",
        )
    } else if !v4 && rule.protocol == Some(ICMP) {
        (
            "the rule matches nothing: `icmp` is IPv4's, and the addresses are IPv6",
            "write protocol = \"icmpv6\"",
        )
    } else if !v6 && rule.protocol == Some(ICMPV6) {
        (
            "the rule matches nothing: `icmpv6` is IPv6's, and the addresses are IPv4",
            "write protocol = \"icmp\"",
        )
    } else {
        return Some(());
    };
    report.push(table.span.clone(), &table.path, message, remedy);
    None
}
