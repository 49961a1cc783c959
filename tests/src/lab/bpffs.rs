//! The BPF file system: mounted where pins are expected, if nobody did.

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{FsType, statfs};

const MOUNT_POINT: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of linux/magic.h.
const MAGIC: FsType = FsType(0xcafe_4a11);

/// Mounts the BPF file system unless it is. It stays: it belongs to the machine, not to a lab.
pub(crate) fn mount_if_missing() -> Result<()> {
    let found = statfs(MOUNT_POINT).with_context(|| format!("cannot look at {MOUNT_POINT}"))?;
    if found.filesystem_type() == MAGIC {
        return Ok(());
    }
    mount(
        Some("bpf"),
        MOUNT_POINT,
        Some("bpf"),
        MsFlags::empty(),
        None::<&str>,
    )
    .with_context(|| format!("cannot mount the BPF file system on {MOUNT_POINT}"))
}
