//! Ethernet: tags, groups, and what is not IP.

use lb_common::abi::Reason;

use crate::case::{Case, Expect, Scene};
use crate::packet::{ACK, CLIENT_MAC};
use crate::world::OUR_MAC;

/// The `EtherType` of a customer's tag (IEEE 802.1Q).
const TAG: u16 = 0x8100;
/// The `EtherType` of a provider's tag (IEEE 802.1ad).
const SERVICE_TAG: u16 = 0x88a8;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all() {
        cases.push(tags(scene, &[(TAG, 7)]));
        cases.push(tags(scene, &[(SERVICE_TAG, 100), (TAG, 7)]));
        cases.push(padding(scene));
    }
    for v6 in [false, true] {
        let scene = Scene { v6, ..Scene::PLAIN };
        cases.push(tags(scene, &[(TAG, 1), (TAG, 4095)]));
        cases.push(too_many_tags(scene));
        cases.push(group(scene));
    }
    cases.push(not_ip());
    cases.push(cut_tags());
    cases.push(runt());
    cases
}

/// Tags stay as they are, in both directions.
fn tags(scene: Scene, tags: &[(u16, u16)]) -> Case {
    let tagged = |packet: crate::packet::Packet| {
        tags.iter()
            .fold(packet, |packet, (kind, id)| packet.tag(*kind, *id))
    };
    let opening = tagged(scene.opening(0));
    let following = tagged(scene.following(0));
    let case = scene.begin_with(
        &format!("VLAN tags {tags:x?} stay on the frame"),
        &opening,
        &following,
    );
    if !scene.is_nat() {
        return case;
    }
    let reply = tagged(scene.reply(0, 0, ACK));
    case.packet("reply", &reply, scene.returned(&reply, 0, 0))
}

fn too_many_tags(scene: Scene) -> Case {
    let packet = scene.opening(0).tag(SERVICE_TAG, 1).tag(TAG, 2).tag(TAG, 3);
    let family = if scene.v6 { "v6" } else { "v4" };
    Case::new(
        format!("{family}: a third VLAN tag cannot be looked behind"),
        &mut scene.setup(1),
    )
    .packet("three tags", &packet, Expect::drop(Reason::TooManyTags))
    .packet(
        "three tags of a provider",
        &scene.opening(0).tag(TAG, 1).tag(TAG, 2).tag(SERVICE_TAG, 3),
        Expect::drop(Reason::TooManyTags),
    )
}

/// Frames to a group of stations are for the host, whatever is in them.
fn group(scene: Scene) -> Case {
    let multicast = scene
        .opening(0)
        .link(CLIENT_MAC, [0x33, 0x33, 0, 0, 0, 0x01]);
    let broadcast = scene.opening(0).link(CLIENT_MAC, [0xff; 6]);
    let family = if scene.v6 { "v6" } else { "v4" };
    Case::new(
        format!("{family}: frames to a group go to the host"),
        &mut scene.setup(1),
    )
    .packet("multicast", &multicast, Expect::pass(Reason::Multicast))
    .packet("broadcast", &broadcast, Expect::pass(Reason::Multicast))
}

/// An Ethernet header with a type and a payload.
fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = OUR_MAC.to_vec();
    bytes.extend(CLIENT_MAC);
    bytes.extend(ether_type.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn not_ip() -> Case {
    let not_ip = || Expect::pass(Reason::NotIp);
    Case::new(
        "what is not IP goes to the host",
        &mut Scene::PLAIN.setup(1),
    )
    .bytes("ARP", ethernet(0x0806, &[0; 28]), not_ip())
    .bytes("LLDP", ethernet(0x88cc, &[0; 46]), not_ip())
    .bytes("MPLS", ethernet(0x8847, &[0; 46]), not_ip())
    .bytes("IEEE 802.3 length", ethernet(46, &[0; 46]), not_ip())
    .bytes("an old VLAN tag", ethernet(0x9100, &[0; 46]), not_ip())
    .bytes("no payload", ethernet(0x0806, &[]), not_ip())
    .bytes(
        "ARP behind a tag",
        ethernet(TAG, &[&[0, 7, 8, 6][..], &[0; 28]].concat()),
        not_ip(),
    )
}

fn cut_tags() -> Case {
    let malformed = || Expect::drop(Reason::Malformed);
    Case::new("a VLAN tag is cut off", &mut Scene::PLAIN.setup(1))
        .bytes("no tag", ethernet(TAG, &[]), malformed())
        .bytes(
            "three bytes of a tag",
            ethernet(TAG, &[0, 7, 8]),
            malformed(),
        )
        .bytes(
            "half a second tag",
            ethernet(SERVICE_TAG, &[0, 7, 0x81, 0, 0, 8]),
            malformed(),
        )
}

fn runt() -> Case {
    let mut case = Case::new(
        "a frame shorter than an Ethernet header",
        &mut Scene::PLAIN.setup(1),
    )
    .host_only("a test run takes no frame shorter than that", None);
    for length in 0..14 {
        let bytes = Scene::PLAIN.opening(0).bytes()[..length].to_vec();
        case = case.bytes("runt", bytes, Expect::drop(Reason::Malformed));
    }
    case
}

/// Padding behind the IP packet belongs to the link.
fn padding(scene: Scene) -> Case {
    let opening = scene.opening(0).padding(18);
    let following = scene.following(0).padding(1);
    scene.begin_with("link padding stays as it is", &opening, &following)
}
