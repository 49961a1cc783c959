//! What the tests share: a lab with a daemon, its documents, and its counters.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use lb_tests::lab::client::connect;
use lb_tests::lab::{Daemon, Lab, Plan, beside_this_program, obstacle};
use lb_userspace::api::types::{BackendState, BackendStats, ServiceStats};

/// How long anything local may take.
pub(crate) const BOUND: Duration = Duration::from_secs(5);

/// Says why and returns true where the lab cannot run.
pub(crate) fn skips() -> bool {
    let Some(obstacle) = obstacle() else {
        return false;
    };
    assert!(std::env::var_os("CI").is_none(), "{obstacle}");
    println!("skipped: {obstacle}");
    true
}

/// The binary `lb` of this build.
pub(crate) fn lb() -> PathBuf {
    beside_this_program("lb").unwrap()
}

/// The address of the virtual TCP service, by family.
pub(crate) fn vip(v6: bool, port: u16) -> SocketAddr {
    if v6 {
        Plan::VIP.v6_port(port)
    } else {
        Plan::VIP.v4_port(port)
    }
}

/// A backend's address.
pub(crate) fn backend(number: u8, v6: bool, port: u16) -> SocketAddr {
    let host = Plan::backend(number);
    if v6 {
        host.v6_port(port)
    } else {
        host.v4_port(port)
    }
}

/// A service of a document.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) v6: bool,
    pub(crate) protocol: &'static str,
    /// The VIP's port.
    pub(crate) port: u16,
    /// The backends' port.
    pub(crate) backend_port: u16,
    /// Further lines, such as `forward = "dsr"`.
    pub(crate) more: &'static str,
    /// The backends' numbers and further keys, such as `, weight = 2`.
    pub(crate) backends: Vec<(u8, &'static str)>,
}

impl Service {
    /// HTTP over three backends by full-nat.
    pub(crate) fn web() -> Self {
        Self {
            name: "web",
            v6: false,
            protocol: "tcp",
            port: 80,
            backend_port: Plan::HTTP_PORT,
            more: "",
            backends: vec![(1, ""), (2, ""), (3, "")],
        }
    }

    /// The long-lived echo service over three backends by full-nat.
    pub(crate) fn echo() -> Self {
        Self {
            name: "echo",
            port: 81,
            backend_port: Plan::ECHO_PORT,
            ..Self::web()
        }
    }
}

/// A document of services and whatever else.
pub(crate) fn document(services: &[Service], more: &str) -> String {
    let mut text = format!("interfaces = [\"{}\"]\n{more}\n", Plan::INTERFACE);
    for service in services {
        let vip = vip(service.v6, service.port);
        let _ = write!(
            text,
            "[[service]]\nname = \"{}\"\nvip = \"{vip}/{}\"\n{}\nbackend = [\n",
            service.name, service.protocol, service.more
        );
        for (number, more) in &service.backends {
            let address = backend(*number, service.v6, service.backend_port);
            let _ = writeln!(text, "  {{ address = \"{address}\"{more} }},");
        }
        text += "]\n";
    }
    text
}

/// A check that notices quickly.
pub(crate) const QUICK_CHECK: &str = "check = { kind = \"http\", path = \"/healthz\", port = 8080, \
    interval = \"200ms\", timeout = \"150ms\", rise = 2, fall = 2 }";

/// How many packets left for each reason that there was.
pub(crate) fn reasons(daemon: &Daemon) -> BTreeMap<String, u64> {
    let reasons = daemon.stats().unwrap().reasons.into_iter();
    let counted = reasons.filter(|counted| counted.packets > 0);
    counted
        .map(|counted| (counted.name, counted.packets))
        .collect()
}

/// How many packets left for a reason.
pub(crate) fn packets(daemon: &Daemon, reason: &str) -> u64 {
    reasons(daemon).get(reason).copied().unwrap_or(0)
}

/// One service's counters.
pub(crate) fn service_stats(daemon: &Daemon, name: &str) -> ServiceStats {
    let stats = daemon.stats().unwrap();
    stats
        .services
        .into_iter()
        .find(|service| service.name == name)
        .unwrap()
}

/// Connections by backend, in the order of the document.
pub(crate) fn connections(daemon: &Daemon, name: &str) -> Vec<u64> {
    let service = service_stats(daemon, name);
    service
        .backends
        .iter()
        .map(|backend| backend.traffic.connections)
        .collect()
}

/// One backend's counters.
pub(crate) fn backend_stats(daemon: &Daemon, service: &str, address: SocketAddr) -> BackendStats {
    let service = service_stats(daemon, service);
    service
        .backends
        .into_iter()
        .find(|backend| backend.address == address)
        .unwrap()
}

/// A rule's packets.
pub(crate) fn rule_packets(daemon: &Daemon, name: &str) -> u64 {
    let stats = daemon.stats().unwrap();
    stats
        .rules
        .iter()
        .find(|rule| rule.name == name)
        .unwrap()
        .packets
}

/// Waits for a backend's state.
pub(crate) fn wait_state(daemon: &Daemon, service: &str, address: SocketAddr, state: BackendState) {
    lb_tests::lab::wait_until("the backend's state", BOUND, || {
        Ok((backend_stats(daemon, service, address).state == state).then_some(()))
    })
    .unwrap();
}

/// How often each answer came.
pub(crate) fn tally(answers: impl IntoIterator<Item = String>) -> BTreeMap<String, u64> {
    let mut tally = BTreeMap::new();
    for answer in answers {
        *tally.entry(answer).or_default() += 1;
    }
    tally
}

/// Reads the line with which the echo service greets: the backend's name.
pub(crate) fn greeting(stream: &mut TcpStream) -> Result<String, String> {
    let mut greeting = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        let read = stream.read_exact(&mut byte);
        read.map_err(|error| format!("after {greeting:?}: {error}"))?;
        greeting.push(byte[0]);
    }
    let name = String::from_utf8(greeting).map_err(|error| error.to_string())?;
    Ok(name.trim().to_owned())
}

/// A connection to the echo service that stays.
pub(crate) struct LongLived {
    stream: TcpStream,
    /// The backend that greeted.
    pub(crate) backend: String,
    sent: u64,
}

impl LongLived {
    /// Connects from the client's namespace and reads the greeting.
    pub(crate) fn open(lab: &Lab, to: SocketAddr) -> Self {
        let mut stream = lab.client().enter(|| connect(to, BOUND)).unwrap().unwrap();
        let backend = greeting(&mut stream).unwrap();
        Self {
            stream,
            backend,
            sent: 0,
        }
    }

    /// Sends something that was never sent before and reads it back.
    pub(crate) fn echoes(&mut self) -> std::io::Result<()> {
        self.sent += 1;
        self.stream.write_all(&self.message())?;
        self.overdue()
    }

    /// Reads the echo of the last message, which has not come yet.
    pub(crate) fn overdue(&mut self) -> std::io::Result<()> {
        let message = self.message();
        let mut answer = vec![0; message.len()];
        self.stream.read_exact(&mut answer)?;
        assert_eq!(answer, message);
        Ok(())
    }

    fn message(&self) -> Vec<u8> {
        format!("message {:08}", self.sent).into_bytes()
    }

    /// Bounds how long an echo may take.
    pub(crate) fn patience(&self, bound: Duration) {
        self.stream.set_read_timeout(Some(bound)).unwrap();
    }
}
