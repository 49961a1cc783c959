//! A private apt directory: the packages of any Debian release and architecture, whatever this
//! machine runs, with signatures checked by Debian's keys.
//!
//! The mirror is the one that this machine's own apt is configured for, and so is the proxy. The
//! machine's package lists and installed packages are neither used nor changed; nothing here needs
//! root.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process;

/// Names another mirror than the one apt is configured for.
const MIRROR_VARIABLE: &str = "LB_DEBIAN_MIRROR";

/// Debian's keys, from the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The mirror cannot be reached: an error's context that callers look for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unreachable;

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot fetch the list of packages")
    }
}

/// One release's packages for one architecture.
#[derive(Debug)]
pub(super) struct Apt {
    directory: PathBuf,
    architecture: &'static str,
}

impl Apt {
    /// Downloads the release's package lists into `directory`, which must exist.
    pub(super) fn open(directory: &Path, suite: &str, architecture: &'static str) -> Result<Self> {
        ensure!(
            process::find("apt-get").is_some(),
            "there is no apt-get here, which Debian's kernels come through"
        );
        ensure!(
            Path::new(KEYRING).is_file(),
            "there is no {KEYRING}, which checks the kernels' signatures: \
             sudo apt-get install debian-archive-keyring"
        );
        for name in ["lists/partial", "archives/partial"] {
            let path = directory.join(name);
            std::fs::create_dir_all(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
        }
        let apt = Self {
            directory: directory.to_owned(),
            architecture,
        };
        apt.write("status", "")?;
        // The package lists only: neither translations nor icons.
        let source = format!(
            "deb [signed-by={KEYRING} arch={architecture} target=Packages] {} {suite} main\n",
            mirror()?
        );
        apt.write("sources.list", &source)?;
        let mut update = apt.command("apt-get");
        // Otherwise a mirror that cannot be reached is a mere warning.
        update.args(["-o", "APT::Update::Error-Mode=any", "update"]);
        output(update).context(Unreachable)?;
        Ok(apt)
    }

    /// The packages that `package` (its newest version) depends on, alternatives left out.
    pub(super) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let mut show = self.command("apt-cache");
        show.args(["show", "--no-all-versions", package]);
        let text = output(show)?;
        Ok(dependencies(&text))
    }

    /// Downloads packages, checks them, and unpacks them into `root`.
    pub(super) fn unpack(&self, packages: &[String], root: &Path) -> Result<()> {
        let archives = self.directory.join("archives");
        let mut download = self.command("apt-get");
        download
            .arg("download")
            .args(packages)
            .current_dir(&archives);
        output(download)?;
        let entries = std::fs::read_dir(&archives)?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "deb") {
                continue;
            }
            process::output(Command::new("dpkg-deb").arg("-x").arg(&path).arg(root))?;
            std::fs::remove_file(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// An apt command that knows nothing but the private directory. It gives up on a mirror that
    /// says nothing for 20 seconds.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut option = |text: String| {
            command.arg("-o").arg(text);
        };
        let place = |name: &str| self.directory.join(name).display().to_string();
        option(format!("Dir::Etc::SourceList={}", place("sources.list")));
        option("Dir::Etc::SourceParts=/dev/null".to_owned());
        option("Dir::Etc::Preferences=/dev/null".to_owned());
        option("Dir::Etc::PreferencesParts=/dev/null".to_owned());
        option(format!("Dir::State={}", self.directory.display()));
        option(format!("Dir::State::Lists={}", place("lists")));
        option(format!("Dir::State::Status={}", place("status")));
        option(format!("Dir::Cache={}", self.directory.display()));
        option(format!("APT::Architecture={}", self.architecture));
        option(format!("APT::Architectures={}", self.architecture));
        // apt's own user could not enter the user's cache.
        option("APT::Sandbox::User=root".to_owned());
        option("Acquire::http::Timeout=20".to_owned());
        option("Acquire::https::Timeout=20".to_owned());
        option("Acquire::Retries=1".to_owned());
        command.env("LC_ALL", "C");
        command
    }
}

/// What an apt command prints; on failure what it complains about, without our dozen options.
fn output(mut command: Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{program}`"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}", message.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{program}` printed no UTF-8"))
}

/// The Debian mirror that this machine's apt is configured for.
fn mirror() -> Result<String> {
    if let Ok(mirror) = std::env::var(MIRROR_VARIABLE) {
        return Ok(mirror);
    }
    let mut command = Command::new("apt-get");
    command.args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(RELEASE) $(REPO_URI)",
        "Created-By: Packages",
    ]);
    let text = process::output(&mut command)?;
    let Some(mirror) = choose_mirror(&text) else {
        bail!(
            "apt has no Debian mirror configured: set {MIRROR_VARIABLE} to the address of one, \
             which ends in /debian"
        );
    };
    Ok(mirror.to_owned())
}

/// The first mirror of a release proper: updates, security and others' packages are elsewhere.
/// The origin is known only after `apt-get update`; before, the usual end of the address tells.
fn choose_mirror(targets: &str) -> Option<&str> {
    let mut mirrors = targets.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (origin, release, address) = (words.next()?, words.next()?, words.next()?);
        let known = origin == "Debian";
        let likely = origin.starts_with("$(") && address.trim_end_matches('/').ends_with("/debian");
        ((known || likely) && !release.contains('-')).then_some(address)
    });
    mirrors.next()
}

/// The names in the `Depends` line of a package's description.
fn dependencies(description: &str) -> Vec<String> {
    let line = description
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "));
    let names = line.into_iter().flat_map(|line| line.split(", "));
    names
        .filter_map(|name| name.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_the_release_itself() {
        let targets = "nodistro nodistro http://packages.example/node/\n\
            Debian bookworm-updates http://mirror.example/debian/\n\
            Debian bookworm-security http://mirror.example/debian-security/\n\
            Debian bookworm http://near.example/mirror/debian/";
        let near = Some("http://near.example/mirror/debian/");
        assert_eq!(choose_mirror(targets), near);
        // Before the first update nobody knows origins.
        let fresh = "$(ORIGIN) nodistro http://packages.example/node/\n\
            $(ORIGIN) trixie http://near.example/mirror/debian/";
        assert_eq!(choose_mirror(fresh), near);
        assert_eq!(choose_mirror("Ubuntu noble http://a.example/ubuntu/"), None);
        assert_eq!(choose_mirror(""), None);
    }

    #[test]
    fn dependencies_are_named_without_versions_and_alternatives() {
        let description = "Package: linux-image\nDepends: kmod, initramfs-tools (>= 0.12) | dracut, \
            linux-modules-6.1 (= 6.1.2-1)\nSuggests: grub";
        let names = ["kmod", "initramfs-tools", "linux-modules-6.1"];
        assert_eq!(dependencies(description), names);
        assert!(dependencies("Package: none").is_empty());
    }
}
