//! Backends come and go while clients are at work.

use std::time::Duration;

use lb_tests::lab::client::http_get;
use lb_tests::lab::traffic::{Stream, Traffic, Via};
use lb_tests::lab::{Lab, Plan, wait_until};
use lb_userspace::api::types::BackendState;

use crate::scene::{
    BOUND, LongLived, QUICK_CHECK, Service, backend, backend_stats, connections, document, lb,
    skips, tally, vip, wait_state,
};

#[test]
fn no_request_fails_while_backends_come_and_go() {
    if skips() {
        return;
    }
    let mut lab = Lab::builder().build().unwrap();
    let service = Service {
        more: QUICK_CHECK,
        ..Service::web()
    };
    let daemon = lab.start_daemon(&lb(), &document(&[service], "")).unwrap();
    let stream = Stream {
        service: "web".to_owned(),
        to: vip(false, 80),
        via: Via::Http,
        every: Duration::from_millis(5),
    };
    let traffic = Traffic::start(lab.client(), &[stream]);
    let served = |count: u64| {
        let before = traffic.tally().get("web").map_or(0, |seen| seen.requests);
        wait_until("more requests", BOUND, || {
            let now = traffic.tally().get("web").map_or(0, |seen| seen.requests);
            Ok((now >= before + count).then_some(()))
        })
        .unwrap();
    };
    let number = lab.add_backend().unwrap();
    let fourth = backend(number, false, Plan::HTTP_PORT).to_string();
    let second = backend(2, false, Plan::HTTP_PORT).to_string();
    served(50);
    // What leaves is drained first: a connection to a backend that is taken away is cut off.
    for (command, backend) in [
        ("add", &fourth),
        ("drain", &second),
        ("enable", &second),
        ("drain", &second),
        ("remove", &second),
        ("add", &second),
        ("drain", &fourth),
        ("remove", &fourth),
    ] {
        daemon.lb(&["backend", command, "web", backend]).unwrap();
        served(50);
    }
    let seen = traffic.quiet(|tally| tally["web"].clone());
    assert_eq!(
        (seen.failures, seen.last_failure),
        (0, None),
        "of {}",
        seen.requests
    );
    assert!(
        seen.answers[&Plan::backend_name(number)] > 10,
        "{:?}",
        seen.answers
    );
}

#[test]
fn a_failed_backend_gets_nothing_after_its_checks_and_all_again_when_it_recovers() {
    if skips() {
        return;
    }
    let mut lab = Lab::builder().build().unwrap();
    let service = Service {
        more: QUICK_CHECK,
        ..Service::web()
    };
    let daemon = lab.start_daemon(&lb(), &document(&[service], "")).unwrap();
    let second = backend(2, false, Plan::HTTP_PORT);
    lab.fail_backend(2).unwrap();
    wait_state(&daemon, "web", second, BackendState::Down);
    let before = connections(&daemon, "web");
    let ask = || {
        (0..60)
            .map(|_| http_get(vip(false, 80), "/", BOUND).unwrap().text())
            .collect()
    };
    let answers: Vec<String> = lab.client().enter(ask).unwrap();
    let after = connections(&daemon, "web");
    let new: Vec<u64> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| after - before)
        .collect();
    assert_eq!(new, [30, 0, 30], "{:?}", tally(answers));
    assert!(
        backend_stats(&daemon, "web", second)
            .detail
            .contains("refused")
    );
    lab.recover_backend(2).unwrap();
    wait_state(&daemon, "web", second, BackendState::Up);
    let answers: Vec<String> = lab.client().enter(ask).unwrap();
    assert!(tally(answers).values().all(|count| *count == 20));
}

#[test]
fn a_draining_backend_keeps_its_connections_and_gets_no_new_ones() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let daemon = lab
        .start_daemon(&lb(), &document(&[Service::echo()], ""))
        .unwrap();
    let mut streams: Vec<LongLived> = (0..9)
        .map(|_| LongLived::open(&lab, vip(false, 81)))
        .collect();
    let second = backend(2, false, Plan::ECHO_PORT).to_string();
    daemon.lb(&["backend", "drain", "echo", &second]).unwrap();
    let fresh: Vec<LongLived> = (0..6)
        .map(|_| LongLived::open(&lab, vip(false, 81)))
        .collect();
    assert!(
        fresh
            .iter()
            .all(|stream| stream.backend != Plan::backend_name(2))
    );
    assert_eq!(
        streams
            .iter()
            .filter(|s| s.backend == Plan::backend_name(2))
            .count(),
        3
    );
    for stream in &mut streams {
        stream.echoes().unwrap();
    }
    // A removed backend's connections end: they move, and nobody there knows them.
    daemon.lb(&["backend", "remove", "echo", &second]).unwrap();
    for stream in &mut streams {
        assert_eq!(
            stream.echoes().is_ok(),
            stream.backend != Plan::backend_name(2)
        );
    }
}

#[test]
fn a_backends_new_ethernet_address_is_followed() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let service = Service {
        more: QUICK_CHECK,
        ..Service::web()
    };
    let daemon = lab.start_daemon(&lb(), &document(&[service], "")).unwrap();
    let namespace = lab.backend(2).unwrap();
    namespace
        .ip(&[&format!(
            "link set {} address 02:77:00:00:77:77",
            Plan::INTERFACE
        )])
        .unwrap();
    // What a host does that comes up with a new address: it tells its neighbours.
    let announce = [
        "ping",
        "-c",
        "1",
        "-W",
        "2",
        &Plan::BALANCER.v4().to_string(),
    ];
    let forget = format!("neigh flush dev {}", Plan::INTERFACE);
    lab.balancer().ip(&[&forget]).unwrap();
    let _ = namespace.run(&announce);
    let second = backend(2, false, Plan::HTTP_PORT);
    wait_until("the new next hop", BOUND, || {
        let hop = backend_stats(&daemon, "web", second).next_hop;
        Ok((hop.as_deref() == Some("02:77:00:00:77:77")).then_some(()))
    })
    .unwrap();
    let ask = || {
        (0..30)
            .map(|_| http_get(vip(false, 80), "/", BOUND).unwrap().text())
            .collect()
    };
    let answers: Vec<String> = lab.client().enter(ask).unwrap();
    assert_eq!(tally(answers).len(), 3);
}
