//! The daemon's life: it ends cleanly, dies without harm, and takes over.

use lb_tests::lab::client::http_get;
use lb_tests::lab::{Lab, Plan, wait_until};
use nix::sys::signal::Signal;

use crate::scene::{BOUND, LongLived, Service, connections, document, lb, skips, vip};

/// The XDP programs on the balancer's interface, as `ip` shows them.
fn attached(lab: &Lab) -> bool {
    lab.balancer()
        .run(&["ip", "link", "show", "dev", Plan::INTERFACE])
        .unwrap()
        .contains("xdp")
}

#[test]
fn sigterm_leaves_nothing_behind() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let daemon = lab
        .start_daemon(&lb(), &document(&[Service::web()], ""))
        .unwrap();
    assert!(attached(&lab));
    let socket = daemon.socket().to_owned();
    assert!(daemon.stop().unwrap().success());
    assert!(!socket.exists(), "{}", socket.display());
    let pins = lab.footprint().pins();
    assert!(!pins.exists(), "{}", pins.display());
    // The kernel ends a link some time after its last pin is removed (a work item of its own).
    wait_until("the end of the link", BOUND, || {
        Ok((!attached(&lab)).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_killed_daemon_is_not_missed_and_the_next_takes_over() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let text = document(&[Service::web(), Service::echo()], "");
    let daemon = lab.start_daemon(&lb(), &text).unwrap();
    let mut streams: Vec<LongLived> = (0..6)
        .map(|_| LongLived::open(&lab, vip(false, 81)))
        .collect();
    let ask = || (0..3).all(|_| http_get(vip(false, 80), "/", BOUND).is_ok());
    assert!(lab.client().enter(ask).unwrap());
    daemon.kill().unwrap();
    assert!(attached(&lab));
    assert!(
        lab.client().enter(ask).unwrap(),
        "new connections without a daemon"
    );
    for stream in &mut streams {
        stream.echoes().unwrap();
    }
    let daemon = lab.restart_daemon(&lb()).unwrap();
    for stream in &mut streams {
        stream.echoes().unwrap();
    }
    assert!(lab.client().enter(ask).unwrap());
    assert_eq!(
        connections(&daemon, "web"),
        [3; 3],
        "counters and turns go on"
    );
    assert_eq!(connections(&daemon, "echo"), [2; 3]);
    daemon.stop().unwrap();
}

#[test]
fn a_changed_document_is_taken_on_sighup_and_a_bad_one_is_not() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let daemon = lab
        .start_daemon(&lb(), &document(&[Service::web()], ""))
        .unwrap();
    let revision = || daemon.status().unwrap().revision;
    let first = revision();
    std::fs::write(
        daemon.document(),
        document(&[Service::web(), Service::echo()], ""),
    )
    .unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    wait_until("the new revision", BOUND, || {
        Ok((revision() != first).then_some(()))
    })
    .unwrap();
    assert!(LongLived::open(&lab, vip(false, 81)).echoes().is_ok());
    let second = revision();
    std::fs::write(daemon.document(), "interfaces = []\n").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    wait_until("the refusal", BOUND, || {
        Ok(daemon
            .log()
            .contains("the document is not taken")
            .then_some(()))
    })
    .unwrap();
    assert_eq!(revision(), second);
    assert!(LongLived::open(&lab, vip(false, 81)).echoes().is_ok());
}

#[test]
fn what_would_change_is_told_before_it_does() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let text = document(&[Service::web()], "");
    let daemon = lab.start_daemon(&lb(), &text).unwrap();
    let revision = daemon.status().unwrap().revision;
    let file = lab.footprint().directory().join("wanted.toml");
    let path = file.to_string_lossy().into_owned();
    std::fs::write(&file, document(&[Service::web(), Service::echo()], "")).unwrap();
    let checked = daemon.lb(&["check", &path]).unwrap();
    assert!(checked.contains("valid: 1 interface, 2 services, 6 backends"));
    let diff = daemon.lb(&["diff", &path]).unwrap();
    assert!(diff.contains("echo") && !diff.contains("web"), "{diff}");
    assert_eq!(daemon.status().unwrap().revision, revision, "only told");
    assert_eq!(std::fs::read_to_string(daemon.document()).unwrap(), text);
    let applied = daemon.lb(&["apply", "--base", &revision, &path]).unwrap();
    assert!(applied.contains("echo"), "{applied}");
    assert!(LongLived::open(&lab, vip(false, 81)).echoes().is_ok());
    // Who started from the same revision has lost.
    let stale = daemon
        .lb_output(&["apply", "--base", &revision, &path])
        .unwrap();
    let errors = String::from_utf8_lossy(&stale.stderr).into_owned();
    assert_eq!(stale.status.code(), Some(5), "{errors}");
    assert!(errors.contains("has changed since"), "{errors}");
    assert_ne!(daemon.status().unwrap().revision, revision);
}

#[test]
fn changes_survive_a_change_of_structure() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let text = document(&[Service::echo()], "");
    let daemon = lab.start_daemon(&lb(), &text).unwrap();
    let mut streams: Vec<LongLived> = (0..6)
        .map(|_| LongLived::open(&lab, vip(false, 81)))
        .collect();
    let path = daemon.document().to_string_lossy().into_owned();
    for more in [
        "debug = true",
        "[firewall]",
        "[[firewall.rule]]\nname = \"r\"\nprotocol = \"icmp\"\naction = \"drop\"",
    ] {
        std::fs::write(
            daemon.document(),
            document(&[Service::echo(), Service::web()], more),
        )
        .unwrap();
        daemon.lb(&["apply", &path]).unwrap();
        for stream in &mut streams {
            stream.echoes().unwrap();
        }
    }
    assert!(daemon.status().unwrap().generation >= 3);
    assert_eq!(connections(&daemon, "echo"), [2; 3]);
}
