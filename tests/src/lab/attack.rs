//! The attacker: asks again and again, and notes every sign of an answer.
//!
//! Silence is the only thing a forbidden host may get. A refusal, a reset or an ICMP error proves
//! that its packet went somewhere and something came back, so each counts as an answer.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::client::udp_ask;
use super::namespace::Namespace;
use super::traffic::Via;

/// How long a connection attempt waits: below the first retransmission, so that an attempt is one
/// packet, and far above the lab's round trip.
const TCP_BOUND: Duration = Duration::from_millis(250);
/// How long a datagram waits for an answer.
const UDP_BOUND: Duration = Duration::from_millis(50);
/// Pause between two attempts, so that even an answered attacker does not starve the lab.
const PAUSE: Duration = Duration::from_millis(5);

/// What the attacker has seen so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Attempts made; each sent at least one packet.
    pub made: u64,
    /// Attempts that got any answer.
    pub answered: u64,
    /// The last of these answers, in words.
    pub last_answer: Option<String>,
}

/// A running attack; dropping it ends it.
#[derive(Debug)]
pub struct Attack {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    attempts: Mutex<Attempts>,
    stop: AtomicBool,
}

impl Attack {
    /// Starts one stream of attempts per place, in `namespace`.
    pub fn start(namespace: &Namespace, places: &[(SocketAddr, Via)]) -> Self {
        let shared = Arc::new(Shared::default());
        let threads = places.iter().map(|&(to, via)| {
            let (shared, namespace) = (Arc::clone(&shared), namespace.clone());
            thread::spawn(move || {
                if let Err(error) = namespace.enter(|| shared.attack(to, via)) {
                    // An attack that does not happen must not pass for one that failed.
                    shared.note(Some(format!("no attack on {to}: {error:#}")));
                }
            })
        });
        let threads = threads.collect();
        Self { shared, threads }
    }

    /// What it has seen so far.
    pub fn attempts(&self) -> Attempts {
        self.shared
            .attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends it and returns what it saw.
    pub fn stop(mut self) -> Attempts {
        self.end();
        self.attempts()
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn attack(&self, to: SocketAddr, via: Via) {
        while !self.stop.load(Ordering::Relaxed) {
            let outcome = match via {
                Via::Http => TcpStream::connect_timeout(&to, TCP_BOUND).map(drop),
                Via::Udp => udp_ask(to, 0, b"let me in", UDP_BOUND).map(drop),
            };
            self.note(answer(&outcome).map(|answer| format!("{to}: {answer}")));
            thread::sleep(PAUSE);
        }
    }

    fn note(&self, answer: Option<String>) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.made += 1;
        if let Some(answer) = answer {
            attempts.answered += 1;
            attempts.last_answer = Some(answer);
        }
    }
}

/// What came back, if anything did.
fn answer(outcome: &io::Result<()>) -> Option<String> {
    match outcome {
        Ok(()) => Some("answered".to_owned()),
        // A read that times out says `WouldBlock`, a connection says `TimedOut`.
        Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => None,
        Err(error) => Some(error.to_string()),
    }
}
