//! Every contender as a balancer in a namespace: how it is set up, and what it says it did.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::contender::Side;
use super::documents;
use super::http::ask;
use crate::lab::{Daemon, Footprint, Namespace, Plan, Process};

/// Which balancer, and which task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This balancer's firewall.
    LbFirewall,
    /// This balancer, readdressing both ends of a flow.
    LbFullNat,
    /// This balancer, readdressing the Ethernet frame alone.
    LbDsr,
    /// nftables' firewall at the device.
    NftIngress,
    /// nftables' firewall in IP.
    NftPrerouting,
    /// nftables as a balancer.
    NftDnat,
    /// The kernel's own balancer.
    Ipvs,
    /// A proxy of connections.
    Haproxy,
}

/// A balancer that is up; dropping it ends its process. What it set up in its namespace ends with
/// that.
#[derive(Debug)]
pub(crate) struct Balancer {
    kind: Kind,
    side: Side,
    running: Running,
}

#[derive(Debug)]
enum Running {
    Daemon(Daemon),
    Haproxy(Process),
    /// What was set up works by itself.
    Kernel,
}

impl Kind {
    /// Who it is in a comparison.
    pub(crate) fn side(self) -> Side {
        match self {
            Self::LbFirewall => Side::Ours(None),
            Self::LbFullNat => Side::Ours(Some("full-nat")),
            Self::LbDsr => Side::Ours(Some("dsr")),
            Self::NftIngress => Side::Peer("nftables ingress drop"),
            Self::NftPrerouting => Side::Peer("nftables prerouting drop"),
            Self::NftDnat => Side::Peer("nftables DNAT"),
            Self::Ipvs => Side::Peer("IPVS NAT"),
            Self::Haproxy => Side::Peer("haproxy TCP"),
        }
    }

    /// Why it cannot take part on this machine; `None` when it can.
    pub(crate) fn obstacle(self) -> Option<String> {
        let programs: &[&str] = match self {
            Self::LbFirewall | Self::LbFullNat | Self::LbDsr => &[],
            Self::NftIngress | Self::NftPrerouting => &["nft"],
            Self::NftDnat => &["nft", "conntrack"],
            Self::Ipvs => &["ipvsadm"],
            Self::Haproxy => &["haproxy"],
        };
        if let Some(missing) = programs.iter().find(|name| program(name).is_none()) {
            return Some(format!(
                "there is no `{missing}`; `cargo xtask setup` says how to get it"
            ));
        }
        (self == Self::Ipvs && !Path::new("/proc/net/ip_vs").exists())
            .then(|| "this kernel has no IPVS, or its module ip_vs is not loaded".to_owned())
    }
}

impl Balancer {
    /// Sets it up in `namespace`.
    ///
    /// # Errors
    /// It cannot be started or refuses what it is told; the error shows what it said.
    pub(crate) fn start(
        kind: Kind,
        footprint: &Footprint,
        namespace: &Namespace,
        lb: &Path,
    ) -> Result<Self> {
        let daemon =
            |text: &str| Daemon::start(footprint, namespace, lb, Some(text)).map(Running::Daemon);
        let running = match kind {
            Kind::LbFirewall => daemon(&documents::lb_firewall()),
            Kind::LbFullNat => daemon(&documents::lb_balancer("full-nat")),
            Kind::LbDsr => daemon(&documents::lb_balancer("dsr")),
            Kind::NftIngress => nft(footprint, namespace, &documents::nft_ingress()),
            Kind::NftPrerouting => nft(footprint, namespace, &documents::nft_prerouting()),
            Kind::NftDnat => nft(footprint, namespace, &documents::nft_dnat()),
            Kind::Ipvs => ipvs(namespace),
            Kind::Haproxy => haproxy(footprint, namespace),
        };
        let side = kind.side();
        Ok(Self {
            kind,
            running: running.with_context(|| format!("cannot set {} up", side.name()))?,
            side,
        })
    }

    pub(crate) fn side(&self) -> &Side {
        &self.side
    }

    /// Whether it works by an XDP program, which sends packets back without the kernel's help.
    pub(crate) fn is_xdp(&self) -> bool {
        matches!(self.running, Running::Daemon(_))
    }

    /// Whether the packets that it passes on keep their destination address.
    pub(crate) fn keeps_destination(&self) -> bool {
        self.kind == Kind::LbDsr
    }

    /// Packets from blocked sources that it has dropped, by its own count in the kernel.
    pub(crate) fn dropped(&self, namespace: &Namespace) -> Result<u64> {
        if let Running::Daemon(daemon) = &self.running {
            let stats = daemon.stats()?;
            let rule = stats.rules.iter().find(|rule| rule.name == documents::RULE);
            return Ok(rule.context("`lb stats` lacks the rule")?.packets);
        }
        let mut command = namespace.command(path("nft")?);
        let output = command
            .args(["-j", "list", "ruleset"])
            .output()
            .context("cannot start nft")?;
        ensure!(output.status.success(), "`nft list ruleset` failed");
        let listing = serde_json::from_slice(&output.stdout)
            .context("`nft -j list ruleset` printed no JSON")?;
        first_counter(&listing).context("`nft -j list ruleset` shows no counter")
    }

    /// What its process says, for an error about its work.
    pub(crate) fn condition(&mut self) -> String {
        let process = match &mut self.running {
            Running::Daemon(daemon) => return format!("its log: {}", daemon.log()),
            Running::Haproxy(process) => process,
            Running::Kernel => return "it works inside the kernel".to_owned(),
        };
        let state = match process.ended() {
            Ok(None) => "its process runs".to_owned(),
            Ok(Some(status)) => format!("its process ended ({status})"),
            Err(error) => format!("its process is lost: {error:#}"),
        };
        format!("{state}; its log: {}", process.log())
    }

    /// Lets it forget the connections of a round, so that the next begins like the first.
    pub(crate) fn forget(&self, namespace: &Namespace) -> Result<()> {
        if self.kind == Kind::NftDnat {
            namespace.run(&[&path("conntrack")?.display().to_string(), "--flush"])?;
        }
        Ok(())
    }
}

fn nft(footprint: &Footprint, namespace: &Namespace, ruleset: &str) -> Result<Running> {
    let file = footprint.directory().join("bench.nft");
    fs::write(&file, ruleset).with_context(|| format!("cannot write {}", file.display()))?;
    let (nft, file) = (path("nft")?, file.display().to_string());
    namespace.run(&[&nft.display().to_string(), "--file", &file])?;
    Ok(Running::Kernel)
}

fn ipvs(namespace: &Namespace) -> Result<Running> {
    hold_vip(namespace)?;
    let ipvsadm = path("ipvsadm")?.display().to_string();
    for line in documents::ipvsadm() {
        let words: Vec<&str> = std::iter::once(ipvsadm.as_str())
            .chain(line.split(' '))
            .collect();
        namespace.run(&words)?;
    }
    Ok(Running::Kernel)
}

fn haproxy(footprint: &Footprint, namespace: &Namespace) -> Result<Running> {
    hold_vip(namespace)?;
    // It opens a connection of its own for each client's, all from one address.
    namespace.sysctl("net/ipv4/ip_local_port_range", "1024 65535")?;
    namespace.sysctl("net/ipv4/tcp_tw_reuse", "1")?;
    let file = footprint.directory().join("haproxy.cfg");
    fs::write(&file, documents::haproxy())
        .with_context(|| format!("cannot write {}", file.display()))?;
    let (haproxy, file) = (path("haproxy")?, file.display().to_string());
    let words = [&haproxy.display().to_string(), "-db", "-f", &file];
    let mut process = namespace.spawn("haproxy", &words)?;
    let vip = Plan::VIP.v4_port(documents::PORT);
    process.started("haproxy", |_| {
        // An answer and not only a connection, which this namespace may have made with itself.
        Ok(namespace.enter(|| ask(vip))?.ok())
    })?;
    Ok(Running::Haproxy(process))
}

/// Makes the virtual address the namespace's own: these balancers work where packets for the host
/// itself arrive.
fn hold_vip(namespace: &Namespace) -> Result<()> {
    namespace.ip(&[&format!("addr add {}/32 dev lo", Plan::VIP.v4())])
}

/// The first counter in what `nft -j list ruleset` prints, in packets.
fn first_counter(listing: &Value) -> Option<u64> {
    let objects = listing.get("nftables")?.as_array()?;
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    let mut statements = rules
        .filter_map(|rule| rule.get("expr")?.as_array())
        .flatten();
    statements.find_map(|statement| statement.get("counter")?.get("packets")?.as_u64())
}

fn path(name: &str) -> Result<PathBuf> {
    program(name).with_context(|| format!("there is no `{name}`"))
}

/// Finds a program on `PATH`, or where administration tools are when `PATH` leaves those out.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administration = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut directories = std::env::split_paths(&path).chain(administration);
    directories.find_map(|directory| Some(directory.join(name)).filter(|file| file.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_behind_other_objects() {
        let listing = serde_json::json!({ "nftables": [
            { "metainfo": { "version": "1.0.6" } },
            { "set": { "name": "blocked", "elem": [] } },
            { "rule": { "expr": [
                { "match": { "op": "==" } },
                { "counter": { "packets": 1234, "bytes": 5 } },
                { "drop": null },
            ] } },
        ] });
        assert_eq!(first_counter(&listing), Some(1234));
        assert_eq!(first_counter(&serde_json::json!({ "nftables": [] })), None);
        assert_eq!(first_counter(&serde_json::json!({})), None);
    }
}
