//! The metrics read back line by line, and held against the conventions of their ecosystem.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// One exposition, read back.
#[derive(Debug, Default)]
struct Read {
    help: BTreeMap<String, String>,
    kinds: BTreeMap<String, String>,
    units: BTreeMap<String, String>,
    /// By name and labels as written.
    samples: BTreeMap<(String, String), u64>,
    /// Families in order, one entry for each run of samples.
    runs: Vec<String>,
}

fn stats() -> Stats {
    serde_json::from_str(include_str!("../../tests/interface/stats.json")).unwrap()
}

fn status() -> Status {
    serde_json::from_str(include_str!("../../tests/interface/status.json")).unwrap()
}

fn read(text: &str) -> Read {
    let mut read = Read::default();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(comment) = line.strip_prefix("# ") {
            let (kind, rest) = comment.split_once(' ').unwrap();
            let (name, rest) = rest.split_once(' ').unwrap();
            let map = match kind {
                "HELP" => &mut read.help,
                "TYPE" => &mut read.kinds,
                "UNIT" => &mut read.units,
                other => panic!("{other} in {line}"),
            };
            let before = map.insert(name.to_owned(), rest.to_owned());
            assert_eq!(before, None, "declared twice: {line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
            None => (series, ""),
        };
        if read.runs.last().is_none_or(|run| run != name) {
            read.runs.push(name.to_owned());
        }
        let key = (name.to_owned(), labels.to_owned());
        let before = read.samples.insert(key, value.parse().unwrap());
        assert_eq!(before, None, "a series appears twice: {line}");
    }
    read
}

fn both_formats() -> [Read; 2] {
    let text = render(&stats(), &status()).unwrap();
    assert!(text.ends_with("\n# EOF\n"));
    let older = Format::Text.of_rendered(text.clone());
    assert!(
        !older.contains("# EOF") && !older.contains("# UNIT"),
        "{older}"
    );
    assert_eq!(Format::OpenMetrics.of_rendered(text.clone()), text);
    [read(&text), read(&older)]
}

/// Looks up samples by name and labels, in both formats.
fn assert_samples(expected: &[(&str, String, u64)]) {
    let [new, old] = both_formats();
    assert_eq!(new.samples, old.samples);
    for (name, labels, value) in expected {
        let found = new.samples.get(&((*name).to_owned(), labels.clone()));
        assert_eq!(
            found,
            Some(value),
            "{name}{{{labels}}} in {:#?}",
            new.samples
        );
    }
}

#[test]
fn traffic_is_told_by_service_and_by_backend() {
    let web = r#"service="web""#;
    let backend = format!(r#"{web},backend="10.0.0.11:8080""#);
    let way = |labels: &str, direction| format!(r#"{labels},direction="{direction}""#);
    assert_samples(&[
        ("lb_service_connections_total", web.to_owned(), 3000),
        ("lb_service_packets_total", way(web, "in"), 21_000),
        ("lb_service_packets_total", way(web, "out"), 15_001),
        ("lb_service_bytes_total", way(web, "in"), 1_638_400),
        ("lb_service_bytes_total", way(web, "out"), 5_368_709_120),
        ("lb_backend_connections_total", backend.clone(), 1000),
        ("lb_backend_packets_total", way(&backend, "in"), 7000),
        ("lb_backend_packets_total", way(&backend, "out"), 5001),
        ("lb_backend_bytes_total", way(&backend, "in"), 546_133),
        (
            "lb_backend_bytes_total",
            way(&backend, "out"),
            1_789_569_706,
        ),
    ]);
}

#[test]
fn a_backends_state_is_told_twice() {
    let up = r#"service="web",backend="10.0.0.11:8080""#;
    let draining = r#"service="web",backend="10.0.0.12:8080""#;
    let down = r#"service="web",backend="10.0.0.13:8080""#;
    let six = r#"service="dns",backend="[2001:db8:1::1]:53""#;
    let state = |labels, state| format!(r#"{labels},state="{state}""#);
    assert_samples(&[
        ("lb_backend_up", up.to_owned(), 1),
        ("lb_backend_up", draining.to_owned(), 0),
        ("lb_backend_up", down.to_owned(), 0),
        ("lb_backend_up", six.to_owned(), 1),
        ("lb_backend_state", state(up, "up"), 1),
        ("lb_backend_state", state(up, "draining"), 0),
        ("lb_backend_state", state(up, "down"), 0),
        ("lb_backend_state", state(draining, "draining"), 1),
        ("lb_backend_state", state(down, "down"), 1),
        ("lb_backend_weight", draining.to_owned(), 2),
    ]);
}

#[test]
fn rules_reasons_and_the_daemon_are_told() {
    let quoted = r#"rule="no \"bad\" sources",action="drop""#;
    assert_samples(&[
        (
            "lb_rule_packets_total",
            r#"rule="block",action="drop""#.to_owned(),
            17,
        ),
        ("lb_rule_bytes_total", quoted.to_owned(), 79_012_288),
        (
            "lb_packets_total",
            r#"reason="firewall_drop",verdict="drop""#.to_owned(),
            1_234_584,
        ),
        (
            "lb_bytes_total",
            r#"reason="forwarded",verdict="forward""#.to_owned(),
            5_370_347_520,
        ),
        (
            "lb_packets_total",
            r#"reason="not_ip",verdict="pass""#.to_owned(),
            0,
        ),
        (
            "lb_build_info",
            r#"version="0.1.0",kernel="6.18.0""#.to_owned(),
            1,
        ),
        (
            "lb_table_entries",
            r#"table="prefixes""#.to_owned(),
            524_288,
        ),
        (
            "lb_table_limit",
            r#"table="prefixes""#.to_owned(),
            1_048_576,
        ),
        ("lb_start_time_seconds", String::new(), 1_767_312_000),
        ("lb_generations_total", String::new(), 7),
    ]);
}

#[test]
fn names_follow_the_conventions() {
    let [new, old] = both_formats();
    for (read, suffix) in [(&new, "_total"), (&old, "")] {
        let families: BTreeSet<_> = read.kinds.keys().collect();
        assert_eq!(families, read.help.keys().collect::<BTreeSet<_>>());
        let mut sampled = BTreeSet::new();
        for (family, kind) in &read.kinds {
            assert!(family.starts_with("lb_"), "{family}");
            let legal = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(family.chars().all(legal), "{family}");
            let sample = if kind == "counter" {
                format!("{family}{suffix}")
            } else {
                family.clone()
            };
            assert_eq!(
                sample.ends_with("_total"),
                kind == "counter",
                "{sample} is a {kind}"
            );
            assert!(kind == "counter" || kind == "gauge", "{family}: {kind}");
            let help = read.help.get(family).unwrap();
            assert!(
                help.len() > 20 && help.ends_with('.') && !help.ends_with(".."),
                "{help}"
            );
            sampled.insert(sample);
        }
        let runs: BTreeSet<_> = read.runs.iter().cloned().collect();
        assert_eq!(
            runs, sampled,
            "each family has samples, and each sample a family"
        );
        assert_eq!(
            read.runs.len(),
            runs.len(),
            "a family's samples stand together"
        );
    }
    for (family, unit) in &new.units {
        assert!(family.ends_with(&format!("_{unit}")), "{family} in {unit}");
        assert!(
            unit == "bytes" || unit == "seconds",
            "{unit} is no base unit"
        );
    }
}

#[test]
fn nothing_to_tell_is_told_with_nothing() {
    let nothing = Stats {
        services: vec![],
        rules: vec![],
        reasons: vec![],
        ..stats()
    };
    let text = render(
        &nothing,
        &Status {
            usage: vec![],
            ..status()
        },
    )
    .unwrap();
    let families: Vec<_> = read(&text).kinds.into_keys().collect();
    assert_eq!(
        families,
        ["lb_build_info", "lb_generations", "lb_start_time_seconds"]
    );
}

#[test]
fn scrapers_get_what_they_ask_for() {
    for (accept, format) in [
        ("", Format::Text),
        ("*/*", Format::Text),
        ("text/plain;version=0.0.4", Format::Text),
        (
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3",
            Format::OpenMetrics,
        ),
    ] {
        assert_eq!(Format::accepted_by(accept), format, "{accept}");
    }
}
