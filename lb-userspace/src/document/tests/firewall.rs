//! Sets, rules and blocks.

use super::{bad, good, refuses, with_interface};
use crate::document::Action;

/// A rule with these keys.
pub(super) fn rule(keys: &str) -> String {
    format!("[[firewall.rule]]\nname = \"r\"\naction = \"drop\"\n{keys}\n")
}

const SET: &str = "[[firewall.set]]\nname = \"office\"\nentries = [\"198.51.100.0/24\", \"::1\"]\n";

#[test]
fn a_rule_is_read_in_full() {
    let document = good(&format!(
        "{SET}{}",
        rule(
            "source = [\"@office\", \"192.0.2.1\", \"!198.51.100.7\"]\ndestination = \"!@office\"\n\
             protocol = \"tcp\"\nport = [22, \"1000-2000\"]\nsource_port = \"1024-65535\""
        )
    ));
    let rule = document.firewall.rules.first().unwrap();
    assert_eq!(rule.action, Action::Drop);
    let within: Vec<String> = rule
        .source
        .within
        .iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    assert_eq!(within, ["198.51.100.0/24", "::1/128", "192.0.2.1/32"]);
    assert_eq!(rule.source.outside, ["198.51.100.7/32".parse().unwrap()]);
    assert_eq!(rule.source.text, ["@office", "192.0.2.1", "!198.51.100.7"]);
    assert_eq!(rule.destination.within, None);
    assert_eq!(rule.destination.outside.len(), 2);
    assert_eq!(rule.protocol, Some(6));
    assert_eq!(rule.port, [(22, 22), (1000, 2000)]);
    assert_eq!(rule.source_port, [(1024, 65535)]);
}

#[test]
fn protocols_by_name_and_number() {
    for (text, number) in [
        ("\"udp\"", 17),
        ("\"icmp\"", 1),
        ("\"icmpv6\"", 58),
        ("47", 47),
    ] {
        let document = good(&rule(&format!("protocol = {text}")));
        assert_eq!(
            document.firewall.rules.first().unwrap().protocol,
            Some(number)
        );
    }
    let key = "firewall.rule[0].protocol";
    let rest = rule("protocol = \"tpc\"");
    refuses(
        &rest,
        "\"tpc\"",
        key,
        "not a protocol",
        "did you mean `tcp`?",
    );
    refuses(
        &rule("protocol = 256"),
        "256",
        key,
        "out of range",
        "from 0 to 255",
    );
}

#[test]
fn prefixes_that_are_not() {
    for (prefix, message, remedy) in [
        (
            "203.0.113.9/24",
            "bits set",
            "write \"203.0.113.0/24\" for the prefix, or \"203.0.113.9\"",
        ),
        ("2001:db8::1/32", "bits set", "write \"2001:db8::/32\""),
        ("203.0.113.0/33", "not an address or a prefix", "at most 32"),
        ("203.0.113.0/+8", "not an address or a prefix", "at most 32"),
        (
            "203.0.113/24",
            "not an address or a prefix",
            "ADDRESS/LENGTH",
        ),
        ("bad", "not an address or a prefix", "ADDRESS/LENGTH"),
        ("::ffff:192.0.2.0/120", "IPv4 written as IPv6", "192.0.2.0"),
    ] {
        let place = format!("\"{prefix}\"");
        let rest = rule(&format!("source = {place}"));
        refuses(&rest, &place, "firewall.rule[0].source", message, remedy);
        let rest = SET.replace("\"::1\"", &place);
        refuses(&rest, &place, "firewall.set[0].entries[1]", message, remedy);
    }
}

#[test]
fn references_to_sets_that_are_not() {
    let key = "firewall.rule[0].source";
    let rest = format!("{SET}{}", rule("source = \"@ofice\""));
    refuses(
        &rest,
        "\"@ofice\"",
        key,
        "no set called `ofice`",
        "did you mean \"@office\"?",
    );
    let rest = format!("{SET}{}", rule("source = \"!@home\""));
    refuses(
        &rest,
        "\"!@home\"",
        key,
        "no set called `home`",
        "one of office",
    );
    let rest = rule("source = \"@home\"");
    refuses(
        &rest,
        "\"@home\"",
        key,
        "no set called `home`",
        "[[firewall.set]]",
    );
}

#[test]
fn a_wrong_set_is_reported_once_not_at_every_reference() {
    let rest = format!(
        "{}{}",
        SET.replace("::1", ":::"),
        rule("source = \"@office\"")
    );
    refuses(
        &rest,
        "\":::\"",
        "firewall.set[0].entries[1]",
        "not an address",
        "ADDRESS",
    );
}

#[test]
fn an_empty_set_may_be_filled_later() {
    let rest = "[[firewall.set]]\nname = \"s\"\nentries = []\n";
    let document = good(&format!(
        "{rest}{}",
        rule("source = \"@s\"\ndestination = \"::/0\"")
    ));
    let rule = document.firewall.rules.first().unwrap();
    assert_eq!(rule.source.within, Some(Vec::new()));
}

#[test]
fn names_are_unique() {
    let error = bad(&with_interface(&format!("{SET}{SET}")));
    assert_eq!(error.problems().len(), 1, "{error}");
    assert!(
        error.to_string().contains("a set called `office`"),
        "{error}"
    );
    let error = bad(&with_interface(&format!("{}{}", rule(""), rule(""))));
    assert_eq!(error.problems().len(), 1, "{error}");
    assert!(
        error
            .to_string()
            .contains("the rule in line 3 is called `r`"),
        "{error}"
    );
}

#[test]
fn names_with_a_meaning() {
    let rest = rule("").replace("\"r\"", "\"block\"");
    refuses(
        &rest,
        "\"block\"",
        "firewall.rule[0].name",
        "lb firewall block",
        "another name",
    );
    let rest = SET.replace("\"office\"", "\"@office\"");
    refuses(
        &rest,
        "\"@office\"",
        "firewall.set[0].name",
        "a meaning in rules",
        "without it",
    );
}

#[test]
fn sets_do_not_nest() {
    let rest = format!(
        "{SET}{}",
        SET.replace("office", "all").replace("::1", "@office")
    );
    refuses(
        &rest,
        "\"@office\"",
        "firewall.set[1].entries[1]",
        "not an address",
        "another set",
    );
}

#[test]
fn ports_need_a_protocol_that_has_them() {
    for key in ["port", "source_port"] {
        let path = format!("firewall.rule[0].{key}");
        let rest = rule(&format!("protocol = \"icmp\"\n{key} = 22"));
        refuses(
            &rest,
            "22",
            &path,
            "icmp has no ports",
            "protocol = \"tcp\"",
        );
        let rest = rule(&format!("{key} = 22"));
        refuses(
            &rest,
            "22",
            &path,
            "without a protocol",
            "protocol = \"tcp\"",
        );
    }
}

#[test]
fn ports_that_are_not() {
    let key = "firewall.rule[0].port";
    for (port, key, message, remedy) in [
        ("65536", key, "out of range", "65535"),
        ("\"2000-1000\"", key, "ends before it begins", "1000-2000"),
        ("\"ssh\"", key, "`ssh` is not a port", "1000-2000"),
        ("\"1-70000\"", key, "not a port", "65535"),
        ("[]", key, "matches no port", "write a port"),
        (
            "[22, true]",
            "firewall.rule[0].port[1]",
            "a number is wanted",
            "65535",
        ),
    ] {
        let rest = rule(&format!("protocol = \"udp\"\nport = {port}"));
        let place = if port.contains("true") { "true" } else { port };
        refuses(&rest, place, key, message, remedy);
    }
}

#[test]
fn rules_that_match_nothing() {
    let key = "firewall.rule[0]";
    for (keys, message, remedy) in [
        (
            "source = \"10.0.0.0/8\"\ndestination = \"::/0\"",
            "IPv4 only",
            "same family",
        ),
        (
            "source = \"fd00::/8\"\nprotocol = \"icmp\"",
            "`icmp` is IPv4's",
            "icmpv6",
        ),
        (
            "source = \"10.0.0.0/8\"\nprotocol = \"icmpv6\"",
            "`icmpv6` is IPv6's",
            "icmp",
        ),
    ] {
        refuses(&rule(keys), "[[firewall.rule]]", key, message, remedy);
    }
    refuses(
        &rule("source = []"),
        "[]",
        "firewall.rule[0].source",
        "no address",
        "prefix",
    );
}

#[test]
fn actions_that_are_not() {
    let key = "firewall.rule[0].action";
    let rest = rule("").replace("\"drop\"", "\"dorp\"");
    refuses(&rest, "\"dorp\"", key, "`dorp`", "did you mean `drop`?");
    let rest = rule("").replace("action = \"drop\"", "");
    refuses(
        &rest,
        "[[firewall.rule]]",
        "firewall.rule[0]",
        "`action` is missing",
        "\"accept\"",
    );
}

#[test]
fn blocks() {
    let block = "[[firewall.block]]\nprefix = \"203.0.113.7\"\nuntil = 2030-01-31T20:00:00+02:00\n";
    let document = good(block);
    let [block_read] = document.firewall.blocks.as_slice() else {
        unreachable!("one block");
    };
    assert_eq!(block_read.prefix.to_string(), "203.0.113.7/32");
    assert_eq!(block_read.until, "2030-01-31T18:00:00Z".parse().ok());
    let key = "firewall.block[0].until";
    let local = block.replace("+02:00", "");
    refuses(
        &local,
        "2030",
        key,
        "leaves open which instant",
        "2030-01-31T18:00:00Z",
    );
    let day = block.replace("T20:00:00+02:00", "");
    refuses(&day, "2030", key, "leaves open which instant", "an offset");
    let text = block.replace("2030-01-31T20:00:00+02:00", "\"2030\"");
    refuses(
        &text,
        "\"2030\"",
        key,
        "a date and time is wanted",
        "without quotes",
    );
    let error = bad(&with_interface(&format!("{block}{block}")));
    assert!(
        error
            .to_string()
            .contains("line 3 blocks 203.0.113.7/32 already"),
        "{error}"
    );
}
