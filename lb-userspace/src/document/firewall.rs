//! The firewall's sets and blocks, and the order in which everything is read.
//!
//! Rules are read in `rule`, once the sets that they refer to are known.

use std::collections::HashMap;

use ipnet::IpNet;

use super::addresses;
use super::parse::unique;
use super::reader::{Node, Table};
use super::report::Report;
use super::{Block, Firewall, Rule, Set, across, limits, rule, values};

const KEYS: &[&str] = &["set", "rule", "block"];
const SET_KEYS: &[&str] = &["name", "entries"];
const BLOCK_KEYS: &[&str] = &["prefix", "until"];

/// Sets by name; `None` for one whose entries are wrong, so that references to it are not.
pub(super) type SetsByName<'a> = HashMap<&'a str, Option<Set>>;

/// Reads the table `firewall`.
pub(super) fn read(root: &Table<'_>, report: &mut Report<'_>) -> Option<Firewall> {
    let Some(node) = root.find("firewall") else {
        return Some(Firewall::default());
    };
    let remedy = "write [[firewall.set]], [[firewall.rule]] or [[firewall.block]]";
    let table = node.table(report, KEYS, remedy)?;
    let (names, sets) = sets(&table, report);
    let rules = rules(&table, &sets, report);
    let blocks = blocks(&table, report);
    let mut sets = sets;
    let sets: Option<Vec<Set>> = names
        .into_iter()
        .map(|name| sets.remove(name.as_str()).flatten())
        .collect();
    let firewall = Firewall {
        sets: sets?,
        rules: rules?,
        blocks: blocks?,
    };
    across::count_prefixes(&firewall, &node, report);
    Some(firewall)
}

/// The names of all sets in order, an empty one for a set without a proper name, and the sets.
fn sets<'a>(table: &Table<'a>, report: &mut Report<'_>) -> (Vec<String>, SetsByName<'a>) {
    let mut names = Vec::new();
    let mut sets = HashMap::new();
    let mut taken = HashMap::new();
    for node in table.tables(report, "set") {
        let remedy = "begin each set with a line [[firewall.set]]";
        let Some(table) = node.table(report, SET_KEYS, remedy) else {
            names.push(String::new());
            continue;
        };
        let name = set_name(&table, &mut taken, report);
        let entries = entries(&table, report);
        names.push(name.unwrap_or_default().to_owned());
        if let Some(name) = name {
            let set = entries.map(|entries| Set {
                name: name.to_owned(),
                entries,
            });
            sets.insert(name, set);
        }
    }
    (names, sets)
}

fn set_name<'a>(
    table: &Table<'a>,
    taken: &mut HashMap<&'a str, usize>,
    report: &mut Report<'_>,
) -> Option<&'a str> {
    let remedy = "give the set a name, by which rules refer to it: name = \"blocklist\"";
    let node = table.require(report, "name", remedy)?;
    let name = values::name(&node, report)?;
    if name.starts_with(['@', '!']) {
        let message = format!("`{name}` begins with a sign that has a meaning in rules");
        node.wrong(
            report,
            message,
            "name the set without it; rules write \"@name\" or \"!@name\"",
        );
        return None;
    }
    unique(taken, name, &node, report, |line| {
        format!("a set called `{name}` is there already, near line {line}")
    })?;
    Some(name)
}

fn entries(table: &Table<'_>, report: &mut Report<'_>) -> Option<Vec<IpNet>> {
    let remedy = "list prefixes: entries = [\"203.0.113.0/24\", \"2001:db8:bad::/48\"]";
    let items = table
        .require(report, "entries", remedy)?
        .list(report, remedy)?;
    let count = items.len();
    let entries: Vec<IpNet> = items
        .iter()
        .filter_map(|item| prefix(item, item.string(report, remedy)?, report))
        .collect();
    (entries.len() == count).then_some(entries)
}

/// Reads a prefix or an address, noting what is wrong with it.
pub(super) fn prefix(node: &Node<'_>, text: &str, report: &mut Report<'_>) -> Option<IpNet> {
    addresses::prefix(text)
        .map_err(|complaint| {
            let remedy = if text.starts_with('@') && node.path.contains(".set[") {
                "a set cannot hold another set; name both in the rule".to_owned()
            } else {
                complaint.remedy
            };
            node.wrong(report, complaint.message, remedy);
        })
        .ok()
}

fn rules(table: &Table<'_>, sets: &SetsByName<'_>, report: &mut Report<'_>) -> Option<Vec<Rule>> {
    let nodes = table.tables(report, "rule");
    if let Some(first) = nodes.get(limits::RULES) {
        let message = format!(
            "the firewall has {} rules; the table holds {}",
            nodes.len(),
            limits::RULES
        );
        let remedy = "join rules of the same ports and action by naming their prefixes in one set";
        first.wrong(report, message, remedy);
        return None;
    }
    let count = nodes.len();
    let mut taken = HashMap::new();
    let mut budget = rule::Budget::default();
    let rules: Vec<Rule> = nodes
        .iter()
        .filter_map(|node| rule::read(node, sets, &mut taken, &mut budget, report))
        .collect();
    (rules.len() == count).then_some(rules)
}

fn blocks(table: &Table<'_>, report: &mut Report<'_>) -> Option<Vec<Block>> {
    let nodes = table.tables(report, "block");
    let count = nodes.len();
    let mut seen = HashMap::new();
    let blocks: Vec<Block> = nodes
        .iter()
        .filter_map(|node| block(node, &mut seen, report))
        .collect();
    (blocks.len() == count).then_some(blocks)
}

fn block(
    node: &Node<'_>,
    seen: &mut HashMap<IpNet, usize>,
    report: &mut Report<'_>,
) -> Option<Block> {
    let remedy = "name what to drop: prefix = \"203.0.113.0/24\"";
    let table = node.table(report, BLOCK_KEYS, remedy)?;
    let until = table.find("until").map(|node| node.instant(report));
    let node = table.require(report, "prefix", remedy)?;
    let prefix = prefix(&node, node.string(report, remedy)?, report)?;
    unique(seen, prefix, &node, report, |line| {
        format!("line {line} blocks {prefix} already")
    })?;
    Some(Block {
        prefix,
        until: match until {
            Some(read) => Some(read?),
            None => None,
        },
    })
}
