//! What the daemon and its clients say to each other; also what `--json` prints.

use std::net::SocketAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// Path of the document.
    pub document: String,
    /// Hash of the document's text; a change must name the revision it started from.
    pub revision: String,
    /// How many times a program was installed since the start.
    pub generation: u64,
    /// Running kernel, as `uname -r` prints it.
    pub kernel: String,
    /// Features compiled into the running program, by name.
    pub features: Vec<String>,
    /// Where the program is attached.
    pub interfaces: Vec<Interface>,
    /// Numbers of things, and how many there may be.
    pub usage: Vec<Usage>,
    /// What an operator should know, in full sentences; empty when all is well.
    pub warnings: Vec<String>,
}

/// One interface that the program is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// `native` or `generic`.
    pub mode: String,
    /// Why this mode.
    pub why: String,
}

/// How full a table is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// `services`, `backends`, `slots`, `rules`, `prefixes`.
    pub name: String,
    /// Entries in use.
    pub used: u64,
    /// Most entries.
    pub limit: u64,
}

/// `GET /v1/stats`: counters since the maps were made; they survive reconfiguration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// When the counters were read.
    pub at: Timestamp,
    /// In the order of the document.
    pub services: Vec<ServiceStats>,
    /// In the order of the document; the first, `block`, stands for `lb firewall block`.
    pub rules: Vec<RuleStats>,
    /// Every reason a packet can leave the program for, also those at zero.
    pub reasons: Vec<ReasonStats>,
}

/// One service's counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceStats {
    /// Its name.
    pub name: String,
    /// `ADDRESS:PORT/PROTOCOL`.
    pub vip: String,
    /// The scheduler's name.
    pub scheduler: String,
    /// The forwarding mode's name.
    pub forward: String,
    /// Its traffic, backends that are gone included.
    pub traffic: Traffic,
    /// In the order of the document.
    pub backends: Vec<BackendStats>,
}

/// One backend's state and counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackendStats {
    /// Address and port.
    pub address: SocketAddr,
    /// Share of new connections.
    pub weight: u16,
    /// What it gets at the moment.
    pub state: BackendState,
    /// Why it is in this state: the last probe's result.
    pub detail: String,
    /// The Ethernet address its packets are sent to; `None` while unresolved.
    pub next_hop: Option<String>,
    /// Bytes of the longest packet that the way to it takes: what the route says, or less if a router
    /// on the way has said so; `None` while that is not known.
    pub mtu: Option<u16>,
    /// Its traffic.
    pub traffic: Traffic,
}

/// What a backend gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// New connections and its flows.
    Up,
    /// Only its flows.
    Draining,
    /// Nothing: probes fail.
    Down,
}

/// Packets and connections, in numbers and bytes of whole frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Packets to clients; always zero with `dsr`, whose replies do not pass here.
    pub packets_out: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

/// One rule's counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStats {
    /// Its name.
    pub name: String,
    /// `accept` or `drop`.
    pub action: String,
    /// Packets it decided.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One reason's counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonStats {
    /// Its name, such as `firewall_drop`.
    pub name: String,
    /// `pass`, `drop` or `forward`.
    pub verdict: String,
    /// Packets that left for it.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// `GET /v1/document`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentText {
    /// The revision of `text`.
    pub revision: String,
    /// The whole document.
    pub text: String,
}

/// `POST /v1/document`: replaces the document; also `POST /v1/check` and `POST /v1/diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replace {
    /// The new text.
    pub text: String,
    /// The revision it was made from; `None` replaces whatever is there.
    pub base: Option<String>,
    /// What to call the text in errors, such as the file's name.
    pub origin: Option<String>,
}

/// `POST /v1/edit`: one change of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case")]
pub enum Edit {
    /// `lb service add`.
    ServiceAdd {
        /// Unique name.
        name: String,
        /// `ADDRESS:PORT/PROTOCOL`.
        vip: String,
        /// Scheduler name, or the default.
        scheduler: Option<String>,
        /// Forwarding mode name, or the default.
        forward: Option<String>,
        /// `tcp`, `http:/path` or `https:/path`.
        check: Option<String>,
        /// At least one.
        backends: Vec<SocketAddr>,
    },
    /// `lb service remove`.
    ServiceRemove {
        /// Its name.
        name: String,
    },
    /// `lb backend add`.
    BackendAdd {
        /// The service's name.
        service: String,
        /// Address and port.
        address: SocketAddr,
        /// Share of new connections.
        weight: Option<u16>,
    },
    /// `lb backend remove`.
    BackendRemove {
        /// The service's name.
        service: String,
        /// Address and port.
        address: SocketAddr,
    },
    /// `lb backend drain`.
    BackendDrain {
        /// The service's name.
        service: String,
        /// Address and port.
        address: SocketAddr,
    },
    /// `lb backend enable`: ends a drain.
    BackendEnable {
        /// The service's name.
        service: String,
        /// Address and port.
        address: SocketAddr,
    },
    /// `lb firewall block`.
    FirewallBlock {
        /// What to drop.
        prefix: IpNet,
        /// When it ends; `None` is never.
        until: Option<Timestamp>,
    },
    /// `lb firewall unblock`.
    FirewallUnblock {
        /// Exactly as blocked.
        prefix: IpNet,
    },
}

/// The answer to every change: it is in the kernel and on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The document's revision now.
    pub revision: String,
    /// What changed, one line each; empty when nothing did.
    pub changes: Vec<String>,
}

/// `GET /v1/firewall`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallList {
    /// Sources blocked at the moment.
    pub blocks: Vec<BlockEntry>,
    /// Rules in order.
    pub rules: Vec<RuleEntry>,
    /// Sets in the order of the document.
    pub sets: Vec<SetEntry>,
}

/// One blocked source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// What is dropped.
    pub prefix: IpNet,
    /// When it ends; `None` is never.
    pub until: Option<Timestamp>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleEntry {
    /// Its name.
    pub name: String,
    /// What it matches, in words of the document.
    pub matches: String,
    /// `accept` or `drop`.
    pub action: String,
    /// Packets it decided.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetEntry {
    /// Its name.
    pub name: String,
    /// How many prefixes it holds.
    pub entries: u64,
}

/// Every answer that is not a success: status 4xx or 5xx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was wrong, where, and what to do about it; may have several lines.
    pub error: String,
}
