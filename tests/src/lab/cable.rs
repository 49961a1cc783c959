//! The smallest network that has a balancer: two namespaces and one cable between them.
//!
//! ```text
//!   outside: wire ──────── eth0 :balancer
//! ```
//!
//! For measuring what a balancer can do with packets that others make: there is no switch in
//! between, no server and no client. Addresses are those of the [`Plan`]; the backends are only
//! known by their Ethernet addresses, and all of them are behind the cable.

use std::path::Path;

use anyhow::{Result, bail};

use super::bpffs;
use super::daemon::Daemon;
use super::device::{batch_received, finish_checksums};
use super::footprint::{Claim, Footprint, sweep};
use super::namespace::Namespace;
use super::obstacle;
use super::plan::Plan;

/// Two namespaces and a cable; dropping it removes all of it.
#[derive(Debug)]
pub struct Cable {
    outside: Namespace,
    balancer: Namespace,
    claim: Claim,
}

impl Cable {
    /// The outside's end of the cable. The balancer's is [`Plan::INTERFACE`].
    pub const WIRE: &'static str = "wire";

    /// Sweeps what killed labs left, and lays a cable for this many backends.
    ///
    /// # Errors
    /// Not root, or a kernel without what the lab needs. Nothing is left behind.
    pub fn lay(backends: u8) -> Result<Self> {
        if let Some(obstacle) = obstacle() {
            bail!("{obstacle}");
        }
        sweep();
        bpffs::mount_if_missing()?;
        let claim = Claim::new()?;
        let outside = Namespace::create(claim.footprint(), "outside")?;
        let balancer = Namespace::create(claim.footprint(), "balancer")?;
        let cable = Self {
            outside,
            balancer,
            claim,
        };
        cable.wire()?;
        cable.introduce(backends)?;
        Ok(cable)
    }

    /// The end that packets come from and go to.
    pub fn outside(&self) -> &Namespace {
        &self.outside
    }

    /// Where a balancer runs.
    pub fn balancer(&self) -> &Namespace {
        &self.balancer
    }

    /// The lab's name and places.
    pub fn footprint(&self) -> &Footprint {
        self.claim.footprint()
    }

    /// Starts the daemon `lb` in the balancer's namespace and waits until it answers.
    ///
    /// # Errors
    /// It ends or does not answer in time; the error shows its log.
    pub fn start_daemon(&self, lb: &Path, document: &str) -> Result<Daemon> {
        Daemon::start(self.footprint(), &self.balancer, lb, Some(document))
    }

    fn wire(&self) -> Result<()> {
        let (wire, device) = (Self::WIRE, Plan::INTERFACE);
        for namespace in [&self.outside, &self.balancer] {
            // Nobody here speaks of its own accord: every packet counted is one that was made.
            namespace.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        }
        self.outside.ip(&[
            &format!(
                "link add {wire} address {} type veth peer name {device} address {} netns {}",
                Plan::CLIENT.mac(),
                Plan::BALANCER.mac(),
                self.balancer.name()
            ),
            &format!("link set {wire} up"),
            &format!(
                "addr add {}/{} dev {wire}",
                Plan::CLIENT.v4(),
                Plan::PREFIX_V4
            ),
        ])?;
        self.balancer.ip(&[
            &format!("link set {device} up"),
            &format!(
                "addr add {}/{} dev {device}",
                Plan::BALANCER.v4(),
                Plan::PREFIX_V4
            ),
        ])?;
        finish_checksums(&self.outside, wire)?;
        finish_checksums(&self.balancer, device)?;
        // Without it frames that a program redirects to the cable arrive only at a program.
        batch_received(&self.balancer, device)?;
        for name in ["all", device] {
            let conf = |key: &str| format!("net/ipv4/conf/{name}/{key}");
            self.balancer.sysctl(&conf("rp_filter"), "0")?;
            self.balancer.sysctl(&conf("send_redirects"), "0")?;
        }
        self.balancer.sysctl("net/ipv4/ip_forward", "1")
    }

    /// Tells the balancer the Ethernet addresses of everybody that it could want to send to.
    fn introduce(&self, backends: u8) -> Result<()> {
        let hosts = (1..=backends).map(Plan::backend).chain([Plan::CLIENT]);
        let lines: Vec<String> = hosts
            .map(|host| {
                format!(
                    "neigh replace {} lladdr {} nud permanent dev {}",
                    host.v4(),
                    host.mac(),
                    Plan::INTERFACE
                )
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        self.balancer.ip(&lines)
    }
}
