//! What happened between two quiet moments, as the clients and the daemon each counted it.
//!
//! At a quiet moment no request is under way, so differences of two snapshots are whole. A phase
//! is *steady* when nothing changed in it, or a *change*: from a quiet moment before the command
//! to one after its effect shows.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use lb_tests::lab::example::SERVICES;
use lb_tests::lab::traffic::{Seen, Tally, Traffic};
use lb_tests::lab::{Daemon, Plan};
use lb_userspace::api::types::{BackendState, ServiceStats, Stats};

/// Both sides' counters at a quiet moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// What the clients saw.
    pub(crate) seen: Tally,
    /// What the daemon counted.
    pub(crate) stats: Stats,
}

/// Whether membership changed, and what may go wrong meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing changed.
    Steady,
    /// A change that no request may notice.
    Change,
    /// The server of the backend of this name was killed.
    Failure(String),
}

/// The time between two quiet moments.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    /// In words, for the summary.
    pub(crate) title: String,
    /// What happened in it.
    pub(crate) kind: Kind,
    /// At its start.
    pub(crate) before: Snapshot,
    /// At its end.
    pub(crate) after: Snapshot,
    /// How long it took.
    pub(crate) took: Duration,
}

/// One service's share of a phase.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// What its clients saw.
    pub(crate) seen: Seen,
    /// Backends by name, those that were removed or added in the phase included.
    pub(crate) backends: BTreeMap<String, BackendShare>,
}

/// One backend's share of a phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BackendShare {
    /// Its state at the start; `None` where it was no member.
    pub(crate) before: Option<BackendState>,
    /// Its state at the end.
    pub(crate) after: Option<BackendState>,
    /// Connections that the daemon counted.
    pub(crate) connections: u64,
    /// Answers that clients got from it.
    pub(crate) answers: u64,
}

impl Snapshot {
    /// Holds requests back while both sides are read.
    pub(crate) fn take(traffic: &Traffic, daemon: &Daemon) -> Result<Self> {
        traffic.quiet(|seen| {
            Ok(Self {
                seen: seen.clone(),
                stats: daemon.stats()?,
            })
        })
    }
}

impl Phase {
    /// What became of one service's requests.
    pub(crate) fn share(&self, service: &str) -> Share {
        let seen = |snapshot: &Snapshot| snapshot.seen.get(service).cloned().unwrap_or_default();
        let seen = seen(&self.after).since(&seen(&self.before));
        let mut backends = BTreeMap::<String, BackendShare>::new();
        for (name, state, connections) in members(&self.before.stats, service) {
            let share = backends.entry(name).or_default();
            share.before = Some(state);
            share.connections = connections;
        }
        for (name, state, connections) in members(&self.after.stats, service) {
            let share = backends.entry(name).or_default();
            share.after = Some(state);
            share.connections = connections.saturating_sub(share.connections);
        }
        for share in backends.values_mut().filter(|share| share.after.is_none()) {
            // Its counters went with it.
            share.connections = 0;
        }
        for (name, count) in &seen.answers {
            backends.entry(name.clone()).or_default().answers = *count;
        }
        Share { seen, backends }
    }
}

impl BackendShare {
    /// Whether new connections were its due for the whole of the phase.
    pub(crate) fn eligible(self) -> bool {
        self.before == Some(BackendState::Up) && self.after == Some(BackendState::Up)
    }
}

/// The service of this name.
pub(crate) fn service<'a>(stats: &'a Stats, name: &str) -> Option<&'a ServiceStats> {
    stats.services.iter().find(|service| service.name == name)
}

/// The state of the backend `name` in a service, `None` where it is no member.
pub(crate) fn state(stats: &Stats, service: &str, name: &str) -> Option<BackendState> {
    members(stats, service)
        .find(|(member, ..)| member == name)
        .map(|(_, state, _)| state)
}

/// The backends that are up in the first service, which stands for all.
pub(crate) fn names_up(stats: &Stats) -> Vec<String> {
    let members = members(stats, SERVICES[0]);
    members
        .filter(|&(_, state, _)| state == BackendState::Up)
        .map(|(name, ..)| name)
        .collect()
}

fn members<'a>(
    stats: &'a Stats,
    name: &str,
) -> impl Iterator<Item = (String, BackendState, u64)> + use<'a> {
    service(stats, name)
        .into_iter()
        .flat_map(|service| &service.backends)
        .map(|backend| {
            let address = backend.address;
            let name = Plan::backend_name_of(address.ip()).unwrap_or_else(|| address.to_string());
            (name, backend.state, backend.traffic.connections)
        })
}
