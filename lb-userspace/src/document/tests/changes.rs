//! Differences in words.

use super::{WEB, good};
use crate::document::changes;

/// The changes from `WEB` and `firewall` to the same with `old` replaced by `new`.
fn change(old: &str, new: &str) -> Vec<String> {
    let firewall = "
[[firewall.set]]
name = \"s\"
entries = [\"203.0.113.0/24\"]
[[firewall.rule]]
name = \"x\"
source = \"@s\"
action = \"drop\"
[[firewall.rule]]
name = \"y\"
action = \"accept\"
[[firewall.block]]
prefix = \"192.0.2.1\"
";
    let before = format!("{WEB}{firewall}");
    assert!(before.contains(old));
    changes(&good(&before), &good(&before.replace(old, new)))
}

#[test]
fn comments_and_formatting_are_no_change() {
    assert_eq!(
        change("[[service]]", "# The web shop.\n[[ service ]]"),
        Vec::<String>::new()
    );
    assert_eq!(
        change("192.0.2.1\"\n", "192.0.2.1/32\"\n"),
        Vec::<String>::new()
    );
}

#[test]
fn each_change_is_one_line() {
    for (old, new, line) in [
        (
            "8080\" }",
            "8080\" }, { address = \"10.0.0.4:80\", weight = 3 }",
            "service web: backend 10.0.0.4:80 added with weight 3",
        ),
        (
            "8080\" }",
            "8080\", drain = true }",
            "service web: backend 10.0.0.11:8080 draining",
        ),
        (
            "8080\" }",
            "8080\", weight = 2 }",
            "service web: backend 10.0.0.11:8080 weight 1 -> 2",
        ),
        (
            ":80/tcp",
            ":81/tcp",
            "service web: vip 192.0.2.10:80/tcp -> 192.0.2.10:81/tcp",
        ),
        (
            "backend",
            "check = { kind = \"http\", path = \"/h\" }\nbackend",
            "service web: check none -> http /h for 200-399 every 2s, timeout 1s, rise 2, fall 3",
        ),
        (
            "backend",
            "scheduler = \"weighted-round-robin\"\nbackend",
            "service web: scheduler round-robin -> weighted-round-robin",
        ),
        ("\"drop\"", "\"accept\"", "rule 'x': action drop -> accept"),
        (
            "\"@s\"",
            "\"!@s\"",
            "rule 'x': matches source @s -> source !@s",
        ),
        ("\"203.0.113.0/24\"", "", "set 's': 203.0.113.0/24 removed"),
        (
            "\"203.0.113.0/24\"",
            "\"203.0.113.0/24\", \"::1\"",
            "set 's': ::1/128 added",
        ),
        (
            "\"192.0.2.1\"",
            "\"192.0.2.1\"\nuntil = 2030-01-01T00:00:00Z",
            "block 192.0.2.1/32: until removed by hand -> 2030-01-01T00:00:00Z",
        ),
        (
            "[[firewall.block]]\nprefix = \"192.0.2.1\"\n",
            "",
            "block 192.0.2.1/32 removed",
        ),
        (
            "[[firewall.rule]]\nname = \"y\"\n",
            "[[firewall.rule]]\nname = \"z\"\nprotocol = \"tcp\"\nport = 22\naction = \"drop\"\n\
             [[firewall.rule]]\nname = \"y\"\n",
            "rule 'z' added: drop protocol tcp, port 22",
        ),
    ] {
        assert_eq!(change(old, new), [line]);
    }
}

#[test]
fn the_top_level_changes() {
    let old = good("debug = false");
    let new =
        good("debug = true\nflows = 1024\nmetrics = \"127.0.0.1:9090\"\nxdp_mode = \"native\"");
    assert_eq!(
        changes(&old, &new),
        [
            "xdp_mode auto -> native",
            "metrics none -> 127.0.0.1:9090",
            "debug false -> true",
            "flows 262144 -> 1024",
        ]
    );
}

#[test]
fn services_come_and_go() {
    let (none, web) = (good(""), good(WEB));
    assert_eq!(
        changes(&none, &web),
        ["service web (192.0.2.10:80/tcp) added with 1 backend"]
    );
    assert_eq!(
        changes(&web, &none),
        ["service web (192.0.2.10:80/tcp) removed"]
    );
}

#[test]
fn the_order_of_rules_has_a_meaning() {
    let rule = |name: &str| format!("[[firewall.rule]]\nname = \"{name}\"\naction = \"drop\"\n");
    let old = good(&format!("{}{}", rule("a"), rule("b")));
    let new = good(&format!("{}{}", rule("b"), rule("a")));
    assert_eq!(changes(&old, &new), ["rules reordered: 'b', 'a'"]);
    let removed = good(&rule("b"));
    assert_eq!(changes(&old, &removed), ["rule 'a' removed"]);
}

#[test]
fn many_prefixes_are_counted() {
    let set = |entries: &str| {
        good(&format!(
            "[[firewall.set]]\nname = \"s\"\nentries = [{entries}]"
        ))
    };
    let many = "\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\", \"192.0.2.4\", \"::1\", \"::2\"";
    assert_eq!(changes(&set(""), &set(many)), ["set 's': 6 prefixes added"]);
}
