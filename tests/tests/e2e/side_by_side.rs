//! The side-by-side comparison measures work that is really done, by both sides.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lb_tests::lab::beside_this_program;
use lb_tests::side_by_side::{self, Options, Peer, Row, Scenario};

use crate::scene::{lb, skips};

/// Says why and returns true where this peer is missing.
fn lacks(peer: Peer) -> bool {
    let Some(obstacle) = side_by_side::obstacle(peer) else {
        return false;
    };
    assert!(std::env::var_os("CI").is_none(), "{obstacle}");
    println!("skipped: {obstacle}");
    true
}

/// One short round: rows exist only for contenders whose counters prove their work.
fn compare(scenario: Scenario, peer: Peer) -> Vec<Row> {
    let server = beside_this_program("side-by-side").unwrap();
    let mut options = Options::new(lb(), server, true);
    options.scenarios = vec![scenario];
    options.peer = Some(peer);
    options.rounds = 1;
    options.window = Duration::from_millis(100);
    side_by_side::run(&options, &AtomicBool::new(false)).unwrap()
}

fn assert_worked(rows: &[Row], expected: &[(&str, &str)]) {
    let pairs: Vec<_> = rows
        .iter()
        .map(|row| (row.scenario.as_str(), row.peer.as_str()))
        .collect();
    assert_eq!(pairs, expected);
    for row in rows {
        assert!(
            row.ours_per_second > 0.0 && row.peer_per_second > 0.0 && row.rounds == 1,
            "{row:?}"
        );
    }
}

#[test]
fn both_sides_drop_what_is_blocked() {
    if skips() || lacks(Peer::Nftables) {
        return;
    }
    let work = "drop from 1000 blocked prefixes";
    assert_worked(
        &compare(Scenario::Drop, Peer::Nftables),
        &[
            (work, "nftables ingress drop"),
            (work, "nftables prerouting drop"),
        ],
    );
}

#[test]
fn both_sides_spread_datagrams() {
    if skips() || lacks(Peer::Nftables) {
        return;
    }
    assert_worked(
        &compare(Scenario::Packets, Peer::Nftables),
        &[
            ("balance UDP, full-nat", "nftables DNAT"),
            ("balance UDP, dsr", "nftables DNAT"),
        ],
    );
}

#[test]
fn both_sides_spread_connections() {
    if skips() || lacks(Peer::Haproxy) {
        return;
    }
    assert_worked(
        &compare(Scenario::Connections, Peer::Haproxy),
        &[
            ("new HTTP connections, full-nat", "haproxy TCP"),
            ("new HTTP connections, dsr", "haproxy TCP"),
        ],
    );
}
