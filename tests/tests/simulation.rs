//! A seeded simulation on the host: many clients whose frames are interleaved, lost, doubled and
//! reordered, while backends come and go. After each frame the engine's promises are checked.
//!
//! `LB_SEED` runs one seed of your own; a failure prints it with the command that repeats it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use lb_common::abi::Reason;
use lb_tests::packet::{ACK, FIN, Packet, SYN, verify};
use lb_tests::ring::{Ran, Ring as _};
use lb_tests::world::{BackendSetup, Setup, World, addresses, rule};
use lb_userspace::document::{Action, Forward, Protocol, Rule};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Steps of one run.
const STEPS: u32 = 20_000;
/// Frames under way at most, from which the next is taken at random: the CPUs' receive queues.
const QUEUE: usize = 16;
/// Flows at most; the tables hold all of them.
const FLOWS: usize = 300;
const NAME: &str = "web";

/// What clients know of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Up,
    Draining,
    Down,
    Absent,
}

/// One connection.
#[derive(Debug, Clone)]
struct Client {
    address: SocketAddr,
    denied: bool,
    /// The backend of its last packet, while that was never taken from it.
    backend: Option<SocketAddr>,
    /// The last frame that the backend got, to be answered.
    seen_as: Option<SocketAddr>,
}

struct Simulation {
    random: StdRng,
    setup: Setup,
    world: World,
    vip: SocketAddr,
    tcp: bool,
    nat: bool,
    lives: BTreeMap<SocketAddr, Life>,
    clients: Vec<Client>,
    queue: Vec<(usize, Vec<u8>)>,
    /// New flows by backend since the set of backends last changed.
    window: BTreeMap<SocketAddr, u64>,
    next_port: u16,
}

impl Simulation {
    fn new(seed: u64, v6: bool, tcp: bool, nat: bool) -> Self {
        let ip = |v4: [u8; 4], last: u16| {
            if v6 {
                IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])
            } else {
                IpAddr::from(v4)
            }
        };
        let vip = SocketAddr::new(ip([192, 0, 2, 10], 10), 80);
        let port = if nat { 8080 } else { 80 };
        let backends: Vec<SocketAddr> = (1..=5)
            .map(|n| SocketAddr::new(ip([10, 0, 0, 10 + n], 0x100 + u16::from(n)), port))
            .collect();
        let setups: Vec<BackendSetup> = backends.iter().map(|b| BackendSetup::new(*b)).collect();
        let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
        let forward = if nat { Forward::FullNat } else { Forward::Dsr };
        let denied = Rule {
            source: addresses(&["203.0.113.0/24", "2001:db8:bad::/48"]),
            ..rule("denied", Action::Drop)
        };
        let mut setup = Setup::new(&[ip([10, 0, 0, 1], 0x200)])
            .nat_ports(20_000, 20_000)
            .flows(4096)
            .service(NAME, vip, protocol, forward, &setups)
            .rule(denied);
        let world = World::new(&setup.tables(), seed);
        Self {
            random: StdRng::seed_from_u64(seed),
            setup,
            world,
            vip,
            tcp,
            nat,
            lives: backends
                .into_iter()
                .map(|backend| (backend, Life::Up))
                .collect(),
            clients: Vec::new(),
            queue: Vec::new(),
            window: BTreeMap::new(),
            next_port: 1024,
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            match self.random.random_range(0..100) {
                0 => self.churn(),
                1..20 => self.open(),
                20..60 => self.send(ACK),
                60..64 => self.send(ACK | FIN),
                64..75 if self.nat => self.answer(),
                _ => self.deliver(),
            }
            if self.random.random_range(0..200) == 0 {
                self.world.now.0 += 1;
            }
        }
    }

    /// A new client sends its first packet.
    fn open(&mut self) {
        self.next_port = self.next_port.wrapping_add(1).max(1024);
        let denied = self.random.random_range(0..10) == 0;
        let ip: IpAddr = match (self.vip.is_ipv6(), denied) {
            (false, false) => [198, 51, 100, 7].into(),
            (false, true) => [203, 0, 113, 9].into(),
            (true, false) => [0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 7].into(),
            (true, true) => [0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 9].into(),
        };
        let address = SocketAddr::new(ip, self.next_port);
        let client = Client {
            address,
            denied,
            backend: None,
            seen_as: None,
        };
        if self.clients.len() < FLOWS {
            self.clients.push(client);
        } else {
            let at = self.random.random_range(0..FLOWS);
            self.queue.retain(|(index, _)| *index != at);
            self.clients[at] = client;
        }
        let at = self
            .clients
            .iter()
            .position(|c| c.address == address)
            .unwrap();
        self.enqueue(at, SYN);
    }

    /// A client that is connected sends on.
    fn send(&mut self, flags: u8) {
        if self.clients.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.clients.len());
        // Nobody sends data before the first packet was answered.
        if self.clients[at].backend.is_some() || self.clients[at].denied {
            self.enqueue(at, flags);
        }
    }

    /// Puts a frame under way: some are lost, some doubled.
    fn enqueue(&mut self, at: usize, flags: u8) {
        let source = self.clients[at].address;
        let packet = if self.tcp {
            Packet::tcp(source, self.vip, flags)
        } else {
            Packet::udp(source, self.vip)
        };
        let copies = [0, 1, 1, 1, 1, 1, 1, 1, 1, 2][self.random.random_range(0..10)];
        for _ in 0..copies {
            let length = self.random.random_range(0..40);
            self.queue
                .push((at, packet.clone().payload(&vec![7; length]).bytes()));
        }
        while self.queue.len() > QUEUE {
            self.deliver();
        }
    }

    /// Any of the frames under way arrives.
    fn deliver(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let next = self.random.random_range(0..self.queue.len());
        let (at, frame) = self.queue.swap_remove(next);
        let ran = self.world.run(&frame);
        self.judge(at, &frame, &ran);
    }

    /// The promises about a client's frame.
    fn judge(&mut self, at: usize, frame: &[u8], ran: &Ran) {
        let client = self.clients[at].clone();
        if !ran.is_forwarded() {
            assert_eq!(
                ran.frame, frame,
                "a frame that is not forwarded is untouched"
            );
            let serving = self.lives.values().any(|life| *life == Life::Up);
            assert!(
                client.denied || !serving || ran.reason() == Some(Reason::StrayReset),
                "{client:?} was not forwarded: {:?}",
                ran.reason()
            );
            if ran.reason() == Some(Reason::NoBackend) {
                // Its backend was down, and there was no other: the flow is forgotten.
                self.clients[at].backend = None;
                self.clients[at].seen_as = None;
            }
            return;
        }
        assert!(!client.denied, "{client:?} is denied and was forwarded");
        let received = verify::receive(&ran.frame).unwrap();
        let backend = self.backend_of(&ran.frame);
        let life = self.lives[&backend];
        assert!(
            matches!(life, Life::Up | Life::Draining),
            "{backend} is {life:?}"
        );
        if let Some(before) = client.backend {
            let kept = matches!(self.lives[&before], Life::Up | Life::Draining);
            assert!(
                !kept || backend == before,
                "{client:?} was moved to {backend}"
            );
        }
        if self.nat {
            assert_eq!(received.destination, backend);
        } else {
            assert_eq!(
                (received.source, received.destination),
                (client.address, self.vip)
            );
        }
        if ran.trace.new_flow == 1 {
            assert_eq!(life, Life::Up, "only backends that are up get new flows");
            *self.window.entry(backend).or_default() += 1;
            self.assert_even();
        }
        self.clients[at].backend = Some(backend);
        self.clients[at].seen_as = Some(received.source);
    }

    /// The backend whose Ethernet address the frame has.
    fn backend_of(&self, frame: &[u8]) -> SocketAddr {
        let last = |backend: &SocketAddr| match backend.ip() {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(ip) => ip.octets()[15],
        };
        *self
            .lives
            .keys()
            .find(|backend| last(backend) == frame[5])
            .unwrap()
    }

    /// In a window without changes no backend is ahead of another by more than one.
    fn assert_even(&self) {
        let up = self.lives.iter().filter(|(_, life)| **life == Life::Up);
        let counts = up.map(|(backend, _)| self.window.get(backend).copied().unwrap_or_default());
        let counts: Vec<u64> = counts.collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "uneven: {:?}", self.window);
    }

    /// A backend answers what it got last from some client.
    fn answer(&mut self) {
        let talking: Vec<Client> = self
            .clients
            .iter()
            .filter(|client| client.seen_as.is_some())
            .cloned()
            .collect();
        if talking.is_empty() {
            return;
        }
        let client = &talking[self.random.random_range(0..talking.len())];
        let (Some(backend), Some(ours)) = (client.backend, client.seen_as) else {
            return;
        };
        let packet = if self.tcp {
            Packet::tcp(backend, ours, ACK)
        } else {
            Packet::udp(backend, ours)
        };
        let ran = self.world.run(&packet.payload(b"answer").bytes());
        if matches!(self.lives[&backend], Life::Up | Life::Draining) {
            assert_eq!(ran.reason(), Some(Reason::ToClient), "{client:?}");
            let received = verify::receive(&ran.frame).unwrap();
            assert_eq!(
                (received.source, received.destination),
                (self.vip, client.address)
            );
        }
    }

    /// A backend changes its state, or leaves, or comes back.
    fn churn(&mut self) {
        let backends: Vec<SocketAddr> = self.lives.keys().copied().collect();
        let backend = backends[self.random.random_range(0..backends.len())];
        let lives = [Life::Up, Life::Up, Life::Draining, Life::Down, Life::Absent];
        let life = lives[self.random.random_range(0..lives.len())];
        let others = self
            .lives
            .values()
            .filter(|life| **life != Life::Absent)
            .count();
        if life == Life::Absent && others < 3 {
            return;
        }
        let writes = self.setup.change(|setup| {
            setup.remove(NAME, backend);
            if life != Life::Absent {
                let mut entry = BackendSetup::new(backend);
                entry.drain = life == Life::Draining;
                entry.healthy = life != Life::Down;
                setup.put(NAME, &entry);
            }
        });
        self.world.apply(&writes);
        self.lives.insert(backend, life);
        self.window.clear();
        if matches!(life, Life::Down | Life::Absent) {
            // Its flows are gone, also if it comes back before their next packet.
            for client in self
                .clients
                .iter_mut()
                .filter(|c| c.backend == Some(backend))
            {
                client.seen_as = None;
                if life == Life::Absent {
                    client.backend = None;
                }
            }
        }
    }
}

#[test]
fn the_promises_hold_whatever_happens() {
    let own = std::env::var("LB_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seeds: Vec<u64> = own.map_or_else(|| (1..=5).collect(), |seed| vec![seed]);
    for seed in seeds {
        println!("again: LB_SEED={seed} cargo test -p lb-tests --test simulation");
        for bits in 0..8_u8 {
            let [v6, tcp, nat] = [0, 1, 2].map(|bit| bits >> bit & 1 == 1);
            println!("seed {seed}, v6 {v6}, tcp {tcp}, full-nat {nat}");
            Simulation::new(seed, v6, tcp, nat).run();
        }
    }
}
