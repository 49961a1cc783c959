//! What came back.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::packets::{self, Seen};
use super::wire::Wire;

/// How long answers are waited for before questions are repeated.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long unwelcome answers are waited for, which nobody may give.
const QUIET: Duration = Duration::from_millis(250);
/// How often is asked.
pub(super) const TRIES: u32 = 3;

/// A question: a frame, and the interface that it leaves by.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) interface: u32,
    pub(super) frame: Vec<u8>,
    /// What would answer it.
    pub(super) answers: Vec<Seen>,
    /// Whether an answer is waited for: others are asked to know more where one is missing.
    pub(super) is_vital: bool,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    seen: HashSet<Seen>,
}

impl Evidence {
    /// Asks, up to so many times whatever is not answered, and listens.
    pub(super) fn gather(
        wire: &mut Wire,
        questions: &[Question],
        tries: u32,
        mut ask: impl FnMut(&Wire, &Question),
    ) -> io::Result<Self> {
        let mut evidence = Self::default();
        let begin = Instant::now();
        for _ in 0..tries {
            let open = |evidence: &Self| {
                let open = questions.iter().filter(|one| !evidence.answers(one));
                open.collect::<Vec<_>>()
            };
            for question in open(&evidence) {
                ask(wire, question);
            }
            let mut waits = true;
            let until = Instant::now() + PATIENCE;
            while waits || begin.elapsed() < QUIET {
                let quiet = if waits { until } else { begin + QUIET };
                let Some(frame) = wire.receive(quiet)? else {
                    break;
                };
                if let Some(seen) = packets::read(frame)
                    && evidence.seen.insert(seen)
                {
                    waits = open(&evidence).iter().any(|question| question.is_vital);
                }
            }
            if !waits {
                break;
            }
        }
        Ok(evidence)
    }

    fn answers(&self, question: &Question) -> bool {
        let mut answers = question.answers.iter();
        answers.any(|answer| self.has(answer))
    }

    /// Whether this was seen.
    pub(super) fn has(&self, seen: &Seen) -> bool {
        self.seen.contains(seen)
    }

    /// Whether a segment went from one to the other, of one who listens or does not.
    pub(super) fn spoke(&self, (from, to): (SocketAddr, SocketAddr)) -> bool {
        self.has(&Seen::Tcp(from, to)) || self.reset((from, to))
    }

    /// Whether one told the other that nobody listens.
    pub(super) fn reset(&self, (from, to): (SocketAddr, SocketAddr)) -> bool {
        self.has(&Seen::Reset(from, to))
    }

    /// Whether a packet to an address was refused for its protocol.
    pub(super) fn refused(&self, to: IpAddr, protocols: &[u8]) -> bool {
        let mut protocols = protocols.iter();
        protocols.any(|protocol| self.has(&Seen::Refused(to, *protocol)))
    }

    /// The longest packet to an address that a router would have taken.
    pub(super) fn too_big(&self, address: IpAddr) -> Option<u32> {
        self.seen.iter().find_map(|seen| match seen {
            Seen::TooBig(to, mtu) if *to == address => Some(*mtu),
            _ => None,
        })
    }

    /// Whether somebody asked for a neighbour as if an address were its own.
    pub(super) fn asked_as(&self, mac: [u8; 6], sender: Ipv4Addr) -> bool {
        self.seen.iter().any(
            |seen| matches!(seen, Seen::Asks(who, as_whom, _) if *who == mac && *as_whom == sender),
        )
    }
}
