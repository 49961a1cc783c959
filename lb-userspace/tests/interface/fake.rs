//! A controller that remembers what it was asked and answers what it was told to.
//!
//! It stands behind the real server, on a real socket; no kernel is involved.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use lb_userspace::api::control::{Control, ControlError};
use lb_userspace::api::server::{ServeError, serve};
use lb_userspace::api::types::{
    Changed, DocumentText, Edit, FirewallList, Replace, Stats, Status, Traffic,
};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// A bound on everything that is waited for: far longer than any of it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A handle on the fake controller.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Answers every call, if there is one.
    refusal: Mutex<Option<ControlError>>,
    /// What changes answer.
    changes: Mutex<Vec<String>>,
    /// What was asked, in order: the method and its argument as JSON.
    calls: Mutex<Vec<(&'static str, serde_json::Value)>>,
    /// How often the counters were read.
    readings: Mutex<i64>,
    /// Edits wait for this, if there is one.
    gate: Mutex<Option<Arc<Notify>>>,
}

impl Fake {
    /// From now on every call is refused like this.
    pub(crate) fn refuse(&self, error: ControlError) {
        *self.0.refusal.lock().unwrap() = Some(error);
    }

    /// From now on changes answer these lines.
    pub(crate) fn answer(&self, changes: &[&str]) {
        *self.0.changes.lock().unwrap() = changes.iter().map(ToString::to_string).collect();
    }

    /// From now on edits are done only once the gate is notified.
    pub(crate) fn gate(&self) -> Arc<Notify> {
        Arc::clone(self.0.gate.lock().unwrap().get_or_insert_default())
    }

    /// What was asked until now; it is forgotten.
    pub(crate) fn calls(&self) -> Vec<(&'static str, serde_json::Value)> {
        std::mem::take(&mut *self.0.calls.lock().unwrap())
    }

    fn call(&self, name: &'static str, argument: serde_json::Value) -> Result<(), ControlError> {
        self.0.calls.lock().unwrap().push((name, argument));
        self.0.refusal.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn changed(&self) -> Changed {
        Changed {
            revision: "next".to_owned(),
            changes: self.0.changes.lock().unwrap().clone(),
        }
    }
}

impl Control for Fake {
    async fn status(&self) -> Result<Status, ControlError> {
        self.call("status", serde_json::Value::Null)?;
        Ok(status())
    }

    /// With each reading a second passes, and the first backend gets some traffic.
    async fn stats(&self) -> Result<Stats, ControlError> {
        self.call("stats", serde_json::Value::Null)?;
        let mut readings = self.0.readings.lock().unwrap();
        let stats = stats_after(*readings);
        *readings += 1;
        Ok(stats)
    }

    async fn firewall(&self) -> Result<FirewallList, ControlError> {
        self.call("firewall", serde_json::Value::Null)?;
        Ok(firewall())
    }

    async fn document(&self) -> Result<DocumentText, ControlError> {
        self.call("document", serde_json::Value::Null)?;
        Ok(DocumentText {
            revision: "now".to_owned(),
            text: "interfaces = []\n".to_owned(),
        })
    }

    async fn check(&self, wanted: Replace) -> Result<(), ControlError> {
        self.call("check", serde_json::to_value(wanted).unwrap())
    }

    async fn diff(&self, wanted: Replace) -> Result<Changed, ControlError> {
        self.call("diff", serde_json::to_value(wanted).unwrap())?;
        Ok(self.changed())
    }

    async fn replace(&self, wanted: Replace) -> Result<Changed, ControlError> {
        self.call("replace", serde_json::to_value(wanted).unwrap())?;
        Ok(self.changed())
    }

    async fn edit(&self, edit: Edit) -> Result<Changed, ControlError> {
        self.call("edit", serde_json::to_value(edit).unwrap())?;
        let gate = self.0.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.notified().await;
            self.call("edited", serde_json::Value::Null)?;
        }
        Ok(self.changed())
    }
}

/// The status that the fake answers.
pub(crate) fn status() -> Status {
    serde_json::from_str(include_str!("status.json")).unwrap()
}

/// The list that the fake answers.
pub(crate) fn firewall() -> FirewallList {
    serde_json::from_str(include_str!("firewall.json")).unwrap()
}

/// The counters that the fake answers after some readings.
pub(crate) fn stats_after(readings: i64) -> Stats {
    let mut stats: Stats = serde_json::from_str(include_str!("stats.json")).unwrap();
    stats.at = stats
        .at
        .checked_add(SignedDuration::from_secs(readings))
        .unwrap();
    let times = u64::try_from(readings).unwrap();
    let service = stats.services.first_mut().unwrap();
    let backend = service.backends.first_mut().unwrap();
    for traffic in [&mut service.traffic, &mut backend.traffic] {
        let Traffic {
            connections,
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
        } = *traffic;
        *traffic = Traffic {
            connections: connections + 5 * times,
            packets_in: packets_in + 1_500 * times,
            bytes_in: bytes_in + 125_000 * times,
            packets_out: packets_out + 2_000_000 * times,
            bytes_out: bytes_out + 1_250_000_000 * times,
        };
    }
    stats
}

/// The real server before a fake controller, in a directory of its own.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// What is behind the server.
    pub(crate) fake: Fake,
    directory: TempDir,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Daemon {
    /// Starts the server and waits until it answers.
    pub(crate) async fn start() -> Self {
        let fake = Fake::default();
        let directory = tempfile::tempdir().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (path, control) = (directory.path().join("lb.sock"), fake.clone());
        let serving =
            tokio::spawn(async move { serve(&path, control, async { drop(stopped.await) }).await });
        let daemon = Self {
            fake,
            directory,
            stop,
            serving,
        };
        let answering = async {
            while UnixStream::connect(daemon.socket()).await.is_err() {
                assert!(!daemon.serving.is_finished(), "the server ended early");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, answering)
            .await
            .expect("the server never answered");
        daemon
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("lb.sock")
    }

    /// A directory that ends with the test.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Asks the server to end; what it ended with.
    pub(crate) async fn stop(self) -> Result<(), ServeError> {
        self.stop.send(()).expect("the server is still there");
        tokio::time::timeout(PATIENCE, self.serving)
            .await
            .expect("it ends")
            .unwrap()
    }
}
