//! Backends come and go while clients are at work.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

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
    let traffic = Traffic::start(lab.client(), &[web_stream()]);
    let number = lab.add_backend().unwrap();
    let fourth = backend(number, false, Plan::HTTP_PORT).to_string();
    let second = backend(2, false, Plan::HTTP_PORT).to_string();
    served(&traffic, 50);
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
        served(&traffic, 50);
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
    const NEW: &str = "02:77:00:00:77:77";
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let daemon = lab
        .start_daemon(&lb(), &document(&[Service::web(), Service::echo()], ""))
        .unwrap();
    let mut streams: Vec<LongLived> = (0..3)
        .map(|_| LongLived::open(&lab, vip(false, 81)))
        .collect();
    let namespace = lab.backend(2).unwrap();
    namespace
        .ip(&[&format!("link set {} address {NEW}", Plan::INTERFACE)])
        .unwrap();
    let changed = Instant::now();
    // What a host does that comes up with a new address: it talks to its neighbours. It is their
    // business to notice; whether they answer this one is not asked.
    let word = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        // The discard port.
        socket.send_to(b"hello", Plan::BALANCER.v4_port(9))
    };
    namespace.enter(word).unwrap().unwrap();
    let second = backend(2, false, Plan::HTTP_PORT);
    wait_until("the new next hop", BOUND, || {
        let hop = backend_stats(&daemon, "web", second).next_hop;
        Ok((hop.as_deref() == Some(NEW)).then_some(()))
    })
    .unwrap();
    let took = changed.elapsed();
    assert!(took < Duration::from_millis(2500), "{took:?}");
    let ask = || {
        (0..30)
            .map(|_| http_get(vip(false, 80), "/", BOUND).unwrap().text())
            .collect()
    };
    let answers: Vec<String> = lab.client().enter(ask).unwrap();
    let tally = tally(answers);
    assert!(tally.values().all(|count| *count == 10), "{tally:?}");
    for stream in &mut streams {
        stream.echoes().unwrap();
    }
}

#[test]
fn healthy_backends_notice_nothing_when_another_fails() {
    if skips() {
        return;
    }
    let mut lab = Lab::builder().build().unwrap();
    let checked = |service| Service {
        more: QUICK_CHECK,
        ..service
    };
    let services = [checked(Service::web()), checked(Service::echo())];
    let daemon = lab.start_daemon(&lb(), &document(&services, "")).unwrap();
    let mut streams: Vec<LongLived> = (0..6)
        .map(|_| LongLived::open(&lab, vip(false, 81)))
        .collect();
    let traffic = Traffic::start(lab.client(), &[web_stream()]);
    let name = Plan::backend_name(2);
    let failed = Instant::now();
    lab.fail_backend(2).unwrap();
    let second = backend(2, false, Plan::HTTP_PORT);
    let mut echo_all = || {
        for stream in streams.iter_mut().filter(|s| s.backend != name) {
            stream.echoes().unwrap();
        }
    };
    wait_until("the failed state", BOUND, || {
        echo_all();
        let state = backend_stats(&daemon, "web", second).state;
        Ok((state == BackendState::Down).then_some(()))
    })
    .unwrap();
    // Two probes, at most 200 ms and a tenth of that apart, of at most 150 ms each; the rest is
    // for a busy machine.
    let took = failed.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
    let look = || traffic.quiet(|tally| (tally["web"].clone(), connections(&daemon, "web")));
    let (seen, counted) = look();
    // Whoever asked the others was answered: only what the failed one got has failed.
    let answered = seen.answers.get(&name).copied().unwrap_or_default();
    assert!(
        answered + seen.failures <= counted[1],
        "{seen:?} {counted:?}"
    );
    served(&traffic, 90);
    echo_all();
    let (after, counted_after) = look();
    let new = after.since(&seen);
    assert_eq!((new.failures, new.answers.get(&name)), (0, None), "{new:?}");
    assert_eq!(
        counted_after[1], counted[1],
        "a connection to a failed backend"
    );
    lab.recover_backend(2).unwrap();
    wait_state(&daemon, "web", second, BackendState::Up);
    let (before, _) = look();
    served(&traffic, 90);
    echo_all();
    let new = look().0.since(&before);
    assert_eq!(new.failures, 0, "{:?}", new.last_failure);
    assert!(new.answers[&name] >= 25, "{new:?}");
}

/// Requests for the web service, one after another.
fn web_stream() -> Stream {
    Stream {
        service: "web".to_owned(),
        to: vip(false, 80),
        via: Via::Http,
        every: Duration::from_millis(5),
    }
}

/// Waits for so many more requests.
fn served(traffic: &Traffic, count: u64) {
    let requests = || traffic.tally().get("web").map_or(0, |seen| seen.requests);
    let before = requests();
    wait_until("more requests", BOUND, || {
        Ok((requests() >= before + count).then_some(()))
    })
    .unwrap();
}
