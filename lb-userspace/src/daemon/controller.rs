//! The controller: one owner of the document, the health, the next hops and the dataplane. Every
//! event runs to its end before the next, so that there is no other locking.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::DaemonError;
use super::handle::Request;
use super::hops::Hops;
use super::store::{State, Store};
use crate::api::control::ControlError;
use crate::api::types::{Changed, DocumentText, Edit, Replace};
use crate::compile::{BackendView, Surroundings, compile};
use crate::dataplane::{Dataplane, Logger, Placement};
use crate::document::{self, Document, apply_edit, changes, expire_blocks, revision};
use crate::health::{Checker, Report, Target};
use crate::ids::{Fresh, Ids};
use crate::route::Routes;

/// The last word of a backend's health check.
#[derive(Debug, Clone)]
pub(super) struct Health {
    pub(super) healthy: bool,
    pub(super) detail: String,
}

/// The owner of everything that changes.
#[derive(Debug)]
pub(super) struct Controller {
    pub(super) store: Store,
    pub(super) dataplane: Dataplane,
    pub(super) ids: Ids,
    pub(super) health: HashMap<u32, Health>,
    pub(super) hops: Hops,
    pub(super) started: Timestamp,
    checker: Checker,
    routes: Routes,
}

impl Controller {
    /// Resolves, probes each backend once, and installs the program.
    pub(super) async fn start(
        store: Store,
        dataplane: Dataplane,
        report_sender: mpsc::Sender<Report>,
        reports: &mut mpsc::Receiver<Report>,
    ) -> Result<Self, DaemonError> {
        let State { ids, healthy } = store.state();
        let known = |(id, healthy)| {
            let detail = "as the daemon before found it".to_owned();
            (id, Health { healthy, detail })
        };
        let mut controller = Self {
            ids,
            health: healthy.into_iter().map(known).collect(),
            hops: Hops::default(),
            started: Timestamp::now(),
            checker: Checker::new(report_sender)?,
            routes: Routes::open().await?,
            store,
            dataplane,
        };
        let document = controller.store.document().clone();
        let mut ids = controller.ids.clone();
        let fresh = ids.assign(&document);
        controller.hops.refresh(&controller.routes, &document).await;
        controller.ids = ids;
        controller.watch_health(&document);
        controller.first_reports(&document, reports).await;
        controller.first_hops(&document).await;
        controller.install(&document, &controller.ids.clone(), &fresh)?;
        controller.save_state();
        for attachment in controller.dataplane.attachments() {
            let mode = if attachment.native {
                "native"
            } else {
                "generic"
            };
            tracing::info!(
                interface = attachment.interface,
                mode,
                why = attachment.why,
                "attached"
            );
        }
        Ok(controller)
    }

    /// Waits until each backend was probed once, so that none that is down gets a connection; no
    /// longer than the slowest probe takes.
    async fn first_reports(&mut self, document: &Document, reports: &mut mpsc::Receiver<Report>) {
        let checks = document
            .services
            .iter()
            .filter_map(|service| service.check.as_ref());
        let Some(longest) = checks.map(|check| check.timeout).max() else {
            return;
        };
        let deadline = Instant::now() + longest + Duration::from_millis(200);
        let targets = self.targets(document);
        let unknown =
            |health: &HashMap<u32, Health>| targets.iter().any(|t| !health.contains_key(&t.id));
        while unknown(&self.health) {
            let Ok(Some(report)) = timeout_at(deadline, reports.recv()).await else {
                return;
            };
            self.note(report);
        }
    }

    /// Waits until each next hop is known, so that the first connections find all backends; no
    /// longer than a neighbour takes that has missed the first question, which the kernel repeats
    /// after a second.
    async fn first_hops(&mut self, document: &Document) {
        const PATIENCE: Duration = Duration::from_millis(2500);
        let deadline = Instant::now() + PATIENCE;
        self.hops.refresh(&self.routes, document).await;
        while self.hops.any_unresolved() && Instant::now() < deadline {
            sleep(PATIENCE / 50).await;
            self.hops.refresh(&self.routes, document).await;
        }
    }

    /// Answers one request.
    pub(super) async fn answer(&mut self, request: Request) {
        // Whoever asked may be gone; the change is made all the same.
        match request {
            Request::Status(to) => drop(to.send(Ok(self.status()))),
            Request::Stats(to) => drop(to.send(self.stats())),
            Request::Firewall(to) => drop(to.send(self.firewall())),
            Request::Document(to) => drop(to.send(Ok(DocumentText {
                revision: self.store.revision(),
                text: self.store.text().to_owned(),
            }))),
            Request::Check(wanted, to) => drop(to.send(Self::parse(&wanted).map(|_| ()))),
            Request::Diff(wanted, to) => drop(to.send(self.diff(&wanted))),
            Request::Replace(wanted, to) => drop(to.send(self.replace(wanted).await)),
            Request::Edit(edit, to) => drop(to.send(self.edit(&edit).await)),
        }
    }

    fn parse(wanted: &Replace) -> Result<Document, ControlError> {
        let origin = wanted.origin.as_deref().unwrap_or("document");
        document::parse(&wanted.text, origin).map_err(|error| DaemonError::from(error).into())
    }

    fn diff(&self, wanted: &Replace) -> Result<Changed, ControlError> {
        let new = Self::parse(wanted)?;
        Ok(Changed {
            revision: self.store.revision(),
            changes: changes(self.store.document(), &new),
        })
    }

    async fn replace(&mut self, wanted: Replace) -> Result<Changed, ControlError> {
        let new = Self::parse(&wanted)?;
        let running = self.store.revision();
        if let Some(base) = wanted.base.filter(|base| *base != running) {
            return Err(DaemonError::Stale { running, base }.into());
        }
        // `lb apply` of the file itself is how changes by hand are taken.
        let on_disk = self.store.on_disk()?;
        if on_disk != self.store.text() && on_disk != wanted.text {
            return Err(DaemonError::Overwritten(self.store.path().to_owned()).into());
        }
        Ok(self.change(wanted.text, new).await?)
    }

    async fn edit(&mut self, edit: &Edit) -> Result<Changed, ControlError> {
        let text = apply_edit(self.store.text(), edit).map_err(DaemonError::from)?;
        self.change_text(text).await.map_err(Into::into)
    }

    /// Changes the document from the running text to another.
    async fn change_text(&mut self, text: String) -> Result<Changed, DaemonError> {
        if self.store.on_disk()? != self.store.text() {
            return Err(DaemonError::Overwritten(self.store.path().to_owned()));
        }
        let new = document::parse(&text, &self.store.path().to_string_lossy())?;
        self.change(text, new).await
    }

    /// Makes a change in the kernel and on disk, or in neither.
    async fn change(&mut self, text: String, new: Document) -> Result<Changed, DaemonError> {
        let listed = changes(self.store.document(), &new);
        if new.metrics != self.store.document().metrics {
            return Err(DaemonError::NeedsRestart("metrics"));
        }
        let draft = self.store.draft(text, new.clone())?;
        let old = self.store.document().clone();
        let old_ids = self.ids.clone();
        self.switch(&new).await?;
        if let Err(error) = self.store.publish(draft) {
            self.ids = old_ids;
            self.hops.refresh(&self.routes, &old).await;
            self.install(&old, &self.ids.clone(), &Fresh::default())?;
            return Err(error);
        }
        self.settled(&listed);
        Ok(Changed {
            revision: self.store.revision(),
            changes: listed,
        })
    }

    /// Brings the kernel to a document. On an error it is as it was.
    async fn switch(&mut self, new: &Document) -> Result<(), DaemonError> {
        let mut ids = self.ids.clone();
        let fresh = ids.assign(new);
        self.hops.refresh(&self.routes, new).await;
        self.install(new, &ids, &fresh)?;
        self.ids = ids;
        Ok(())
    }

    /// After a change: checks follow it, and the log says what changed.
    fn settled(&mut self, listed: &[String]) {
        let document = self.store.document().clone();
        self.watch_health(&document);
        self.save_state();
        for change in listed {
            tracing::info!("{change}");
        }
    }

    /// SIGHUP: takes the file as it is.
    pub(super) async fn reload(&mut self) {
        let result = async {
            let text = self.store.on_disk()?;
            if text == self.store.text() {
                tracing::info!("the document has not changed");
                return Ok(());
            }
            let new = document::parse(&text, &self.store.path().to_string_lossy())?;
            if new.metrics != self.store.document().metrics {
                return Err(DaemonError::NeedsRestart("metrics"));
            }
            let listed = changes(self.store.document(), &new);
            self.switch(&new).await?;
            self.store.adopt(text, new);
            self.settled(&listed);
            tracing::info!(
                revision = self.store.revision(),
                "the document was read again"
            );
            Ok(())
        };
        if let Err(error) = result.await {
            tracing::error!("the document is not taken, the running one stays:\n{error}");
        }
    }

    /// Once a second: blocks end, unresolved next hops are asked for again, and path MTUs are learned.
    pub(super) async fn tick(&mut self) {
        let now = Timestamp::now();
        // Asked of the checked document first: reading the text of a large one takes its time.
        let blocks = &self.store.document().firewall.blocks;
        let ended = |until: Option<Timestamp>| until.is_some_and(|until| until <= now);
        if blocks.iter().any(|block| ended(block.until))
            && let Some(text) = expire_blocks(self.store.text(), now)
            && revision(&text) != self.store.revision()
            && let Err(error) = self.change_text(text).await
        {
            tracing::error!(%error, "blocks that have ended are not removed");
        }
        if self.hops.any_unresolved() {
            self.rerouted().await;
        }
        self.learn_paths();
    }

    /// Takes what the program has learned of the paths to the backends.
    fn learn_paths(&mut self) {
        let learned = match self.dataplane.path_mtus() {
            Ok(learned) => learned,
            Err(error) => {
                tracing::warn!(%error, "path MTUs are not learned");
                return;
            }
        };
        if self.hops.learn(learned) {
            tracing::debug!("path MTUs changed");
            let document = self.store.document().clone();
            self.renew(&document);
        }
    }

    /// Routes or neighbours changed.
    pub(super) async fn rerouted(&mut self) {
        let document = self.store.document().clone();
        if self.hops.refresh(&self.routes, &document).await {
            tracing::debug!("next hops changed");
            self.renew(&document);
        }
    }

    /// A health check's state changed.
    pub(super) fn reported(&mut self, report: Report) {
        let document = self.store.document().clone();
        let Some(target) = self
            .targets(&document)
            .into_iter()
            .find(|t| t.id == report.id)
        else {
            return;
        };
        let was = self.health.get(&report.id).map(|health| health.healthy);
        if was != Some(report.healthy) {
            let state = if report.healthy { "up" } else { "down" };
            tracing::info!(backend = %target.address, detail = report.detail, "backend {state}");
        }
        let changed = was.unwrap_or(true) != report.healthy;
        self.note(report);
        if changed {
            self.renew(&document);
            self.save_state();
        }
    }

    fn note(&mut self, report: Report) {
        let Report {
            id,
            healthy,
            detail,
        } = report;
        self.health.insert(id, Health { healthy, detail });
    }

    /// Compiles the running document again and writes what differs.
    fn renew(&mut self, document: &Document) {
        let ids = self.ids.clone();
        if let Err(error) = self.install(document, &ids, &Fresh::default()) {
            tracing::error!(%error, "the kernel does not take the change");
        }
    }

    fn install(
        &mut self,
        document: &Document,
        ids: &Ids,
        fresh: &Fresh,
    ) -> Result<(), DaemonError> {
        let view = |service: &str, address: SocketAddr| {
            let (id, _) = ids.backend(service, address);
            // Without a check, or until its first word, a backend is taken as healthy.
            let fresh = fresh.backends.contains(&id);
            let health = self.health.get(&id).filter(|_| !fresh || !self.installed());
            BackendView {
                healthy: health.is_none_or(|h| h.healthy),
                way: self.hops.way(address.ip()),
            }
        };
        let nat_ports = self.dataplane.host().nat_ports;
        let tables = compile(
            document,
            &Surroundings {
                ids,
                view: &view,
                nat_ports,
                trace: false,
            },
        )?;
        let placement = Placement {
            interfaces: document.interfaces.clone(),
            mode: document.xdp_mode,
        };
        self.dataplane.apply(tables, &placement, fresh)?;
        Ok(())
    }

    fn installed(&self) -> bool {
        self.dataplane.tables().is_some()
    }

    /// Probes what the document asks for, and forgets what is known of others.
    fn watch_health(&mut self, document: &Document) {
        let targets = self.targets(document);
        self.health
            .retain(|id, _| targets.iter().any(|target| target.id == *id));
        self.checker.update(&targets, |id| {
            self.health.get(&id).map(|health| health.healthy)
        });
    }

    fn targets(&self, document: &Document) -> Vec<Target> {
        let mut targets = Vec::new();
        for service in &document.services {
            let Some(check) = &service.check else {
                continue;
            };
            for backend in &service.backends {
                let (id, _) = self.ids.backend(&service.name, backend.address);
                targets.push(Target {
                    id,
                    address: backend.address,
                    check: check.clone(),
                });
            }
        }
        targets
    }

    fn save_state(&self) {
        let healthy: BTreeMap<u32, bool> = self
            .health
            .iter()
            .map(|(id, health)| (*id, health.healthy))
            .collect();
        let state = State {
            ids: self.ids.clone(),
            healthy,
        };
        if let Err(error) = self.store.save_state(&state) {
            tracing::warn!(%error, "flows may move when the next daemon takes over");
        }
    }

    /// The running program's log, if it has one.
    pub(super) fn log(&mut self) -> Option<AsyncFd<Logger>> {
        let logger = match self.dataplane.log()? {
            Ok(logger) => logger,
            Err(error) => {
                tracing::warn!(%error, "debug = true has no effect");
                return None;
            }
        };
        // SAFETY: the descriptor is that of the ring buffer that the logger owns, the same one for
        // as long as it lives.
        unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }.ok()
    }

    /// Detaches the program and forgets all state.
    pub(super) fn stop(self) -> Result<(), DaemonError> {
        self.dataplane.detach()?;
        self.store.forget_state();
        Ok(())
    }
}
