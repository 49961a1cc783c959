//! The firewall: the first rule that every dimension accepts decides, before anything else.

use lb_common::abi::{FlowState, Reason};
use lb_userspace::document::{Action, AddressMatch, Forward, Rule};

use crate::case::{Case, Change, Expect, Scene};
use crate::packet::{ACK, Packet};
use crate::ring::Table::Pending;
use crate::world::{Setup, addresses, rule};

/// A scene whose flows need no port.
const DSR: Scene = Scene {
    forward: Forward::Dsr,
    ..Scene::PLAIN
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        first_match_wins(),
        longest_prefix(),
        negation(),
        ports(),
        source_ports(),
        protocols(),
        all_dimensions(),
        fragments_and_ports(),
        many_rules(),
        before_everything(),
        empty_set(),
    ];
    for scene in Scene::all() {
        cases.push(cuts_flows(scene));
        cases.push(accepts(scene));
        cases.push(by_destination(scene));
    }
    cases
}

fn dropped(id: u32) -> Expect {
    Expect::drop(Reason::FirewallDrop).rule(id)
}

fn drop_from(name: &str, prefixes: &[&str]) -> Rule {
    Rule {
        source: addresses(prefixes),
        ..rule(name, Action::Drop)
    }
}

fn accept_from(name: &str, prefixes: &[&str]) -> Rule {
    Rule {
        source: addresses(prefixes),
        ..rule(name, Action::Accept)
    }
}

/// A packet from this address to the VIP.
fn from(scene: Scene, address: &str) -> Packet {
    let mut packet = scene.opening(0);
    match address.parse() {
        Ok(address) => packet.source.set_ip(address),
        Err(error) => panic!("{address} is no address: {error}"),
    }
    packet
}

/// What a packet does that no rule drops: it opens a flow to the only backend.
fn let_through(scene: Scene, packet: &Packet, rule: Option<u32>) -> Expect {
    let mut tuple = scene.tuple(0);
    tuple.remote = packet.source;
    tuple.local = packet.destination;
    let flow = scene.flow(0, FlowState::PENDING);
    let expect =
        scene
            .forwarded(packet, 0)
            .new_flow()
            .change([Change::Flow(Pending, tuple, Some(flow))]);
    match rule {
        Some(rule) => expect.rule(rule),
        None => expect,
    }
}

/// Rule ids: 0 is that of blocks, the document's rules follow in order.
fn first_match_wins() -> Case {
    let (a, b, c) = (
        from(DSR, "203.0.113.1"),
        from(DSR, "203.0.113.200"),
        from(DSR, "198.51.100.99"),
    );
    let mut setup = DSR
        .setup(1)
        .rule(accept_from("lower half", &["203.0.113.0/25"]))
        .rule(drop_from("all of it", &["203.0.113.0/24"]))
        .rule(accept_from("too late", &["203.0.113.200/32"]));
    Case::new("the first rule that matches decides", &mut setup)
        .packet("accepted before", &a, let_through(DSR, &a, Some(1)))
        .packet("dropped before", &b, dropped(2))
        .packet("no rule", &c, let_through(DSR, &c, None))
}

fn longest_prefix() -> Case {
    let mut setup = DSR
        .setup(1)
        .rule(drop_from("one host", &["10.1.2.3/32"]))
        .rule(accept_from("its network", &["10.1.2.0/24"]))
        .rule(drop_from("everything around", &["10.0.0.0/8"]))
        .rule(accept_from("the rest", &["0.0.0.0/0"]));
    let packets = ["10.1.2.4", "11.0.0.1"].map(|address| from(DSR, address));
    Case::new("prefixes inside prefixes", &mut setup)
        .packet("the host", &from(DSR, "10.1.2.3"), dropped(1))
        .packet(
            "its neighbour",
            &packets[0],
            let_through(DSR, &packets[0], Some(2)),
        )
        .packet(
            "the network's neighbour",
            &from(DSR, "10.1.3.3"),
            dropped(3),
        )
        .packet("the first address", &from(DSR, "10.0.0.0"), dropped(3))
        .packet("the last address", &from(DSR, "10.255.255.255"), dropped(3))
        .packet(
            "elsewhere",
            &packets[1],
            let_through(DSR, &packets[1], Some(4)),
        )
}

fn negation() -> Case {
    let mut setup = DSR
        .setup(1)
        .rule(drop_from(
            "only the office",
            &["!198.51.100.0/24", "!2001:db8:c::/48"],
        ))
        .rule(drop_from(
            "office without its printer",
            &["198.51.100.0/24", "!198.51.100.8/32"],
        ));
    let printer = from(DSR, "198.51.100.8");
    Case::new("what a rule excludes it does not match", &mut setup)
        .packet("outside", &from(DSR, "198.51.99.255"), dropped(1))
        .packet("office", &from(DSR, "198.51.100.7"), dropped(2))
        .packet("printer", &printer, let_through(DSR, &printer, None))
}

/// A rule about TCP or UDP ports.
fn by_port(name: &str, protocol: u8, port: &[(u16, u16)], source: &[(u16, u16)]) -> Rule {
    Rule {
        protocol: Some(protocol),
        port: port.to_vec(),
        source_port: source.to_vec(),
        ..rule(name, Action::Drop)
    }
}

fn to_port(port: u16) -> Packet {
    let mut packet = DSR.opening(0);
    packet.destination.set_port(port);
    packet
}

fn ports() -> Case {
    let mut setup = DSR
        .setup(1)
        .rule(by_port("list", 6, &[(22, 22), (1000, 2000)], &[]))
        .rule(by_port("last", 6, &[(65_535, 65_535)], &[]))
        .rule(by_port("first", 6, &[(0, 1)], &[]))
        .rule(by_port("udp", 17, &[(80, 80)], &[]));
    let not_ours = || Expect::pass(Reason::NotOurs);
    let mut case = Case::new("destination ports and ranges", &mut setup);
    for (port, rule) in [
        (22, 1),
        (1000, 1),
        (1500, 1),
        (2000, 1),
        (65_535, 2),
        (0, 3),
        (1, 3),
    ] {
        case = case.packet("listed", &to_port(port), dropped(rule));
    }
    for port in [2, 21, 23, 999, 2001, 65_534] {
        case = case.packet("not listed", &to_port(port), not_ours());
    }
    let udp = Packet::udp(DSR.client(0), DSR.vip());
    let tcp = DSR.opening(0);
    case.packet("UDP", &udp, dropped(4)).packet(
        "TCP to the same port",
        &tcp,
        let_through(DSR, &tcp, None),
    )
}

fn source_ports() -> Case {
    let mut setup = DSR
        .setup(1)
        .rule(by_port("low ports", 6, &[], &[(0, 1023)]))
        .rule(by_port("both", 6, &[(80, 80)], &[(1024, 1024)]))
        .rule(by_port("udp reflection", 17, &[], &[(53, 53), (123, 123)]));
    let with = |port: u16| {
        let mut packet = DSR.opening(0);
        packet.source.set_port(port);
        packet
    };
    let mut udp = Packet::udp(DSR.client(0), DSR.vip());
    udp.source.set_port(123);
    let mut other = with(1024);
    other.destination.set_port(81);
    let free = with(1025);
    Case::new("source ports", &mut setup)
        .packet("low", &with(0), dropped(1))
        .packet("the last low one", &with(1023), dropped(1))
        .packet("both ports", &with(1024), dropped(2))
        .packet("one of both ports", &other, Expect::pass(Reason::NotOurs))
        .packet("neither", &free, let_through(DSR, &free, None))
        .packet("UDP", &udp, dropped(3))
}

fn protocols() -> Case {
    let of = |name: &str, protocol: u8| Rule {
        protocol: Some(protocol),
        ..rule(name, Action::Drop)
    };
    let mut setup = DSR.setup(1).rule(of("icmp", 1)).rule(of("udp", 17));
    let raw = |protocol: u8| Packet::raw(DSR.client(0), DSR.vip(), protocol);
    let tcp = DSR.opening(0);
    Case::new("protocols", &mut setup)
        .packet("ICMP", &raw(1), dropped(1))
        .packet("UDP", &Packet::udp(DSR.client(0), DSR.vip()), dropped(2))
        .packet("SCTP", &raw(132), Expect::pass(Reason::OtherProtocol))
        .packet("TCP", &tcp, let_through(DSR, &tcp, None))
}

fn all_dimensions() -> Case {
    let strict = Rule {
        source: addresses(&["203.0.113.0/24"]),
        destination: addresses(&["192.0.2.10/32"]),
        ..by_port("all four", 6, &[(80, 80)], &[(40_000, 40_000)])
    };
    let mut setup = DSR.setup(1).rule(strict);
    let exact = from(DSR, "203.0.113.5");
    let mut wrong_port = exact.clone();
    wrong_port.destination.set_port(81);
    let mut wrong_destination = exact.clone();
    wrong_destination.destination.set_ip(DSR.our_address());
    let mut wrong_source_port = exact.clone();
    wrong_source_port.source.set_port(40_001);
    let wrong_source = from(DSR, "203.0.114.5");
    let not_ours = || Expect::pass(Reason::NotOurs);
    let free = &wrong_source_port;
    Case::new("a rule asks for everything it names", &mut setup)
        .packet("all four", &exact, dropped(1))
        .packet("another port", &wrong_port, not_ours())
        .packet("another destination", &wrong_destination, not_ours())
        .packet("another source port", free, let_through(DSR, free, None))
        .packet(
            "another source",
            &wrong_source,
            let_through(DSR, &wrong_source, None),
        )
}

/// A later fragment has no ports: rules about ports do not match it, others do.
fn fragments_and_ports() -> Case {
    let mut setup = DSR
        .setup(1)
        .rule(by_port("a port", 6, &[(0, 65_535)], &[]))
        .rule(by_port("a source port", 17, &[], &[(0, 65_535)]))
        .rule(drop_from("a source", &["203.0.113.0/24"]));
    let later = |source: Packet, protocol: u8| {
        let mut packet = Packet::raw(source.source, DSR.vip(), protocol).fragment(8, true);
        packet.destination.set_ip(DSR.our_address());
        packet
    };
    let first = DSR.opening(0).fragment(0, true);
    Case::new("rules about ports and fragments", &mut setup)
        .packet("first fragment", &first, dropped(1))
        .packet(
            "later fragment of TCP",
            &later(DSR.opening(0), 6),
            Expect::pass(Reason::NotOurs),
        )
        .packet(
            "later fragment of UDP",
            &later(DSR.opening(0), 17),
            Expect::pass(Reason::NotOurs),
        )
        .packet(
            "later fragment of the source",
            &later(from(DSR, "203.0.113.9"), 6),
            dropped(3),
        )
}

/// More rules than one word of a row has bits.
fn many_rules() -> Case {
    let mut setup: Setup = DSR.setup(1);
    for index in 0..200_u8 {
        let prefix = format!("10.9.{index}.0/24");
        setup = setup.rule(drop_from(&format!("rule {index}"), &[&prefix]));
    }
    let mut case = Case::new("rules beyond the first word", &mut setup);
    for index in [0_u8, 63, 64, 127, 128, 199] {
        let packet = from(DSR, &format!("10.9.{index}.1"));
        case = case.packet("a source", &packet, dropped(u32::from(index) + 1));
    }
    let free = from(DSR, "10.9.200.1");
    case.packet("behind the last", &free, let_through(DSR, &free, None))
}

/// The firewall comes before whatever else a packet would leave for.
fn before_everything() -> Case {
    let mut setup = Scene::PLAIN.setup(1).block("198.51.100.0/24");
    let scene = Scene::PLAIN;
    let dropped = || dropped(0);
    let group = scene.opening(0).link(crate::packet::CLIENT_MAC, [0xff; 6]);
    let mut elsewhere = scene.opening(0);
    elsewhere.destination.set_ip(scene.other_address());
    Case::new("a block comes before everything else", &mut setup)
        .packet("a first packet", &scene.opening(0), dropped())
        .packet("multicast", &group, dropped())
        .packet("not ours", &elsewhere, dropped())
        .packet("no hop left", &scene.opening(0).hop_limit(1), dropped())
        .packet(
            "another protocol",
            &Packet::raw(scene.client(0), scene.vip(), 1),
            dropped(),
        )
        .packet("a fragment", &scene.opening(0).fragment(0, true), dropped())
        .packet("not blocked", &from(scene, "198.51.101.1"), {
            let mut way = scene.way_back(0, 0);
            way.client.set_ip(std::net::IpAddr::from([198, 51, 101, 1]));
            let packet = from(scene, "198.51.101.1");
            let_through(scene, &packet, None).change([Change::Reverse(
                Pending,
                scene.reply_tuple(0, 0),
                Some(way),
            )])
        })
}

/// A set without entries matches nothing.
fn empty_set() -> Case {
    let mut setup = DSR.setup(1).rule(Rule {
        source: AddressMatch {
            within: Some(Vec::new()),
            ..AddressMatch::default()
        },
        ..rule("an empty set", Action::Drop)
    });
    let packet = DSR.opening(0);
    Case::new("a rule with an empty set matches nothing", &mut setup).packet(
        "anything",
        &packet,
        let_through(DSR, &packet, None),
    )
}

/// A block cuts a flow that is established, for as long as it lasts.
fn cuts_flows(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let mut open = scene.setup(2);
    let blocked = open.clone().block("198.51.100.0/24");
    let mut blocked = blocked.block("2001:db8:c::/64");
    let case = Case::new(
        format!("{scene}: a block cuts an established flow, and no other"),
        &mut open,
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0))
    .packet(
        "second packet",
        &following,
        scene.promoted(&following, 0, 0),
    )
    .generation(blocked.tables())
    .packet("third packet", &following, dropped(0))
    .packet("a new flow", &scene.opening(1), dropped(0));
    let case = if scene.is_nat() {
        let reply = scene.reply(0, 0, ACK);
        case.packet("reply", &reply, scene.returned(&reply, 0, 0))
    } else {
        case
    };
    case.generation(open.tables()).packet(
        "fourth packet",
        &following,
        scene.forwarded(&following, 0),
    )
}

/// An accepting rule is counted, and the packet goes its way.
fn accepts(scene: Scene) -> Case {
    let prefix = if scene.v6 {
        "2001:db8::/32"
    } else {
        "198.51.0.0/16"
    };
    let mut setup = scene
        .setup(1)
        .rule(accept_from("friends", &[prefix]))
        .rule(rule("nobody else", Action::Drop));
    let (opening, following) = (scene.opening(0), scene.following(0));
    let stranger = if scene.v6 {
        "2001:db9::1"
    } else {
        "198.52.0.1"
    };
    Case::new(
        format!("{scene}: an accepted packet goes its way"),
        &mut setup,
    )
    .packet(
        "first packet",
        &opening,
        scene.opened(&opening, 0, 0).rule(1),
    )
    .packet(
        "second packet",
        &following,
        scene.promoted(&following, 0, 0).rule(1),
    )
    .packet("a stranger", &from(scene, stranger), dropped(2))
}

fn by_destination(scene: Scene) -> Case {
    let vip = scene.vip().ip();
    let prefix = format!("{vip}/{}", if scene.v6 { 128 } else { 32 });
    let mut setup = scene.setup(1).rule(Rule {
        destination: addresses(&[&prefix]),
        ..rule("the VIP is closed", Action::Drop)
    });
    let mut elsewhere = scene.opening(0);
    elsewhere.destination.set_ip(scene.other_address());
    Case::new(format!("{scene}: destinations"), &mut setup)
        .packet("the VIP", &scene.opening(0), dropped(1))
        .packet("elsewhere", &elsewhere, Expect::pass(Reason::NotOurs))
}
