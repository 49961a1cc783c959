//! Properties that hold for every packet, not only for those of the corpus.
//!
//! `PROPTEST_CASES` sets how many are tried, `PROPTEST_RNG_SEED` where chance comes from; a failure
//! prints the smallest packet found that breaks the property.

use std::net::{IpAddr, SocketAddr};

use lb_tests::packet::{ACK, Extension, Packet, SYN, verify};
use lb_tests::ring::Ring as _;
use lb_tests::world::{BackendSetup, OUR_MAC, Setup, World};
use lb_userspace::document::{Forward, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;

/// The one port of `full-nat`.
const NAT_PORT: u16 = 61_000;

/// A client, a service, its backend and our own address, all of one family.
#[derive(Debug, Clone)]
struct Parties {
    client: SocketAddr,
    vip: SocketAddr,
    backend: SocketAddr,
    source: IpAddr,
    protocol: Protocol,
}

/// What a packet carries beside addresses and ports.
#[derive(Debug, Clone)]
struct Extras {
    payload: Vec<u8>,
    hop_limit: u8,
    option_words: usize,
    extensions: usize,
    tags: usize,
    padding: usize,
    checksum: bool,
}

fn parties() -> impl Strategy<Value = Parties> {
    (
        any::<bool>(),
        any::<[[u8; 16]; 4]>(),
        any::<[u16; 3]>(),
        any::<bool>(),
    )
        .prop_filter("ports and addresses differ", |(_, _, ports, _)| {
            ports.iter().all(|port| *port != 0) && ports[1] != NAT_PORT
        })
        .prop_map(|(v6, addresses, ports, tcp)| {
            let mut ips = addresses.map(|octets| {
                if v6 {
                    IpAddr::from(octets)
                } else {
                    IpAddr::from([octets[0], octets[1], octets[2], octets[3]])
                }
            });
            // Distinct, so that a reply is not taken for a client's packet.
            for (number, ip) in (1_u8..).zip(&mut ips) {
                *ip = match *ip {
                    IpAddr::V4(v4) => {
                        IpAddr::from([v4.octets()[0], v4.octets()[1], v4.octets()[2], number])
                    }
                    IpAddr::V6(v6) => {
                        let mut octets = v6.octets();
                        octets[15] = number;
                        IpAddr::from(octets)
                    }
                };
            }
            Parties {
                client: SocketAddr::new(ips[0], ports[0]),
                vip: SocketAddr::new(ips[1], ports[1]),
                backend: SocketAddr::new(ips[2], ports[2]),
                source: ips[3],
                protocol: if tcp { Protocol::Tcp } else { Protocol::Udp },
            }
        })
}

fn extras() -> impl Strategy<Value = Extras> {
    (
        vec(any::<u8>(), 0..64),
        2_u8..,
        0_usize..=10,
        0_usize..=8,
        0_usize..=2,
        0_usize..20,
        any::<bool>(),
    )
        .prop_map(
            |(payload, hop_limit, option_words, extensions, tags, padding, checksum)| Extras {
                payload,
                hop_limit,
                option_words,
                extensions,
                tags,
                padding,
                checksum,
            },
        )
}

impl Parties {
    fn world(&self, forward: Forward) -> World {
        let mut setup = Setup::new(&[self.source]).nat_ports(NAT_PORT, 1).service(
            "any",
            self.vip,
            self.protocol,
            forward,
            &[BackendSetup::new(self.backend)],
        );
        World::new(&setup.tables(), 1)
    }

    fn packet(&self, from: SocketAddr, to: SocketAddr, flags: u8, extras: &Extras) -> Packet {
        let mut packet = match self.protocol {
            Protocol::Tcp => Packet::tcp(from, to, flags),
            Protocol::Udp => Packet::udp(from, to),
        };
        if !extras.checksum {
            packet = packet.without_checksum();
        }
        if from.is_ipv4() {
            packet = packet.options(&vec![1; extras.option_words * 4]);
        } else {
            for number in 0..extras.extensions {
                packet = packet.extension(if number % 3 == 0 {
                    Extension::HOP_BY_HOP
                } else {
                    Extension::Authentication(number as u8)
                });
            }
        }
        for _ in 0..extras.tags {
            packet = packet.tag(0x8100, 5);
        }
        packet
            .payload(&extras.payload)
            .hop_limit(extras.hop_limit)
            .padding(extras.padding)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The rewritten packet is the one that etherparse makes of the new addresses, checksums
    /// included; and a reply to it comes back as if from the VIP.
    #[test]
    fn full_nat_is_exact_there_and_back(
        parties in parties(), there in extras(), back in extras(),
    ) {
        let mut world = parties.world(Forward::FullNat);
        let sent = parties.packet(parties.client, parties.vip, SYN, &there);
        let ran = world.run(&sent.bytes());
        let ours = SocketAddr::new(parties.source, NAT_PORT);
        let hop = BackendSetup::new(parties.backend).hop.unwrap_or_default();
        let expected = sent.clone().translated(ours, parties.backend).sent_to(&hop);
        prop_assert_eq!(&ran.frame, &expected.bytes());
        prop_assert_eq!(verify::receive(&ran.frame).map(|received| received.payload), Ok(there.payload));

        let reply = parties
            .packet(parties.backend, ours, SYN | ACK, &back)
            .link(hop.destination(), OUR_MAC);
        let ran = world.run(&reply.bytes());
        let expected = reply
            .clone()
            .translated(parties.vip, parties.client)
            .link(OUR_MAC, sent.from_mac);
        prop_assert_eq!(&ran.frame, &expected.bytes());
        prop_assert!(verify::receive(&ran.frame).is_ok());
    }

    /// Nothing but the Ethernet addresses changes.
    #[test]
    fn dsr_leaves_the_packet_alone(parties in parties(), extras in extras()) {
        let mut world = parties.world(Forward::Dsr);
        let sent = parties.packet(parties.client, parties.vip, SYN, &extras).bytes();
        let ran = world.run(&sent);
        prop_assert!(ran.is_forwarded());
        prop_assert_eq!(&ran.frame[12..], &sent[12..]);
    }

    /// Any bytes: no panic, and what is not sent on is not touched.
    #[test]
    fn arbitrary_bytes_do_no_harm(
        parties in parties(),
        head in prop_oneof![
            Just([0x08, 0x00, 0x45]), Just([0x86, 0xdd, 0x60]), Just([0x81, 0x00, 0x00]),
            any::<[u8; 3]>(),
        ],
        mut bytes in vec(any::<u8>(), 0..160),
    ) {
        if bytes.len() > 14 {
            bytes[12..15].copy_from_slice(&head);
        }
        let mut world = parties.world(Forward::FullNat);
        let ran = world.run(&bytes);
        if !ran.is_forwarded() {
            prop_assert_eq!(ran.frame, bytes);
        }
    }

    /// A packet of the service with any bytes changed: what is sent on has kept its length.
    #[test]
    fn damaged_packets_do_no_harm(
        parties in parties(),
        extras in extras(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        forward in prop_oneof![Just(Forward::FullNat), Just(Forward::Dsr)],
    ) {
        let mut bytes = parties.packet(parties.client, parties.vip, SYN, &extras).bytes();
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let ran = parties.world(forward).run(&bytes);
        prop_assert_eq!(ran.frame.len(), bytes.len());
        if !ran.is_forwarded() {
            prop_assert_eq!(ran.frame, bytes);
        }
    }
}
