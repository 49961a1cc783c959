//! Services, backends and checks.

use super::{WEB, bad, good, refuses, with_interface};
use crate::document::limits;

/// The service of [`WEB`] with `old` replaced.
pub(super) fn web(old: &str, new: &str) -> String {
    assert!(WEB.contains(old));
    WEB.replace(old, new)
}

#[test]
fn sections_and_inline_tables_read_the_same() {
    let sections = "
[[service]]
name = \"web\"
vip = \"192.0.2.10:80/tcp\"
[[service.backend]]
address = \"10.0.0.11:8080\"
";
    assert_eq!(good(sections), good(WEB));
}

#[test]
fn missing_keys_say_what_to_write() {
    for key in ["name", "vip", "backend"] {
        let rest: String = WEB
            .lines()
            .filter(|line| !line.starts_with(key))
            .fold(String::new(), |text, line| text + line + "\n");
        let message = format!("the key `{key}` is missing");
        refuses(
            &rest,
            "[[service]]",
            "service[0]",
            &message,
            &format!("{key} = "),
        );
    }
}

#[test]
fn vips_that_are_not() {
    for (vip, message, remedy) in [
        ("192.0.2.10:80", "no protocol", "192.0.2.10:80/tcp"),
        ("192.0.2.10:80/icmp", "`icmp`", "/tcp or /udp"),
        ("192.0.2.10/tcp", "no port", "192.0.2.10:80"),
        ("2001:db8::1/tcp", "no port", "[2001:db8::1]:80"),
        ("192.0.2.10:http/tcp", "`http` is not a port", "65535"),
        ("192.0.2.10:65536/tcp", "`65536` is not a port", "65535"),
        ("www.example.com:80/tcp", "not an address", "not looked up"),
        ("192.0.2.300:80/tcp", "not an address", "ADDRESS:PORT"),
        (
            "[::ffff:192.0.2.1]:80/tcp",
            "IPv4 written as IPv6",
            "192.0.2.1",
        ),
        ("[fe80::1%2]:80/tcp", "zone", "[fe80::1]:80"),
        ("www", "no protocol", "ADDRESS:PORT/PROTOCOL"),
        ("0.0.0.0:80/tcp", "unspecified", "unicast"),
        ("[::]:80/tcp", "unspecified", "unicast"),
        ("224.0.0.1:80/udp", "multicast", "unicast"),
        ("[ff02::1]:80/udp", "multicast", "unicast"),
        ("127.0.0.1:80/tcp", "loopback", "unicast"),
        ("255.255.255.255:80/udp", "broadcast", "unicast"),
    ] {
        let place = format!("\"{vip}\"");
        refuses(
            &web("\"192.0.2.10:80/tcp\"", &place),
            &place,
            "service[0].vip",
            message,
            remedy,
        );
    }
}

#[test]
fn the_same_name_twice() {
    let other = web("192.0.2.10:80/tcp", "192.0.2.11:80/tcp");
    let error = bad(&with_interface(&format!("{WEB}{other}")));
    assert_eq!(error.problems().len(), 1, "{error}");
    assert!(
        error.to_string().contains("line 4 is called `web` as well"),
        "{error}"
    );
}

#[test]
fn overlapping_vips() {
    let other = web("\"web\"", "\"other\"");
    let error = bad(&with_interface(&format!("{WEB}{other}")));
    assert_eq!(error.problems().len(), 1, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("line 5 has the VIP 192.0.2.10:80/tcp as well"),
        "{text}"
    );
}

#[test]
fn the_same_address_with_other_port_or_protocol_is_another_vip() {
    let udp = web("/tcp", "/udp").replace("\"web\"", "\"udp\"");
    let any = web(":80/tcp", ":0/tcp")
        .replace("\"web\"", "\"any\"")
        .replace(":8080", ":0");
    assert_eq!(good(&format!("{WEB}{udp}{any}")).services.len(), 3);
}

#[test]
fn zero_backends() {
    let rest = web("[{ address = \"10.0.0.11:8080\" }]", "[]");
    refuses(
        &rest,
        "[]",
        "service[0].backend",
        "no backend",
        "at least one",
    );
}

#[test]
fn backends_that_are_not() {
    for (address, message, remedy) in [
        ("10.0.0.11", "no port", "10.0.0.11:80"),
        ("10.0.0.11:", "not a port", "65535"),
        ("app-1:80", "`app-1` is not an address", "not looked up"),
        ("0.0.0.0:80", "unspecified", "own address"),
        ("224.0.0.9:80", "multicast", "own address"),
        ("192.0.2.10:81", "the VIP itself", "own address"),
    ] {
        let place = format!("\"{address}\"");
        let rest = web("\"10.0.0.11:8080\"", &place);
        refuses(
            &rest,
            &place,
            "service[0].backend[0].address",
            message,
            remedy,
        );
    }
}

#[test]
fn the_same_backend_twice() {
    let rest = web("8080\" }", "8080\" }, { address = '10.0.0.11:8080' }");
    refuses(
        &rest,
        "'10.0.0.11:8080'",
        "service[0].backend[1].address",
        "lists the backend 10.0.0.11:8080 already",
        "remove",
    );
    // Port 0 keeps the packet's port, which is the VIP's.
    let rest = web(":8080\" }", ":80\" }, { address = '10.0.0.11:0' }");
    refuses(
        &rest,
        "'10.0.0.11:0'",
        "service[0].backend[1].address",
        "10.0.0.11:80 already",
        "remove",
    );
}

#[test]
fn weights_out_of_range() {
    for weight in ["0", "1001", "-1"] {
        let rest = web("8080\" }", &format!("8080\", weight = {weight} }}"));
        let key = "service[0].backend[0].weight";
        refuses(
            &rest,
            &format!("{weight} }}"),
            key,
            "out of range",
            "from 1 to 1000",
        );
    }
}

#[test]
fn a_weight_without_effect_is_a_warning() {
    let rest = web("8080\" }", "8080\", weight = 7 }");
    let warnings = good(&rest).warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings
            .iter()
            .all(|warning| warning.contains("\"weighted-round-robin\""))
    );
    let weighted = rest.replace("backend", "scheduler = \"weighted-round-robin\"\nbackend");
    assert_eq!(good(&weighted).warnings(), Vec::<String>::new());
}

#[test]
fn backends_that_get_nothing_are_a_warning() {
    let drained = good(&web("8080\" }", "8080\", drain = true }")).warnings();
    assert!(
        drained
            .iter()
            .any(|warning| warning.contains("every backend is draining"))
    );
    let loopback = good(&web("10.0.0.11", "127.0.0.1")).warnings();
    assert!(loopback.iter().any(|warning| warning.contains("loopback")));
}

#[test]
fn words_that_are_not() {
    let rest = web("backend", "scheduler = \"roundrobin\"\nbackend");
    let place = "\"roundrobin\"";
    refuses(
        &rest,
        place,
        "service[0].scheduler",
        "not known",
        "did you mean `round-robin`?",
    );
    let rest = web("backend", "forward = \"snat\"\nbackend");
    refuses(
        &rest,
        "\"snat\"",
        "service[0].forward",
        "not known",
        "`full-nat`, `nat`, `dsr`, `ipip` or `gue`",
    );
}

#[test]
fn names_that_are_not() {
    for (name, message) in [
        ("''", "empty"),
        ("' web'", "blank"),
        ("\"a\\nb\"", "control"),
    ] {
        let rest = web("\"web\"", name);
        refuses(&rest, name, "service[0].name", message, "short name");
    }
    let long = format!("\"{}\"", "x".repeat(limits::NAME + 1));
    refuses(
        &web("\"web\"", &long),
        &long,
        "service[0].name",
        "128 bytes",
        "short name",
    );
}
