//! The lab itself: what tests rely on holds, without a daemon, and nothing of it stays.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use lb_tests::lab::client::{connect, http_get, http_post, udp_ask};
use lb_tests::lab::server::{checksum, echoed_by, pattern};
use lb_tests::lab::traffic::{Stream, Traffic, Via};
use lb_tests::lab::{Footprint, Lab, Plan, obstacle, sweep, wait_until};

const BOUND: Duration = Duration::from_secs(5);

/// Says why and returns true where the lab cannot run.
fn skips() -> bool {
    if let Some(obstacle) = obstacle() {
        println!("skipped: {obstacle}");
    }
    obstacle().is_some()
}

/// Both addresses of a backend with a port.
fn places(number: u8, port: u16) -> [SocketAddr; 2] {
    let host = Plan::backend(number);
    [host.v4_port(port), host.v6_port(port)]
}

#[test]
fn visitors_and_the_balancer_reach_every_backend_in_both_families() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    for namespace in [lab.client(), lab.attacker(), lab.balancer()] {
        for number in 1..=lab.backend_count() {
            for place in places(number, Plan::HTTP_PORT) {
                let name = Plan::backend_name(number);
                let answer = namespace
                    .enter(|| http_get(place, "/", BOUND))
                    .unwrap()
                    .unwrap();
                assert_eq!(
                    (answer.status, answer.text()),
                    (200, name.clone()),
                    "{place}"
                );
                let echo = namespace
                    .enter(|| udp_ask(place, 0, b"hello", BOUND))
                    .unwrap()
                    .unwrap();
                assert_eq!(echoed_by(&echo, b"hello"), Some(name), "{place}");
            }
        }
    }
}

#[test]
fn servers_move_bodies_intact_and_keep_long_connections() {
    if skips() {
        return;
    }
    let lab = Lab::builder().backends(1).build().unwrap();
    let body = pattern(1_000_000);
    for place in places(1, Plan::HTTP_PORT) {
        let (down, up, health, missing) = lab
            .client()
            .enter(|| {
                let down = http_get(place, "/bytes/1000000", BOUND);
                let up = http_post(place, "/upload", &body, BOUND);
                (
                    down,
                    up,
                    http_get(place, "/healthz", BOUND),
                    http_get(place, "/no", BOUND),
                )
            })
            .unwrap();
        assert!(
            down.unwrap().body == body,
            "the download differs from the pattern"
        );
        assert_eq!(
            up.unwrap().text(),
            format!("1000000 {:016x}", checksum(&body))
        );
        assert_eq!(health.unwrap().status, 200);
        assert_eq!(missing.unwrap().status, 404);
    }
    let stream = lab
        .client()
        .enter(|| connect(places(1, Plan::ECHO_PORT)[1], BOUND));
    let mut stream = BufReader::new(stream.unwrap().unwrap());
    for expected in ["b1\n", "first\n", "second\n"] {
        if expected != "b1\n" {
            stream.get_mut().write_all(expected.as_bytes()).unwrap();
        }
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    }
}

#[test]
fn a_backend_fails_recovers_freezes_and_joins_while_others_serve() {
    if skips() {
        return;
    }
    let mut lab = Lab::builder().backends(1).build().unwrap();
    let ask = |lab: &Lab, number: u8, bound: Duration| {
        let place = places(number, Plan::HTTP_PORT)[0];
        lab.client().enter(|| http_get(place, "/", bound)).unwrap()
    };
    lab.fail_backend(1).unwrap();
    let refused = ask(&lab, 1, BOUND).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(lab.add_backend().unwrap(), 2);
    assert_eq!(ask(&lab, 2, BOUND).unwrap().text(), "b2");
    lab.recover_backend(1).unwrap();
    assert_eq!(ask(&lab, 1, BOUND).unwrap().text(), "b1");
    lab.freeze_backend(1).unwrap();
    ask(&lab, 1, Duration::from_millis(200)).unwrap_err();
    lab.thaw_backend(1).unwrap();
    assert_eq!(ask(&lab, 1, BOUND).unwrap().text(), "b1");
    lab.fail_backend(3).unwrap_err();
}

#[test]
fn dsr_backends_serve_the_virtual_addresses_and_keep_silent_about_them() {
    if skips() {
        return;
    }
    let lab = Lab::builder().backends(2).dsr().build().unwrap();
    let vips = [
        Plan::VIP.v4_port(Plan::HTTP_PORT),
        Plan::VIP.v6_port(Plan::HTTP_PORT),
    ];
    // A route straight to the second backend stands in for the balancer's choice.
    let to = Plan::backend(2);
    lab.client()
        .ip(&[
            &format!("route replace {}/32 via {}", Plan::VIP.v4(), to.v4()),
            &format!(
                "route replace {}/128 via {} dev eth0",
                Plan::VIP.v6(),
                to.v6()
            ),
        ])
        .unwrap();
    for vip in vips {
        let answer = lab
            .client()
            .enter(|| http_get(vip, "/", BOUND))
            .unwrap()
            .unwrap();
        assert_eq!(answer.text(), "b2", "{vip}");
        // The socket is connected, so only an answer from the virtual address is received.
        let echo = lab
            .client()
            .enter(|| udp_ask(vip, 0, b"x", BOUND))
            .unwrap()
            .unwrap();
        assert_eq!(echoed_by(&echo, b"x").as_deref(), Some("b2"), "{vip}");
    }
    // Without the routes the client asks the whole link for the address, and nobody answers.
    lab.client()
        .ip(&[
            &format!("route del {}/32", Plan::VIP.v4()),
            &format!("route del {}/128", Plan::VIP.v6()),
        ])
        .unwrap();
    for vip in vips {
        lab.client()
            .enter(|| http_get(vip, "/", BOUND))
            .unwrap()
            .unwrap_err();
        let neighbours = neighbours(&lab, vip.ip());
        assert!(!neighbours.is_empty(), "the client never asked for {vip}");
        assert!(!neighbours.contains("lladdr"), "{neighbours}");
    }
    assert!(neighbours(&lab, to.v4().into()).contains(&to.mac()));
}

fn neighbours(lab: &Lab, of: IpAddr) -> String {
    lab.client()
        .run(&["ip", "neigh", "show", &of.to_string()])
        .unwrap()
}

#[test]
fn a_quiet_moment_shows_whole_counts() {
    if skips() {
        return;
    }
    let mut lab = Lab::builder().backends(1).build().unwrap();
    let [v4, v6] = places(1, Plan::HTTP_PORT);
    let stream = |service: &str, to, via| Stream {
        service: service.to_owned(),
        to,
        via,
        every: Duration::from_millis(2),
    };
    let streams = [
        stream("http", v4, Via::Http),
        stream("http6", v6, Via::Http),
        stream("udp", v4, Via::Udp),
    ];
    let traffic = Traffic::start(lab.client(), &streams);
    let fifty_each = || {
        let tally = traffic.quiet(Clone::clone);
        let enough = tally.len() == 3 && tally.values().all(|seen| seen.requests >= 50);
        Ok(enough.then_some(tally))
    };
    let before = wait_until("fifty requests each", BOUND, fifty_each).unwrap();
    for seen in before.values() {
        assert_eq!(
            (seen.answers["b1"], seen.failures),
            (seen.requests, 0),
            "{seen:?}"
        );
    }
    lab.fail_backend(1).unwrap();
    let failing = || {
        let tally = traffic.quiet(Clone::clone);
        Ok((tally["http"].since(&before["http"]).failures > 0).then_some(tally))
    };
    let after = wait_until("a failed request", BOUND, failing).unwrap();
    let seen = after["http"].since(&before["http"]);
    assert_eq!(
        seen.requests,
        seen.failures + seen.answers.get("b1").copied().unwrap_or_default()
    );
}

#[test]
fn labs_run_side_by_side_and_leave_nothing_behind() {
    if skips() {
        return;
    }
    let (one, two) = (
        Lab::builder().build().unwrap(),
        Lab::builder().backends(1).build().unwrap(),
    );
    let (first, second) = (one.footprint().clone(), two.footprint().clone());
    assert_ne!(first.name(), second.name());
    // Client, attacker, balancer, switch and three backends; and the directory.
    assert_eq!(first.traces().len(), 8, "{:?}", first.traces());
    assert_eq!(first.living().len(), 3);
    // As a daemon would; both are to go as well.
    std::fs::create_dir(first.pins()).unwrap();
    let _daemon = one.balancer().spawn("sleeper", &["sleep", "600"]).unwrap();
    drop(one);
    assert_gone(&first);
    let place = places(1, Plan::HTTP_PORT)[1];
    let answer = two
        .client()
        .enter(|| http_get(place, "/", BOUND))
        .unwrap()
        .unwrap();
    assert_eq!(answer.text(), "b1");
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _lab = two;
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    panicked.unwrap_err();
    assert_gone(&second);
}

fn assert_gone(footprint: &Footprint) {
    assert_eq!(footprint.traces(), Vec::<std::path::PathBuf>::new());
    assert_eq!(footprint.living(), Vec::<u32>::new());
}

/// The environment variable that turns the test below into the lab that is killed.
const VICTIM: &str = "LB_LAB_VICTIM";

#[test]
fn what_a_killed_lab_left_is_swept() {
    if skips() {
        return;
    }
    if std::env::var_os(VICTIM).is_some() {
        let lab = Lab::builder().backends(1).build().unwrap();
        std::fs::create_dir(lab.footprint().pins()).unwrap();
        println!("\nready {}", lab.footprint().name());
        // Until the parent test kills this process; its own patience is shorter than this.
        std::thread::sleep(Duration::from_mins(10));
        return;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_a_killed_lab_left_is_swept", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let ready = lines.find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
    let neighbour = Lab::builder().backends(1).build().unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let name = ready.unwrap();
    let left = || {
        Command::new("ip")
            .args(["netns", "list"])
            .output()
            .unwrap()
            .stdout
    };
    assert!(
        String::from_utf8(left()).unwrap().contains(&name),
        "nothing of {name} was left"
    );
    // Another lab that starts at this moment may be faster; then this finds nothing to do.
    sweep();
    let gone = || Ok((!String::from_utf8(left())?.contains(&name)).then_some(()));
    wait_until("the end of the killed lab's namespaces", BOUND, gone).unwrap();
    assert!(!std::path::Path::new("/sys/fs/bpf").join(&name).exists());
    assert!(!std::path::Path::new("/run/lb-lab").join(&name).exists());
    // A living lab is not swept.
    assert_eq!(neighbour.footprint().living().len(), 1);
    let place = places(1, Plan::HTTP_PORT)[0];
    neighbour
        .client()
        .enter(|| http_get(place, "/", BOUND))
        .unwrap()
        .unwrap();
}
