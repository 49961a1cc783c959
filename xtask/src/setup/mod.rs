//! `cargo xtask setup`: installs what is missing, and says what it does.
//!
//! Each requirement is looked for first, so a second run changes nothing and is quick. Where
//! something may not be installed (not root, no apt), the error tells the user what to type.
//! It never upgrades or removes what the user has installed.

mod fuzz;
mod guest;
mod linker;
mod rust;
mod system;

use anyhow::{Context as _, Result, bail};

/// Something that must be on this machine.
#[derive(Debug)]
pub(crate) struct Requirement {
    /// What the user knows it as.
    name: &'static str,
    /// Describes what was found; an error says what is missing.
    look: fn() -> Result<String>,
    /// Installs it, or tells the user how to.
    install: fn() -> Result<()>,
}

/// What building and running needs.
pub(crate) const BUILD_AND_RUN: [Requirement; 4] = [
    Requirement {
        name: "eBPF toolchain",
        look: rust::look,
        install: rust::install,
    },
    Requirement {
        name: "bpf-linker",
        look: linker::look,
        install: linker::install,
    },
    Requirement {
        name: "network tools",
        look: system::tools,
        install: system::install_tools,
    },
    Requirement {
        name: "BPF file system",
        look: system::bpffs,
        install: system::mount_bpffs,
    },
];

/// What the tests need besides.
pub(crate) const TEST: [Requirement; 1] = [Requirement {
    name: "scapy",
    look: system::scapy,
    install: system::install_scapy,
}];

/// What fuzzing needs besides.
pub(crate) const FUZZ: [Requirement; 2] = [
    Requirement {
        name: "cargo-fuzz",
        look: fuzz::look,
        install: fuzz::install,
    },
    Requirement {
        name: "C++ compiler",
        look: fuzz::compiler,
        install: fuzz::install_compiler,
    },
];

/// What Miri needs; nothing else is built for it.
pub(crate) const MIRI: [Requirement; 1] = [Requirement {
    name: "Miri",
    look: rust::look_for_miri,
    install: rust::install_miri,
}];

/// What booting other kernels needs.
pub(crate) const GUEST: [Requirement; 1] = [Requirement {
    name: "emulator",
    look: guest::look,
    install: guest::install,
}];

/// What booting arm64 kernels on another machine needs besides.
pub(crate) const GUEST_ARM64: [Requirement; 2] = [
    Requirement {
        name: "arm64 emulator and compiler",
        look: guest::look_arm64,
        install: guest::install_arm64,
    },
    Requirement {
        name: "arm64 standard library",
        look: rust::look_arm64,
        install: rust::install_arm64,
    },
];

/// What this balancer is compared with.
pub(crate) const BENCH: [Requirement; 1] = [Requirement {
    name: "peers to compare with",
    look: system::peers,
    install: system::install_peers,
}];

/// What the comparison in a guest needs besides.
pub(crate) const IPVS: [Requirement; 1] = [Requirement {
    name: "IPVS administration",
    look: system::ipvs,
    install: system::install_ipvs,
}];

/// How much to say about what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing: another task asked, whose output matters more.
    Brief,
    /// A line for each requirement.
    Verbose,
}

/// Looks for every requirement and installs what is missing. Goes on after a failure, so that
/// the user sees everything there is to do at once.
pub(crate) fn ensure(requirements: &[Requirement], mode: Mode) -> Result<()> {
    let mut failures = 0_usize;
    for requirement in requirements {
        match requirement.ensure() {
            Ok(Presence::Found(what)) if mode == Mode::Verbose => {
                eprintln!("setup: {}: {what}", requirement.name);
            }
            Ok(Presence::Found(_)) => {}
            Ok(Presence::Installed(what)) => {
                eprintln!("setup: {}: installed, {what}", requirement.name);
            }
            Err(error) => {
                failures += 1;
                eprintln!("setup: {}: {error:#}", requirement.name);
            }
        }
    }
    if failures > 0 {
        bail!("setup is not complete: see the {failures} problem(s) above, then run it again");
    }
    Ok(())
}

enum Presence {
    Found(String),
    Installed(String),
}

impl Requirement {
    fn ensure(&self) -> Result<Presence> {
        let missing = match (self.look)() {
            Ok(what) => return Ok(Presence::Found(what)),
            Err(missing) => missing,
        };
        eprintln!("setup: {}: {missing:#}", self.name);
        (self.install)()?;
        let what = (self.look)().context("still not right after installing it")?;
        Ok(Presence::Installed(what))
    }
}
