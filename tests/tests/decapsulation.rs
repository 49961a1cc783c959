//! What `lb decap` makes of a frame, on the host and in the kernel.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::net::IpAddr;

use aya::programs::{TestRun as _, TestRunOptions};
use ipnet::IpNet;
use lb_common::abi::{V4, V6};
use lb_common::decapsulation::{Trust, Unpacked, unpack};
use lb_common::wire::tunnel::congestion;
use lb_tests::case::Scene;
use lb_tests::kernel;
use lb_tests::packet::Packet;
use lb_tests::world::HostFrame;
use lb_userspace::dataplane::Decapsulation;

/// Trusts one source of each family.
struct Trusted;

impl Trusted {
    fn sources() -> [IpAddr; 2] {
        let six = Scene {
            v6: true,
            ..Scene::PLAIN
        };
        [Scene::PLAIN.our_address(), six.our_address()]
    }
}

impl Trust<V4> for Trusted {
    fn trusts(&self, source: V4) -> bool {
        Self::sources().contains(&source.octets().into())
    }
}

impl Trust<V6> for Trusted {
    fn trusts(&self, source: V6) -> bool {
        Self::sources().contains(&source.octets().into())
    }
}

fn on_host(frame: &[u8]) -> (Unpacked, Vec<u8>) {
    let mut frame = HostFrame::new(frame);
    let unpacked = unpack(&mut frame, &Trusted);
    (unpacked, frame.into_bytes())
}

/// A frame of every tunnel, with tags and without, and the packet inside of it.
fn tunnels() -> Vec<(Packet, Packet)> {
    let mut all = Vec::new();
    for scene in Scene::all() {
        if !scene.forward.is_tunnel() {
            continue;
        }
        let packet = scene.opening(0).traffic_class(0xb9);
        let tagged = packet.clone().tag(0x8100, 7);
        let twice = packet.clone().tag(0x88a8, 9).tag(0x8100, 7);
        for packet in [packet.clone().padding(9), packet, tagged, twice] {
            let sent = scene.at_backend(&packet, 0);
            let mut inside = sent.clone();
            inside.outer = None;
            all.push((sent, inside));
        }
    }
    all
}

#[test]
fn a_tunnel_gives_back_what_went_in() {
    for (sent, inside) in tunnels() {
        let (unpacked, frame) = on_host(&sent.bytes());
        assert_eq!(unpacked, Unpacked::Inner, "{sent:?}");
        assert_eq!(frame, inside.bytes(), "{sent:?}");
    }
}

#[test]
fn tunnels_of_strangers_are_dropped() {
    for (mut sent, _) in tunnels() {
        let outer = sent.outer.as_mut().unwrap();
        outer.source = match outer.source {
            IpAddr::V4(_) => IpAddr::from([192, 0, 2, 99]),
            IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x99]),
        };
        assert_eq!(on_host(&sent.bytes()).0, Unpacked::Untrusted);
    }
}

#[test]
fn what_is_in_no_tunnel_is_left_alone() {
    for scene in Scene::all() {
        for packet in [scene.opening(0), scene.opening(0).fragment(2, true)] {
            let bytes = packet.bytes();
            assert_eq!(on_host(&bytes), (Unpacked::Other, bytes));
        }
    }
}

#[test]
fn a_frame_cut_anywhere_is_dropped_or_left_alone() {
    for (sent, _) in tunnels() {
        let bytes = sent.bytes();
        let whole = bytes.len() - sent.padding;
        for length in 0..whole {
            let cut = bytes.get(..length).unwrap();
            let (unpacked, frame) = on_host(cut);
            assert!(
                matches!(unpacked, Unpacked::Other | Unpacked::Malformed),
                "{unpacked:?} at {length} of {sent:?}"
            );
            assert_eq!(frame, cut);
        }
    }
}

/// RFC 6040, figure 4: by the inner mark the row, by the outer one the column. `None` is dropped.
#[test]
fn congestion_marks_come_through() {
    const DSCP: u8 = 0xb8;
    let (not, ect0, ect1, ce) = (0, 2, 1, 3);
    let table = [
        (
            not,
            [
                (not, Some(not)),
                (ect0, Some(not)),
                (ect1, Some(not)),
                (ce, None),
            ],
        ),
        (
            ect0,
            [
                (not, Some(ect0)),
                (ect0, Some(ect0)),
                (ect1, Some(ect1)),
                (ce, Some(ce)),
            ],
        ),
        (
            ect1,
            [
                (not, Some(ect1)),
                (ect0, Some(ect1)),
                (ect1, Some(ect1)),
                (ce, Some(ce)),
            ],
        ),
        (
            ce,
            [
                (not, Some(ce)),
                (ect0, Some(ce)),
                (ect1, Some(ce)),
                (ce, Some(ce)),
            ],
        ),
    ];
    for (inner, row) in table {
        for (outer, expected) in row {
            let expected = expected.map(|mark| DSCP | mark);
            assert_eq!(congestion(0x20 | outer, DSCP | inner), expected);
        }
    }
}

/// The program in the kernel and the engine on the host, on tunnels and on what is left of them
/// when any byte changes.
#[test]
fn the_kernel_agrees() {
    if !kernel::is_available() {
        return;
    }
    let sources = Trusted::sources().map(IpNet::from);
    let mut decapsulation = Decapsulation::load(&sources).unwrap_or_else(|error| panic!("{error}"));
    let mut compared = 0;
    for (sent, _) in tunnels() {
        let bytes = sent.bytes();
        for at in 0..bytes.len() {
            for change in [0x00, 0x01, 0x80, 0xff] {
                let mut frame = bytes.clone();
                frame[at] ^= change;
                let (unpacked, expected) = on_host(&frame);
                let mut out = vec![0; frame.len() + 256];
                let program = decapsulation.program().unwrap();
                let result = program.test_run(TestRunOptions {
                    data_in: Some(&frame),
                    data_out: Some(&mut out),
                    ..TestRunOptions::default()
                });
                let result = result.unwrap();
                out.truncate(result.data_size_out as usize);
                let verdict = if unpacked.passes() { 2 } else { 1 };
                assert_eq!(
                    result.return_value, verdict,
                    "byte {at} of {sent:?}: {unpacked:?}"
                );
                assert_eq!(out, expected, "byte {at} of {sent:?}: {unpacked:?}");
                compared += 1;
            }
        }
    }
    assert!(compared > 10_000, "{compared} frames");
}
