//! New HTTP connections per second, between real clients and real servers in the lab.
//!
//! Clients, balancer and servers share the machine's CPUs; what the balancer takes, the others
//! lack. Each round's clients have an address of their own, so that no port of theirs waits for
//! late packets of an earlier round.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::balancer::{Balancer, Kind};
use super::contender::{Contender, Side};
use super::http::{Tally, ask, ask_until};
use super::{BACKENDS, Options, documents};
use crate::lab::{Host, Lab, Plan};

/// Connections under way at the same time.
const CLIENTS: usize = 8;
/// Connections of a check.
const CHECK_CONNECTIONS: usize = 300;
/// How far a backend's share may be from an equal one, in parts of a hundred, beside the one that
/// does not divide.
const UNEVEN_MAX: u64 = 3;
/// Failed connections that a round may have, in parts of a thousand.
const FAILED_MAX: u64 = 1;
/// The clients' network: not the backends', so that answers take the way that routes tell.
const CLIENTS_NETWORK: &str = "10.78.0.0/24";

/// Clients that connect to a virtual service as often as they can.
pub(crate) struct Connecting {
    balancer: Balancer,
    rounds: u8,
    lab: Lab,
}

impl Connecting {
    /// Builds a lab with this balancer.
    pub(crate) fn new(kind: Kind, options: &Options) -> Result<Self> {
        let dsr = kind == Kind::LbDsr;
        let builder = Lab::builder().backends(BACKENDS).server(&options.server);
        let lab = if dsr { builder.dsr() } else { builder }.build()?;
        let client = lab.client();
        client.sysctl("net/ipv4/ip_local_port_range", "1024 65535")?;
        // Bounds how long a connection attempt without answer takes: seven seconds.
        client.sysctl("net/ipv4/tcp_syn_retries", "2")?;
        let via = |gateway: Host| {
            format!(
                "route add {CLIENTS_NETWORK} via {} dev {}",
                gateway.v4(),
                Plan::INTERFACE
            )
        };
        lab.balancer().ip(&[&via(Plan::CLIENT)])?;
        for number in 1..=BACKENDS {
            // Whoever changed a connection's addresses must see its answers.
            let gateway = if dsr { Plan::CLIENT } else { Plan::BALANCER };
            lab.backend(number)?.ip(&[&via(gateway)])?;
        }
        let balancer = Balancer::start(kind, lab.footprint(), lab.balancer(), &options.lb)?;
        Ok(Self {
            balancer,
            rounds: 0,
            lab,
        })
    }

    /// Gives the clients an address that they have not had.
    fn move_clients(&mut self) -> Result<()> {
        let round = self.rounds.checked_add(1);
        self.rounds = round.context("the clients' network has 255 addresses, one for a round")?;
        let (address, device) = (format!("10.78.0.{}", self.rounds), Plan::INTERFACE);
        self.lab.client().ip(&[
            &format!("addr add {address}/32 dev {device}"),
            &format!(
                "route replace {}/32 via {} dev {device} src {address}",
                Plan::VIP.v4(),
                Plan::BALANCER.v4()
            ),
        ])
    }

    fn flood(&self, window: Duration) -> Result<(Tally, Duration)> {
        let (stop, vip) = (AtomicBool::new(false), Plan::VIP.v4_port(documents::PORT));
        thread::scope(|scope| {
            let begin = Instant::now();
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| scope.spawn(|| self.lab.client().enter(|| ask_until(&stop, vip))))
                .collect();
            thread::sleep(window);
            stop.store(true, Ordering::Relaxed);
            let mut all = Tally::default();
            for client in clients {
                let tally = client.join().ok().context("a client's thread panicked")?;
                all.add(tally?);
            }
            Ok((all, begin.elapsed()))
        })
    }
}

impl Contender for Connecting {
    fn side(&self) -> &Side {
        self.balancer.side()
    }

    fn check(&mut self) -> Result<()> {
        self.move_clients()?;
        let vip = Plan::VIP.v4_port(documents::PORT);
        let tally = self.lab.client().enter(|| {
            let mut tally = Tally::default();
            for _ in 0..CHECK_CONNECTIONS {
                tally.count(ask(vip));
            }
            tally
        })?;
        even(&tally).with_context(|| self.balancer.condition())
    }

    fn measure(&mut self, window: Duration) -> Result<f64> {
        self.move_clients()?;
        let (tally, elapsed) = self.flood(window)?;
        even(&tally).with_context(|| self.balancer.condition())?;
        self.balancer.forget(self.lab.balancer())?;
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let answered = tally.answered() as f64;
        Ok(answered / elapsed.as_secs_f64())
    }
}

/// Whether all backends answered, each getting its share, and almost every connection did.
fn even(tally: &Tally) -> Result<()> {
    let (answered, failures) = (tally.answered(), tally.failures);
    ensure!(
        answered > 0 && failures * 1000 <= answered * FAILED_MAX,
        "of {} connections {failures} failed: {}",
        answered + failures,
        tally.last_failure.as_deref().unwrap_or("none was answered")
    );
    let equal = answered / u64::from(BACKENDS);
    let allowed = 1 + equal * UNEVEN_MAX / 100;
    let near = |count: &u64| count.abs_diff(equal) <= allowed;
    let all = (1..=BACKENDS).map(Plan::backend_name);
    ensure!(
        tally.answers.keys().cloned().eq(all) && tally.answers.values().all(near),
        "the connections did not go evenly to {BACKENDS} backends: {:?}",
        tally.answers
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn tally(counts: &[u64], failures: u64) -> Tally {
        let names = (1..).map(Plan::backend_name);
        Tally {
            answers: names.zip(counts.iter().copied()).collect(),
            failures,
            last_failure: None,
        }
    }

    #[test]
    fn every_backend_answers_its_share() {
        even(&tally(&[1000, 1000, 1001], 3)).unwrap();
        even(&tally(&[32, 31, 31], 0)).unwrap();
        for (counts, failures) in [
            (&[][..], 0),
            (&[1500, 1500], 0),
            (&[900, 1050, 1050], 0),
            (&[1000, 1000, 1000], 4),
            (&[1000, 1000, 1000, 1], 0),
        ] {
            even(&tally(counts, failures)).unwrap_err();
        }
    }
}
