//! A backend of the lab: its namespace and its server process.

use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::namespace::Namespace;
use super::plan::Plan;
use super::process::Process;

#[derive(Debug)]
pub(crate) struct BackendHost {
    server: Option<Process>,
    namespace: Namespace,
    number: u8,
}

impl BackendHost {
    pub(crate) fn new(namespace: Namespace, number: u8) -> Self {
        Self {
            server: None,
            namespace,
            number,
        }
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Starts the server, `lab serve`, and waits until it accepts connections.
    pub(crate) fn start(&mut self, lab: &Path) -> Result<()> {
        let name = Plan::backend_name(self.number);
        if self.server.is_some() {
            bail!("{name}'s server runs already");
        }
        let lab = lab.to_str().context("the path of `lab` is not UTF-8")?;
        let http = format!("[::]:{}", Plan::HTTP_PORT);
        let echo = format!("[::]:{}", Plan::ECHO_PORT);
        let words = [
            lab, "serve", "--name", &name, "--listen", &http, "--echo", &echo,
        ];
        let mut server = self.namespace.spawn(&name, &words)?;
        // Loopback of either family reaches the wildcard address. The server opens this port last.
        let here = Plan::backend(self.number).v4_port(Plan::HTTP_PORT);
        server.started(&format!("{name}'s server"), |_| {
            let connected = self.namespace.enter(|| TcpStream::connect(here))?;
            Ok(connected.ok())
        })?;
        self.server = Some(server);
        Ok(())
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.server
            .take()
            .context("the server does not run")?
            .kill()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.server
            .as_ref()
            .context("the server does not run")?
            .signal(signal)
    }
}
