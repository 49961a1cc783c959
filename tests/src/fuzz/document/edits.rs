//! Edits out of bytes, and what each means for the checked document.

use std::net::SocketAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use lb_userspace::api::types::Edit;
use lb_userspace::document::{Backend, Block, Document};

use super::super::language::Bytes;

/// The kind behind those of edits: blocks end.
pub(super) const EXPIRE: u8 = 8;

/// Names that no service has yet, and odd ones.
const NAMES: [&str; 6] = [
    "new",
    "",
    "a b",
    "\u{fc}ber\n\"quoted\" \\",
    "web",
    "\u{7f}\u{1f980}",
];
const VIPS: [&str; 6] = [
    "198.51.100.1:80/tcp",
    "[2001:db8::99]:53/udp",
    "198.51.100.1:0/udp",
    "nonsense",
    "\"\n",
    "192.0.2.10:80/tcp",
];
const ADDRESSES: [&str; 6] = [
    "10.9.9.9:80",
    "[2001:db8::9]:80",
    "10.0.0.11:8080",
    "0.0.0.0:0",
    "[::ffff:1.2.3.4]:1",
    "[fe80::1%3]:80",
];
const PREFIXES: [&str; 6] = [
    "203.0.113.7/32",
    "203.0.113.0/24",
    "2001:db8::/32",
    "0.0.0.0/0",
    "10.0.0.1/8",
    "::ffff:1.2.3.0/120",
];
const WORDS: [Option<&str>; 6] = [
    None,
    Some("round-robin"),
    Some("dsr"),
    Some("tcp"),
    Some("http:/x"),
    Some("https:/\"\n#"),
];

/// Reads an edit; names and addresses are those of the document, or of none.
pub(super) fn read(kind: u8, bytes: &mut Bytes<'_>, document: Option<&Document>) -> Edit {
    let (which, what) = (bytes.byte(), bytes.byte());
    let services = document.map_or(&[][..], |document| &document.services);
    let chosen = services.get(usize::from(which));
    let named = || chosen.map_or_else(|| text(&NAMES, which), |service| service.name.clone());
    let address = || {
        let backends = chosen.map_or(&[][..], |service| &service.backends);
        let known = backends.get(usize::from(what)).map(|b| b.address);
        known.unwrap_or_else(|| new_address(what))
    };
    let prefix = || {
        let blocks = document.map_or(&[][..], |document| &document.firewall.blocks);
        let known = blocks.get(usize::from(which)).map(|b| b.prefix);
        known.unwrap_or_else(|| new_prefix(which))
    };
    match kind % EXPIRE {
        0 => Edit::ServiceAdd {
            name: text(&NAMES, which),
            vip: text(&VIPS, what),
            scheduler: bytes.of(&WORDS).flatten().map(str::to_owned),
            forward: bytes.of(&WORDS).flatten().map(str::to_owned),
            check: bytes.of(&WORDS).flatten().map(str::to_owned),
            backends: (0..bytes.byte() & 3).map(new_address).collect(),
        },
        1 => Edit::ServiceRemove { name: named() },
        2 => Edit::BackendAdd {
            service: named(),
            address: new_address(what),
            weight: bytes
                .of(&[None, Some(1), Some(1000), Some(0), Some(1001)])
                .flatten(),
        },
        3 => Edit::BackendRemove {
            service: named(),
            address: address(),
        },
        4 => Edit::BackendDrain {
            service: named(),
            address: address(),
        },
        5 => Edit::BackendEnable {
            service: named(),
            address: address(),
        },
        6 => Edit::FirewallBlock {
            prefix: prefix(),
            until: (what != 0).then(|| time(what)),
        },
        _ => Edit::FirewallUnblock { prefix: prefix() },
    }
}

/// Whether an edit adds what may be wrong in itself.
pub(super) fn adds(edit: &Edit) -> bool {
    matches!(
        edit,
        Edit::ServiceAdd { .. } | Edit::BackendAdd { .. } | Edit::FirewallBlock { .. }
    )
}

/// A point in time: years apart, and some a fraction of a second.
pub(super) fn time(choice: u8) -> Timestamp {
    let second = i64::from(choice) * 1_000_000_000 - 20_000_000_000;
    let fraction = [0, 1, 500_000_000, 999_999_999][usize::from(choice & 3)];
    Timestamp::new(second, fraction).expect("a time before the year 10000")
}

/// The first whole second that is not before a time: documents hold no fractions.
fn whole(until: Timestamp) -> Timestamp {
    let second = -(-until.as_nanosecond()).div_euclid(1_000_000_000);
    let second = i64::try_from(second).expect("seconds of a time");
    Timestamp::from_second(second).expect("a time before the last")
}

/// Panics unless `found` is `before` with the edit made, and nothing else.
pub(super) fn check(before: &Document, edit: &Edit, found: &Document, text: &str) {
    let expected = meant(before.clone(), edit, found);
    let expected = expected.unwrap_or_else(|| panic!("{edit:?} cannot be made, but was:\n{text}"));
    assert_eq!(*found, expected, "{edit:?} became:\n{text}");
}

/// The document that an edit means; `None` where it should have been refused.
fn meant(mut document: Document, edit: &Edit, found: &Document) -> Option<Document> {
    match edit {
        Edit::ServiceAdd {
            name,
            vip,
            backends,
            ..
        } => {
            // What the words of a service mean is the parser's to say; it must be this service.
            let new = found.services.last()?.clone();
            let addresses: Vec<_> = new.backends.iter().map(|b| b.address).collect();
            if new.name != *name || new.vip.to_string() != *vip || addresses != *backends {
                return None;
            }
            document.services.push(new);
        }
        Edit::ServiceRemove { name } => {
            let at = document.services.iter().position(|s| s.name == *name)?;
            document.services.remove(at);
        }
        Edit::FirewallBlock { prefix, until } => {
            let blocks = &mut document.firewall.blocks;
            match blocks.iter_mut().find(|block| block.prefix == *prefix) {
                Some(block) => block.until = until.map(whole),
                None => blocks.push(Block {
                    prefix: *prefix,
                    until: until.map(whole),
                }),
            }
        }
        Edit::FirewallUnblock { prefix } => {
            let blocks = &mut document.firewall.blocks;
            let at = blocks.iter().position(|block| block.prefix == *prefix)?;
            blocks.remove(at);
        }
        Edit::BackendAdd {
            service,
            address,
            weight,
        } => backends(&mut document, service)?.push(Backend {
            address: *address,
            weight: weight.unwrap_or(1),
            drain: false,
        }),
        Edit::BackendRemove { service, address } => {
            let backends = backends(&mut document, service)?;
            let at = backends.iter().position(|b| b.address == *address)?;
            backends.remove(at);
        }
        Edit::BackendDrain { service, address } => {
            backend(&mut document, service, *address)?.drain = true;
        }
        Edit::BackendEnable { service, address } => {
            backend(&mut document, service, *address)?.drain = false;
        }
    }
    Some(document)
}

fn backends<'d>(document: &'d mut Document, service: &str) -> Option<&'d mut Vec<Backend>> {
    let services = &mut document.services;
    let found = services.iter_mut().find(|entry| entry.name == service)?;
    Some(&mut found.backends)
}

fn backend<'d>(
    document: &'d mut Document,
    service: &str,
    address: SocketAddr,
) -> Option<&'d mut Backend> {
    let backends = backends(document, service)?;
    backends.iter_mut().find(|entry| entry.address == address)
}

fn text(table: &[&str], index: u8) -> String {
    table[usize::from(index) % table.len()].to_owned()
}

fn new_address(index: u8) -> SocketAddr {
    let text = ADDRESSES[usize::from(index) % ADDRESSES.len()];
    text.parse().expect("the table holds addresses")
}

fn new_prefix(index: u8) -> IpNet {
    let text = PREFIXES[usize::from(index) % PREFIXES.len()];
    text.parse().expect("the table holds prefixes")
}
