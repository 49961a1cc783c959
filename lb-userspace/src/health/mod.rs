//! Health checks: probes backends on their schedule and reports when one comes or goes.
//!
//! A [`Checker`] runs one task for each [`Target`] and sends a [`Report`] whenever the state of
//! a target is first known, changes, or is bad for another reason than before. What a report
//! leads to is decided elsewhere: this module knows neither slots nor maps.

mod failure;
mod http;
mod probe;
mod schedule;
mod state;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

use self::probe::Probe;
use self::state::State;
use self::tls::Trust;
use crate::document::Check;

/// One backend to probe.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The backend's id; reports carry it. Unique among the targets of one update.
    pub id: u32,
    /// The backend's own address; `check.port` replaces its port.
    pub address: SocketAddr,
    /// What is done and how often.
    pub check: Check,
}

/// What is now known of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The target's id.
    pub id: u32,
    /// Whether it may get connections.
    pub healthy: bool,
    /// How the last probe ended, in a few words for a human: `status 200`,
    /// `connection refused`.
    pub detail: String,
}

/// Why no health checks can be run.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The checker was made outside a tokio runtime.
    #[error("health checks need a tokio runtime: make the checker inside one")]
    NoRuntime(#[from] tokio::runtime::TryCurrentError),
}

/// Probes targets for as long as it lives; dropping it stops every probe.
#[derive(Debug)]
pub struct Checker {
    runtime: Handle,
    reports: Sender<Report>,
    trust: Trust,
    running: HashMap<u32, Running>,
}

impl Checker {
    /// A checker without targets that sends to `reports`.
    ///
    /// Probes wait while the channel is full, so its receiver sets the pace of a burst. When the
    /// receiver is gone, each target's probes end at its next report.
    ///
    /// # Errors
    ///
    /// Outside a tokio runtime.
    pub fn new(reports: Sender<Report>) -> Result<Self, HealthError> {
        Ok(Self {
            runtime: Handle::try_current()?,
            reports,
            trust: Trust::system(),
            running: HashMap::new(),
        })
    }

    /// Starts probing new targets, stops probing those gone, and leaves those unchanged alone,
    /// their counts too. A target whose address or check changed starts over.
    ///
    /// `known` tells the state that a starting target is believed to be in: it then takes `fall`
    /// failures or `rise` successes to change it. `None` leaves the decision to the first probe.
    ///
    /// A report sent just before its target went may still be in the channel: receivers ignore
    /// ids that they do not know.
    pub fn update(&mut self, targets: &[Target], known: impl Fn(u32) -> Option<bool>) {
        let wanted: HashSet<u32> = targets.iter().map(|target| target.id).collect();
        self.running.retain(|id, _| wanted.contains(id));
        for target in targets {
            let unchanged = self
                .running
                .get(&target.id)
                .is_some_and(|running| running.target == *target);
            if !unchanged {
                let running = self.start(target.clone(), known(target.id));
                // The old task, if any, is dropped and thereby stopped.
                self.running.insert(target.id, running);
            }
        }
    }

    fn start(&self, target: Target, known: Option<bool>) -> Running {
        let Target {
            id,
            address,
            ref check,
        } = target;
        let check = check.clone();
        let (trust, reports) = (self.trust.clone(), self.reports.clone());
        let task = self.runtime.spawn(async move {
            let probe = Probe::new(address, &check, &trust);
            let state = State::new(known, check.rise, check.fall);
            schedule::run(id, check, state, || probe.once(), reports).await;
        });
        Running { target, task }
    }
}

/// The task that probes one target.
#[derive(Debug)]
struct Running {
    target: Target,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
