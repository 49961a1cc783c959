//! Every mode of forwarding, to backends that are set up for it: those of tunnels run `lb decap`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use lb_tests::lab::client::{connect, http_get, udp_ask};
use lb_tests::lab::server::echoed_by;
use lb_tests::lab::{Lab, Plan, Process, send_frame, wait_until};
use lb_tests::packet::{Packet, Trouble};
use nix::sys::signal::Signal;

use crate::scene::{
    BOUND, backend, backend_stats, connections, greeting, lb, packets, skips, tally, vip,
};

/// The outer sources; no host has them, and nobody answers to them.
pub(crate) const SOURCES: [&str; 2] = ["172.16.0.0/16", "100::/64"];
const BACKENDS: u8 = 3;
/// The source port of datagrams in fragments.
const FRAGMENTS_PORT: u16 = 30_000;
/// Connections to each backend.
const EACH: u64 = 10;

/// A document with one service, whose backends may be of the other family.
fn document(forward: &str, v6: bool, crosses: bool) -> String {
    let mut text = format!(
        "interfaces = [\"{}\"]\ntunnel_source = {SOURCES:?}\n",
        Plan::INTERFACE
    );
    for (name, protocol, port) in [
        ("tcp", "tcp", Plan::HTTP_PORT),
        ("udp", "udp", Plan::HTTP_PORT),
        ("echo", "tcp", Plan::ECHO_PORT),
    ] {
        let vip = vip(v6, port);
        let _ = write!(
            text,
            "[[service]]\nname = \"{name}\"\nvip = \"{vip}/{protocol}\"\nforward = \
             \"{forward}\"\nbackend = [\n"
        );
        for number in 1..=BACKENDS {
            let address = backend(number, v6 != crosses, port);
            let _ = writeln!(text, "  {{ address = \"{address}\" }},");
        }
        text += "]\n";
    }
    text
}

/// Sends a megabyte through a connection and gets it back. Full segments do not fit the tunnel until
/// the client has been told so.
fn exchange(to: SocketAddr) -> Result<(), String> {
    let sent: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
    let mut stream = connect(to, BOUND).map_err(|error| error.to_string())?;
    let mut writer = stream.try_clone().map_err(|error| error.to_string())?;
    let upload = sent.clone();
    let writing = std::thread::spawn(move || writer.write_all(&upload));
    greeting(&mut stream)?;
    let mut received = vec![0; sent.len()];
    let read = stream.read_exact(&mut received);
    read.map_err(|error| error.to_string())?;
    let written = writing
        .join()
        .map_err(|_| "the writer panicked".to_owned())?;
    written.map_err(|error| error.to_string())?;
    (received == sent)
        .then_some(())
        .ok_or("it came back changed".to_owned())
}

/// Sends a datagram of six fragments and gets it back in as many. The first that does not fit a tunnel
/// is lost, and tells the client so.
fn exchange_fragments(to: SocketAddr) -> Result<(), String> {
    let payload: Vec<u8> = (0..=250).cycle().take(8 << 10).collect();
    let bound = std::time::Duration::from_millis(500);
    let mut answers = (0..4).map(|_| udp_ask(to, FRAGMENTS_PORT, &payload, bound));
    let answer = answers.find_map(Result::ok).ok_or("no answer")?;
    echoed_by(&answer, &payload).ok_or("it came back changed")?;
    Ok(())
}

/// Starts `lb decap` on every backend.
pub(crate) fn unpack(lab: &Lab, from: &[&str]) -> Vec<Process> {
    let mut arguments = vec!["decap", Plan::INTERFACE];
    for prefix in from {
        arguments.extend(["--from", prefix]);
    }
    (1..=BACKENDS)
        .map(|number| {
            lab.start_on_backend(number, &lb(), &arguments, "unpacking")
                .unwrap()
        })
        .collect()
}

/// Ends `lb decap` everywhere; what each said.
fn stop(unpacking: Vec<Process>) -> Vec<String> {
    let stopped = unpacking.into_iter().map(|mut process| {
        process.signal(Signal::SIGTERM).unwrap();
        assert!(process.wait(BOUND).unwrap().success());
        process.log()
    });
    stopped.collect()
}

/// How packets reach the backends.
#[derive(Clone, Copy)]
struct Mode {
    forward: &'static str,
    v6: bool,
    /// The backends are of the other family.
    crosses: bool,
}

impl Mode {
    fn is_tunnel(self) -> bool {
        matches!(self.forward, "ipip" | "gue")
    }

    /// The lab whose backends are set up for it.
    fn lab(self) -> Lab {
        let builder = match self.forward {
            "full-nat" => Lab::builder(),
            "nat" => Lab::builder().routed(),
            _ => Lab::builder().dsr(),
        };
        builder.build().unwrap()
    }

    /// Connections and datagrams reach every backend in its turn, and a megabyte goes there and back.
    fn is_served(self) {
        if skips() {
            return;
        }
        let lab = self.lab();
        let unpacking = if self.is_tunnel() {
            unpack(&lab, &SOURCES)
        } else {
            Vec::new()
        };
        let daemon = lab
            .start_daemon(&lb(), &document(self.forward, self.v6, self.crosses))
            .unwrap();
        let to = vip(self.v6, Plan::HTTP_PORT);
        let each: BTreeMap<String, u64> = (1..=BACKENDS)
            .map(|number| (Plan::backend_name(number), EACH))
            .collect();
        let count = u64::from(BACKENDS) * EACH;
        let get = |_| http_get(to, "/", BOUND).unwrap().text();
        let pages = lab
            .client()
            .enter(|| (0..count).map(get).collect::<Vec<_>>());
        assert_eq!(tally(pages.unwrap()), each);
        let ask = |index: u64| {
            let payload = index.to_be_bytes();
            let source = 20_000 + index as u16;
            echoed_by(&udp_ask(to, source, &payload, BOUND).unwrap(), &payload).unwrap()
        };
        let echoes = lab
            .client()
            .enter(|| (0..count).map(ask).collect::<Vec<_>>());
        assert_eq!(tally(echoes.unwrap()), each);
        for service in ["tcp", "udp"] {
            assert_eq!(connections(&daemon, service), [EACH; BACKENDS as usize]);
        }
        let large = vip(self.v6, Plan::ECHO_PORT);
        lab.client().enter(|| exchange(large)).unwrap().unwrap();
        let fragments = lab.client().enter(|| exchange_fragments(to)).unwrap();
        fragments.unwrap();
        if self.is_tunnel() {
            let told = packets(&daemon, "too_big_told");
            assert!(told > 0, "nobody was told that a packet does not fit");
        }
        daemon.stop().unwrap();
        for log in stop(unpacking) {
            assert!(
                log.contains("dropped 0 of other sources, 0 malformed"),
                "{log}"
            );
        }
    }
}

/// A test for every mode: its backends may be of the VIP's family or of the other.
macro_rules! modes {
    ($($name:ident: $forward:literal, $v6:literal, $crosses:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let (forward, v6, crosses) = ($forward, $v6, $crosses);
                Mode { forward, v6, crosses }.is_served();
            }
        )*
    };
}

modes! {
    full_nat: "full-nat", false, false;
    full_nat_over_ipv6: "full-nat", true, false;
    full_nat_from_ipv4_to_ipv6: "full-nat", false, true;
    full_nat_from_ipv6_to_ipv4: "full-nat", true, true;
    nat: "nat", false, false;
    nat_over_ipv6: "nat", true, false;
    dsr: "dsr", false, false;
    dsr_over_ipv6: "dsr", true, false;
    ipip: "ipip", false, false;
    ipip_over_ipv6: "ipip", true, false;
    ipip_from_ipv4_to_ipv6: "ipip", false, true;
    ipip_from_ipv6_to_ipv4: "ipip", true, true;
    gue: "gue", false, false;
    gue_over_ipv6: "gue", true, false;
    gue_from_ipv4_to_ipv6: "gue", false, true;
    gue_from_ipv6_to_ipv4: "gue", true, true;
}

#[test]
fn tunnels_of_strangers_are_dropped() {
    if skips() {
        return;
    }
    let lab = Lab::builder().dsr().build().unwrap();
    let unpacking = unpack(&lab, &["172.17.0.0/16"]);
    let daemon = lab
        .start_daemon(&lb(), &document("ipip", false, false))
        .unwrap();
    let to = vip(false, Plan::HTTP_PORT);
    let bound = std::time::Duration::from_millis(300);
    let answer = lab
        .client()
        .enter(|| udp_ask(to, 20_000, b"anybody?", bound))
        .unwrap();
    assert!(answer.is_err(), "a stranger's tunnel was unpacked");
    daemon.stop().unwrap();
    let logs = stop(unpacking);
    let dropped = logs
        .iter()
        .filter(|log| log.contains("dropped 1 of other sources"));
    assert_eq!(dropped.count(), 1, "{logs:?}");
}

#[test]
fn the_path_mtu_of_a_tunnel_is_learned() {
    if skips() {
        return;
    }
    let lab = Lab::builder().dsr().build().unwrap();
    let unpacking = unpack(&lab, &SOURCES);
    let daemon = lab
        .start_daemon(&lb(), &document("ipip", false, false))
        .unwrap();
    let mtus = || {
        let numbers = (1..=BACKENDS).map(|number| backend(number, false, Plan::ECHO_PORT));
        let stats = numbers.map(|address| backend_stats(&daemon, "echo", address));
        stats.map(|stats| stats.mtu).collect::<Vec<_>>()
    };
    assert_eq!(mtus(), [Some(1500); BACKENDS as usize]);
    // As a router before the backend would say it, with as little as it may quote.
    let far = backend(1, false, 0);
    let sent = Packet::raw("172.16.0.9:0".parse().unwrap(), far, 4);
    let error = sent
        .reported(far, Trouble::TooBig(1400), 28)
        .link(Plan::backend(1).mac_bytes(), Plan::BALANCER.mac_bytes());
    lab.backend(1)
        .unwrap()
        .enter(|| send_frame(Plan::INTERFACE, &error.bytes()))
        .unwrap()
        .unwrap();
    let learned = [Some(1400), Some(1500), Some(1500)];
    wait_until("the daemon learns the path MTU", BOUND, || {
        Ok((mtus() == learned).then_some(()))
    })
    .unwrap();
    assert_eq!(packets(&daemon, "path_mtu"), 1);
    let large = vip(false, Plan::ECHO_PORT);
    for _ in 1..=BACKENDS {
        lab.client().enter(|| exchange(large)).unwrap().unwrap();
    }
    daemon.stop().unwrap();
    stop(unpacking);
}
