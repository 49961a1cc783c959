//! `lb doctor`: what keeps packets from arriving.
//!
//! Every backend is sent real packets, made by the program itself for its mode; what comes back, and
//! what does not, tells which precondition is missing. Nothing is attached and nothing changed: the
//! frames go out, and answers are read, through a packet socket. Then some leave as XDP sends them, so
//! that it shows whether an interface takes them.

mod backend;
mod datapath;
mod evidence;
mod exits;
mod host;
mod live;
mod offloads;
mod packets;
mod probes;
mod setup;
mod wire;

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

pub use self::exits::{Exit, Proof};
use self::exits::{Port, Runs};
pub use self::host::{Host, Interface};
use self::live::Trials;
pub use self::setup::backend_setup;
use crate::api::types::Status;
use crate::document::Document;
use crate::route::{RouteError, Routes};
use crate::trace::TraceError;

/// What is amiss, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// One word for it, which stays the same in later versions.
    pub code: &'static str,
    /// What is wrong, and where.
    pub problem: String,
    /// What mends it: commands, or in words where nobody can know those.
    pub remedy: Vec<String>,
}

/// What was found out about one backend of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Examined {
    /// The service's name.
    pub service: String,
    /// The backend.
    pub backend: SocketAddr,
    /// How packets reach it.
    pub forward: String,
    /// Whether a packet that the program made for it was answered.
    pub answered: bool,
    /// What is amiss.
    pub findings: Vec<Finding>,
}

/// Everything that was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The host.
    pub host: Host,
    /// The document's interfaces.
    pub interfaces: Vec<Interface>,
    /// Every backend of every service.
    pub backends: Vec<Examined>,
}

/// What the examination is told beside the document.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Addresses of clients, at most one of each family, to which `nat` backends must find the way.
    pub clients: Vec<IpAddr>,
    /// What the daemon says that runs.
    pub daemon: Option<Status>,
}

/// Why nothing could be examined.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The program cannot be loaded, or not run.
    #[error(transparent)]
    Program(#[from] TraceError),
    /// The kernel's tables cannot be asked.
    #[error(transparent)]
    Routes(#[from] RouteError),
    /// There is no packet socket.
    #[error("cannot {what} a packet socket: {source}")]
    Socket {
        /// What was tried.
        what: &'static str,
        /// What happened.
        source: std::io::Error,
    },
}

impl Finding {
    fn new(code: &'static str, problem: impl Into<String>, remedy: Vec<String>) -> Self {
        let problem = problem.into();
        Self {
            code,
            problem,
            remedy,
        }
    }
}

impl Diagnosis {
    /// How many things are amiss.
    pub fn count(&self) -> usize {
        let interfaces = self.interfaces.iter().map(|one| one.findings.len());
        let backends = self.backends.iter().map(|one| one.findings.len());
        interfaces.chain(backends).sum()
    }
}

/// Examines this host and every backend of a document, in at most four seconds.
///
/// # Errors
/// The program cannot be loaded here, or frames not be sent.
pub async fn examine(document: &Document, options: &Options) -> Result<Diagnosis, DoctorError> {
    let routes = Routes::open().await?;
    let (mut interfaces, mut ports) = (Vec::new(), Vec::new());
    for name in &document.interfaces {
        let daemon = options.daemon.as_ref();
        let (interface, port) = host::interface(&routes, name, document.xdp_mode, daemon).await;
        interfaces.push(interface);
        ports.extend(port);
    }
    let doors = ports.iter().filter(|port| port.runs != Runs::Generic);
    let doors: Vec<u32> = doors.map(|port| port.index).collect();
    let (backends, trials) = backend::examine(document, options, &routes, &doors).await?;
    ports.extend(outside(document, &routes, &trials, &ports).await);
    for interface in &mut interfaces {
        if let Some(port) = ports.iter().find(|port| port.name == interface.name) {
            let verdict = exits::judge(port, &ports, &trials);
            (interface.tx, interface.redirect) = (verdict.tx, verdict.redirect);
            interface.findings.extend(verdict.findings);
        }
    }
    Ok(Diagnosis {
        host: host::host(),
        interfaces,
        backends,
    })
}

/// The interfaces that packets leave by and that are not the document's.
async fn outside(
    document: &Document,
    routes: &Routes,
    trials: &Trials,
    known: &[Port],
) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    for trial in &trials.made {
        let is_known = |port: &Port| port.index == trial.to;
        if known.iter().any(is_known) || ports.iter().any(is_known) {
            continue;
        }
        if let Ok(link) = routes.interface(&trial.to_name).await {
            ports.push(host::port(routes, &link, document.xdp_mode, false).await);
        }
    }
    ports
}
