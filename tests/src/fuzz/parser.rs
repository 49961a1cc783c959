//! Any bytes through the header parsers, alone and cut off.
//!
//! Nothing panics, nothing points beyond the frame, and what is accepted as a whole packet reads
//! the same with etherparse. What becomes of a packet is the target `ingress`'s subject.

use std::fmt::Debug;
use std::net::IpAddr;

use lb_common::abi::{V4, V6};
use lb_common::wire::ethernet::{self, Network};
use lb_common::wire::{Fragment, Frame as _, Packet, Transport, transport};

use super::reading;
use crate::case::{Step, corpus};
use crate::world::{HostFrame, Member};

/// Parses a frame and compares the result with another reader's.
pub fn run(input: &[u8]) {
    parse(input);
    // Headers that are there, in a frame that ends too early.
    for cut in [input.len() / 2, input.len().saturating_sub(1)] {
        parse(&input[..cut]);
    }
}

/// Every frame of the cases.
pub fn seeds() -> Vec<Vec<u8>> {
    let steps = corpus::all().into_iter().flat_map(|case| case.steps);
    steps
        .filter_map(|step| match step {
            Step::Frame { bytes, .. } => Some(bytes),
            _ => None,
        })
        .collect()
}

fn parse(bytes: &[u8]) {
    let frame = HostFrame::new(bytes);
    let Ok(link) = ethernet::parse(&frame) else {
        return;
    };
    assert!(link.payload_at <= bytes.len(), "the payload is outside");
    match link.network {
        Network::V4 => network::<V4>(&frame, bytes, link.payload_at),
        Network::V6 => network::<V6>(&frame, bytes, link.payload_at),
        Network::Other => {}
    }
}

fn network<A: Member + Debug>(frame: &HostFrame, bytes: &[u8], at: usize) {
    let Ok(packet) = A::parse(frame, at) else {
        return;
    };
    assert_eq!(packet.at, at);
    assert!(at < packet.payload_at, "the payload is in the header");
    assert!(
        packet.payload_at + packet.payload_length <= frame.length(),
        "the packet is longer than the frame: {packet:?}"
    );
    let transport = transport::parse(frame, &packet);
    if let Ok(Some(_)) = transport {
        assert_ne!(packet.fragment, Fragment::Later, "a header that is payload");
    }
    if packet.fragment == Fragment::Whole {
        agree(&packet, transport.ok().flatten(), bytes);
    }
}

/// What the engine takes for a whole packet is one to others as well, and says the same.
fn agree<A: Member + Debug>(packet: &Packet<A>, transport: Option<Transport>, bytes: &[u8]) {
    let reading = reading::read(bytes)
        .unwrap_or_else(|| panic!("another reader rejects what was read as {packet:?}"));
    let ours: (IpAddr, IpAddr, u8, u8) = (
        packet.source.ip(),
        packet.destination.ip(),
        packet.protocol,
        packet.hop_limit,
    );
    let theirs = (
        reading.source,
        reading.destination,
        reading.protocol,
        reading.hop_limit,
    );
    assert_eq!(ours, theirs, "addresses, protocol, hop limit");
    assert_eq!(
        (packet.at, packet.payload_at, packet.payload_length),
        (reading.network_at, reading.transport_at, reading.length),
        "offsets"
    );
    assert!(reading.part.is_none(), "a fragment was read as {packet:?}");
    if let Some(transport) = transport {
        let ports = (transport.source_port, transport.destination_port);
        assert_eq!(Some(ports), reading.ports);
    }
}
