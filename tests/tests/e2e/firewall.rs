//! What is denied gets nothing through, and it shows.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lb_tests::lab::client::{http_get, udp_ask};
use lb_tests::lab::{Daemon, Lab, Plan, wait_until};

use crate::scene::{BOUND, LongLived, Service, document, lb, rule_packets, skips, vip};

/// Long enough for an answer, short enough to wait for none.
const SHORT: Duration = Duration::from_millis(400);

fn refused(lab: &Lab, port: u16) -> bool {
    lab.client()
        .enter(|| http_get(vip(false, port), "/", SHORT).is_err())
        .unwrap()
}

/// Waits until the daemon's three faces show that packets were dropped by a rule.
fn shows_everywhere(lab: &Lab, daemon: &Daemon, rule: &str) {
    let json = lab.balancer();
    let deadline = Instant::now() + Duration::from_secs(1);
    let metric = format!("lb_rule_packets_total{{rule=\"{rule}\",action=\"drop\"}}");
    let counted = |text: &str| {
        let line = text.lines().find(|line| line.starts_with(&metric));
        line.is_some_and(|line| !line.ends_with(" 0"))
    };
    loop {
        let table = daemon.lb(&["stats"]).unwrap();
        let dropped = rule_packets(daemon, rule) > 0;
        let place = Plan::BALANCER.v4_port(Plan::METRICS_PORT);
        let scraped = json
            .enter(|| http_get(place, "/metrics", BOUND))
            .unwrap()
            .unwrap()
            .text();
        if dropped && table.contains(rule) && counted(&scraped) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "not within a second:\n{table}\n{scraped}"
        );
    }
}

#[test]
fn a_blocked_source_is_cut_off_at_once_and_let_in_again() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let metrics = format!(
        "metrics = \"{}\"",
        Plan::BALANCER.v4_port(Plan::METRICS_PORT)
    );
    let text = document(&[Service::web(), Service::echo()], &metrics);
    let daemon = lab.start_daemon(&lb(), &text).unwrap();
    let mut stream = LongLived::open(&lab, vip(false, 81));
    stream.echoes().unwrap();
    let client = Plan::CLIENT.v4().to_string();
    daemon.lb(&["firewall", "block", &client]).unwrap();
    assert!(refused(&lab, 80), "a new connection");
    stream.patience(SHORT);
    assert!(stream.echoes().is_err(), "an established connection");
    shows_everywhere(&lab, &daemon, "block");
    daemon.lb(&["firewall", "unblock", &client]).unwrap();
    assert!(!refused(&lab, 80));
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
    // The end is rounded up to a whole second, and seen within the next.
    assert!((1500..4500).contains(&took.as_millis()), "{took:?}");
    let text = std::fs::read_to_string(daemon.document()).unwrap();
    assert!(!text.contains("block"), "{text}");
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
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    let ask = || http_get(vip(false, 80), "/", SHORT).is_ok();
    assert!(!lab.attacker().enter(ask).unwrap());
    assert!(lab.client().enter(ask).unwrap());
    assert!(rule_packets(&daemon, "many") > 0);
}
