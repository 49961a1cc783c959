//! Steady traffic from the client: streams of requests, and what became of each.
//!
//! A stream asks one question after another, each on a new connection, so its connections reach
//! the balancer in a known order. [`Traffic::quiet`] looks at the tally at a moment when no
//! request is under way; between two such moments, connections made and answers seen are whole
//! and comparable with the daemon's counters.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::{http_get, udp_ask};
use super::namespace::Namespace;
use super::server::echoed_by;

/// How long a TCP request may take per step.
const HTTP_BOUND: Duration = Duration::from_secs(2);
/// How long a datagram's answer may take.
const UDP_BOUND: Duration = Duration::from_millis(500);
/// Source ports of datagrams, used in turn. Below the kernel's own choice, and so many that a
/// flow is forgotten before its port comes up again.
const UDP_PORTS: std::ops::RangeInclusive<u16> = 2_000..=32_000;

/// How a stream asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// `GET /`; the answer is the backend's name.
    Http,
    /// A datagram; the answer starts with the backend's name.
    Udp,
}

/// One stream of requests.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The name to tally under.
    pub service: String,
    /// Where to ask.
    pub to: SocketAddr,
    /// How.
    pub via: Via,
    /// Time between the starts of two requests.
    pub every: Duration,
}

/// What a service's clients saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests made.
    pub requests: u64,
    /// Answers by the name of the backend that gave them.
    pub answers: BTreeMap<String, u64>,
    /// Requests without an answer.
    pub failures: u64,
    /// Why the last of them failed.
    pub last_failure: Option<String>,
}

/// What clients saw, by service.
pub type Tally = BTreeMap<String, Seen>;

/// Running streams; dropping them ends them.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Streams hold it for reading during a request; who wants silence holds it for writing.
    gate: RwLock<()>,
    tally: Mutex<Tally>,
    stop: AtomicBool,
}

impl Traffic {
    /// Starts the streams in `namespace`.
    pub fn start(namespace: &Namespace, streams: &[Stream]) -> Self {
        let shared = Arc::new(Shared::default());
        let threads = streams.iter().map(|stream| {
            let (shared, stream) = (Arc::clone(&shared), stream.clone());
            let namespace = namespace.clone();
            thread::spawn(move || {
                if let Err(error) = namespace.enter(|| shared.ask_on(&stream)) {
                    shared.count(&stream.service, Err(io::Error::other(format!("{error:#}"))));
                }
            })
        });
        let threads = threads.collect();
        Self { shared, threads }
    }

    /// Waits for the requests under way, holds new ones back while `look` runs, and lets them go.
    pub fn quiet<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        let _silence = self
            .shared
            .gate
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        look(&self.shared.tally())
    }

    /// The tally at this moment, requests under way left out.
    pub fn tally(&self) -> Tally {
        self.shared.tally().clone()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A stream that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn ask_on(&self, stream: &Stream) {
        let mut ports = UDP_PORTS.cycle();
        let mut next = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            {
                let _speaking = self.gate.read().unwrap_or_else(PoisonError::into_inner);
                let port = ports.next().unwrap_or_default();
                self.count(&stream.service, stream.ask(port));
            }
            // A stream that fell behind does not catch up in a burst.
            next = (next + stream.every).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn count(&self, service: &str, answer: io::Result<String>) {
        let mut tally = self.tally();
        let seen = tally.entry(service.to_owned()).or_default();
        seen.requests += 1;
        match answer {
            Ok(name) => *seen.answers.entry(name).or_default() += 1,
            Err(error) => {
                seen.failures += 1;
                seen.last_failure = Some(error.to_string());
            }
        }
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// One request; the name of the backend that answered.
    fn ask(&self, port: u16) -> io::Result<String> {
        match self.via {
            Via::Http => {
                let answer = http_get(self.to, "/", HTTP_BOUND)?;
                match answer.status {
                    200 => Ok(answer.text()),
                    status => Err(io::Error::other(format!("status {status}"))),
                }
            }
            Via::Udp => {
                let payload = format!("from port {port}").into_bytes();
                let answer = udp_ask(self.to, port, &payload, UDP_BOUND)?;
                echoed_by(&answer, &payload).ok_or_else(|| io::Error::other("not our echo"))
            }
        }
    }
}

impl Seen {
    /// What was seen since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let answers = self.answers.iter().map(|(name, count)| {
            (
                name.clone(),
                count - before.answers.get(name).copied().unwrap_or_default(),
            )
        });
        Self {
            requests: self.requests - before.requests,
            answers: answers.filter(|&(_, count)| count > 0).collect(),
            failures: self.failures - before.failures,
            last_failure: self.last_failure.clone(),
        }
    }
}
