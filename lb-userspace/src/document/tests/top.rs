//! The top level, the form of messages, and the examples that ship with the program.

use std::time::Duration;

use super::{WEB, bad, good, parse, refuses, with_interface};
use crate::document::{CheckKind, Document, Forward, Scheduler, XdpMode, limits};

/// The example of the design, word for word.
const DESIGN: &str = r#"
interfaces = ["eth0"]
xdp_mode = "auto"                 # native where the driver has it; the reason is logged and shown by `lb status`

[[service]]
name = "web"
vip = "192.0.2.10:80/tcp"
scheduler = "round-robin"         # weighted-round-robin, least-connections, maglev, source-hash
forward = "full-nat"              # nat, dsr, ipip, gue
check = { kind = "http", path = "/healthz", interval = "2s", timeout = "1s", rise = 2, fall = 3 }
backend = [
  { address = "10.0.0.11:8080" },
  { address = "10.0.0.12:8080", weight = 2 },
]

[[firewall.set]]
name = "blocklist"
entries = ["203.0.113.0/24", "2001:db8:bad::/48"]

[[firewall.rule]]
name = "no blocklisted sources"
source = "@blocklist"
action = "drop"

[[firewall.rule]]
name = "ssh only from the office"
source = ["!198.51.100.0/24"]
protocol = "tcp"
port = [22]
action = "drop"
"#;

#[test]
fn the_example_file_is_right_and_draws_no_warning() {
    let text = include_str!("../../../../lb.example.toml");
    let document = parse(text, "lb.example.toml").unwrap_or_else(|error| unreachable!("{error}"));
    assert_eq!(document.services.len(), 5);
    assert_eq!(document.warnings(), Vec::<String>::new());
}

#[test]
fn the_example_of_the_design_is_right() {
    let document = parse(DESIGN, "lb.toml").unwrap_or_else(|error| unreachable!("{error}"));
    let [service] = document.services.as_slice() else {
        unreachable!("one service");
    };
    assert_eq!(service.vip.to_string(), "192.0.2.10:80/tcp");
    assert_eq!(service.backends.len(), 2);
    let check = service.check.as_ref().unwrap();
    assert!(matches!(&check.kind, CheckKind::Http(http) if http.path == "/healthz"));
    assert_eq!(check.interval, Duration::from_secs(2));
    let [drop, ssh] = document.firewall.rules.as_slice() else {
        unreachable!("two rules");
    };
    assert_eq!(drop.source.within.as_ref().unwrap().len(), 2);
    assert_eq!(ssh.source.within, None);
    assert_eq!(ssh.port, [(22, 22)]);
    let warnings = document.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings
            .iter()
            .all(|warning| warning.contains("weighted-round-robin"))
    );
}

#[test]
fn defaults_fill_what_is_not_said() {
    let document = good(WEB);
    assert_eq!(document.xdp_mode, XdpMode::Auto);
    assert_eq!(document.flows, limits::FLOWS_DEFAULT);
    assert_eq!(document.metrics, None);
    assert!(!document.debug);
    let service = document.services.first().unwrap();
    assert_eq!(service.scheduler, Scheduler::RoundRobin);
    assert_eq!(service.forward, Forward::FullNat);
    assert_eq!(service.check, None);
}

#[test]
fn a_document_may_be_a_firewall_only() {
    assert_eq!(
        good(""),
        Document {
            interfaces: vec!["eth0".to_owned()],
            flows: limits::FLOWS_DEFAULT,
            ..Document::default()
        }
    );
}

#[test]
fn a_message_shows_place_key_line_caret_and_remedy() {
    let error = bad("interfaces = [\"eth0\"]\nmetrics  =\t9090 # Prometheus\n");
    assert_eq!(
        error.to_string(),
        "lb.toml:2:12: metrics: this is an integer; a string is wanted\n  \
           |\n\
         2 | metrics  = 9090 # Prometheus\n  \
           |            ^^^^\n  \
           = write ADDRESS:PORT to listen at, such as \"127.0.0.1:9090\""
    );
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_text() {
    let error = bad("flows = 5\ndebgu = true\ninterfaces = []\nxdp_mode = \"nativ\"\n");
    let keys: Vec<(usize, &str)> = error
        .problems()
        .iter()
        .map(|problem| (problem.line, problem.key.as_str()))
        .collect();
    assert_eq!(
        keys,
        [
            (1, "flows"),
            (2, "debgu"),
            (3, "interfaces"),
            (4, "xdp_mode")
        ]
    );
}

#[test]
fn a_flood_of_problems_is_counted_not_printed() {
    let entries = "\"x\", ".repeat(1000);
    let text = format!(
        "interfaces = [\"eth0\"]\nfirewall.set = [{{ name = \"s\", entries = [{entries}] }}]"
    );
    let error = bad(&text);
    assert_eq!(error.problems().len(), 50);
    let printed = error.to_string();
    assert!(printed.ends_with("950 more problems"), "{printed}");
    let longest = printed.lines().map(|line| line.chars().count()).max();
    assert!(longest.unwrap() < 200, "a long line is cut: {longest:?}");
}

#[test]
fn text_that_is_not_toml() {
    refuses(
        "vip = 192.0.2.10:80",
        ".2.10:80",
        "",
        "not TOML",
        "double quotes",
    );
}

#[test]
fn a_key_written_twice() {
    let error = bad("debug = true\ndebug = true\n");
    let text = error.to_string();
    assert!(
        text.starts_with("lb.toml:2:1: this is not TOML: duplicate key"),
        "{text}"
    );
    assert!(
        text.ends_with(
            "write each key once; tables of one kind are written [[service]], two brackets"
        ),
        "{text}"
    );
}

#[test]
fn unknown_keys_suggest_the_nearest_known_one() {
    refuses(
        "servise = 1",
        "servise",
        "servise",
        "not known",
        "did you mean `service`?",
    );
    refuses(
        "colour = 1",
        "colour",
        "colour",
        "not known",
        "interfaces, xdp_mode",
    );
    let rest = WEB.replace("vip =", "vipp =");
    let error = bad(&with_interface(&rest));
    assert_eq!(error.problems().len(), 2, "missing and unknown: {error}");
}

#[test]
fn no_interface() {
    let error = bad("debug = true");
    assert_eq!(error.problems().len(), 1);
    assert!(error.to_string().contains("`interfaces` is missing"));
    let error = bad("interfaces = []");
    assert!(error.to_string().contains("no interface is named"));
    assert!(error.to_string().contains("ip link"));
}

#[test]
fn interfaces_that_cannot_be() {
    for (list, message) in [
        (
            "[\"eth0\", \"eth1\", \"eth0\"]",
            "named twice, first in line 1",
        ),
        ("[\"enp0s31f6verylong\"]", "at most 15"),
        ("[\"eth 0\"]", "cannot be"),
        ("[\"\"]", "empty"),
        ("\"eth0\"", "a list is wanted"),
        ("[1]", "a string is wanted"),
    ] {
        let error = bad(&format!("interfaces = {list}"));
        assert_eq!(error.problems().len(), 1, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn wrong_types() {
    refuses(
        "debug = \"yes\"",
        "\"yes\"",
        "debug",
        "a boolean is wanted",
        "without quotes",
    );
    refuses(
        "flows = \"many\"",
        "\"many\"",
        "flows",
        "a number is wanted",
        "1024 to 8388608",
    );
    refuses(
        "service = 1",
        "1",
        "service",
        "a list is wanted",
        "[[service]]",
    );
    refuses(
        "firewall = 1",
        "1",
        "firewall",
        "a table is wanted",
        "[[firewall.rule]]",
    );
    refuses(
        "xdp_mode = 1",
        "1",
        "xdp_mode",
        "a string is wanted",
        "`native`",
    );
}

#[test]
fn values_out_of_range() {
    refuses("flows = 1023", "1023", "flows", "out of range", "from 1024");
    refuses(
        "flows = 8388609",
        "8388609",
        "flows",
        "out of range",
        "to 8388608",
    );
    refuses(
        "flows = 0xffffffffffffffffff",
        "0xffff",
        "flows",
        "out of range",
        "8388608",
    );
    assert_eq!(good("flows = 0x400").flows, 1024);
}

#[test]
fn an_xdp_mode_that_is_not() {
    refuses(
        "xdp_mode = \"nativ\"",
        "\"nativ\"",
        "xdp_mode",
        "`nativ`",
        "did you mean `native`?",
    );
}

#[test]
fn metrics_addresses() {
    assert_eq!(
        good("metrics = \"[::1]:9090\"").metrics,
        "[::1]:9090".parse().ok()
    );
    refuses(
        "metrics = \":9090\"",
        "\":9090\"",
        "metrics",
        "not an address",
        "127.0.0.1:9090",
    );
}

#[test]
fn nat_sources() {
    let document = good("nat_source = [\"192.0.2.1\", \"2001:db8::1\"]");
    assert_eq!(document.nat_source.len(), 2);
    assert_eq!(good("nat_source = \"192.0.2.1\"").nat_source.len(), 1);
    let both = "nat_source = [\"192.0.2.1\", \"192.0.2.2\"]";
    refuses(
        both,
        "\"192.0.2.2\"",
        "nat_source[1]",
        "both IPv4",
        "at most one IPv4",
    );
    let loopback = "nat_source = \"127.0.0.1\"";
    refuses(loopback, "\"127", "nat_source", "loopback", "of this host");
    refuses(
        "nat_source = \"here\"",
        "\"here\"",
        "nat_source",
        "not an address",
        "numeric",
    );
}

#[test]
fn tunnel_sources() {
    let document = good("tunnel_source = [\"172.16.0.0/16\", \"2001:db8::1\"]");
    let sources = document.tunnel_source.iter().map(ToString::to_string);
    assert_eq!(
        sources.collect::<Vec<_>>(),
        ["172.16.0.0/16", "2001:db8::1/128"]
    );
    for (source, message, remedy) in [
        ("172.16.0.1/16", "beyond its length", "172.16.0.0/16"),
        ("127.0.0.0/8", "loopback", "routed to this host"),
        ("224.0.0.0/4", "multicast", "routed to this host"),
        ("here", "not an address or a prefix", "ADDRESS/LENGTH"),
    ] {
        let rest = format!("tunnel_source = \"{source}\"");
        let place = format!("\"{source}\"");
        refuses(&rest, &place, "tunnel_source", message, remedy);
    }
    refuses(
        "tunnel_source = [\"100::/64\", \"2001:db8::/64\"]",
        "\"2001:db8::/64\"",
        "tunnel_source[1]",
        "both IPv6",
        "at most one IPv4",
    );
}
#[test]
fn nesting_without_end_is_refused() {
    for text in [
        format!("a = {}", "[".repeat(200_000)),
        format!("[{}a]", "a.".repeat(200_000)),
    ] {
        assert_eq!(bad(&text).problems().len(), 1);
    }
}

/// Found by fuzzing: what is missing at a line's end is missed between the two characters there.
#[test]
fn an_error_at_a_windows_line_break_has_its_place_at_the_end_of_the_line() {
    for (text, place) in [
        ("\"\r\n", (1, 2)),
        ("interfaces = [\"a\"]\r\nxdp_mode = \"auto\r\n", (2, 17)),
    ] {
        let problem = bad(text).problems()[0].clone();
        assert_eq!((problem.line, problem.column), place, "{problem:?}");
    }
}
