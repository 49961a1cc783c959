//! What this host's kernel offers.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use aya::util::KernelVersion;

use super::DataplaneError;

/// What the host offers, found out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What `uname -r` prints.
    pub kernel: String,
    /// `bpf_ktime_get_coarse_ns` exists.
    pub coarse_clock: bool,
    /// Source ports of `full-nat`: the first, and how many.
    pub nat_ports: (u16, u16),
}

/// The lowest port that is not reserved to root (`net.ipv4.ip_unprivileged_port_start`).
const FIRST_PORT: u16 = 1024;
/// The kernel's default of `net.ipv4.ip_local_port_range`.
const DEFAULT_LOCAL_PORTS: (u16, u16) = (32_768, 60_999);

impl Host {
    /// Looks at the host; an error if it cannot run the program at all.
    pub fn probe() -> Result<Self, DataplaneError> {
        let kernel = release();
        // 5.12 has the atomic fetch-and-add of the cursors (commit 5ffa25502b5a).
        if !is_at_least(5, 12) {
            return Err(DataplaneError::KernelTooOld {
                running: kernel,
                needed: "5.12",
            });
        }
        let btf = PathBuf::from("/sys/kernel/btf/vmlinux");
        if matches!(fs::metadata(&btf), Err(error) if error.kind() == ErrorKind::NotFound) {
            return Err(DataplaneError::NoBtf(btf));
        }
        if !nix::unistd::geteuid().is_root() && !has_capabilities() {
            return Err(DataplaneError::Privilege);
        }
        Ok(Self {
            kernel,
            // Since 5.11, and so always here; the branch stays for kernels that are built without.
            coarse_clock: is_at_least(5, 11),
            nat_ports: outside(local_ports()),
        })
    }
}

fn is_at_least(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|running| running >= KernelVersion::new(major, minor, 0))
}

fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|release| release.trim().to_owned())
        .unwrap_or_default()
}

/// Whether the effective capabilities hold `CAP_NET_ADMIN` (12), `CAP_PERFMON` (38) and
/// `CAP_BPF` (39).
fn has_capabilities() -> bool {
    const NEEDED: u64 = 1 << 12 | 1 << 38 | 1 << 39;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|effective| effective & NEEDED == NEEDED)
}

/// The ports that the host's own connections use.
fn local_ports() -> (u16, u16) {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = text.split_whitespace().map(str::parse);
    match (ports.next(), ports.next()) {
        (Some(Ok(first)), Some(Ok(last))) => (first, last),
        _ => DEFAULT_LOCAL_PORTS,
    }
}

/// The larger range of unprivileged ports that the host's own connections leave: a flow must not
/// have the addresses and ports of a connection of the host, such as a health check's.
fn outside((first, last): (u16, u16)) -> (u16, u16) {
    let below = first.saturating_sub(FIRST_PORT);
    let above = u16::MAX - last;
    if below >= above {
        (FIRST_PORT, below)
    } else {
        (last + 1, above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_and_the_hosts_connections_share_no_port() {
        assert_eq!(outside(DEFAULT_LOCAL_PORTS), (1024, 31_744));
        assert_eq!(outside((1024, 40_000)), (40_001, 25_535));
        assert_eq!(outside((1024, 65_535)), (1024, 0));
    }
}
