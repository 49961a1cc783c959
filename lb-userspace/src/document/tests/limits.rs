//! Documents as large as the tables, and larger.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::firewall::rule;
use super::{bad, good, with_interface};
use crate::document::limits;

#[test]
fn more_services_than_the_table_holds() {
    let services = |count: usize| {
        (0..count).fold(String::new(), |mut text, index| {
            let (high, low) = (index / 256, index % 256);
            writeln!(
                text,
                "[[service]]\nname = \"s{index}\"\nvip = \"192.0.{high}.{low}:80/tcp\"\n\
                 backend = [{{ address = \"10.0.0.1:80\" }}]"
            )
            .unwrap();
            text
        })
    };
    let most = services(limits::SERVICES);
    assert_eq!(good(&most).services.len(), limits::SERVICES);
    let error = bad(&with_interface(&services(limits::SERVICES + 1)));
    assert_eq!(error.problems().len(), 1, "{error}");
    assert!(
        error
            .to_string()
            .contains("has 1025 services; the table holds 1024"),
        "{error}"
    );
}

/// A service with `count` backends of weight 1.
fn many_backends(count: usize) -> String {
    weighted_backends(&mut std::iter::repeat_n(1, count))
}

/// A service with backends of these weights.
fn weighted_backends(weights: &mut dyn Iterator<Item = usize>) -> String {
    let backends = weights
        .enumerate()
        .fold(String::new(), |mut text, (index, weight)| {
            let (high, low) = (index / 256, index % 256);
            write!(
                text,
                "{{ address = \"10.0.{high}.{low}:80\", weight = {weight} }}, "
            )
            .unwrap();
            text
        });
    format!(
        "[[service]]\nname = \"web\"\nvip = \"192.0.2.10:80/tcp\"\n\
         scheduler = \"weighted-round-robin\"\nbackend = [{backends}]"
    )
}

#[test]
fn more_backends_than_the_table_holds() {
    good(&many_backends(limits::BACKENDS));
    let error = bad(&with_interface(&many_backends(limits::BACKENDS + 1)));
    assert_eq!(error.problems().len(), 1, "{error}");
    assert!(
        error
            .to_string()
            .contains("has 4097 backends; the table holds 4096"),
        "{error}"
    );
}

#[test]
fn more_slots_than_the_table_holds() {
    // 131 backends of weight 1000, which one of weight 1 keeps from being 131 of weight 1.
    let weights = |last: usize| {
        let thousands = std::iter::repeat_n(1000, 131);
        weighted_backends(&mut thousands.chain([last]))
    };
    let document = good(&weights(72).replace("1000", "999"));
    assert_eq!(
        document.services.first().unwrap().slots_max(),
        (131 * 999 + 72) / 9
    );
    assert_eq!(
        good(&weights(1000)).services.first().unwrap().slots_max(),
        132
    );
    good(&weights(71));
    let error = bad(&with_interface(&weights(73)));
    assert_eq!(error.problems().len(), 1, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("sum to 131073; the schedule holds 131072"),
        "{text}"
    );
    assert!(text.contains("smaller weights"), "{text}");
}

#[test]
fn more_rules_than_the_table_holds() {
    let rules = |count: usize| {
        (0..count).fold(String::new(), |mut text, index| {
            text.push_str(&rule("").replace("\"r\"", &format!("\"r{index}\"")));
            text
        })
    };
    assert_eq!(
        good(&rules(limits::RULES)).firewall.rules.len(),
        limits::RULES
    );
    let error = bad(&with_interface(&rules(limits::RULES + 1)));
    assert_eq!(error.problems().len(), 1, "{error}");
    assert!(
        error
            .to_string()
            .contains("has 1024 rules; the table holds 1023"),
        "{error}"
    );
}

/// A set of `count` single IPv4 addresses.
fn set_of(count: usize) -> String {
    let mut text = String::from("[[firewall.set]]\nname = \"s\"\nentries = [\n");
    for index in 0..count {
        let address = std::net::Ipv4Addr::from_bits(0x0b00_0000 + u32::try_from(index).unwrap());
        writeln!(text, "  \"{address}\",").unwrap();
    }
    text.push_str("]\n");
    text
}

#[test]
fn a_set_of_100_000_entries_is_read_quickly() {
    let text = format!("{}{}", set_of(100_000), rule("source = \"@s\""));
    let start = Instant::now();
    let document = good(&text);
    let elapsed = start.elapsed();
    assert_eq!(
        document.firewall.sets.first().unwrap().entries.len(),
        100_000
    );
    // Far above what an unoptimised build on a busy machine takes, far below anything quadratic.
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
}

#[test]
fn more_prefixes_than_the_table_holds() {
    let most = set_of(limits::PREFIXES);
    // The same set in both directions and in two rules takes no more room in either.
    let first = rule("source = \"@s\"\ndestination = \"@s\"");
    let second = rule("source = \"@s\"").replace("\"r\"", "\"again\"");
    good(&format!("{most}{first}{second}"));
    let block = "[[firewall.block]]\nprefix = \"192.0.2.1\"\n";
    let error = bad(&with_interface(&format!("{most}{first}{second}{block}")));
    assert_eq!(error.problems().len(), 1, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("1048577 IPv4 source prefixes; the table holds 1048576"),
        "{text}"
    );
}

#[test]
fn more_references_to_large_sets_than_memory_should_hold() {
    let set = set_of(50_000);
    let rules = (0..=limits::RESOLVED_PREFIXES / 50_000).fold(String::new(), |text, index| {
        text + &rule("source = \"@s\"").replace("\"r\"", &format!("\"r{index}\""))
    });
    let error = bad(&with_interface(&format!("{set}{rules}")));
    assert_eq!(error.problems().len(), 1, "{error}");
    assert!(error.to_string().contains("counted in full"), "{error}");
}
