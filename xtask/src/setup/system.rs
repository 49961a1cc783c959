//! What comes from the distribution: command line tools, and the mounted BPF file system.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::process;

/// A program, and the Debian package it comes from. Fedora's packages have the same names.
pub(super) type Program = (&'static str, &'static str);

/// Programs of the lab and the tests.
const PROGRAMS: [Program; 3] = [
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("nsenter", "util-linux"),
];

/// What users pick instead of this balancer, and conntrack, by which nftables' rounds are made to
/// begin alike. Fedora's package of the latter is conntrack-tools.
const PEERS: [Program; 3] = [
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("haproxy", "haproxy"),
];

/// The peer that is compared with in a guest.
const IPVS: [Program; 1] = [("ipvsadm", "ipvsadm")];

const BPFFS: &str = "/sys/fs/bpf";

pub(super) fn tools() -> Result<String> {
    look_for(&PROGRAMS)
}

pub(super) fn install_tools() -> Result<()> {
    install_missing(&PROGRAMS)
}

pub(super) fn peers() -> Result<String> {
    look_for(&PEERS)
}

pub(super) fn install_peers() -> Result<()> {
    install_missing(&PEERS)
}

pub(super) fn ipvs() -> Result<String> {
    look_for(&IPVS)
}

pub(super) fn install_ipvs() -> Result<()> {
    install_missing(&IPVS)
}

pub(super) fn bpffs() -> Result<String> {
    let mounts = std::fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    ensure!(is_bpffs_mounted(&mounts), "not mounted at {BPFFS}");
    Ok(format!("mounted at {BPFFS}"))
}

pub(super) fn mount_bpffs() -> Result<()> {
    ensure!(
        process::is_root(),
        "mount it: sudo mount -t bpf bpf {BPFFS}"
    );
    ensure!(
        Path::new(BPFFS).is_dir(),
        "there is no {BPFFS}: this kernel lacks CONFIG_BPF_SYSCALL, or /sys is not mounted"
    );
    process::succeed(Command::new("mount").args(["-t", "bpf", "bpf", BPFFS])).context(
        "cannot mount it: this needs CAP_SYS_ADMIN, which containers lack unless privileged",
    )
}

pub(super) fn scapy() -> Result<String> {
    // The distribution's interpreter has the distribution's package; another may be in front.
    let interpreters = ["/usr/bin/python3", "python3"];
    let has_scapy =
        |python: &&str| process::works(Command::new(python).args(["-c", "import scapy"]));
    let python = interpreters.iter().find(|python| has_scapy(python));
    Ok(format!("for {}", python.context("not found")?))
}

pub(super) fn install_scapy() -> Result<()> {
    apt_install(&["python3-scapy".to_owned()])
}

/// Installs packages through apt-get, as root; otherwise the error is what the user must type.
pub(super) fn apt_install(packages: &[String]) -> Result<()> {
    let names = packages.join(" ");
    if process::find("apt-get").is_none() {
        bail!(
            "this system has no apt-get: install what it calls {names} (such as `sudo dnf install \
             {names}`), then run `cargo xtask setup` again"
        );
    }
    if !process::is_root() {
        bail!("not root: run `sudo apt-get install {names}`, then `cargo xtask setup` again");
    }
    eprintln!("setup: running `apt-get install {names}`");
    if process::works(&mut apt_get_install(packages)) {
        return Ok(());
    }
    // A fresh machine has no package lists, an old one outdated lists.
    eprintln!("setup: running `apt-get update` first");
    process::output(apt_get().arg("update"))?;
    process::output(&mut apt_get_install(packages)).map(drop)
}

fn apt_get_install(packages: &[String]) -> Command {
    let mut command = apt_get();
    command
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages);
    command
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .arg("--quiet=2")
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

pub(super) fn look_for(programs: &[Program]) -> Result<String> {
    let missing: Vec<_> = missing(programs).map(|(program, _)| program).collect();
    ensure!(missing.is_empty(), "{} not found", missing.join(", "));
    let names: Vec<_> = programs.iter().map(|&(program, _)| program).collect();
    Ok(names.join(", "))
}

pub(super) fn install_missing(programs: &[Program]) -> Result<()> {
    let packages: Vec<_> = missing(programs)
        .map(|(_, package)| package.to_owned())
        .collect();
    apt_install(&packages)
}

pub(super) fn missing(programs: &[Program]) -> impl Iterator<Item = Program> {
    programs
        .iter()
        .copied()
        .filter(|(program, _)| process::find(program).is_none())
}

/// Lines are: device, mount point, type, options.
fn is_bpffs_mounted(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(BPFFS) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bpffs_is_recognised_by_place_and_type() {
        assert!(is_bpffs_mounted(
            "sysfs /sys sysfs rw 0 0\nbpf /sys/fs/bpf bpf rw,nosuid 0 0"
        ));
        assert!(is_bpffs_mounted("none /sys/fs/bpf bpf rw 0 0"));
        assert!(!is_bpffs_mounted("bpf /run/bpf bpf rw 0 0"));
        assert!(!is_bpffs_mounted("tmpfs /sys/fs/bpf tmpfs rw 0 0"));
    }
}
