//! `lb doctor` about this host: what leaves an interface as XDP sends it, and what the interface does
//! to packets before.

use std::net::TcpListener;

use lb_tests::lab::{Plan, wait_until};
use lb_userspace::document::Forward;
use serde_json::Value;

use crate::doctor::{Clinic, at_interfaces, codes};
use crate::scene::{BOUND, lb, skips};

/// The balancer's second interface, and its other end in the attacker's namespace.
const SECOND: &str = "eth1";
const SECOND_FAR: &str = "far1";
/// On the link between the two, at the attacker's end.
const NEIGHBOUR: &str = "10.88.0.2";

impl Clinic {
    /// A second interface of the balancer.
    fn second_interface(&self) {
        let (balancer, far) = (self.lab.balancer(), self.lab.attacker());
        let line = format!(
            "link add {SECOND} type veth peer name {SECOND_FAR} netns {}",
            far.name()
        );
        let up = format!("link set {SECOND} up");
        let address = format!("addr add 10.88.0.1/24 dev {SECOND}");
        balancer.ip(&[&line, &up, &address]).unwrap();
        let up = format!("link set {SECOND_FAR} up");
        let address = format!("addr add {NEIGHBOUR}/24 dev {SECOND_FAR}");
        far.ip(&[&up, &address]).unwrap();
    }

    /// Generic receive offload of the switch's port to the balancer.
    fn port_gro(&self, state: &str) {
        let words = ["ethtool", "-K", "p-balancer", "gro", state];
        self.lab.switch().run(&words).unwrap();
    }
}

/// The document, with both interfaces in it.
fn with_both(text: &str) -> String {
    let both = format!("interfaces = [\"{}\", \"{SECOND}\"]", Plan::INTERFACE);
    let replaced = text.replace(&format!("interfaces = [\"{}\"]", Plan::INTERFACE), &both);
    assert_ne!(replaced, text);
    replaced
}

/// What is said of TX and REDIRECT at the interface of this name.
fn exits(diagnosis: &Value, name: &str) -> [String; 2] {
    let mut interfaces = diagnosis["interfaces"].as_array().unwrap().iter();
    let interface = interfaces.find(|one| one["name"] == name).unwrap();
    ["tx", "redirect"].map(|exit| interface[exit]["works"].as_str().unwrap().to_owned())
}

fn at_first(codes: &[&str]) -> Vec<(String, String)> {
    let of = |code: &&str| (Plan::INTERFACE.to_owned(), (*code).to_owned());
    codes.iter().map(of).collect()
}

/// What is sent back needs a program at the other end of the veth, what is redirected a program or
/// receive offload.
#[test]
fn what_xdp_sends_gets_lost() {
    if skips() {
        return;
    }
    let mut clinic = Clinic::new(Forward::FullNat);
    clinic.second_interface();
    let text = with_both(&clinic.text);
    let is = |clinic: &Clinic, said: [&str; 2], found: &[&str]| {
        let diagnosis = clinic.diagnosis(&text);
        assert_eq!(exits(&diagnosis, Plan::INTERFACE), said);
        assert_eq!(at_interfaces(&diagnosis), at_first(found));
        // Nobody to ask is behind the second.
        assert_eq!(exits(&diagnosis, SECOND), ["not_tried", "not_tried"]);
    };
    is(&clinic, ["yes", "yes"], &[]);
    clinic.lab.let_frames_back(false).unwrap();
    is(&clinic, ["no", "no"], &["tx", "redirect"]);
    clinic.port_gro("on");
    is(&clinic, ["no", "yes"], &["tx"]);
    clinic.port_gro("off");
    // The command that is printed.
    let program = lb();
    let words = ["decap", "p-balancer", "--from", "127.0.0.0/8"];
    let mut command = vec![program.to_str().unwrap()];
    command.extend(words);
    let passing = clinic.lab.switch().spawn("passing", &command).unwrap();
    wait_until("a program at the other end", BOUND, || {
        Ok(passing.log().contains("unpacking").then_some(()))
    })
    .unwrap();
    is(&clinic, ["yes", "yes"], &[]);
    drop(passing);
    clinic.lab.let_frames_back(true).unwrap();
    is(&clinic, ["yes", "yes"], &[]);
}

/// An interface that backends are behind and that is not in the document.
#[test]
fn what_is_redirected_outside_gets_lost() {
    if skips() {
        return;
    }
    let clinic = Clinic::new(Forward::FullNat);
    clinic.second_interface();
    let here = Plan::backend(1).v4().to_string();
    let text = clinic.text.replace(&here, NEIGHBOUR);
    let listen = || TcpListener::bind((NEIGHBOUR, Plan::HTTP_PORT));
    let _listener = clinic.lab.attacker().enter(listen).unwrap().unwrap();
    let gro = |state: &str| {
        let words = ["ethtool", "-K", SECOND_FAR, "gro", state];
        clinic.lab.attacker().run(&words).unwrap();
    };
    assert_eq!(
        at_interfaces(&clinic.diagnosis(&text)),
        at_first(&["redirect"])
    );
    gro("on");
    assert_eq!(clinic.findings_of(&text), []);
}

/// Receive offload in front of generic XDP; where that runs, no live frame is tried.
#[test]
fn segments_are_merged_before_generic_xdp() {
    if skips() {
        return;
    }
    let mut clinic = Clinic::new(Forward::FullNat);
    // Generic XDP sends like anybody.
    clinic.lab.let_frames_back(false).unwrap();
    let text = format!("xdp_mode = \"generic\"\n{}", clinic.text);
    let gro = |state: &str| {
        let words = ["ethtool", "-K", Plan::INTERFACE, "gro", state];
        clinic.lab.balancer().run(&words).unwrap();
    };
    gro("on");
    let diagnosis = clinic.diagnosis(&text);
    assert_eq!(at_interfaces(&diagnosis), at_first(&["gro"]));
    assert_eq!(exits(&diagnosis, Plan::INTERFACE)[0], "generic");
    gro("off");
    assert_eq!(clinic.findings_of(&text), []);
}

/// Beside the daemon: its mode and why, and what is known of host and interface.
#[test]
fn the_daemon_says_why() {
    if skips() {
        return;
    }
    let clinic = Clinic::new(Forward::Dsr);
    let daemon = clinic.lab.start_daemon(&lb(), &clinic.text).unwrap();
    let diagnosis = clinic.diagnosis(&clinic.text);
    let interface = &diagnosis["interfaces"][0];
    assert_eq!(codes(interface), [""; 0]);
    assert_eq!(interface["xdp"], "native", "{interface}");
    assert_eq!(interface["xdp_why"], "the driver has it");
    assert_eq!(interface["driver"], "veth");
    assert_eq!(interface["queues"], 1);
    assert_eq!(exits(&diagnosis, Plan::INTERFACE)[0], "yes");
    assert_eq!(interface["gro"], false);
    assert_eq!(interface["lro"], false);
    assert_eq!(diagnosis["host"]["btf"], true);
    assert_eq!(diagnosis["host"]["ipv4_forward"], true);
    let mut command = clinic.lab.balancer().command(lb());
    command.arg("--socket").arg(daemon.socket()).arg("doctor");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("eth0 XDP: the driver has it"), "{text}");
    assert!(output.status.success(), "{text}");
}
