//! What this host has and how it is set.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::Finding;
use crate::route::{Link, Routes, XdpMode};

/// One of the document's interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Where an XDP program runs on it: `native`, `generic`, `offloaded`; `None` without one.
    pub xdp: Option<&'static str>,
    /// Its driver, where it has a device behind it.
    pub driver: Option<String>,
    /// Receive queues, over which packets spread to CPUs.
    pub queues: usize,
    /// Longest packet in bytes.
    pub mtu: u32,
    /// The stricter of `net.ipv4.conf.all.rp_filter` and its own: 0, 1 (strict), 2 (loose). The
    /// program sees packets before it.
    pub rp_filter: Option<u8>,
    /// What is amiss.
    pub findings: Vec<Finding>,
}

/// What `uname -r` prints.
pub(super) fn kernel() -> String {
    read("/proc/sys/kernel/osrelease").unwrap_or_default()
}

/// Looks at an interface.
pub(super) async fn interface(routes: &Routes, name: &str) -> Interface {
    let (link, findings) = match routes.interface(name).await {
        Ok(link) => {
            let findings = judge(&link);
            (Some(link), findings)
        }
        Err(error) => {
            let remedy = vec!["ip -brief link".to_owned()];
            let missing = Finding::new("interface", error.to_string(), remedy);
            (None, vec![missing])
        }
    };
    let strictness = |scope: &str| -> Option<u8> {
        let path = format!("/proc/sys/net/ipv4/conf/{scope}/rp_filter");
        read(&path)?.parse().ok()
    };
    Interface {
        name: name.to_owned(),
        xdp: link.as_ref().and_then(mode),
        driver: driver(name),
        queues: queues(name),
        mtu: link.as_ref().map_or(0, |link| link.mtu),
        rp_filter: strictness("all").max(strictness(name)),
        findings,
    }
}

fn judge(link: &Link) -> Vec<Finding> {
    let name = &link.name;
    let mut findings = Vec::new();
    if !link.up {
        let remedy = vec![format!("ip link set {name} up")];
        findings.push(Finding::new(
            "down",
            format!("{name} is switched off"),
            remedy,
        ));
    }
    if link.mac.is_none() {
        let problem = format!("{name} has no Ethernet address, and the program sees only Ethernet");
        let remedy = vec!["in the document: another of `ip -brief link` in interfaces".to_owned()];
        findings.push(Finding::new("no-ethernet", problem, remedy));
    }
    findings
}

fn mode(link: &Link) -> Option<&'static str> {
    Some(match link.xdp?.mode {
        XdpMode::Native => "native",
        XdpMode::Generic => "generic",
        XdpMode::Offloaded => "offloaded",
        XdpMode::Multiple => "multiple",
    })
}

fn driver(interface: &str) -> Option<String> {
    let link = fs::read_link(sys(interface, "device/driver")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

fn queues(interface: &str) -> usize {
    let entries = fs::read_dir(sys(interface, "queues")).into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("rx-"))
        .count()
}

fn sys(interface: &str, what: &str) -> std::path::PathBuf {
    Path::new("/sys/class/net").join(interface).join(what)
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}
