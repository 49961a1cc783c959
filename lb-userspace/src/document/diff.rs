//! What changed between two documents, one line each, for people.
//!
//! Only meaning counts: comments, formatting, and the order of services and backends do not.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use ipnet::IpNet;

use super::{Backend, Block, Check, CheckKind, Document, Firewall, HttpCheck, Rule, Service, Set};

/// Prefixes of a set that are named one by one; a longer list is only counted.
const NAMED: usize = 5;

/// Every difference in meaning, in the order of the document; empty when there is none.
pub fn changes(old: &Document, new: &Document) -> Vec<String> {
    let mut lines = Lines::default();
    lines.value("interfaces", &list(&old.interfaces), &list(&new.interfaces));
    lines.value("xdp_mode", &old.xdp_mode, &new.xdp_mode);
    lines.value("metrics", &or_none(old.metrics), &or_none(new.metrics));
    lines.value("nat_source", &list(&old.nat_source), &list(&new.nat_source));
    let tunnels = (&old.tunnel_source, &new.tunnel_source);
    lines.value("tunnel_source", &list(tunnels.0), &list(tunnels.1));
    lines.value("debug", &old.debug, &new.debug);
    lines.value("flows", &old.flows, &new.flows);
    services(&old.services, &new.services, &mut lines);
    firewall(&old.firewall, &new.firewall, &mut lines);
    lines.0
}

#[derive(Debug, Default)]
struct Lines(Vec<String>);

impl Lines {
    fn push(&mut self, line: String) {
        self.0.push(line);
    }

    /// Notes `what` if it prints differently.
    fn value(&mut self, what: &str, old: &dyn Display, new: &dyn Display) {
        let (old, new) = (old.to_string(), new.to_string());
        if old != new {
            self.push(format!("{what} {old} -> {new}"));
        }
    }
}

fn list<T: Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    items.join(", ")
}

fn or_none<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn services(old: &[Service], new: &[Service], lines: &mut Lines) {
    for was in old {
        if !new.iter().any(|service| service.name == was.name) {
            lines.push(format!("service {} ({}) removed", was.name, was.vip));
        }
    }
    for service in new {
        let name = &service.name;
        match old.iter().find(|was| was.name == *name) {
            Some(was) => changed_service(was, service, lines),
            None => lines.push(format!(
                "service {name} ({}) added with {}",
                service.vip,
                count(service.backends.len(), "backend")
            )),
        }
    }
}

fn changed_service(old: &Service, new: &Service, lines: &mut Lines) {
    let name = &new.name;
    let of = |what: &str| format!("service {name}: {what}");
    lines.value(&of("vip"), &old.vip, &new.vip);
    lines.value(&of("scheduler"), &old.scheduler, &new.scheduler);
    lines.value(&of("forward"), &old.forward, &new.forward);
    lines.value(
        &of("check"),
        &or_none(old.check.as_ref().map(check)),
        &or_none(new.check.as_ref().map(check)),
    );
    let find = |backends: &[Backend], wanted: &Backend| {
        backends
            .iter()
            .find(|backend| backend.address == wanted.address)
            .cloned()
    };
    for was in &old.backends {
        if find(&new.backends, was).is_none() {
            lines.push(of(&format!("backend {} removed", was.address)));
        }
    }
    for backend in &new.backends {
        let address = backend.address;
        let Some(was) = find(&old.backends, backend) else {
            let weight = match backend.weight {
                1 => String::new(),
                weight => format!(" with weight {weight}"),
            };
            let drain = if backend.drain { ", draining" } else { "" };
            lines.push(of(&format!("backend {address} added{weight}{drain}")));
            continue;
        };
        lines.value(
            &of(&format!("backend {address} weight")),
            &was.weight,
            &backend.weight,
        );
        match (was.drain, backend.drain) {
            (false, true) => lines.push(of(&format!("backend {address} draining"))),
            (true, false) => lines.push(of(&format!("backend {address} enabled"))),
            _ => {}
        }
    }
}

/// A check on one line, such as `http /healthz every 2s, timeout 1s, rise 2, fall 3`.
fn check(check: &Check) -> String {
    let what = match &check.kind {
        CheckKind::Tcp => "tcp".to_owned(),
        CheckKind::Http(http) => format!("http {}", request(http)),
        CheckKind::Https { http, verify } => {
            let verified = if *verify { ", verified" } else { "" };
            format!("https {}{verified}", request(http))
        }
    };
    let port = check
        .port
        .map_or_else(String::new, |port| format!(" at port {port}"));
    format!(
        "{what}{port} every {:?}, timeout {:?}, rise {}, fall {}",
        check.interval, check.timeout, check.rise, check.fall
    )
}

fn request(http: &HttpCheck) -> String {
    let host = http
        .host
        .as_ref()
        .map_or_else(String::new, |host| format!(" of {host}"));
    let (first, last) = http.status;
    format!(
        "{}{host} for {}",
        http.path,
        super::names::ports_text(&[(first, last)])
    )
}

fn firewall(old: &Firewall, new: &Firewall, lines: &mut Lines) {
    sets(&old.sets, &new.sets, lines);
    rules(&old.rules, &new.rules, lines);
    blocks(&old.blocks, &new.blocks, lines);
}

fn sets(old: &[Set], new: &[Set], lines: &mut Lines) {
    for was in old {
        if !new.iter().any(|set| set.name == was.name) {
            lines.push(format!("set '{}' removed", was.name));
        }
    }
    for set in new {
        let Some(was) = old.iter().find(|was| was.name == set.name) else {
            let entries = count(set.entries.len(), "prefix");
            lines.push(format!("set '{}' added with {entries}", set.name));
            continue;
        };
        let before: HashSet<&IpNet> = was.entries.iter().collect();
        let after: HashSet<&IpNet> = set.entries.iter().collect();
        prefixes(&set.name, "added", &set.entries, &before, lines);
        prefixes(&set.name, "removed", &was.entries, &after, lines);
    }
}

/// Notes the prefixes of `all` that are not among `others`.
fn prefixes(name: &str, verb: &str, all: &[IpNet], others: &HashSet<&IpNet>, lines: &mut Lines) {
    let mut seen = HashSet::new();
    let only: Vec<&IpNet> = all
        .iter()
        .filter(|prefix| !others.contains(prefix) && seen.insert(**prefix))
        .collect();
    if only.is_empty() {
        return;
    }
    let named = if only.len() <= NAMED {
        let named: Vec<String> = only.iter().map(ToString::to_string).collect();
        named.join(", ")
    } else {
        count(only.len(), "prefix")
    };
    lines.push(format!("set '{name}': {named} {verb}"));
}

fn rules(old: &[Rule], new: &[Rule], lines: &mut Lines) {
    for was in old {
        if !new.iter().any(|rule| rule.name == was.name) {
            lines.push(format!("rule '{}' removed", was.name));
        }
    }
    for rule in new {
        let name = &rule.name;
        let Some(was) = old.iter().find(|was| was.name == *name) else {
            let (action, matches) = (rule.action, rule.matches_text());
            lines.push(format!("rule '{name}' added: {action} {matches}"));
            continue;
        };
        let (before, after) = (was.matches_text(), rule.matches_text());
        lines.value(&format!("rule '{name}': matches"), &before, &after);
        lines.value(&format!("rule '{name}': action"), &was.action, &rule.action);
    }
    // The first match decides, so the order of rules has a meaning.
    let order = |rules: &[Rule], others: &[Rule]| -> Vec<String> {
        rules
            .iter()
            .filter(|rule| others.iter().any(|other| other.name == rule.name))
            .map(|rule| format!("'{}'", rule.name))
            .collect()
    };
    let (before, after) = (order(old, new), order(new, old));
    if before != after {
        lines.push(format!("rules reordered: {}", list(&after)));
    }
}

fn blocks(old: &[Block], new: &[Block], lines: &mut Lines) {
    let before: HashMap<IpNet, &Block> = old.iter().map(|block| (block.prefix, block)).collect();
    let after: HashSet<IpNet> = new.iter().map(|block| block.prefix).collect();
    for was in old.iter().filter(|was| !after.contains(&was.prefix)) {
        lines.push(format!("block {} removed", was.prefix));
    }
    for block in new {
        let until = |block: &Block| {
            block
                .until
                .map_or_else(|| "removed by hand".to_owned(), |until| until.to_string())
        };
        match before.get(&block.prefix) {
            Some(was) => lines.value(
                &format!("block {}: until", block.prefix),
                &until(was),
                &until(block),
            ),
            None => lines.push(format!(
                "block {} added until {}",
                block.prefix,
                until(block)
            )),
        }
    }
}

/// `1 backend`, `2 backends`.
fn count(number: usize, what: &str) -> String {
    let ending = match (number, what.ends_with('x')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {what}{ending}")
}
