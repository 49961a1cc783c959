//! Which backends a service's mode leads to.

use super::service::web;
use super::{good, refuses};

/// The only backend's address.
const KEY: &str = "service[0].backend[0].address";

/// A service that forwards in a mode, under a tunnel source.
fn by(forward: &str) -> String {
    let web = web("backend", &format!("forward = \"{forward}\"\nbackend"));
    format!("tunnel_source = \"172.16.0.0/16\"\n{web}")
}

#[test]
fn modes_that_leave_the_packet_alone_keep_the_port() {
    for forward in ["dsr", "ipip", "gue"] {
        let rest = by(forward);
        refuses(
            &rest,
            "\"10.0.0.11:8080\"",
            KEY,
            &format!("`{forward}` leaves ports alone"),
            "write port 80",
        );
        good(&rest.replace("8080", "80"));
        good(&rest.replace("8080", "0"));
    }
}

#[test]
fn only_tunnels_and_full_nat_lead_to_the_other_family() {
    for (forward, why) in [
        ("nat", "`nat` keeps the client's address"),
        ("dsr", "`dsr` leaves the packet as it is"),
    ] {
        let rest = by(forward).replace("10.0.0.11:8080", "[fd00::11]:80");
        refuses(&rest, "\"[fd00::11]:80\"", KEY, why, "IPv4 address");
    }
    good(&by("full-nat").replace("10.0.0.11:8080", "[fd00::11]:8080"));
    for forward in ["ipip", "gue"] {
        let rest = by(forward).replace("10.0.0.11:8080", "[fd00::11]:80");
        good(&rest.replace("172.16.0.0/16", "100::/64"));
    }
}

#[test]
fn a_tunnel_needs_a_source_of_the_backends_family() {
    let without = by("ipip").replace("8080", "80").replacen(
        "tunnel_source = \"172.16.0.0/16\"",
        "tunnel_source = \"100::/64\"",
        1,
    );
    let remedy = "tunnel_source = [\"172.16.0.0/16\"]";
    refuses(
        &without,
        "\"10.0.0.11:80\"",
        KEY,
        "need an IPv4 source",
        remedy,
    );
    let six = by("gue").replace("10.0.0.11:8080", "[fd00::11]:80");
    let remedy = "tunnel_source = [\"100::/64\"]";
    refuses(
        &six,
        "\"[fd00::11]:80\"",
        KEY,
        "need an IPv6 source",
        remedy,
    );
    // One that is wrong itself is the one problem.
    let wrong = by("ipip").replace("8080", "80").replace("/16", "/33");
    refuses(
        &wrong,
        "\"172.16.0.0/33\"",
        "tunnel_source",
        "not an address",
        "32",
    );
}

#[test]
fn a_vip_of_any_port_needs_backends_of_any_port() {
    let rest = web(":80/tcp", ":0/tcp");
    refuses(
        &rest,
        "\"10.0.0.11:8080\"",
        KEY,
        "takes any port",
        "write port 0",
    );
    good(&rest.replace(":8080", ":0"));
}
