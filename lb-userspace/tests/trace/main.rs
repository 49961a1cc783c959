//! `lb trace`, as a user runs it, on a capture that scapy made.
//!
//! The program is really loaded, so the tests need root; elsewhere they say so and do nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const DOCUMENT: &str = r#"
interfaces = ["nosuch0"]
nat_source = ["10.0.0.2"]

[[service]]
name = "web"
vip = "192.0.2.10:80/tcp"
backend = [{ address = "10.0.0.11:8080" }, { address = "10.0.0.12:8080" }]

[[service]]
name = "six"
vip = "[2001:db8::10]:443/tcp"
forward = "dsr"
backend = [{ address = "[fd00::11]:443" }]

[[firewall.set]]
name = "bad"
entries = ["203.0.113.0/24"]

[[firewall.rule]]
name = "no bad"
source = "@bad"
action = "drop"
"#;

/// Whether programs can be loaded here; in CI they must.
fn may_load() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "CI runs as root");
    if !root {
        eprintln!("skipped: loading an XDP program needs root");
    }
    root
}

fn python(script: &str, file: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/trace")
        .join(script);
    // Where Debian's package of scapy puts it, or else the one on PATH.
    let system = Path::new("/usr/bin/python3");
    let python = if system.exists() {
        system
    } else {
        Path::new("python3")
    };
    let output = Command::new(python).arg(script).arg(file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{errors}; scapy comes with `cargo xtask test`"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn lb(directory: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lb"));
    command
        .args(arguments)
        .current_dir(directory.path())
        .output()
        .unwrap()
}

/// A directory with the document and the capture.
fn scene() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lb.toml"), DOCUMENT).unwrap();
    python("capture.py", &directory.path().join("in.pcap"));
    directory
}

#[test]
fn every_packet_gets_its_verdict() {
    if !may_load() {
        return;
    }
    let directory = scene();
    let output = lb(
        &directory,
        &[
            "trace", "--config", "lb.toml", "--read", "in.pcap", "--json",
        ],
    );
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("packet 7 is too long"), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let traced: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected = [
        r#"{"index":0,"verdict":"tx","reason":"to_backend","rule":null,"service":"web","backend":"10.0.0.11:8080","new_flow":true,"length_in":54,"length_out":54}"#,
        r#"{"index":1,"verdict":"tx","reason":"to_backend","rule":null,"service":"web","backend":"10.0.0.12:8080","new_flow":true,"length_in":54,"length_out":54}"#,
        r#"{"index":2,"verdict":"tx","reason":"to_backend","rule":null,"service":"web","backend":"10.0.0.11:8080","new_flow":false,"length_in":54,"length_out":54}"#,
        r#"{"index":3,"verdict":"drop","reason":"firewall_drop","rule":"no bad","service":null,"backend":null,"new_flow":false,"length_in":54,"length_out":54}"#,
        r#"{"index":4,"verdict":"pass","reason":"not_ours","rule":null,"service":null,"backend":null,"new_flow":false,"length_in":50,"length_out":50}"#,
        r#"{"index":5,"verdict":"tx","reason":"to_backend","rule":null,"service":"six","backend":"[fd00::11]:443","new_flow":true,"length_in":74,"length_out":74}"#,
        r#"{"index":6,"verdict":"pass","reason":"not_ip","rule":null,"service":null,"backend":null,"new_flow":false,"length_in":42,"length_out":42}"#,
        r#"{"index":7,"verdict":"aborted","reason":"too_long","rule":null,"service":null,"backend":null,"new_flow":false,"length_in":3654,"length_out":3654}"#,
    ];
    let expected: Vec<Value> = expected
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(traced, expected);
}

#[test]
fn the_frames_written_are_what_another_implementation_expects() {
    if !may_load() {
        return;
    }
    let directory = scene();
    let arguments = [
        "trace", "--config", "lb.toml", "--read", "in.pcap", "--write", "out.pcap",
    ];
    let output = lb(&directory, &arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.contains("8 packets: 1 aborted, 1 drop, 2 pass, 4 tx"),
        "{table}"
    );
    let frames = python("verify.py", &directory.path().join("out.pcap"));
    let lines: Vec<&str> = frames.lines().collect();
    let placeholder = "02:00:00:00:00:00";
    assert_eq!(lines.len(), 8, "one frame for every packet read");
    assert_eq!(lines[0], format!("{placeholder} 10.0.0.2 10.0.0.11 8080"));
    assert_eq!(lines[1], format!("{placeholder} 10.0.0.2 10.0.0.12 8080"));
    assert_eq!(lines[2], lines[0]);
    assert_eq!(lines[3], "02:22:22:22:22:22 203.0.113.9 192.0.2.10 80");
    assert_eq!(
        lines[5],
        format!("{placeholder} 2001:db8::1 2001:db8::10 443")
    );
}

#[test]
fn bad_input_is_named() {
    if !may_load() {
        return;
    }
    let directory = scene();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    };
    write(
        "text.pcap",
        b"this is no capture at all, whatever its name says",
    );
    write("bad.toml", b"interfaces = [\"eth0\"]\nservise = 1\n");
    let capture = std::fs::read(directory.path().join("in.pcap")).unwrap();
    write("cut.pcap", &capture[..capture.len() - 7]);
    let mut cooked = capture.clone();
    cooked[20] = 113;
    write("cooked.pcap", &cooked);
    let cases = [
        ("lb.toml", "missing.pcap", 1, "cannot read missing.pcap"),
        (
            "lb.toml",
            "text.pcap",
            1,
            "not a whole pcap or pcapng capture",
        ),
        ("lb.toml", "cut.pcap", 1, "at packet 7"),
        ("lb.toml", "cooked.pcap", 1, "the program sees Ethernet"),
        ("missing.toml", "in.pcap", 1, "cannot read missing.toml"),
        ("bad.toml", "in.pcap", 3, "servise"),
    ];
    for (config, read, code, text) in cases {
        let output = lb(&directory, &["trace", "--config", config, "--read", read]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{config} {read}: {errors}"
        );
        assert!(errors.contains(text), "{config} {read}: {errors}");
    }
}
