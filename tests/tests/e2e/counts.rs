//! Round robin is exact, in every family, protocol and forwarding mode.

use std::collections::BTreeMap;

use lb_tests::lab::client::{http_get, udp_ask};
use lb_tests::lab::server::echoed_by;
use lb_tests::lab::{Lab, Plan};

use crate::scene::{BOUND, Service, connections, document, lb, reasons, skips, tally, vip};

/// Sequential connections from the client, and the names of the backends that answered.
fn ask(lab: &Lab, v6: bool, udp: bool, port: u16, count: u64) -> BTreeMap<String, u64> {
    let to = vip(v6, port);
    let one = |index: u64| {
        if udp {
            let payload = index.to_be_bytes();
            // Ports of their own: a port used again would continue an older flow.
            let source = 20_000 + index as u16;
            echoed_by(&udp_ask(to, source, &payload, BOUND).unwrap(), &payload).unwrap()
        } else {
            http_get(to, "/", BOUND).unwrap().text()
        }
    };
    tally(
        lab.client()
            .enter(|| (0..count).map(one).collect::<Vec<_>>())
            .unwrap(),
    )
}

fn exactly(counts: &[(u8, u64)]) -> BTreeMap<String, u64> {
    counts
        .iter()
        .map(|(number, count)| (Plan::backend_name(*number), *count))
        .collect()
}

/// Runs a service over three backends and checks both sides' counts.
fn even(v6: bool, udp: bool, dsr: bool, each: u64) {
    if skips() {
        return;
    }
    let builder = Lab::builder();
    let lab = if dsr { builder.dsr() } else { builder }.build().unwrap();
    let service = Service {
        v6,
        protocol: if udp { "udp" } else { "tcp" },
        // A backend must have the VIP's port where only the Ethernet address is rewritten.
        port: if dsr { Plan::HTTP_PORT } else { 80 },
        more: if dsr { "forward = \"dsr\"" } else { "" },
        ..Service::web()
    };
    let port = service.port;
    let daemon = lab.start_daemon(&lb(), &document(&[service], "")).unwrap();
    let answers = ask(&lab, v6, udp, port, 3 * each);
    // Where a count is off, these tell what became of the packet that took the turn.
    let reasons = reasons(&daemon);
    let even = exactly(&[(1, each), (2, each), (3, each)]);
    assert_eq!(answers, even, "{reasons:?}");
    assert_eq!(connections(&daemon, "web"), [each; 3], "{reasons:?}");
    daemon.stop().unwrap();
}

#[test]
fn three_thousand_http_connections_over_ipv4() {
    even(false, false, false, 1000);
}

#[test]
fn three_thousand_http_connections_over_ipv6() {
    even(true, false, false, 1000);
}

#[test]
fn three_thousand_udp_flows() {
    even(false, true, false, 1000);
}

#[test]
fn udp_flows_over_ipv6() {
    even(true, true, false, 100);
}

#[test]
fn dsr_over_ipv4() {
    even(false, false, true, 100);
}

#[test]
fn dsr_over_ipv6() {
    even(true, false, true, 100);
}

#[test]
fn dsr_for_udp() {
    even(false, true, true, 100);
}

#[test]
fn dsr_for_udp_over_ipv6() {
    even(true, true, true, 100);
}

#[test]
fn weights_are_exact() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let service = Service {
        more: "scheduler = \"weighted-round-robin\"",
        backends: vec![(1, ", weight = 3"), (2, ", weight = 2"), (3, "")],
        ..Service::web()
    };
    let daemon = lab.start_daemon(&lb(), &document(&[service], "")).unwrap();
    assert_eq!(
        ask(&lab, false, false, 80, 600),
        exactly(&[(1, 300), (2, 200), (3, 100)])
    );
    assert_eq!(connections(&daemon, "web"), [300, 200, 100]);
}

#[test]
fn a_mebibyte_travels_both_ways_unharmed() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let six = Service {
        name: "web6",
        v6: true,
        ..Service::web()
    };
    let daemon = lab
        .start_daemon(&lb(), &document(&[Service::web(), six], ""))
        .unwrap();
    for v6 in [false, true] {
        let to = vip(v6, 80);
        let body = lb_tests::lab::server::pattern(1 << 20);
        let down = lab
            .client()
            .enter(|| http_get(to, "/bytes/1048576", BOUND))
            .unwrap()
            .unwrap();
        assert_eq!(down.body, body);
        let post = || lb_tests::lab::client::http_post(to, "/upload", &body, BOUND);
        let up = lab.client().enter(post).unwrap().unwrap();
        let sum = lb_tests::lab::server::checksum(&body);
        assert_eq!(up.text(), format!("{} {sum:016x}", body.len()));
    }
    daemon.stop().unwrap();
}
