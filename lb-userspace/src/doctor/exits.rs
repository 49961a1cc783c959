//! From what was tried at the exits to what is said of them; it asks nobody.
//!
//! What the kernel does (the first two as seen in 6.18):
//!
//! - Live frames leave by `ndo_xdp_xmit` of the interface, those of `XDP_TX` as well. A veth takes them
//!   if its other end has an XDP program, or generic receive offload on.
//! - `XDP_TX` of a program that is attached to a veth wakes the other end only if that has an XDP
//!   program (`veth_xdp_flush`): with the offload alone, a live frame arrives, and others vanish. So
//!   the other end is looked at too.
//! - Most cards take redirected frames only while they have an XDP program themselves, and send back
//!   theirs in a way of their own. So a missing answer says something only of redirecting, and only of
//!   interfaces that are as they are in operation.
//! - Generic XDP sends through the queue of the interface, like anybody; no live frame goes that way.

use serde::Serialize;

use super::Finding;
use super::live::{Trial, Trials};

/// Whether packets of one kind leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A backend answered one.
    Yes,
    /// They get lost.
    No,
    /// They leave through the network stack, which sends whatever any program may send.
    Generic,
    /// Nobody knows.
    NotTried,
}

/// One way out of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exit {
    /// Whether packets leave.
    pub works: Proof,
    /// Why that could not be tried.
    pub why: Option<String>,
}

/// Where the program runs on an interface, or would run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
    /// The driver would be asked first.
    Unknown,
}

/// An interface, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) driver: Option<String>,
    pub(super) runs: Runs,
    /// Whether an XDP program is on it now.
    pub(super) attached: bool,
    /// Whether it is one of the document's.
    pub(super) listed: bool,
    /// The other end of a veth, where it can be seen.
    pub(super) far: Option<Far>,
}

/// The other end of a veth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Far {
    pub(super) name: String,
    /// Whether an XDP program is on it.
    pub(super) attached: bool,
}

/// What is said of an interface of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) tx: Exit,
    pub(super) redirect: Exit,
    pub(super) findings: Vec<Finding>,
}

const GENERIC: &str = "in the document: xdp_mode = \"generic\"";

/// Judges one interface of the document.
pub(super) fn judge(port: &Port, ports: &[Port], trials: &Trials) -> Verdict {
    let (tx, lost) = judge_tx(port, trials);
    let mut findings: Vec<Finding> = lost.into_iter().collect();
    let (redirect, lost) = judge_redirect(port, ports, trials);
    findings.extend(lost);
    // Interfaces that packets leave by and that are not the document's have no place of their own.
    for other in ports.iter().filter(|other| !other.listed) {
        let mut ways = trials.made.iter();
        let way = ways.find(|way| way.from == port.index && way.to == other.index);
        if let Some(way) = way.filter(|way| trials.is_lost(way, port, other)) {
            findings.push(lost_redirect(port, other, way));
        }
    }
    Verdict {
        tx,
        redirect,
        findings,
    }
}

fn judge_tx(port: &Port, trials: &Trials) -> (Exit, Option<Finding>) {
    if port.runs == Runs::Generic {
        return (Exit::of(Proof::Generic), None);
    }
    let mut ways = trials.made.iter();
    let Some(way) = ways.find(|way| (way.from, way.to) == (port.index, port.index)) else {
        return (trials.untried(), None);
    };
    if port.is_veth() {
        return match (way.arrived, &port.far) {
            (true, Some(far)) if far.attached => (Exit::of(Proof::Yes), None),
            (true, None) => {
                let why =
                    "the other end of the veth cannot be seen from here, and needs an XDP program";
                (Exit::untried(why), None)
            }
            (false, _) if trials.obstacle.is_some() => (trials.untried(), None),
            _ => (Exit::of(Proof::No), Some(lost_tx(port))),
        };
    }
    if way.arrived {
        return (Exit::of(Proof::Yes), None);
    }
    if trials.obstacle.is_some() {
        return (trials.untried(), None);
    }
    let why = if port.attached {
        "the driver takes no frames from elsewhere, as which the kernel sends those tried here"
    } else {
        UNATTACHED
    };
    (Exit::untried(why), None)
}

const UNATTACHED: &str =
    "drivers may send only while they have an XDP program: run it while the daemon runs";

/// Redirecting to this interface from every other of the document.
fn judge_redirect(port: &Port, ports: &[Port], trials: &Trials) -> (Exit, Option<Finding>) {
    let others = ports
        .iter()
        .filter(|other| other.listed && other.index != port.index);
    let others: Vec<&Port> = others.collect();
    let native = others.iter().filter(|other| other.runs != Runs::Generic);
    let native: Vec<&&Port> = native.collect();
    if others.is_empty() {
        let why = "no other interface is in the document";
        return (Exit::untried(why), None);
    }
    if native.is_empty() {
        return (Exit::of(Proof::Generic), None);
    }
    let ways = native.iter().filter_map(|from| {
        let mut ways = trials.made.iter();
        let way = ways.find(|way| (way.from, way.to) == (from.index, port.index))?;
        Some((**from, way))
    });
    let ways: Vec<(&Port, &Trial)> = ways.collect();
    let mut lost = ways.iter();
    if let Some((from, way)) = lost.find(|(from, way)| trials.is_lost(way, from, port)) {
        return (Exit::of(Proof::No), Some(lost_redirect(from, port, way)));
    }
    if ways.len() < native.len() || trials.obstacle.is_some() {
        return (trials.untried(), None);
    }
    if ways.iter().all(|(_, way)| way.arrived) {
        return (Exit::of(Proof::Yes), None);
    }
    (Exit::untried(UNATTACHED), None)
}

fn lost_tx(port: &Port) -> Finding {
    let (name, far) = (&port.name, port.far_name());
    let problem = format!(
        "what the program sends back out of {name} (XDP_TX) gets lost, so that clients on that side reach no backend there: {name} is a veth, and its other end {far} has no XDP program"
    );
    let remedy = vec![
        // Which passes everything, as nothing in a tunnel comes from there.
        format!("on the other end any XDP program, such as: lb decap {far} --from 127.0.0.0/8"),
        format!("or, {GENERIC}"),
    ];
    Finding::new("tx", problem, remedy)
}

fn lost_redirect(from: &Port, to: &Port, way: &Trial) -> Finding {
    let (from, name, backend) = (&from.name, &to.name, way.backend);
    let what = format!(
        "what the program redirects from {from} to {name} (XDP_REDIRECT) gets lost: {backend} answers this host, but not that"
    );
    if to.is_veth() {
        let far = to.far_name();
        let problem = format!(
            "{what}; {name} is a veth, whose other end {far} needs generic receive offload or an XDP program"
        );
        let remedy = vec![
            format!("on the other end: ethtool -K {far} gro on"),
            format!("or, {GENERIC}"),
        ];
        return Finding::new("redirect", problem, remedy);
    }
    let driver = to.driver.as_deref().unwrap_or("driver of it");
    let problem = format!("{what}; its {driver} takes no frames from other interfaces");
    let mut remedy = vec![GENERIC.to_owned()];
    if !to.listed {
        remedy.insert(
            0,
            format!("in the document: \"{name}\" in interfaces, if the driver takes frames while it has a program"),
        );
    }
    Finding::new("redirect", problem, remedy)
}

impl Exit {
    pub(super) fn of(works: Proof) -> Self {
        Self { works, why: None }
    }

    pub(super) fn untried(why: &str) -> Self {
        Self {
            works: Proof::NotTried,
            why: Some(why.to_owned()),
        }
    }
}

impl Port {
    fn is_veth(&self) -> bool {
        self.driver.as_deref() == Some("veth")
    }

    fn far_name(&self) -> &str {
        self.far.as_ref().map_or("PEER", |far| &far.name)
    }
}

impl Trials {
    fn untried(&self) -> Exit {
        let obstacle = self.obstacle.as_deref();
        Exit::untried(obstacle.unwrap_or("no backend that answers is behind it"))
    }

    /// Whether a redirected frame that did not arrive says that none would.
    fn is_lost(&self, way: &Trial, from: &Port, to: &Port) -> bool {
        let as_in_operation = from.attached && (to.attached || !to.listed);
        !way.arrived && self.obstacle.is_none() && (to.is_veth() || as_in_operation)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const VETH: &str = "veth";
    const CARD: &str = "virtio_net";

    /// An interface of the document that runs natively, and whose other end has a program.
    fn port(index: u32, driver: &str) -> Port {
        Port {
            index,
            name: format!("eth{index}"),
            driver: Some(driver.to_owned()),
            runs: Runs::Native,
            attached: true,
            listed: true,
            far: (driver == VETH).then(|| far(true)),
        }
    }

    fn far(attached: bool) -> Far {
        Far {
            name: "far".to_owned(),
            attached,
        }
    }

    fn trials(made: &[(u32, u32, bool)]) -> Trials {
        let made = made.iter().map(|&(from, to, arrived)| Trial {
            from,
            to,
            to_name: format!("eth{to}"),
            backend: "10.0.0.2:80".parse().unwrap(),
            arrived,
        });
        Trials {
            made: made.collect(),
            obstacle: None,
        }
    }

    /// What is said of the first: sent back, redirected, and the findings.
    fn said(ports: &[Port], trials: &Trials) -> (Proof, Proof, Vec<&'static str>) {
        let verdict = judge(&ports[0], ports, trials);
        let untold = |exit: &Exit| (exit.works == Proof::NotTried) != exit.why.is_some();
        assert!(!untold(&verdict.tx) && !untold(&verdict.redirect));
        let codes = verdict.findings.iter().map(|finding| finding.code);
        (verdict.tx.works, verdict.redirect.works, codes.collect())
    }

    #[test]
    fn what_arrives_works() {
        let all = trials(&[(1, 1, true), (2, 1, true)]);
        for driver in [VETH, CARD] {
            let ports = [port(1, driver), port(2, driver)];
            assert_eq!(said(&ports, &all), (Proof::Yes, Proof::Yes, vec![]));
            let alone = said(&ports[..1], &all);
            assert_eq!(alone, (Proof::Yes, Proof::NotTried, vec![]));
        }
    }

    #[test]
    fn a_veth_sends_back_only_to_a_program() {
        let mut veth = port(1, VETH);
        let lost = (Proof::No, Proof::NotTried, vec!["tx"]);
        assert_eq!(said(&[veth.clone()], &trials(&[(1, 1, false)])), lost);
        // A live frame arrives at receive offload as well, others do not.
        veth.far = Some(far(false));
        assert_eq!(said(&[veth.clone()], &trials(&[(1, 1, true)])), lost);
        veth.far = None;
        let untold = (Proof::NotTried, Proof::NotTried, vec![]);
        assert_eq!(said(&[veth.clone()], &trials(&[(1, 1, true)])), untold);
        assert_eq!(said(&[veth], &trials(&[(1, 1, false)])), lost);
    }

    #[test]
    fn a_card_that_may_send_only_with_a_program_is_not_blamed() {
        let lost = trials(&[(1, 1, false), (2, 1, false)]);
        let ports = [port(1, CARD), port(2, CARD)];
        assert_eq!(
            said(&ports, &lost),
            (Proof::NotTried, Proof::No, vec!["redirect"])
        );
        for without in 0..2 {
            let mut ports = ports.clone();
            ports[without].attached = false;
            let untold = (Proof::NotTried, Proof::NotTried, vec![]);
            assert_eq!(said(&ports, &lost), untold, "{without}");
        }
    }

    #[test]
    fn nothing_is_claimed_of_what_was_not_tried() {
        let ports = [port(1, VETH), port(2, VETH)];
        let untold = (Proof::NotTried, Proof::NotTried, vec![]);
        assert_eq!(said(&ports, &trials(&[])), untold);
        let refused = Trials {
            obstacle: Some("too old".to_owned()),
            ..trials(&[(1, 1, false), (2, 1, false)])
        };
        assert_eq!(said(&ports, &refused), untold);
        let verdict = judge(&ports[0], &ports, &refused);
        assert_eq!(verdict.tx.why.unwrap(), "too old");
    }

    #[test]
    fn generic_goes_another_way() {
        let lost = trials(&[(1, 1, false), (2, 1, false)]);
        let mut ports = [port(1, VETH), port(2, VETH)];
        ports[0].runs = Runs::Generic;
        assert_eq!(
            said(&ports, &lost),
            (Proof::Generic, Proof::No, vec!["redirect"])
        );
        ports[1].runs = Runs::Generic;
        assert_eq!(
            said(&ports, &lost),
            (Proof::Generic, Proof::Generic, vec![])
        );
    }

    #[test]
    fn an_exit_that_is_not_the_documents_is_told_of_at_the_entrance() {
        let mut outside = port(7, "bridge");
        (outside.listed, outside.attached) = (false, false);
        let ports = [port(1, CARD), outside];
        let lost = trials(&[(1, 1, true), (1, 7, false)]);
        let verdict = judge(&ports[0], &ports, &lost);
        assert_eq!(verdict.redirect.works, Proof::NotTried);
        let finding = &verdict.findings[0];
        assert!(finding.problem.contains("from eth1 to eth7"), "{finding:?}");
        assert!(finding.remedy[0].contains("\"eth7\" in interfaces"));
        assert_eq!(verdict.findings.len(), 1);
    }
}
