//! What is there before the show: signals, a checked network, and who asks whom.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use lb_tests::lab::client::http_get;
use lb_tests::lab::example::SERVICES;
use lb_tests::lab::traffic::{Stream, Via};
use lb_tests::lab::{Lab, Plan};
use lb_userspace::api::types::{BackendState, Stats};
use tokio::signal::unix::{SignalKind, signal};

use crate::screen::say;

/// How long a request of the check may take.
const REQUEST_BOUND: Duration = Duration::from_secs(5);
/// Time between two HTTP requests, per family: 200 a second together.
const HTTP_EVERY: Duration = Duration::from_millis(10);
/// Time between two datagrams: 50 a second.
const UDP_EVERY: Duration = Duration::from_millis(20);
/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Turns true at the first Ctrl-C, SIGTERM or hang-up; the second ends the process at once, and
/// the next lab removes what it leaves.
pub(crate) fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _inside = runtime.enter();
        let listen = |kind| signal(kind).context("cannot listen to signals");
        (
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        )
    };
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
                if seen.swap(true, Ordering::Relaxed) {
                    std::process::exit(INTERRUPTED);
                }
                say("ending; once more to leave at once");
            }
        });
    });
    Ok(stop)
}

/// Proves that client and attacker reach the backends while nothing is in between: the attacker's
/// silence later is the firewall's work, not a broken cable's.
pub(crate) fn check_network(lab: &Lab) -> Result<()> {
    for (who, namespace) in [("client", lab.client()), ("attacker", lab.attacker())] {
        for number in 1..=lab.backend_count() {
            let host = Plan::backend(number);
            for place in [host.v4_port(Plan::HTTP_PORT), host.v6_port(Plan::HTTP_PORT)] {
                namespace
                    .enter(|| http_get(place, "/", REQUEST_BOUND))?
                    .with_context(|| format!("the {who} does not reach {place} directly"))?;
            }
        }
    }
    Ok(())
}

/// The example's services, where they are, and how to ask them.
pub(crate) fn places() -> [(&'static str, SocketAddr, Via); SERVICES.len()] {
    let [web, web6, echo] = SERVICES;
    [
        (web, Plan::VIP.v4_port(Plan::VIP_PORT), Via::Http),
        (web6, Plan::VIP.v6_port(Plan::VIP_PORT), Via::Http),
        (echo, Plan::VIP.v4_port(Plan::VIP_UDP_PORT), Via::Udp),
    ]
}

/// The client's streams.
pub(crate) fn streams() -> [Stream; SERVICES.len()] {
    places().map(|(service, to, via)| {
        let every = if via == Via::Http {
            HTTP_EVERY
        } else {
            UDP_EVERY
        };
        Stream {
            service: service.to_owned(),
            to,
            via,
            every,
        }
    })
}

/// Whether every backend of every service is up.
pub(crate) fn all_up(stats: &Stats) -> bool {
    let mut backends = stats.services.iter().flat_map(|service| &service.backends);
    stats.services.len() == SERVICES.len()
        && backends.all(|backend| backend.state == BackendState::Up)
}
