//! What the whole document must keep to: the sizes of the program's tables.
//!
//! One service, set or rule by itself is the business of its own module.

use std::collections::HashSet;

use ipnet::IpNet;

use super::reader::Node;
use super::report::Report;
use super::{Firewall, Scheduler, Service, limits};

impl Service {
    /// Most slots that the service's schedule takes: those of all its backends, up and enabled.
    /// Weights count by their proportion, so 500 and 1000 are 1 and 2; with fewer backends the
    /// proportion only gets simpler.
    pub fn slots_max(&self) -> usize {
        let weights = || {
            self.backends
                .iter()
                .map(|backend| usize::from(backend.weight))
        };
        match self.scheduler {
            Scheduler::RoundRobin => self.backends.len(),
            Scheduler::WeightedRoundRobin => {
                weights().sum::<usize>() / weights().fold(0, common_divisor).max(1)
            }
        }
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Notes more services than the table holds.
pub(super) fn count_services(nodes: &[Node<'_>], report: &mut Report<'_>) {
    if let Some(first) = nodes.get(limits::SERVICES) {
        let message = format!(
            "the document has {} services; the table holds {}",
            nodes.len(),
            limits::SERVICES
        );
        let remedy = "remove services, or give the rest to another balancer";
        first.wrong(report, message, remedy);
    }
}

/// Running sums over services.
#[derive(Debug, Default)]
pub(super) struct Totals {
    backends: usize,
    slots: usize,
}

impl Totals {
    /// Adds a service, and notes where a sum first exceeds its table.
    pub(super) fn add(&mut self, service: &Service, node: &Node<'_>, report: &mut Report<'_>) {
        let name = &service.name;
        let (backends, slots) = (self.backends, self.slots);
        self.backends += service.backends.len();
        // A change is written to a new range while packets still read the old one.
        self.slots += 2 * service.slots_max();
        if backends <= limits::BACKENDS && self.backends > limits::BACKENDS {
            let message = format!(
                "with `{name}` the document has {} backends; the table holds {}",
                self.backends,
                limits::BACKENDS
            );
            let remedy = "remove backends, or give some services to another balancer";
            node.wrong(report, message, remedy);
        }
        if slots <= limits::SLOTS && self.slots > limits::SLOTS {
            let message = format!(
                "with `{name}` the weights of all services, in lowest terms, sum to {}; the \
                 schedule holds {}",
                self.slots / 2,
                limits::SLOTS / 2
            );
            let remedy = "use smaller weights in simple proportions, such as 1 and 2 for 499 and \
                          1000";
            node.wrong(report, message, remedy);
        }
    }
}

/// Notes more distinct prefixes than the tables of one direction and family hold.
pub(super) fn count_prefixes(firewall: &Firewall, node: &Node<'_>, report: &mut Report<'_>) {
    let blocks = || firewall.blocks.iter().map(|block| &block.prefix);
    let sources = firewall
        .rules
        .iter()
        .flat_map(|rule| rule.source.prefixes())
        .chain(blocks());
    let destinations = firewall
        .rules
        .iter()
        .flat_map(|rule| rule.destination.prefixes());
    count_direction(&sources, "source", node, report);
    count_direction(&destinations, "destination", node, report);
}

fn count_direction<'f>(
    prefixes: &(impl Iterator<Item = &'f IpNet> + Clone),
    direction: &str,
    node: &Node<'_>,
    report: &mut Report<'_>,
) {
    // Most documents are far from the limit, and need no table of distinct prefixes.
    if prefixes.clone().count() <= limits::PREFIXES {
        return;
    }
    for (family, is_v4) in [("IPv4", true), ("IPv6", false)] {
        let distinct: HashSet<&IpNet> = prefixes
            .clone()
            .filter(|prefix| prefix.addr().is_ipv4() == is_v4)
            .collect();
        if distinct.len() > limits::PREFIXES {
            let message = format!(
                "rules and blocks name {} {family} {direction} prefixes; the table holds {}",
                distinct.len(),
                limits::PREFIXES
            );
            node.wrong(
                report,
                message,
                "merge neighbouring prefixes into shorter ones",
            );
        }
    }
}
