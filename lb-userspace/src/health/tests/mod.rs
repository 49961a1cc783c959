//! Checks against real listeners on loopback.
//!
//! Counters and the schedule are tested where they are defined; here it is what a probe sees,
//! what a backend sees of a probe, and what a checker does with its targets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod certificates;
mod probes;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;

use self::server::Server;
use super::tls::Trust;
use super::{Checker, HealthError, Report, Target};
use crate::document::{Check, CheckKind, HttpCheck};

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Long enough that a test sees a target's first probe only.
const ONCE: Duration = Duration::from_hours(1);

fn check(kind: CheckKind, interval: Duration) -> Check {
    Check {
        kind,
        port: None,
        interval,
        timeout: Duration::from_secs(5),
        rise: 2,
        fall: 3,
    }
}

fn http_check() -> HttpCheck {
    HttpCheck {
        path: "/healthz?deep=1".to_owned(),
        host: None,
        status: (200, 399),
    }
}

fn tcp_target(id: u32, address: SocketAddr) -> Target {
    Target {
        id,
        address,
        check: check(CheckKind::Tcp, ONCE),
    }
}

/// A loopback address where nothing listens.
async fn closed_address() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

async fn next(reports: &mut Receiver<Report>) -> Report {
    timeout(PATIENCE, reports.recv()).await.unwrap().unwrap()
}

/// The first report on one target.
async fn first_report(address: SocketAddr, check: Check, trust: Trust) -> Report {
    let (sender, mut reports) = mpsc::channel(1);
    let mut checker = Checker::new(sender).unwrap();
    checker.trust = trust;
    checker.update(
        &[Target {
            id: 9,
            address,
            check,
        }],
        |_| None,
    );
    next(&mut reports).await
}

fn report(id: u32, healthy: bool, detail: &str) -> Report {
    Report {
        id,
        healthy,
        detail: detail.to_owned(),
    }
}

#[test]
fn outside_a_runtime_there_are_no_checks() {
    let (sender, _reports) = mpsc::channel(1);
    let error = Checker::new(sender).unwrap_err();
    assert!(matches!(error, HealthError::NoRuntime(_)), "{error}");
}

#[tokio::test]
async fn flapping_backend_goes_and_comes_by_its_counts() {
    let status = Arc::new(AtomicU16::new(200));
    let current = Arc::clone(&status);
    let server = Server::http(move || current.load(Ordering::SeqCst)).await;
    let (sender, mut reports) = mpsc::channel(1);
    let mut checker = Checker::new(sender).unwrap();
    let check = check(CheckKind::Http(http_check()), Duration::from_millis(20));
    checker.update(
        &[Target {
            id: 4,
            address: server.address,
            check,
        }],
        |_| None,
    );
    assert_eq!(next(&mut reports).await, report(4, true, "status 200"));

    status.store(503, Ordering::SeqCst);
    let before = server.requests().len();
    let down = "status 503, expected 200-399";
    assert_eq!(next(&mut reports).await, report(4, false, down));
    let failures = server.requests().len() - before;
    assert!(failures >= 3, "down after {failures} failures");

    status.store(204, Ordering::SeqCst);
    assert_eq!(
        next(&mut reports).await,
        report(4, false, "status 204, success 1 of 2")
    );
    assert_eq!(next(&mut reports).await, report(4, true, "status 204"));
}

#[tokio::test]
async fn unchanged_targets_are_left_alone() {
    let (first, second) = (Server::tcp().await, Server::tcp().await);
    let (sender, mut reports) = mpsc::channel(10);
    let mut checker = Checker::new(sender).unwrap();
    checker.update(&[tcp_target(1, first.address)], |_| None);
    assert_eq!(next(&mut reports).await, report(1, true, "connected"));

    // Had the first been started again, its report would come before that of the second.
    let both = [tcp_target(1, first.address), tcp_target(2, second.address)];
    checker.update(&both, |_| None);
    assert_eq!(next(&mut reports).await, report(2, true, "connected"));
    assert!(
        reports.try_recv().is_err(),
        "the first target was probed again"
    );
}

#[tokio::test]
async fn changed_targets_start_over() {
    let server = Server::tcp().await;
    let (sender, mut reports) = mpsc::channel(1);
    let mut checker = Checker::new(sender).unwrap();
    checker.update(&[tcp_target(1, server.address)], |_| None);
    assert_eq!(next(&mut reports).await, report(1, true, "connected"));

    let mut target = tcp_target(1, server.address);
    target.check.port = Some(closed_address().await.port());
    checker.update(std::slice::from_ref(&target), |_| None);
    assert_eq!(
        next(&mut reports).await,
        report(1, false, "connection refused")
    );

    // Believed to be up, it takes more than one failure.
    target.check.fall = 4;
    checker.update(&[target], |id| (id == 1).then_some(true));
    assert_eq!(
        next(&mut reports).await,
        report(1, true, "connection refused")
    );
}

#[tokio::test]
async fn targets_gone_and_a_dropped_checker_send_nothing_more() {
    let server = Server::tcp().await;
    let (sender, mut reports) = mpsc::channel(10);
    let mut checker = Checker::new(sender).unwrap();
    let targets = [tcp_target(1, server.address), tcp_target(2, server.address)];
    checker.update(&targets, |_| None);
    let mut ids = [next(&mut reports).await.id, next(&mut reports).await.id];
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    assert_eq!(
        reports.sender_strong_count(),
        3,
        "one for the checker and one a task"
    );

    checker.update(&targets[1..], |_| None);
    until(|| reports.sender_strong_count() == 2).await;
    drop(checker);
    assert_eq!(
        timeout(PATIENCE, reports.recv()).await.unwrap(),
        None,
        "a task goes on"
    );
}

/// Waits for what other tasks of this runtime are about to do.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
}
