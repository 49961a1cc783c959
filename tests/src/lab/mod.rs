//! The lab: a network of namespaces around a balancer, real servers, and the real daemon.
//!
//! ```text
//!   client   attacker   balancer   b1   b2   b3 …      one namespace each, interface eth0
//!      └─────────┴──────────┴───────┴────┴────┘
//!                   br0 (switch)                        a bridge in a namespace of its own
//! ```
//!
//! The balancer is one-armed: what its XDP program forwards leaves by the interface it came in.
//! Client and attacker reach the virtual addresses by routes through the balancer. Labs can run
//! side by side; dropping one removes all of it, also on a panic, and a killed lab is swept by the
//! next. The lab knows nothing of packets and asserts nothing: tests do.

pub mod attack;
mod backend;
mod bpffs;
mod cable;
pub mod client;
mod daemon;
mod device;
pub mod example;
mod footprint;
mod frame;
mod namespace;
mod plan;
mod process;
pub mod server;
mod topology;
pub mod traffic;
mod wait;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;

use backend::BackendHost;
use footprint::Claim;

pub use cable::Cable;
pub use daemon::Daemon;
pub use device::Attached;
pub use footprint::{Footprint, sweep};
pub use frame::{packet_socket, send_frame};
pub use namespace::Namespace;
pub use plan::{Host, Plan};
pub use process::Process;
pub use wait::wait_until;

/// Why a lab cannot run here; `None` when it can. Tests print it and skip.
pub fn obstacle() -> Option<&'static str> {
    (!geteuid().is_root()).then_some("the lab makes network namespaces, which needs root")
}

/// What kind of lab to build.
#[derive(Debug)]
pub struct Builder {
    backends: u8,
    kind: Backends,
    server: Option<PathBuf>,
}

/// What backends are set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backends {
    /// Nothing: they answer whom they get packets from.
    Plain,
    /// They hold the virtual addresses on their loopbacks and stay silent about them.
    Direct,
    /// They reach the clients through the balancer.
    Routed,
}

/// A running lab. Fields are dropped in order: servers first, the claim to the name last.
#[derive(Debug)]
pub struct Lab {
    backends: Vec<BackendHost>,
    pass: Option<Attached>,
    client: Namespace,
    attacker: Namespace,
    balancer: Namespace,
    switch: Namespace,
    kind: Backends,
    server: PathBuf,
    claim: Claim,
}

impl Builder {
    /// How many backends there are at first, 0 to [`Plan::BACKENDS_MAX`]; 3 unless told.
    #[must_use]
    pub fn backends(mut self, count: u8) -> Self {
        self.backends = count;
        self
    }

    /// Lets every backend hold the virtual addresses on its loopback and stay silent about them,
    /// as direct server return needs.
    #[must_use]
    pub fn dsr(mut self) -> Self {
        self.kind = Backends::Direct;
        self
    }

    /// Lets every backend reach the clients through the balancer, as `nat` needs.
    #[must_use]
    pub fn routed(mut self) -> Self {
        self.kind = Backends::Routed;
        self
    }

    /// The `lab` binary, whose `serve` is the backends' server; found beside the running program
    /// unless told.
    #[must_use]
    pub fn server(mut self, lab: impl Into<PathBuf>) -> Self {
        self.server = Some(lab.into());
        self
    }

    /// Sweeps what killed labs left, makes the namespaces, and starts the servers.
    ///
    /// # Errors
    /// Not root, a kernel without what the lab needs, or a server that does not come up. Nothing
    /// is left behind.
    pub fn build(self) -> Result<Lab> {
        if let Some(obstacle) = obstacle() {
            bail!("{obstacle}");
        }
        ensure!(
            self.backends <= Plan::BACKENDS_MAX,
            "at most {} backends",
            Plan::BACKENDS_MAX
        );
        let server = match self.server {
            Some(path) => path,
            None => beside_this_program("lab")?,
        };
        sweep();
        bpffs::mount_if_missing()?;
        let claim = Claim::new()?;
        let switch = topology::switch(claim.footprint())?;
        let balancer = topology::balancer(claim.footprint(), &switch)?;
        let pass = Attached::passing(&switch, &topology::port("balancer"))?;
        let client = topology::visitor(claim.footprint(), &switch, "client", Plan::CLIENT)?;
        let attacker = topology::visitor(claim.footprint(), &switch, "attacker", Plan::ATTACKER)?;
        let (backends, kind) = (Vec::new(), self.kind);
        let mut lab = Lab {
            backends,
            pass: Some(pass),
            client,
            attacker,
            balancer,
            switch,
            kind,
            server,
            claim,
        };
        for _ in 0..self.backends {
            lab.add_backend()?;
        }
        Ok(lab)
    }
}

impl Lab {
    /// Three backends, which are set up for nothing.
    pub fn builder() -> Builder {
        Builder {
            backends: 3,
            kind: Backends::Plain,
            server: None,
        }
    }

    /// Sends requests; see [`client`] for what to run inside.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// The address that the example document's firewall forbids.
    pub fn attacker(&self) -> &Namespace {
        &self.attacker
    }

    /// Where the daemon runs.
    pub fn balancer(&self) -> &Namespace {
        &self.balancer
    }

    /// Holds the bridge; its ports are called `p-` and the role.
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// How many backends there are, failed ones included; they are numbered from 1.
    pub fn backend_count(&self) -> u8 {
        self.backends.len() as u8
    }

    /// The namespace of backend `number`.
    pub fn backend(&self, number: u8) -> Result<&Namespace> {
        Ok(self.backend_host(number)?.namespace())
    }

    /// Plugs one more backend in, starts its server, and returns its number.
    pub fn add_backend(&mut self) -> Result<u8> {
        let number = self.backend_count() + 1;
        ensure!(
            number <= Plan::BACKENDS_MAX,
            "at most {} backends",
            Plan::BACKENDS_MAX
        );
        let namespace = topology::backend(self.footprint(), &self.switch, number, self.kind)?;
        let mut host = BackendHost::new(namespace, number);
        host.start(&self.server)?;
        self.backends.push(host);
        Ok(number)
    }

    /// Starts a program on backend `number`, and waits until its log has `word`.
    ///
    /// # Errors
    /// It cannot be started, or ends or says nothing in time; the error shows its log.
    pub fn start_on_backend(
        &self,
        number: u8,
        program: &Path,
        arguments: &[&str],
        word: &str,
    ) -> Result<Process> {
        let namespace = self.backend(number)?;
        let name = format!(
            "{}-{}",
            Plan::backend_name(number),
            arguments.join("-").replace('/', "_")
        );
        let mut command = namespace.command(program);
        command.args(arguments);
        let mut process = Process::start(self.footprint(), &name, &mut command)?;
        process.started(&name, |process| {
            Ok(process.log().contains(word).then_some(()))
        })?;
        Ok(process)
    }

    /// Kills the server of backend `number`: its connections break, new ones are refused.
    pub fn fail_backend(&mut self, number: u8) -> Result<()> {
        self.backend_host_mut(number)?.kill()
    }

    /// Starts the server of backend `number` again, and waits until it accepts connections.
    pub fn recover_backend(&mut self, number: u8) -> Result<()> {
        let server = self.server.clone();
        self.backend_host_mut(number)?.start(&server)
    }

    /// Stops the server of backend `number` from running without closing anything: connections
    /// are accepted by its kernel and never answered. [`Self::thaw_backend`] ends it.
    pub fn freeze_backend(&mut self, number: u8) -> Result<()> {
        self.backend_host(number)?
            .signal(nix::sys::signal::Signal::SIGSTOP)
    }

    /// Lets a frozen server run on.
    pub fn thaw_backend(&mut self, number: u8) -> Result<()> {
        self.backend_host(number)?
            .signal(nix::sys::signal::Signal::SIGCONT)
    }

    /// Starts the daemon `lb` in the balancer's namespace with `document`, and waits until it
    /// answers.
    ///
    /// # Errors
    /// It ends or does not answer in time; the error shows its log.
    pub fn start_daemon(&self, lb: &Path, document: &str) -> Result<Daemon> {
        Daemon::start(self.footprint(), &self.balancer, lb, Some(document))
    }

    /// Starts a daemon with the document that the one before left.
    pub fn restart_daemon(&self, lb: &Path) -> Result<Daemon> {
        Daemon::start(self.footprint(), &self.balancer, lb, None)
    }

    /// Takes the XDP program off the switch's port to the balancer, or puts it there again: without
    /// it nothing arrives that the balancer's program sends back.
    pub fn let_frames_back(&mut self, back: bool) -> Result<()> {
        self.pass = None;
        if back {
            let port = topology::port("balancer");
            self.pass = Some(Attached::passing(&self.switch, &port)?);
        }
        Ok(())
    }

    /// The lab's name and places.
    pub fn footprint(&self) -> &Footprint {
        self.claim.footprint()
    }

    fn backend_host(&self, number: u8) -> Result<&BackendHost> {
        let index = usize::from(number).wrapping_sub(1);
        self.backends
            .get(index)
            .with_context(|| format!("there is no backend {number}"))
    }

    fn backend_host_mut(&mut self, number: u8) -> Result<&mut BackendHost> {
        let index = usize::from(number).wrapping_sub(1);
        self.backends
            .get_mut(index)
            .with_context(|| format!("there is no backend {number}"))
    }
}

/// Finds a binary of this workspace: itself, beside the running program, or one directory above,
/// where cargo puts binaries relative to test programs.
///
/// # Errors
/// There is none; the error says what builds it.
pub fn beside_this_program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell which program this is")?;
    let above = own.ancestors().skip(1).take(2);
    let found = above
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("no `{name}` beside {}; run `cargo build`", own.display()))
}
