//! The programs of this machine that the lab uses in a guest: `ip`, `ethtool` and `nsenter`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::kernel::Arch;
use crate::process;

const TOOLS: [&str; 3] = ["ip", "ethtool", "nsenter"];

/// The tools and their paths in the guest; `None` for another processor, whose tools are not here.
pub(super) fn find(arch: Arch) -> Result<Option<Vec<(PathBuf, String)>>> {
    if Arch::host() != Some(arch) {
        return Ok(None);
    }
    let tools = TOOLS.iter().map(|name| {
        let file = process::find(name)
            .with_context(|| format!("there is no `{name}`: run `cargo xtask setup`"))?;
        Ok((file, format!("/usr/local/bin/{name}")))
    });
    tools.collect::<Result<_>>().map(Some)
}
