//! The real `lb` against the real server: what it prints, and how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use lb_userspace::api::control::ControlError;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::fake::{self, Daemon, PATIENCE};

fn lb_at(binary: &Path, socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .env("LB_SOCKET", socket)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn lb(socket: &Path, arguments: &[&str]) -> Output {
    let output = lb_at(Path::new(env!("CARGO_BIN_EXE_lb")), socket, arguments).output();
    tokio::time::timeout(PATIENCE, output)
        .await
        .expect("lb ends in time")
        .unwrap()
}

/// What a command that must succeed prints.
async fn printed(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = lb(&daemon.socket(), arguments).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    assert_eq!(errors, "", "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Exit code and standard error of a command that must fail.
async fn failed(socket: &Path, arguments: &[&str]) -> (i32, String) {
    let output = lb(socket, arguments).await;
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "",
        "{arguments:?}"
    );
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[tokio::test]
async fn without_a_daemon_it_says_so_and_exits_with_4() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("lb.sock");
    let (code, error) = failed(&socket, &["status"]).await;
    assert_eq!(code, 4);
    assert_eq!(
        error,
        format!(
            "error: the daemon is not running (no socket at {}): start it with `lb run --config \
             lb.toml`, or name its socket with --socket\n",
            socket.display()
        )
    );
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let (code, error) = failed(&socket, &["stats"]).await;
    assert_eq!(code, 4);
    assert!(error.contains("nobody answers at"), "{error}");
}

#[tokio::test]
async fn without_permission_it_says_so_and_exits_with_6() {
    let daemon = Daemon::start().await;
    // Root may open any socket: the command runs as nobody, from where nobody else is kept out.
    let binary = daemon.directory().join("lb");
    fs::copy(env!("CARGO_BIN_EXE_lb"), &binary).unwrap();
    fs::set_permissions(daemon.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(daemon.socket(), fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = lb_at(&binary, &daemon.socket(), &["status"]);
    if is_root() {
        command.uid(65_534).gid(65_534);
    } else {
        fs::set_permissions(daemon.socket(), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .unwrap()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{error}");
    assert!(
        error.starts_with("error: no permission for the daemon's socket "),
        "{error}"
    );
    assert!(error.contains("use sudo"), "{error}");
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[tokio::test]
async fn each_refusal_of_the_daemon_has_its_exit_code() {
    let daemon = Daemon::start().await;
    for (error, code) in [
        (ControlError::NotFound("no service `web`".to_owned()), 1),
        (ControlError::Refused("the kernel: E2BIG".to_owned()), 1),
        (
            ControlError::Invalid("lb.toml:3: vip: no port\n  write :80".to_owned()),
            3,
        ),
        (ControlError::Stopping, 4),
        (ControlError::Conflict("now at revision b".to_owned()), 5),
    ] {
        daemon.fake.refuse(error.clone());
        let answer = failed(&daemon.socket(), &["service", "remove", "web"]).await;
        assert_eq!(answer, (code, format!("error: {error}\n")));
    }
}

#[tokio::test]
async fn wrong_usage_exits_with_2_and_never_reaches_the_daemon() {
    let daemon = Daemon::start().await;
    for (arguments, part) in [
        (
            &["firewall", "block", "203.0.113.1/24"][..],
            "write 203.0.113.0/24 for the whole",
        ),
        (
            &["firewall", "block", "example.org"],
            "neither a prefix like",
        ),
        (
            &["firewall", "block", "203.0.113.1", "--for", "10"],
            "write it like 30s, 10m",
        ),
        (
            &["backend", "add", "web", "10.0.0.1"],
            "its port is missing: write 10.0.0.1:80",
        ),
        (&["backend", "add", "web", "::1"], "write [::1]:80"),
        (
            &["backend", "add", "web", "10.0.0.1:80", "--weight", "0"],
            "0 is not in 1..=1000",
        ),
        (
            &["service", "add", "web", "192.0.2.1:80/tcp"],
            "--backend <ADDRESS>",
        ),
        (&["stats", "--interval", "2s"], "--watch"),
    ] {
        let (code, error) = failed(&daemon.socket(), arguments).await;
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
    assert_eq!(daemon.fake.calls(), []);
}

/// Each command becomes this edit and nothing else, and prints what the daemon says.
async fn assert_edits(cases: &[(&str, Value)]) {
    let daemon = Daemon::start().await;
    daemon.fake.answer(&["service web: changed"]);
    for (words, edit) in cases {
        let arguments: Vec<_> = words.split_whitespace().collect();
        let text = printed(&daemon, &arguments).await;
        assert_eq!(text, "service web: changed\n", "{words}");
        assert_eq!(daemon.fake.calls(), [("edit", edit.clone())], "{words}");
    }
}

#[tokio::test]
async fn each_change_of_a_service_is_one_edit() {
    assert_edits(&[
        (
            "service add web 192.0.2.1:80/tcp --backend 10.0.0.1:80",
            json!({"edit": "service-add", "name": "web", "vip": "192.0.2.1:80/tcp",
                "scheduler": null, "forward": null, "check": null, "backends": ["10.0.0.1:80"]}),
        ),
        (
            "service add web [2001:db8::1]:0/udp --backend [2001:db8::2]:0 \
             --backend [2001:db8::3]:0 --scheduler round-robin --forward dsr --check http:/up",
            json!({"edit": "service-add", "name": "web", "vip": "[2001:db8::1]:0/udp",
                "scheduler": "round-robin", "forward": "dsr", "check": "http:/up",
                "backends": ["[2001:db8::2]:0", "[2001:db8::3]:0"]}),
        ),
        (
            "service remove web",
            json!({"edit": "service-remove", "name": "web"}),
        ),
    ])
    .await;
}

#[tokio::test]
async fn each_change_of_a_backend_is_one_edit() {
    let edit = |edit: &str| json!({"edit": edit, "service": "web", "address": "10.0.0.2:80"});
    let mut heavy = edit("backend-add");
    heavy["weight"] = json!(3);
    assert_edits(&[
        ("backend add web 10.0.0.2:80 --weight 3", heavy),
        ("backend remove web 10.0.0.2:80", edit("backend-remove")),
        ("backend drain web 10.0.0.2:80", edit("backend-drain")),
        ("backend enable web 10.0.0.2:80", edit("backend-enable")),
    ])
    .await;
}

#[tokio::test]
async fn each_change_of_the_firewall_is_one_edit() {
    assert_edits(&[
        (
            "firewall block 203.0.113.7",
            json!({"edit": "firewall-block", "prefix": "203.0.113.7/32", "until": null}),
        ),
        (
            "firewall unblock 2001:db8::/32",
            json!({"edit": "firewall-unblock", "prefix": "2001:db8::/32"}),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_block_for_a_while_names_its_end() {
    let daemon = Daemon::start().await;
    let before = jiff::Timestamp::now();
    printed(
        &daemon,
        &["firewall", "block", "203.0.113.0/24", "--for", "1h30m"],
    )
    .await;
    let after = jiff::Timestamp::now();
    let calls = daemon.fake.calls();
    let (_, edit) = calls.first().unwrap();
    let until: jiff::Timestamp = serde_json::from_value(edit["until"].clone()).unwrap();
    let long = jiff::SignedDuration::from_mins(90);
    assert!(before + long <= until && until <= after + long, "{until}");
}

#[tokio::test]
async fn documents_go_to_the_daemon_from_files_and_from_the_standard_input() {
    let daemon = Daemon::start().await;
    let file = daemon.directory().join("lb.toml");
    fs::write(&file, "interfaces = []\n").unwrap();
    let name = file.to_str().unwrap();
    assert_eq!(
        printed(&daemon, &["diff", name]).await,
        "nothing to change\n"
    );
    daemon
        .fake
        .answer(&["service web: added", "rule ssh: removed"]);
    let text = printed(&daemon, &["apply", name, "--base", "abc"]).await;
    assert_eq!(text, "service web: added\nrule ssh: removed\n");
    let sent = |base: Value, origin: &str| json!({"text": "interfaces = []\n", "base": base, "origin": origin});
    assert_eq!(
        daemon.fake.calls(),
        [
            ("diff", sent(Value::Null, name)),
            ("replace", sent(json!("abc"), name))
        ]
    );
    let binary = Path::new(env!("CARGO_BIN_EXE_lb"));
    let mut command = lb_at(binary, &daemon.socket(), &["apply", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"interfaces = []\n")
        .await
        .unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(
        daemon.fake.calls(),
        [("replace", sent(Value::Null, "standard input"))]
    );

    let (code, error) = failed(&daemon.socket(), &["apply", "/nonexistent/lb.toml"]).await;
    assert_eq!(code, 1);
    let expected = "error: cannot read /nonexistent/lb.toml\n  because: No such file or directory";
    assert!(error.starts_with(expected), "{error}");
}

#[tokio::test]
async fn listings_as_json_are_what_the_daemon_said() {
    let daemon = Daemon::start().await;
    let listed = async |arguments: &[&str]| -> Value {
        serde_json::from_str(&printed(&daemon, arguments).await).unwrap()
    };
    let to_value = |stats| serde_json::to_value(stats).unwrap();
    assert_eq!(
        listed(&["status", "--json"]).await,
        serde_json::to_value(fake::status()).unwrap()
    );
    assert_eq!(
        listed(&["stats", "--json"]).await,
        to_value(fake::stats_after(0))
    );
    let services = to_value(fake::stats_after(1))["services"].clone();
    assert_eq!(listed(&["service", "list", "--json"]).await, services);
    let backends = listed(&["backend", "list", "dns", "--json"]).await;
    let mut expected = services[1]["backends"].clone();
    expected[0]["service"] = json!("dns");
    assert_eq!(backends, expected);
    assert_eq!(
        listed(&["backend", "list", "--json"])
            .await
            .as_array()
            .unwrap()
            .len(),
        4
    );
    let firewall = serde_json::to_value(fake::firewall()).unwrap();
    assert_eq!(listed(&["firewall", "list", "--json"]).await, firewall);
    let (code, error) = failed(&daemon.socket(), &["backend", "list", "wbe"]).await;
    assert_eq!(code, 1);
    assert_eq!(
        error,
        "error: there is no service `wbe`; services: web, dns\n"
    );
}

#[tokio::test]
async fn a_watched_listing_shows_rates_from_the_second_reading_on() {
    let daemon = Daemon::start().await;
    let binary = Path::new(env!("CARGO_BIN_EXE_lb"));
    let arguments = ["stats", "--watch", "--interval", "10ms"];
    let mut command = lb_at(binary, &daemon.socket(), &arguments);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let watching = async {
        let mut rows = Vec::new();
        while rows.len() < 3 {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("it goes on until it is ended");
            assert!(
                !line.contains('\u{1b}'),
                "no control sequences in a pipe: {line}"
            );
            if line.starts_with("10.0.0.11:8080") {
                rows.push(
                    line.split("  ")
                        .map(str::trim)
                        .filter(|it| !it.is_empty())
                        .fold(String::new(), |row, it| row + "|" + it),
                );
            }
        }
        rows
    };
    let rows = tokio::time::timeout(PATIENCE, watching)
        .await
        .expect("three readings in time");
    let rates = "|5.0/s|1.5 k/s|1.0 Mbit/s|2.0 M/s|10.0 Gbit/s";
    assert_eq!(
        rows,
        [
            "|10.0.0.11:8080|up|1,000|7,000|533.3 KiB|5,001|1.7 GiB".to_owned(),
            format!("|10.0.0.11:8080|up|1,005|8,500|655.4 KiB|2,005,001|2.8 GiB{rates}"),
            format!("|10.0.0.11:8080|up|1,010|10,000|777.5 KiB|4,005,001|4.0 GiB{rates}"),
        ]
    );
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_reader_that_leaves_early_is_no_error() {
    let daemon = Daemon::start().await;
    let binary = Path::new(env!("CARGO_BIN_EXE_lb"));
    let mut command = lb_at(binary, &daemon.socket(), &["stats"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(command);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
