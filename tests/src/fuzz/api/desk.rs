//! A controller without a kernel: it takes, checks and keeps a document as the daemon does, and
//! answers with counters that are made up.
//!
//! The document's own names and texts come back in its answers, because that is what a hostile
//! document reaches the interface's other clients by. Nothing is written to disk.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lb_userspace::api::control::{Control, ControlError};
use lb_userspace::api::types::{
    BackendState, BackendStats, BlockEntry, Changed, DocumentText, Edit, FirewallList, Replace,
    RuleEntry, RuleStats, ServiceStats, SetEntry, Stats, Status, Traffic,
};
use lb_userspace::daemon::DaemonError;
use lb_userspace::document::{Document, apply_edit, changes, parse, revision};

/// What runs before anybody asked for a change.
const FIRST: &str = include_str!("../../../../lb.example.toml");

/// The daemon's numbers, made up.
const NUMBER: u64 = 1 << 53;

/// A handle on the controller: the running text, and what it means.
#[derive(Debug, Clone)]
pub(super) struct Desk(Arc<Mutex<(String, Document)>>);

impl Default for Desk {
    fn default() -> Self {
        static READ: LazyLock<Document> =
            LazyLock::new(|| parse(FIRST, "lb.toml").expect("the example is right"));
        Self(Arc::new(Mutex::new((FIRST.to_owned(), READ.clone()))))
    }
}

impl Desk {
    /// The running text.
    pub(super) fn text(&self) -> String {
        self.state().0.clone()
    }

    fn running(&self) -> Document {
        self.state().1.clone()
    }

    fn state(&self) -> MutexGuard<'_, (String, Document)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parse(wanted: &Replace) -> Result<Document, ControlError> {
        let origin = wanted.origin.as_deref().unwrap_or("document");
        parse(&wanted.text, origin).map_err(|error| DaemonError::from(error).into())
    }

    /// Takes a text that is known to be right.
    fn take(&self, text: String, new: Document) -> Changed {
        let changes = changes(&self.running(), &new);
        let revision = revision(&text);
        *self.state() = (text, new);
        Changed { revision, changes }
    }
}

impl Control for Desk {
    async fn status(&self) -> Result<Status, ControlError> {
        let text = include_str!("../../../../lb-userspace/tests/interface/status.json");
        let mut status: Status = serde_json::from_str(text).expect("a status");
        status.revision = revision(&self.text());
        status.warnings = self.running().warnings();
        Ok(status)
    }

    async fn stats(&self) -> Result<Stats, ControlError> {
        let document = self.running();
        let services = document.services.iter().map(|service| ServiceStats {
            name: service.name.clone(),
            vip: service.vip.to_string(),
            scheduler: service.scheduler.to_string(),
            forward: service.forward.to_string(),
            traffic: traffic(),
            backends: service.backends.iter().map(of_backend).collect(),
        });
        let rules = document.firewall.rules.iter().map(|rule| RuleStats {
            name: rule.name.clone(),
            action: rule.action.to_string(),
            packets: NUMBER,
            bytes: NUMBER,
        });
        Ok(Stats {
            at: Timestamp::UNIX_EPOCH,
            services: services.collect(),
            rules: rules.collect(),
            reasons: Vec::new(),
        })
    }

    async fn firewall(&self) -> Result<FirewallList, ControlError> {
        let firewall = self.running().firewall;
        let blocks = firewall.blocks.iter().map(|block| BlockEntry {
            prefix: block.prefix,
            until: block.until,
        });
        let rules = firewall.rules.iter().map(|rule| RuleEntry {
            name: rule.name.clone(),
            matches: rule.source.text.join(" "),
            action: rule.action.to_string(),
            packets: NUMBER,
            bytes: NUMBER,
        });
        let sets = firewall.sets.iter().map(|set| SetEntry {
            name: set.name.clone(),
            entries: set.entries.len() as u64,
        });
        Ok(FirewallList {
            blocks: blocks.collect(),
            rules: rules.collect(),
            sets: sets.collect(),
        })
    }

    async fn document(&self) -> Result<DocumentText, ControlError> {
        let text = self.text();
        Ok(DocumentText {
            revision: revision(&text),
            text,
        })
    }

    async fn check(&self, wanted: Replace) -> Result<(), ControlError> {
        Self::parse(&wanted).map(drop)
    }

    async fn diff(&self, wanted: Replace) -> Result<Changed, ControlError> {
        let new = Self::parse(&wanted)?;
        Ok(Changed {
            revision: revision(&self.text()),
            changes: changes(&self.running(), &new),
        })
    }

    async fn replace(&self, wanted: Replace) -> Result<Changed, ControlError> {
        let new = Self::parse(&wanted)?;
        let running = revision(&self.text());
        if let Some(base) = wanted.base.filter(|base| *base != running) {
            return Err(DaemonError::Stale { running, base }.into());
        }
        Ok(self.take(wanted.text, new))
    }

    async fn edit(&self, edit: Edit) -> Result<Changed, ControlError> {
        let text = apply_edit(&self.text(), &edit).map_err(DaemonError::from)?;
        let new = parse(&text, "lb.toml").map_err(DaemonError::from)?;
        Ok(self.take(text, new))
    }
}

fn of_backend(backend: &lb_userspace::document::Backend) -> BackendStats {
    BackendStats {
        address: backend.address,
        weight: backend.weight,
        state: BackendState::Up,
        detail: String::new(),
        next_hop: None,
        mtu: None,
        traffic: traffic(),
    }
}

fn traffic() -> Traffic {
    Traffic {
        connections: NUMBER,
        packets_in: NUMBER,
        bytes_in: NUMBER,
        packets_out: NUMBER,
        bytes_out: NUMBER,
    }
}
