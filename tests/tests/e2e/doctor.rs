//! `lb doctor`: with each precondition removed in turn, it names that one and no other.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use lb_tests::lab::{Lab, Plan, Process};
use lb_userspace::document::Forward;
use serde_json::Value;

use crate::modes::{SOURCES, unpack};
use crate::scene::{Service, document, lb, skips, vip};

/// The longest that an examination may take.
const LONGEST: Duration = Duration::from_secs(5);
/// The backend that something is taken from.
const SICK: u8 = 2;

/// A lab for a mode, and its document: a service in each family.
pub(crate) struct Clinic {
    pub(crate) lab: Lab,
    pub(crate) text: String,
}

impl Clinic {
    pub(crate) fn new(forward: Forward) -> Self {
        let builder = match forward {
            Forward::FullNat => Lab::builder(),
            Forward::Nat => Lab::builder().routed(),
            Forward::Dsr | Forward::Ipip | Forward::Gue => Lab::builder().dsr(),
        };
        let lab = builder.build().unwrap();
        let more = match forward {
            Forward::FullNat => "forward = \"full-nat\"",
            Forward::Nat => "forward = \"nat\"",
            Forward::Dsr => "forward = \"dsr\"",
            Forward::Ipip => "forward = \"ipip\"",
            Forward::Gue => "forward = \"gue\"",
        };
        let port = Plan::HTTP_PORT;
        let service = |name, v6| Service {
            name,
            v6,
            port,
            more,
            ..Service::web()
        };
        let services = [service("v4", false), service("v6", true)];
        let text = document(&services, &format!("tunnel_source = {SOURCES:?}"));
        Self { lab, text }
    }

    /// What is amiss: service, backend and the word for it.
    fn findings(&self) -> Vec<(String, IpAddr, String)> {
        self.findings_of(&self.text)
    }

    pub(crate) fn findings_of(&self, text: &str) -> Vec<(String, IpAddr, String)> {
        let diagnosis = self.diagnosis(text);
        assert_eq!(at_interfaces(&diagnosis), []);
        let mut findings = Vec::new();
        for backend in diagnosis["backends"].as_array().unwrap() {
            let text = |key: &str| backend[key].as_str().unwrap().to_owned();
            let address: SocketAddr = text("backend").parse().unwrap();
            for code in codes(backend) {
                findings.push((text("service"), address.ip(), code));
            }
        }
        findings
    }

    pub(crate) fn diagnosis(&self, text: &str) -> Value {
        let path = self.lab.footprint().directory().join("doctor.toml");
        std::fs::write(&path, text).unwrap();
        let socket = self.lab.footprint().directory().join("run/lb.sock");
        let begin = Instant::now();
        let mut command = self.lab.balancer().command(lb());
        command
            .arg("--socket")
            .arg(socket)
            .arg("doctor")
            .arg("--config")
            .arg(&path)
            .arg("--json");
        for client in [IpAddr::from(Plan::CLIENT.v4()), Plan::CLIENT.v6().into()] {
            command.arg("--client").arg(client.to_string());
        }
        let output = command.output().unwrap();
        let (out, errors) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
        assert!(begin.elapsed() < LONGEST, "it took {:?}", begin.elapsed());
        let diagnosis: Value = serde_json::from_slice(out).unwrap_or_default();
        assert!(!diagnosis.is_null(), "{errors}");
        let places = ["interfaces", "backends"].map(|key| diagnosis[key].as_array().unwrap());
        let failed = places.into_iter().flatten().any(|at| !codes(at).is_empty());
        assert_eq!(output.status.code(), Some(i32::from(failed)), "{errors}");
        diagnosis
    }

    /// Removes something, looks, puts it back, and looks again.
    fn lacks(&self, families: &[bool], code: &str, remove: impl FnOnce(), restore: impl FnOnce()) {
        remove();
        assert_eq!(self.findings(), sick(families, code));
        restore();
        assert_eq!(self.findings(), [], "{code} is mended");
    }

    fn ip(&self, line: &str) {
        self.lab.backend(SICK).unwrap().ip(&[line]).unwrap();
    }

    fn sysctl(&self, key: &str, value: &str) {
        self.lab.backend(SICK).unwrap().sysctl(key, value).unwrap();
    }
}

/// The words for what is amiss with one interface or backend; each comes with what mends it.
pub(crate) fn codes(of: &Value) -> Vec<String> {
    let findings = of["findings"].as_array().unwrap().iter();
    let codes = findings.map(|finding| {
        assert!(
            !finding["remedy"].as_array().unwrap().is_empty(),
            "{finding}"
        );
        finding["code"].as_str().unwrap().to_owned()
    });
    codes.collect()
}

/// What is amiss with interfaces: which, and the word for it.
pub(crate) fn at_interfaces(diagnosis: &Value) -> Vec<(String, String)> {
    let mut findings = Vec::new();
    for interface in diagnosis["interfaces"].as_array().unwrap() {
        let name = interface["name"].as_str().unwrap();
        findings.extend(
            codes(interface)
                .into_iter()
                .map(|code| (name.to_owned(), code)),
        );
    }
    findings
}

/// Findings of one kind about the sick backend, in services of these families.
fn sick(families: &[bool], code: &str) -> Vec<(String, IpAddr, String)> {
    let host = Plan::backend(SICK);
    let of = |v6: &bool| match v6 {
        false => ("v4".to_owned(), host.v4().into(), code.to_owned()),
        true => ("v6".to_owned(), host.v6().into(), code.to_owned()),
    };
    families.iter().map(of).collect()
}

const BOTH: [bool; 2] = [false, true];

#[test]
fn a_backend_that_is_gone_or_deaf() {
    if skips() {
        return;
    }
    let mut clinic = Clinic::new(Forward::FullNat);
    assert_eq!(clinic.findings(), []);
    clinic.lab.fail_backend(SICK).unwrap();
    assert_eq!(clinic.findings(), sick(&BOTH, "listen"));
    clinic.lab.recover_backend(SICK).unwrap();
    assert_eq!(clinic.findings(), []);
    clinic.ip("link set eth0 down");
    clinic.lab.balancer().ip(&["neigh flush dev eth0"]).unwrap();
    assert_eq!(clinic.findings(), sick(&BOTH, "neighbour"));
}

#[test]
fn nowhere_to_go() {
    if skips() {
        return;
    }
    let clinic = Clinic::new(Forward::Dsr);
    let (here, away) = (Plan::backend(SICK).v4().to_string(), "192.0.2.77");
    let text = clinic.text.replace(&here, away);
    let found = |code: &str| [("v4".to_owned(), away.parse().unwrap(), code.to_owned())];
    assert_eq!(clinic.findings_of(&text), found("no-route"));
    let via = format!("route add {away}/32 via {here} dev eth0");
    clinic.lab.balancer().ip(&[&via]).unwrap();
    assert_eq!(clinic.findings_of(&text), found("shared-link"));
}

#[test]
fn nat_lacks_the_route_back() {
    if skips() {
        return;
    }
    let clinic = Clinic::new(Forward::Nat);
    assert_eq!(clinic.findings(), []);
    let route = |word: &str, to: IpAddr, via: IpAddr| {
        clinic.ip(&format!("route {word} {to} via {via} dev eth0"));
    };
    let v4 = |word: &str| route(word, Plan::CLIENT.v4().into(), Plan::BALANCER.v4().into());
    let v6 = |word: &str| route(word, Plan::CLIENT.v6().into(), Plan::BALANCER.v6().into());
    clinic.lacks(&[false], "route-back", || v4("del"), || v4("add"));
    clinic.lacks(&[true], "route-back", || v6("del"), || v6("add"));
}

#[test]
fn dsr_lacks_each_of_its_settings() {
    if skips() {
        return;
    }
    let clinic = Clinic::new(Forward::Dsr);
    assert_eq!(clinic.findings(), []);
    lacks_vip(&clinic);
    let set = |name: &str, value: &str| {
        clinic.sysctl(&format!("net/ipv4/conf/all/{name}"), value);
    };
    let ignore = |value: &str| set("arp_ignore", value);
    clinic.lacks(&[false], "arp-ignore", || ignore("0"), || ignore("1"));
    let announce = |value: &str| set("arp_announce", value);
    clinic.lacks(&[false], "arp-announce", || announce("0"), || announce("2"));
    let mtu = |bytes: &str| clinic.ip(&format!("link set eth0 mtu {bytes}"));
    clinic.lacks(&BOTH, "mtu", || mtu("1400"), || mtu("1500"));
}

fn lacks_vip(clinic: &Clinic) {
    let address = |word: &str, v6: bool| {
        let (prefix, more) = if v6 { (128, " nodad") } else { (32, "") };
        let more = if word == "add" { more } else { "" };
        let vip = vip(v6, 0).ip();
        clinic.ip(&format!("addr {word} {vip}/{prefix} dev lo{more}"));
    };
    for v6 in BOTH {
        clinic.lacks(&[v6], "vip", || address("del", v6), || address("add", v6));
    }
}

/// A tunnel without an end, with one that trusts others, and one that unpacks for nobody.
fn tunnel(forward: Forward) {
    if skips() {
        return;
    }
    let clinic = Clinic::new(forward);
    let mut unpacking = unpack(&clinic.lab, &SOURCES);
    assert_eq!(clinic.findings(), []);
    lacks_vip(&clinic);
    drop(unpacking.remove(usize::from(SICK) - 1));
    assert_eq!(clinic.findings(), sick(&BOTH, "decapsulation"));
    let others = ["decap", Plan::INTERFACE, "--from", "203.0.113.0/24"];
    let others: Process = clinic
        .lab
        .start_on_backend(SICK, &lb(), &others, "unpacking")
        .unwrap();
    assert_eq!(clinic.findings(), sick(&BOTH, "tunnel-source"));
    drop(others);
}

#[test]
fn ipip_lacks_its_end() {
    tunnel(Forward::Ipip);
}

#[test]
fn gue_lacks_its_end() {
    tunnel(Forward::Gue);
}
