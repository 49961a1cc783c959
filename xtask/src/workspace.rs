//! Where the repository and its build artefacts are, and the cargo that builds them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{process, toolchain};

/// The repository this program was built from.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Directory of the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
}

/// How the host's programs are compiled. The XDP program is always optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

impl Workspace {
    /// Finds the repository from the place of this crate in it.
    pub(crate) fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest
            .parent()
            .context("xtask is not inside a workspace")?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// A command of the cargo that started us, in the repository, which finds our tools.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .arg(subcommand)
            .current_dir(&self.root)
            .env("PATH", toolchain::search_path());
        command
    }

    /// Cargo's target directory, wherever the user's configuration has put it.
    pub(crate) fn target_directory(&self) -> Result<PathBuf> {
        let mut metadata = self.cargo("metadata");
        let text = process::output(metadata.args(["--no-deps", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&text).context("`cargo metadata`")?;
        let target = metadata["target_directory"].as_str();
        Ok(target
            .context("`cargo metadata` names no target directory")?
            .into())
    }
}

impl Profile {
    /// Release if `yes`.
    pub(crate) fn optimised(yes: bool) -> Self {
        if yes { Self::Release } else { Self::Debug }
    }

    /// The directory below the target directory.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}
