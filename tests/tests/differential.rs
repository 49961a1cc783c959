//! Host and kernel on the same random traffic: they must agree byte for byte on every frame, and
//! in everything that they remember and count.
//!
//! `LB_SEED` sets the seed, `LB_DIFFERENTIAL_PACKETS` the number of packets.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use lb_common::abi::Reason;
use lb_tests::case::{SERVICE, Scene};
use lb_tests::kernel::{self, Kernel};
use lb_tests::packet::verify;
use lb_tests::pair::{avoid_tick, follow};
use lb_tests::ring::Ring as _;
use lb_tests::traffic::Traffic;
use lb_tests::world::{BackendSetup, Setup, World, addresses, rule};
use lb_userspace::document::{Action, Forward, Protocol, Rule};

/// Packets between two starts with empty tables.
const ROUND: u64 = 2500;
/// Rounds at most for one that would do on a machine that never pauses.
const ROUNDS_MAX: u64 = 8;
/// Packets between two comparisons of everything remembered.
const CHECK: u64 = 250;
/// First source port of `full-nat`, and how many.
const PORTS: (u16, u16) = (20_000, 30_000);

#[test]
fn host_and_kernel_agree_on_random_traffic() {
    if !kernel::is_available() {
        return;
    }
    let seed = number("LB_SEED").unwrap_or(0x1b_5eed);
    let packets = number("LB_DIFFERENTIAL_PACKETS").unwrap_or(20_000);
    println!(
        "again: LB_SEED={seed} LB_DIFFERENTIAL_PACKETS={packets} cargo test -p lb-tests --test \
         differential"
    );
    let mut shown = std::collections::BTreeMap::new();
    let mut compared = 0;
    for round in 0.. {
        if compared >= packets {
            break;
        }
        assert!(
            round < ROUNDS_MAX * packets.div_ceil(ROUND),
            "the machine pauses for too long, too often: {compared} packets in {round} rounds"
        );
        compared += Round::new(seed + round, round).run(packets - compared, &mut shown);
    }
    println!("{shown:?}");
    assert!(
        packets < 20_000 || shown.len() > 12,
        "too few reasons came up"
    );
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// One configuration, one start with empty tables.
struct Round {
    seed: u64,
    setup: Setup,
    scenes: Vec<Scene>,
    traffic: Traffic,
    host: World,
    kernel: Rc<RefCell<Kernel>>,
}

impl Round {
    fn new(seed: u64, round: u64) -> Self {
        let (scenes, mut setup) = configuration(round);
        let tables = setup.tables();
        let kernel = Rc::new(RefCell::new(Kernel::new(&tables)));
        Self {
            seed,
            setup,
            traffic: Traffic::new(scenes.clone(), seed),
            scenes,
            host: World::new(&tables, 0).with_oracle(follow(&kernel, &Rc::new(Cell::new(PORTS)))),
            kernel,
        }
    }

    /// Runs up to so many packets, and returns how many were compared.
    ///
    /// A pause of the whole machine may make a frame straddle two ticks; then nobody knows which of
    /// them the kernel has seen, and the round ends.
    fn run(mut self, count: u64, shown: &mut std::collections::BTreeMap<&'static str, u64>) -> u64 {
        let count = count.min(ROUND);
        for number in 0..count {
            if self.traffic.once_in(100) {
                self.change();
            }
            let frame = self.traffic.next_frame();
            avoid_tick();
            self.host.now = kernel::now();
            // The kernel goes first: the host follows its choice of ports.
            let in_kernel = self.kernel.borrow_mut().run(&frame);
            if kernel::now() != self.host.now {
                return number;
            }
            let mut on_host = self.host.run(&frame);
            if let lb_tests::ring::Exit::Redirect(interface) = &mut on_host.exit {
                *interface = None;
            }
            assert_eq!(
                on_host, in_kernel,
                "seed {}, packet {number}: {frame:02x?}",
                self.seed
            );
            let reason = on_host.reason().map_or("none", Reason::name);
            *shown.entry(reason).or_default() += 1;
            if on_host.is_forwarded()
                && on_host.reason() != Some(Reason::ToClient)
                && let Ok(received) = verify::receive(&on_host.frame)
            {
                let protocol = if self.traffic.once_in(2) { 6 } else { 17 };
                self.traffic.answer(&received, protocol);
            }
            if (number + 1) % CHECK == 0 && !self.states_agree() {
                return number;
            }
        }
        self.states_agree();
        count
    }

    /// Compares everything remembered and counted; false if a tick came in between.
    fn states_agree(&mut self) -> bool {
        avoid_tick();
        self.host.now = kernel::now();
        let in_kernel = self.kernel.borrow_mut().state();
        if kernel::now() != self.host.now {
            return false;
        }
        let differences = self.host.state().differences(&in_kernel);
        assert!(
            differences.is_empty(),
            "seed {}: host (expected) and kernel (found) differ:\n{}",
            self.seed,
            differences.join("\n")
        );
        true
    }

    /// Changes a backend on both sides.
    fn change(&mut self) {
        let scene = self.scenes[self.traffic.below(self.scenes.len() as u32) as usize];
        let mut backend = BackendSetup::new(scene.backend(self.traffic.below(3) as u8));
        backend.healthy = !self.traffic.once_in(3);
        backend.drain = self.traffic.once_in(3);
        if self.traffic.once_in(6) {
            backend.hop = None;
        }
        let name = service_name(scene);
        let writes = self.setup.change(|setup| setup.put(&name, &backend));
        self.host.apply(&writes);
        self.kernel.borrow_mut().apply(&writes);
    }
}

fn service_name(scene: Scene) -> String {
    format!("{SERVICE} {scene}")
}

/// Configurations in turn: everything, without a firewall, one family, one way of forwarding,
/// tunnels.
fn configuration(round: u64) -> (Vec<Scene>, Setup) {
    let mut scenes = Scene::all();
    // Of those that share a VIP the first gets it.
    let first = round as usize * 5 % scenes.len();
    scenes.rotate_left(first);
    match round % 6 {
        2 => scenes.retain(|scene| !scene.v6),
        3 => scenes.retain(|scene| scene.is_nat()),
        4 => scenes.retain(|scene| scene.v6 && scene.is_direct()),
        5 => scenes.retain(|scene| scene.forward.is_tunnel()),
        _ => {}
    }
    // One service for each address and protocol; `dsr` gets an address of its own.
    let sources = [Scene::PLAIN.our_address(), v6(Scene::PLAIN).our_address()];
    let mut setup = Setup::new(&sources)
        .tunnels(&sources.map(Into::into))
        .nat_ports(PORTS.0, PORTS.1)
        .flows(65_536);
    let mut taken: Vec<(SocketAddr, Protocol)> = Vec::new();
    scenes.retain(|scene| {
        let key = (scene.vip(), scene.protocol);
        let free = !taken.contains(&key);
        taken.push(key);
        free
    });
    for (index, scene) in scenes.iter().enumerate() {
        let backends = [0, 1, 2].map(|id| BackendSetup::new(scene.backend(id)));
        // Some services are for any port.
        let mut vip = scene.vip();
        if index % 2 == 1 {
            vip.set_port(0);
        }
        let forward = if round % 6 == 1 && scene.is_tcp() && !scene.crosses {
            Forward::Dsr
        } else {
            scene.forward
        };
        let name = service_name(*scene);
        setup = setup.service(&name, vip, scene.protocol, forward, &backends);
    }
    if round.is_multiple_of(2) {
        setup = with_firewall(setup);
    }
    (scenes, setup)
}

fn v6(scene: Scene) -> Scene {
    Scene { v6: true, ..scene }
}

fn with_firewall(setup: Setup) -> Setup {
    let by = |name: &str, action: Action, change: fn(&mut Rule)| {
        let mut rule = rule(name, action);
        change(&mut rule);
        rule
    };
    setup
        .block("198.51.100.9/32")
        .block("2001:db8:c::9/128")
        .rule(by("friends", Action::Accept, |rule| {
            rule.source = addresses(&["198.51.100.10/32", "2001:db8:c::10/127"]);
            rule.source_port = vec![(40_000, 40_000)];
            rule.protocol = Some(6);
        }))
        .rule(by("ports", Action::Drop, |rule| {
            rule.protocol = Some(6);
            rule.port = vec![(0, 22), (1000, 20_000)];
        }))
        .rule(by("not from there", Action::Drop, |rule| {
            rule.source = addresses(&["!198.51.100.0/24", "!10.0.0.0/8", "!2001:db8::/32"]);
        }))
        .rule(by("no datagrams to one backend", Action::Drop, |rule| {
            rule.protocol = Some(17);
            rule.destination = addresses(&["10.0.0.12/32"]);
        }))
}
