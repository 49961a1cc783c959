//! What is denied gets nothing through, and it shows.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lb_tests::lab::attack::Attack;
use lb_tests::lab::client::{http_get, udp_ask};
use lb_tests::lab::traffic::Via;
use lb_tests::lab::{Daemon, Lab, Plan, wait_until};

use crate::scene::{
    BOUND, LongLived, Service, connections, document, lb, rule_packets, skips, vip,
};

/// Long enough for an answer, short enough to wait for none.
const SHORT: Duration = Duration::from_millis(400);

fn refused(lab: &Lab, port: u16) -> bool {
    lab.client()
        .enter(|| http_get(vip(false, port), "/", SHORT).is_err())
        .unwrap()
}

/// Waits at most a second until all the daemon's faces show that a rule dropped packets: the table
/// and the JSON of `lb stats`, and the metrics over TCP and over the Unix socket.
fn shows_everywhere(lab: &Lab, daemon: &Daemon, rule: &str) {
    let metric = format!("lb_rule_packets_total{{rule=\"{rule}\",action=\"drop\"}}");
    let counted = |text: &str| {
        let line = text.lines().find(|line| line.starts_with(&metric));
        line.is_some_and(|line| !line.ends_with(" 0"))
    };
    let listed = |table: &str| {
        let words = |line: &'_ str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut lines = table.lines().map(words);
        lines.any(|line| line.len() > 2 && line[..2] == [rule, "drop"] && line[2] != "0")
    };
    let place = Plan::BALANCER.v4_port(Plan::METRICS_PORT);
    wait_until("drops on all faces", Duration::from_secs(1), || {
        let over_tcp = lab
            .balancer()
            .enter(|| http_get(place, "/metrics", BOUND))??;
        Ok((rule_packets(daemon, rule) > 0
            && listed(&daemon.lb(&["stats"])?)
            && counted(&over_tcp.text())
            && counted(&metrics_by_socket(daemon)))
        .then_some(()))
    })
    .unwrap();
}

/// What the API's own socket answers to a scrape.
fn metrics_by_socket(daemon: &Daemon) -> String {
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

/// Blocks the client, which has connections, and lets it in again.
fn cut_off(v6: bool) {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let metrics = format!(
        "metrics = \"{}\"",
        Plan::BALANCER.v4_port(Plan::METRICS_PORT)
    );
    let family = |service| Service { v6, ..service };
    let services = [family(Service::web()), family(Service::echo())];
    let daemon = lab
        .start_daemon(&lb(), &document(&services, &metrics))
        .unwrap();
    let ask = || http_get(vip(v6, 80), "/", SHORT).is_ok();
    let mut stream = LongLived::open(&lab, vip(v6, 81));
    stream.echoes().unwrap();
    assert!(lab.client().enter(ask).unwrap());
    let client = if v6 {
        Plan::CLIENT.v6().to_string()
    } else {
        Plan::CLIENT.v4().to_string()
    };
    daemon.lb(&["firewall", "block", &client]).unwrap();
    let ahead = [connections(&daemon, "web"), connections(&daemon, "echo")];
    assert!(!lab.client().enter(ask).unwrap(), "a new connection");
    stream.patience(SHORT);
    assert!(stream.echoes().is_err(), "an established connection");
    shows_everywhere(&lab, &daemon, "block");
    let behind = [connections(&daemon, "web"), connections(&daemon, "echo")];
    assert_eq!(ahead, behind);
    daemon.lb(&["firewall", "unblock", &client]).unwrap();
    assert!(lab.client().enter(ask).unwrap());
    // The client sends again what was not acknowledged, and the connection goes on.
    stream.patience(BOUND);
    stream.overdue().unwrap();
    stream.echoes().unwrap();
}

#[test]
fn a_blocked_source_is_cut_off_at_once_and_let_in_again() {
    cut_off(false);
}

#[test]
fn a_blocked_source_is_cut_off_over_ipv6_as_well() {
    cut_off(true);
}

#[test]
fn an_attacker_on_the_blocklist_never_gets_an_answer() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let rules = format!(
        "[[firewall.set]]\nname = \"blocklist\"\nentries = [\"{}\", \"{}\"]\n\
         [[firewall.rule]]\nname = \"listed\"\nsource = \"@blocklist\"\naction = \"drop\"\n",
        Plan::ATTACKER.v4(),
        Plan::ATTACKER.v6()
    );
    let services = [
        Service::web(),
        Service {
            name: "web6",
            v6: true,
            ..Service::web()
        },
        Service {
            name: "udp",
            protocol: "udp",
            ..Service::web()
        },
    ];
    let daemon = lab
        .start_daemon(&lb(), &document(&services, &rules))
        .unwrap();
    let places = [
        (vip(false, 80), Via::Http),
        (vip(true, 80), Via::Http),
        (vip(false, 80), Via::Udp),
        (Plan::BALANCER.v4_port(Plan::METRICS_PORT), Via::Http),
    ];
    let attack = Attack::start(lab.attacker(), &places);
    wait_until("forty attempts", BOUND * 4, || {
        Ok((attack.attempts().made >= 40).then_some(()))
    })
    .unwrap();
    let ask = || http_get(vip(false, 80), "/", BOUND).unwrap();
    lab.client().enter(ask).unwrap();
    let attempts = attack.stop();
    assert_eq!((attempts.answered, attempts.last_answer), (0, None));
    assert!(rule_packets(&daemon, "listed") >= attempts.made);
    for (service, expected) in [("web", 1), ("web6", 0), ("udp", 0)] {
        let sum: u64 = connections(&daemon, service).iter().sum();
        assert_eq!(sum, expected, "{service}");
    }
}

#[test]
fn a_block_ends_by_itself() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let daemon = lab
        .start_daemon(&lb(), &document(&[Service::web()], ""))
        .unwrap();
    let client = Plan::CLIENT.v4().to_string();
    daemon
        .lb(&["firewall", "block", &client, "--for", "2s"])
        .unwrap();
    let blocked = Instant::now();
    assert!(refused(&lab, 80));
    wait_until("the block's end", Duration::from_secs(5), || {
        Ok((!refused(&lab, 80)).then_some(()))
    })
    .unwrap();
    let took = blocked.elapsed();
    // The end is rounded up to a whole second; what is above 3,000 is for a busy machine.
    assert!((1900..5000).contains(&took.as_millis()), "{took:?}");
    // The kernel is changed first, the file right after.
    wait_until("the document without the block", BOUND, || {
        let text = std::fs::read_to_string(daemon.document())?;
        Ok((!text.contains("block")).then_some(()))
    })
    .unwrap();
}

#[test]
fn rules_match_in_order_and_by_every_dimension() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let rules = "
[[firewall.rule]]
name = \"only the client may use 82\"
source = [\"!10.77.0.10\"]
protocol = \"tcp\"
port = [82]
action = \"drop\"
[[firewall.rule]]
name = \"but not from everywhere\"
source = \"10.77.0.0/24\"
protocol = \"tcp\"
port = [\"82-82\"]
action = \"accept\"
[[firewall.rule]]
name = \"no ports in the eighties\"
destination = \"10.77.0.100\"
protocol = \"tcp\"
port = [\"82-89\"]
action = \"drop\"
[[firewall.rule]]
name = \"no udp from low ports\"
destination = \"10.77.0.100\"
protocol = \"udp\"
source_port = [\"1-30000\"]
action = \"drop\"
";
    let service = |name, port, protocol| Service {
        name,
        protocol,
        port,
        ..Service::web()
    };
    let services = [
        service("a", 82, "tcp"),
        service("b", 83, "tcp"),
        service("c", 84, "udp"),
        service("d", 90, "tcp"),
    ];
    let daemon = lab
        .start_daemon(&lb(), &document(&services, rules))
        .unwrap();
    assert!(!refused(&lab, 82) && refused(&lab, 83) && !refused(&lab, 90));
    let attacker = |port| {
        let ask = || http_get(vip(false, port), "/", SHORT).is_err();
        lab.attacker().enter(ask).unwrap()
    };
    assert!(attacker(82) && attacker(83) && !attacker(90));
    let udp = |source| {
        let ask = || udp_ask(vip(false, 84), source, b"x", SHORT).is_ok();
        lab.client().enter(ask).unwrap()
    };
    assert!(!udp(30_000) && udp(30_001));
    for rule in [
        "only the client may use 82",
        "no ports in the eighties",
        "no udp from low ports",
    ] {
        assert!(rule_packets(&daemon, rule) > 0, "{rule}");
    }
}

#[test]
fn a_set_of_a_hundred_thousand_prefixes_loads_in_seconds() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let mut set = "[[firewall.set]]\nname = \"many\"\nentries = [\n".to_owned();
    for index in 0..100_000_u32 {
        let [_, a, b, c] = index.to_be_bytes();
        let _ = writeln!(set, "\"{}.{b}.{c}.0/24\",", 20 + a);
    }
    let rule = "[[firewall.rule]]\nname = \"many\"\nsource = \"@many\"\naction = \"drop\"\n";
    let _ = write!(set, "\"{}/32\",\n]\n{rule}", Plan::ATTACKER.v4());
    let daemon = lab
        .start_daemon(&lb(), &document(&[Service::web()], ""))
        .unwrap();
    std::fs::write(daemon.document(), document(&[Service::web()], &set)).unwrap();
    let path = daemon.document().to_string_lossy().into_owned();
    let start = Instant::now();
    daemon.lb(&["apply", &path]).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    let ask = || http_get(vip(false, 80), "/", SHORT).is_ok();
    assert!(!lab.attacker().enter(ask).unwrap());
    assert!(lab.client().enter(ask).unwrap());
    assert!(rule_packets(&daemon, "many") > 0);
}
