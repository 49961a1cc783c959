//! Random documents: no text makes the parser panic, and an edit changes what it says and no more.
//!
//! A failing case is printed by proptest together with its seed.

use std::fmt::Write as _;
use std::net::SocketAddr;

use jiff::Timestamp;
use proptest::prelude::*;

use crate::api::types::Edit;
use crate::document::{
    Backend, Block, Document, apply_edit, changes, expire_blocks, parse, revision,
};

/// How a list of backends is written.
#[derive(Debug, Clone, Copy)]
enum Style {
    OneLine,
    Lines,
    LinesWithComma,
    Commented,
    Sections,
}

#[derive(Debug, Clone)]
struct ServiceSketch {
    style: Style,
    /// Last octet of each backend's address, its weight, and whether it drains.
    backends: Vec<(u8, u16, bool)>,
    has_check: bool,
}

#[derive(Debug, Clone)]
struct Sketch {
    services: Vec<ServiceSketch>,
    /// Last octet of each blocked address, and until which second.
    blocks: Vec<(u8, Option<u32>)>,
    rules: usize,
}

fn sketch() -> impl Strategy<Value = Sketch> {
    let style = prop_oneof![
        Just(Style::OneLine),
        Just(Style::Lines),
        Just(Style::LinesWithComma),
        Just(Style::Commented),
        Just(Style::Sections),
    ];
    let backends = prop::collection::btree_map(1..20_u8, (1..5_u16, any::<bool>()), 1..5).prop_map(
        |backends| {
            let flat = backends.into_iter();
            flat.map(|(octet, (weight, drain))| (octet, weight, drain))
                .collect()
        },
    );
    let service =
        (style, backends, any::<bool>()).prop_map(|(style, backends, has_check)| ServiceSketch {
            style,
            backends,
            has_check,
        });
    let blocks =
        prop::collection::btree_map(1..20_u8, prop::option::of(0..2_000_000_000_u32), 0..4);
    (prop::collection::vec(service, 1..4), blocks, 0..3_usize).prop_map(
        |(services, blocks, rules)| Sketch {
            services,
            blocks: blocks.into_iter().collect(),
            rules,
        },
    )
}

fn backend_address(octet: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, octet], 8080))
}

fn until_text(second: u32) -> String {
    Timestamp::from_second(i64::from(second))
        .unwrap()
        .to_string()
}

/// Writes a sketch as a document.
fn text_of(sketch: &Sketch) -> String {
    let mut text = String::from("# A document.\ninterfaces = [\"eth0\"] # clients\n");
    for (index, service) in sketch.services.iter().enumerate() {
        write!(
            text,
            "\n# Service {index}.\n[[service]]\nname = \"s{index}\"\nvip = \"192.0.2.{index}:80/tcp\"\n\
             scheduler = \"weighted-round-robin\"\n"
        )
        .unwrap();
        if service.has_check {
            text.push_str("check = { kind = \"tcp\" } # quick\n");
        }
        text.push_str(&backends_of(service));
    }
    for rule in 0..sketch.rules {
        write!(
            text,
            "\n[[firewall.rule]]\nname = \"r{rule}\"\naction = \"drop\"\n"
        )
        .unwrap();
    }
    for (octet, until) in &sketch.blocks {
        writeln!(
            text,
            "\n[[firewall.block]] # {octet}\nprefix = \"203.0.113.{octet}\""
        )
        .unwrap();
        if let Some(second) = until {
            writeln!(text, "until = {}", until_text(*second)).unwrap();
        }
    }
    text.push_str("\n# The end.\n");
    text
}

fn backends_of(service: &ServiceSketch) -> String {
    let drain = |drain: &bool| if *drain { ", drain = true" } else { "" };
    let inline: Vec<String> = service
        .backends
        .iter()
        .map(|(octet, weight, drains)| {
            let address = backend_address(*octet);
            format!(
                "{{ address = \"{address}\", weight = {weight}{} }}",
                drain(drains)
            )
        })
        .collect();
    match service.style {
        Style::OneLine => format!("backend = [{}]\n", inline.join(", ")),
        Style::Lines => format!("backend = [\n  {}\n]\n", inline.join(",\n  ")),
        Style::LinesWithComma => format!("backend = [\n  {},\n]\n", inline.join(",\n  ")),
        Style::Commented => format!(
            "backend = [ # all of them\n  # first\n  {}, # last\n\n  # no more\n]\n",
            inline.join(", # one\n\n  # rack\n\n  # next\n  ")
        ),
        Style::Sections => service
            .backends
            .iter()
            .fold(String::new(), |mut text, (octet, weight, drains)| {
                let address = backend_address(*octet);
                let drain = drain(drains).replace(", ", "");
                writeln!(
                    text,
                    "  [[service.backend]]\n  address = \"{address}\"\n  weight = {weight}\n  {drain}"
                )
                .unwrap();
                text
            }),
    }
}

fn read(text: &str) -> Document {
    parse(text, "lb.toml").unwrap_or_else(|error| unreachable!("{error}\n{text}"))
}

/// An edit of the sketch's first services, of which some cannot be made.
fn edit() -> impl Strategy<Value = Edit> {
    let service = (0..4_usize).prop_map(|index| format!("s{index}"));
    let address = (1..20_u8).prop_map(backend_address);
    let prefix = (1..20_u8).prop_map(|octet| format!("203.0.113.{octet}/32").parse().unwrap());
    let until = prop::option::of(
        (0..2_000_000_000_i64).prop_map(|second| Timestamp::from_second(second).unwrap()),
    );
    let target = (service.clone(), address);
    prop_oneof![
        (target.clone(), prop::option::of(1..5_u16)).prop_map(|((service, address), weight)| {
            Edit::BackendAdd {
                service,
                address,
                weight,
            }
        }),
        target
            .clone()
            .prop_map(|(service, address)| Edit::BackendRemove { service, address }),
        target
            .clone()
            .prop_map(|(service, address)| Edit::BackendDrain { service, address }),
        target
            .clone()
            .prop_map(|(service, address)| Edit::BackendEnable { service, address }),
        target.prop_map(|(name, address)| Edit::ServiceAdd {
            vip: format!("198.51.100.{}:80/tcp", name.trim_start_matches('s')),
            name,
            scheduler: None,
            forward: Some("full-nat".to_owned()),
            check: Some("http:/x".to_owned()),
            backends: vec![address],
        }),
        service.prop_map(|name| Edit::ServiceRemove { name }),
        (prefix.clone(), until).prop_map(|(prefix, until)| Edit::FirewallBlock { prefix, until }),
        prefix.prop_map(|prefix| Edit::FirewallUnblock { prefix }),
    ]
}

/// What an edit means, on the checked document; `None` where it cannot be made.
fn meant(mut document: Document, edit: &Edit) -> Option<Document> {
    let service_at = |document: &Document, name: &str| {
        document
            .services
            .iter()
            .position(|service| service.name == name)
    };
    match edit {
        Edit::ServiceAdd {
            name,
            vip,
            backends,
            ..
        } => {
            if service_at(&document, name).is_some() {
                return None;
            }
            let backends = backends.first()?;
            let text = format!(
                "interfaces = [\"x\"]\n[[service]]\nname = \"{name}\"\nvip = \"{vip}\"\n\
                 check = {{ kind = \"http\", path = \"/x\" }}\n\
                 backend = [{{ address = \"{backends}\" }}]"
            );
            document.services.extend(read(&text).services);
        }
        Edit::ServiceRemove { name } => {
            let index = service_at(&document, name)?;
            document.services.remove(index);
        }
        Edit::FirewallBlock { prefix, until } => {
            let blocks = &mut document.firewall.blocks;
            match blocks.iter_mut().find(|block| block.prefix == *prefix) {
                Some(block) => block.until = *until,
                None => blocks.push(Block {
                    prefix: *prefix,
                    until: *until,
                }),
            }
        }
        Edit::FirewallUnblock { prefix } => {
            let blocks = &mut document.firewall.blocks;
            let index = blocks.iter().position(|block| block.prefix == *prefix)?;
            blocks.remove(index);
        }
        Edit::BackendAdd {
            service, address, ..
        }
        | Edit::BackendRemove { service, address }
        | Edit::BackendDrain { service, address }
        | Edit::BackendEnable { service, address } => {
            let index = service_at(&document, service)?;
            let backends = &mut document.services.get_mut(index)?.backends;
            let found = backends
                .iter()
                .position(|backend| backend.address == *address);
            edit_backends(backends, found, edit)?;
        }
    }
    Some(document)
}

fn edit_backends(backends: &mut Vec<Backend>, found: Option<usize>, edit: &Edit) -> Option<()> {
    match (edit, found) {
        (
            Edit::BackendAdd {
                address, weight, ..
            },
            None,
        ) => backends.push(Backend {
            address: *address,
            weight: weight.unwrap_or(1),
            drain: false,
        }),
        (Edit::BackendRemove { .. }, Some(index)) if backends.len() > 1 => {
            backends.remove(index);
        }
        (Edit::BackendDrain { .. }, Some(index)) => backends.get_mut(index)?.drain = true,
        (Edit::BackendEnable { .. }, Some(index)) => backends.get_mut(index)?.drain = false,
        _ => return None,
    }
    Some(())
}

proptest! {
    #[test]
    fn a_sketch_reads_as_it_was_written(sketch in sketch()) {
        let document = read(&text_of(&sketch));
        prop_assert_eq!(document.services.len(), sketch.services.len());
        for (service, sketch) in document.services.iter().zip(&sketch.services) {
            let backends: Vec<Backend> = sketch
                .backends
                .iter()
                .map(|(octet, weight, drain)| Backend {
                    address: backend_address(*octet),
                    weight: *weight,
                    drain: *drain,
                })
                .collect();
            prop_assert_eq!(&service.backends, &backends);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(
        sketch in sketch(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<char>(), 0..3_u8), 1..8),
    ) {
        let mut text: Vec<char> = text_of(&sketch).chars().collect();
        for (index, letter, kind) in mutations {
            let at = index.index(text.len());
            match kind {
                0 => { text.remove(at); }
                1 => text.insert(at, letter),
                _ => if let Some(old) = text.get_mut(at) { *old = letter; },
            }
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = parse(&text, "lb.toml") {
            prop_assert!(!error.problems().is_empty());
            prop_assert!(!error.to_string().is_empty());
        }
        prop_assert_eq!(revision(&text).len(), 16);
    }

    #[test]
    fn an_edit_changes_what_it_says_and_no_more(
        sketch in sketch(),
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        let mut text = text_of(&sketch);
        for edit in edits {
            let before = read(&text);
            let result = apply_edit(&text, &edit);
            let Some(expected) = meant(before.clone(), &edit) else {
                prop_assert!(result.is_err(), "{:?} is refused", edit);
                continue;
            };
            let after = match result {
                Ok(after) => after,
                Err(error) => return Err(TestCaseError::fail(format!("{edit:?}: {error}"))),
            };
            let read_back = parse(&after, "lb.toml");
            prop_assert!(read_back.is_ok(), "{:?}\n{}\nfrom\n{}", read_back, after, text);
            prop_assert_eq!(&read(&after), &expected, "{}\nfrom\n{}", after, text);
            prop_assert_eq!(changes(&before, &expected).is_empty(), before == expected);
            prop_assert!(after.contains("# A document."));
            prop_assert!(after.contains("# The end."));
            text = after;
        }
    }

    #[test]
    fn only_ended_blocks_expire(sketch in sketch(), now in 0..2_000_000_000_u32) {
        let text = text_of(&sketch);
        let ends = |until: &Option<u32>| until.is_some_and(|until| until <= now);
        let left = sketch.blocks.iter().filter(|(_, until)| !ends(until)).count();
        let after = expire_blocks(&text, Timestamp::from_second(i64::from(now)).unwrap());
        prop_assert_eq!(after.is_some(), left != sketch.blocks.len());
        if let Some(after) = after {
            prop_assert_eq!(read(&after).firewall.blocks.len(), left);
            prop_assert_eq!(read(&after).services, read(&text).services);
        }
    }
}
