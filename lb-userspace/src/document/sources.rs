//! Our own addresses towards the backends.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::addresses::{self, Complaint, family, unusable};
use super::reader::Table;
use super::report::Report;

/// Reads `nat_source`.
pub(super) fn nat(root: &Table<'_>, report: &mut Report<'_>) -> Option<Vec<IpAddr>> {
    const REMEDY: &str = "write at most one IPv4 and one IPv6 address of this host, such as \
                          nat_source = [\"192.0.2.1\", \"2001:db8::1\"]";
    let read = |text: &str| addresses::address(text).map(IpNet::from);
    let sources = one_of_each_family(root, "nat_source", REMEDY, read, report)?;
    Some(sources.iter().map(IpNet::addr).collect())
}

/// Reads `tunnel_source`.
pub(super) fn tunnel(root: &Table<'_>, report: &mut Report<'_>) -> Option<Vec<IpNet>> {
    const REMEDY: &str = "write at most one IPv4 and one IPv6 prefix that is routed to this host, \
                          such as tunnel_source = [\"172.16.0.0/16\", \"100::/64\"]";
    one_of_each_family(root, "tunnel_source", REMEDY, addresses::prefix, report)
}

fn one_of_each_family(
    root: &Table<'_>,
    key: &str,
    remedy: &str,
    read: impl Fn(&str) -> Result<IpNet, Complaint>,
    report: &mut Report<'_>,
) -> Option<Vec<IpNet>> {
    let Some(node) = root.find(key) else {
        return Some(Vec::new());
    };
    let items = node.one_or_many(report);
    let count = items.len();
    let mut seen = HashMap::new();
    let sources: Vec<IpNet> = items
        .iter()
        .filter_map(|item| {
            let text = item.string(report, remedy)?;
            let source = read(text)
                .map_err(|complaint| item.wrong(report, complaint.message, complaint.remedy))
                .ok()?;
            let loopback = source.addr().is_loopback().then_some("a loopback address");
            if let Some(what) = unusable(source.addr()).or(loopback) {
                let message = format!("`{text}` is {what}; backends cannot answer to it");
                item.wrong(report, message, remedy);
                return None;
            }
            let family = family(source.addr());
            if let Some(other) = seen.insert(family, text) {
                let message = format!("`{other}` and `{text}` are both {family}");
                item.wrong(report, message, remedy);
                return None;
            }
            Some(source)
        })
        .collect();
    (sources.len() == count).then_some(sources)
}
