//! What this host's kernel offers.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

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

/// Where a kernel that describes its types does so.
const BTF: &str = "/sys/kernel/btf/vmlinux";
/// The oldest kernel that runs the program, as [`Host::probe`] tells it. 5.12 has the atomic
/// fetch-and-add of the cursors (commit 5ffa25502b5a).
const OLDEST: (u8, u8) = (5, 12);

impl Host {
    /// Looks at the host; an error if it cannot run the program at all.
    pub fn probe() -> Result<Self, DataplaneError> {
        let kernel = release();
        judge(
            &kernel,
            KernelVersion::current().ok(),
            Path::new(BTF),
            has_capabilities(),
        )?;
        Ok(Self {
            kernel,
            // Since 5.11, and so always here; the branch stays for kernels that are built without.
            coarse_clock: is_at_least(KernelVersion::current().ok(), (5, 11)),
            nat_ports: outside(local_ports()),
        })
    }
}

/// Whether a host of this kind can run the program. The kernel comes first: no privilege helps
/// where it is too old.
fn judge(
    kernel: &str,
    version: Option<KernelVersion>,
    btf: &Path,
    privileged: bool,
) -> Result<(), DataplaneError> {
    if !is_at_least(version, OLDEST) {
        return Err(DataplaneError::KernelTooOld {
            running: kernel.to_owned(),
            needed: "5.12",
        });
    }
    if matches!(fs::metadata(btf), Err(error) if error.kind() == ErrorKind::NotFound) {
        return Err(DataplaneError::NoBtf(btf.to_owned()));
    }
    if !privileged {
        return Err(DataplaneError::Privilege);
    }
    Ok(())
}

fn is_at_least(version: Option<KernelVersion>, (major, minor): (u8, u8)) -> bool {
    version.is_some_and(|running| running >= KernelVersion::new(major, minor, 0))
}

fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|release| release.trim().to_owned())
        .unwrap_or_default()
}

/// Whether this process may do all that it has to. Its user says nothing: root in a container may
/// lack the capabilities, and a service may have them without being root.
fn has_capabilities() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(suffice)
}

/// `CAP_NET_ADMIN` (12) and `CAP_BPF` (39) with `CAP_PERFMON` (38), or `CAP_SYS_ADMIN` (21), which
/// stands for the latter two; capabilities(7).
fn suffice(effective: u64) -> bool {
    let has = |capability: u32| effective & (1 << capability) != 0;
    has(12) && (has(21) || has(38) && has(39))
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

    /// What a host is told that cannot run the program; empty for one that can.
    fn verdict(version: Option<(u8, u8)>, btf: &Path, privileged: bool) -> String {
        let version = version.map(|(major, minor)| KernelVersion::new(major, minor, 7));
        let judged = judge("5.10.0-39-amd64", version, btf, privileged);
        judged.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_host_that_cannot_run_the_program_is_told_what_to_do() {
        // Any file will do for the kernel's description of its types.
        let (btf, no_btf) = (Path::new("Cargo.toml"), Path::new("no/such/vmlinux"));
        assert_eq!(verdict(Some((5, 12)), btf, true), "");
        assert_eq!(verdict(Some((6, 1)), btf, true), "");
        for old in [Some((5, 11)), Some((4, 19)), None] {
            let told = verdict(old, no_btf, false);
            assert!(
                told.contains("this kernel is 5.10.0-39-amd64, but the program needs 5.12")
                    && told.contains("boot a newer kernel"),
                "{old:?}: {told}"
            );
        }
        let told = verdict(Some((6, 1)), no_btf, false);
        assert!(
            told.contains("no BTF (no/such/vmlinux does not exist)")
                && told.contains("CONFIG_DEBUG_INFO_BTF=y"),
            "{told}"
        );
        let told = verdict(Some((6, 1)), btf, false);
        assert!(
            told.contains("CAP_BPF") && told.contains("run it with sudo"),
            "{told}"
        );
    }

    #[test]
    fn capabilities_decide_and_not_the_user() {
        assert!(suffice(u64::MAX));
        assert!(suffice(1 << 12 | 1 << 21));
        assert!(suffice(1 << 12 | 1 << 38 | 1 << 39));
        for lacking in [0, 12, 21, 38, 39] {
            assert!(!suffice(1 << lacking), "{lacking} alone");
        }
        assert!(!suffice(1 << 12 | 1 << 39) && !suffice(1 << 21 | 1 << 38 | 1 << 39));
    }

    #[test]
    fn flows_and_the_hosts_connections_share_no_port() {
        assert_eq!(outside(DEFAULT_LOCAL_PORTS), (1024, 31_744));
        assert_eq!(outside((1024, 40_000)), (40_001, 25_535));
        assert_eq!(outside((1024, 65_535)), (1024, 0));
    }
}
