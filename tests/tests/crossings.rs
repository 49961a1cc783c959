//! Packets that meet on two CPUs, at every pair of moments: most are named for what the simulation
//! has found, and fail without the change that mended it. How seldom such moments come, and what
//! else goes on at the time, is the simulation's.

use lb_common::abi::Reason;
use lb_tests::case::{SERVICE, Scene};
use lb_tests::packet::verify::receive;
use lb_tests::packet::{ACK, Packet, SYN};
use lb_tests::ring::Ran;
use lb_tests::simulation::{Crossing, run_on};

/// A scene's service on so many backends, with ports for everybody or for one flow.
fn scene_of(scene: Scene, backends: u8, ports: u16, before: &[Packet], main: &Packet) -> Crossing {
    Crossing {
        tables: scene.setup(backends).nat_ports(61_000, ports).tables(),
        before: before.iter().map(Packet::bytes).collect(),
        overtaken: main.bytes(),
        passing: None,
        writes: Vec::new(),
        meanwhile: Vec::new(),
    }
}

/// What a backend answers to what it has received.
fn answer(scene: Scene, ran: &Ran) -> Packet {
    let received = receive(&ran.frame);
    assert!(received.is_ok(), "{received:?}");
    let (from, to) = received.map_or_else(
        |_| (scene.vip(), scene.vip()),
        |received| (received.destination, received.source),
    );
    if scene.is_tcp() {
        Packet::tcp(from, to, SYN | ACK)
    } else {
        Packet::udp(from, to)
    }
}

#[test]
fn a_packet_finds_its_flow_while_that_is_promoted() {
    for scene in Scene::all_without_tunnels() {
        let mut crossing = scene_of(scene, 3, 1000, &[scene.opening(0)], &scene.following(0));
        crossing.passing = Some(scene.following(0).bytes());
        let all = crossing.everywhere();
        assert!(all.len() > 100, "{}", all.len());
        for met in all {
            let found = (met.overtaken.reason(), met.overtaken.trace.backend);
            assert_eq!(found, (Some(Reason::ToBackend), 0), "{scene}: {met:?}");
            let found = met
                .passing
                .as_ref()
                .map(|ran| (ran.reason(), ran.trace.backend));
            assert_eq!(
                found,
                Some((Some(Reason::ToBackend), 0)),
                "{scene}: {met:?}"
            );
        }
    }
}

#[test]
fn a_reply_reaches_its_client_or_nobody_while_its_way_back_moves() {
    for scene in Scene::all_nat() {
        let following = scene.following(0);
        let mut crossing = scene_of(scene, 1, 1000, &[scene.opening(0)], &following);
        let opened = crossing.last_before();
        assert!(opened.as_ref().is_some_and(Ran::is_forwarded), "{opened:?}");
        let Some(opened) = opened else { return };
        crossing.overtaken = answer(scene, &opened).bytes();
        crossing.passing = Some(following.bytes());
        // The element of the entry that moved goes to the next flow.
        crossing.meanwhile = vec![scene.opening(1).bytes()];
        let mut arrived = 0;
        for met in crossing.everywhere() {
            let reason = met.overtaken.reason();
            if reason == Some(Reason::ToClient) {
                let client = receive(&met.overtaken.frame).map(|r| r.destination);
                assert_eq!(client, Ok(scene.client(0)), "{scene}: {met:?}");
                arrived += 1;
            } else {
                assert_eq!(reason, Some(Reason::RewriteFailed), "{scene}: {met:?}");
                assert_eq!(met.overtaken.frame, crossing.overtaken, "{scene}: {met:?}");
            }
        }
        assert!(arrived > 100, "{scene}: {arrived}");
    }
}

#[test]
fn a_port_is_not_taken_from_a_flow_that_is_promoted() {
    for scene in Scene::all_sharing_port() {
        let mut crossing = scene_of(scene, 1, 1, &[scene.opening(0)], &scene.opening(1));
        crossing.passing = Some(scene.following(0).bytes());
        for met in crossing.everywhere() {
            let reason = met.overtaken.reason();
            assert_eq!(reason, Some(Reason::NoPort), "{scene}: {met:?}");
        }
    }
}

#[test]
fn a_packet_goes_to_a_backend_that_leaves_or_to_another() {
    for scene in Scene::all_without_tunnels() {
        let before = [scene.opening(0), scene.following(0)];
        let mut setup = scene.setup(2).nat_ports(61_000, 1000);
        let mut crossing = scene_of(scene, 2, 1000, &before, &scene.following(0));
        crossing.tables = setup.tables();
        crossing.writes = setup.change(|setup| setup.remove(SERVICE, scene.backend(0)));
        let mut backends = Vec::new();
        for met in crossing.everywhere() {
            let backend = met.overtaken.trace.backend;
            let hop = scene.backend_hop(backend as u8);
            let received = receive(&met.overtaken.frame);
            assert!(met.overtaken.is_forwarded(), "{scene}: {met:?}");
            assert_eq!(met.overtaken.frame[..6], hop.destination(), "{met:?}");
            if scene.is_nat() {
                let address = received.map(|received| received.destination);
                assert_eq!(address, Ok(scene.backend(backend as u8)), "{met:?}");
            }
            backends.push(backend);
        }
        backends.dedup();
        assert_eq!(
            backends,
            [1, 0],
            "{scene}: first moved, then too late for that"
        );
    }
}

#[test]
fn a_packet_is_dropped_whole_when_the_way_to_its_backend_is_lost() {
    for scene in Scene::all_without_tunnels() {
        let before = [scene.opening(0), scene.following(0)];
        let mut setup = scene.setup(1).nat_ports(61_000, 1000);
        let mut crossing = scene_of(scene, 1, 1000, &before, &scene.following(0));
        crossing.tables = setup.tables();
        crossing.writes = setup.change(|setup| {
            let mut lost = lb_tests::world::BackendSetup::new(scene.backend(0));
            lost.hop = None;
            setup.put(SERVICE, &lost);
        });
        for met in crossing.everywhere() {
            let reason = met.overtaken.reason();
            if reason == Some(Reason::ToBackend) {
                let station = &met.overtaken.frame[..6];
                assert_eq!(station, scene.backend_hop(0).destination(), "{met:?}");
            } else {
                assert_eq!(reason, Some(Reason::NoNextHop), "{scene}: {met:?}");
                assert_eq!(met.overtaken.frame, crossing.overtaken, "{scene}: {met:?}");
            }
        }
    }
}

/// Connections by backend.
fn spread(runs: &[Ran], backends: u8) -> Vec<usize> {
    (0..u32::from(backends))
        .map(|id| runs.iter().filter(move |ran| ran.trace.backend == id))
        .map(|runs| runs.filter(|ran| ran.trace.new_flow == 1).count())
        .collect()
}

#[test]
fn connections_are_spread_exactly_whatever_cpu_takes_them() {
    for (seed, scene) in (1..).zip(Scene::all_without_tunnels()) {
        let tables = scene.setup(7).nat_ports(1024, 30_000).tables();
        let frames: Vec<Vec<u8>> = (0..200).map(|n| scene.opening(n).bytes()).collect();
        let counts = spread(&run_on(8, &tables, seed, &frames), 7);
        assert_eq!(counts.iter().sum::<usize>(), 200, "{scene}");
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(
            most.zip(least)
                .is_some_and(|(most, least)| most - least <= 1),
            "{scene}: {counts:?}"
        );
    }
}

/// First packets of one connection that meet take a turn each, at most: what is exact is turns.
#[test]
fn doubled_first_packets_take_at_most_a_turn_each() {
    let mut met = 0;
    for (seed, scene) in (1..).zip(Scene::all_without_tunnels()) {
        let tables = scene.setup(7).nat_ports(1024, 30_000).tables();
        let twice = |n| [scene.opening(n).bytes(), scene.opening(n).bytes()];
        let frames: Vec<Vec<u8>> = (0..100).flat_map(twice).collect();
        let counts = spread(&run_on(8, &tables, seed, &frames), 7);
        let turns: usize = counts.iter().sum();
        assert!((100..=200).contains(&turns), "{scene}: {turns}");
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(
            most.zip(least)
                .is_some_and(|(most, least)| most - least <= 1),
            "{scene}: {counts:?}"
        );
        met += turns - 100;
    }
    assert!(met > 0, "no two packets of a connection met");
}
