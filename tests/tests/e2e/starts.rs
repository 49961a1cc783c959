//! A daemon that cannot start says why, and leaves nothing behind.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use lb_tests::lab::{Attached, Lab, Plan};

use crate::bad_input::assert_unharmed;
use crate::scene::{BOUND, Service, document, lb, skips};

/// A start that is to fail: what it is called, and where it puts its things.
struct Start<'l> {
    lab: &'l Lab,
    text: String,
    runtime: PathBuf,
    pins: PathBuf,
    /// What runs `lb`, such as `setpriv` with its options.
    through: Vec<String>,
    lb: PathBuf,
}

impl<'l> Start<'l> {
    fn new(lab: &'l Lab) -> Self {
        Self {
            lab,
            text: document(&[Service::web()], ""),
            runtime: lab.footprint().directory().join("other"),
            pins: lab.footprint().pins().join("other"),
            through: Vec::new(),
            lb: lb(),
        }
    }

    /// Runs it to its end, and checks its code and what it says.
    fn fails(self, code: i32, expected: &[&str]) {
        let config = self.lab.footprint().directory().join("other.toml");
        std::fs::write(&config, self.text).unwrap();
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut words = self.through;
        words.push(path(&self.lb));
        for (option, value) in [
            ("run", None),
            ("--config", Some(&config)),
            ("--runtime-dir", Some(&self.runtime)),
            ("--pin-dir", Some(&self.pins)),
        ] {
            words.push(option.to_owned());
            words.extend(value.map(|value| path(value)));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut process = self.lab.balancer().spawn("other", &words).unwrap();
        let status = process.wait(BOUND * 2).unwrap();
        let log = process.log();
        for expected in expected {
            assert!(log.contains(expected), "{expected} not in {log}");
        }
        assert_eq!(status.code(), Some(code), "{log}");
        assert!(!self.pins.exists(), "{} is left", self.pins.display());
        std::fs::remove_file(process.log_path()).unwrap();
    }
}

#[test]
fn on_an_interface_that_is_missing_or_taken() {
    if skips() {
        return;
    }
    let lab = Lab::builder().backends(0).build().unwrap();
    let pins = lab.footprint().pins();
    let missing = Start {
        text: document(&[Service::web()], "").replace("eth0", "nosuch0"),
        pins: pins.clone(),
        ..Start::new(&lab)
    };
    missing.fails(1, &["there is no interface nosuch0; this host has", "eth0"]);
    let _theirs = Attached::passing(lab.balancer(), Plan::INTERFACE).unwrap();
    let occupied = Start {
        pins,
        ..Start::new(&lab)
    };
    occupied.fails(
        1,
        &[
            "another XDP program is attached to eth0",
            "ip link set dev eth0 xdp off",
        ],
    );
    let links = lab
        .balancer()
        .run(&["ip", "link", "show", "dev", Plan::INTERFACE])
        .unwrap();
    assert!(links.contains("xdp"), "theirs is gone: {links}");
}

#[test]
fn without_a_valid_document_or_a_place_for_pins() {
    if skips() {
        return;
    }
    let lab = Lab::builder().backends(0).build().unwrap();
    let pins = lab.footprint().pins();
    let invalid = Start {
        text: "interfaces = 3\n".to_owned(),
        pins,
        ..Start::new(&lab)
    };
    invalid.fails(3, &["other.toml:1:14: interfaces"]);
    let elsewhere = Start {
        pins: lab.footprint().directory().join("pins"),
        ..Start::new(&lab)
    };
    elsewhere.fails(
        1,
        &[
            "is not on a BPF file system",
            "mount -t bpf bpf /sys/fs/bpf",
        ],
    );
}

#[test]
fn without_privilege() {
    const NOBODY: u32 = 65_534;
    if skips() {
        return;
    }
    let lab = Lab::builder().backends(0).build().unwrap();
    // A copy, because others need not be able to reach the directory of this build.
    let copy = lab.footprint().directory().join("lb");
    std::fs::copy(lb(), &copy).unwrap();
    let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
    let as_nobody = ["setpriv", &user, &group, "--clear-groups"].map(str::to_owned);
    let start = || Start {
        pins: lab.footprint().pins(),
        lb: copy.clone(),
        through: as_nobody.to_vec(),
        ..Start::new(&lab)
    };
    start().fails(6, &["cannot make the directory", "run the daemon as root"]);
    let runtime = start().runtime;
    std::fs::create_dir(&runtime).unwrap();
    chown(&runtime, Some(NOBODY), Some(NOBODY)).unwrap();
    start().fails(6, &["CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", "sudo"]);
    // Root is not enough either, as in a container.
    let powerless = Start {
        through: ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
            .map(str::to_owned)
            .to_vec(),
        runtime: runtime.with_file_name("roots"),
        ..start()
    };
    powerless.fails(6, &["CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", "sudo"]);
}

#[test]
fn beside_another_that_goes_on() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let good = document(&[Service::web()], "");
    let daemon = lab.start_daemon(&lb(), &good).unwrap();
    let revision = daemon.status().unwrap().revision;
    let pid = format!("(pid {})", daemon.status().unwrap().pid);
    let second = Start {
        runtime: daemon.socket().parent().unwrap().to_owned(),
        ..Start::new(&lab)
    };
    second.fails(1, &["another lb daemon", &pid, "already running"]);
    assert_unharmed(&lab, &daemon, &revision);
    Start::new(&lab).fails(1, &["another XDP program is attached to eth0"]);
    assert_unharmed(&lab, &daemon, &revision);
    let socket = daemon.socket().to_string_lossy().into_owned();
    daemon.stop().unwrap();
    let mut command = lab.balancer().command(lb());
    let gone = command
        .args(["--socket", &socket, "status"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&gone.stderr);
    assert_eq!(gone.status.code(), Some(4), "{errors}");
    assert!(errors.contains("lb run --config"), "{errors}");
}
