//! Debian's kernels: found, downloaded, checked by apt, and kept in the user's cache.
//!
//! The cloud flavour is taken, because it is small. A kernel that is there is taken without asking
//! the network; only the newest is looked up again after a week, because what is newest changes.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::statvfs::statvfs;

use super::apt::Apt;
use crate::{process, toolchain};

/// How long a kernel may count as the newest.
const NEWEST_FOR: Duration = Duration::from_hours(7 * 24);

/// What downloading and unpacking a kernel takes at most, in bytes: package lists of 50 MiB, a
/// package of 60, and 250 unpacked.
const SPACE_NEEDED: u64 = 400 << 20;

/// A Debian release, for the kernel it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Release {
    /// Kernel 5.10.
    Bullseye,
    /// Kernel 6.1.
    Bookworm,
    /// Kernel 6.12.
    Trixie,
    /// The newest kernel that is built for a stable release.
    Newest,
}

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arch {
    Amd64,
    Arm64,
}

/// A kernel on this machine's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// What `uname -r` prints.
    pub(crate) version: String,
    /// What it runs on.
    pub(crate) arch: Arch,
    /// The image to boot.
    pub(crate) image: PathBuf,
    /// Directory with `lib/modules/VERSION`, as `modprobe --dirname` takes it.
    pub(crate) modules: PathBuf,
    /// A static shell and its tools of that architecture, where this machine's own will not do.
    pub(crate) busybox: Option<PathBuf>,
}

impl Release {
    /// The suite of the archive.
    fn suite(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Newest => "trixie-backports",
        }
    }

    /// The kernel's series, as users know it.
    pub(crate) fn series(self) -> &'static str {
        match self {
            Self::Bullseye => "5.10",
            Self::Bookworm => "6.1",
            Self::Trixie => "6.12",
            Self::Newest => "newest",
        }
    }
}

impl Arch {
    /// This machine's architecture, if it is one we know.
    pub(crate) fn host() -> Option<Self> {
        [Self::Amd64, Self::Arm64]
            .into_iter()
            .find(|arch| arch.rust() == std::env::consts::ARCH)
    }

    /// Debian's name.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The name in Rust's targets, which is also QEMU's and that of the GNU tools.
    pub(crate) fn rust(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.debian())
    }
}

/// The kernel of a release, from the cache or from the archive.
///
/// # Errors
/// It is not there and cannot be downloaded: no network, no space, no apt.
pub(crate) fn resolve(release: Release, arch: Arch) -> Result<Kernel> {
    let cache = directory()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let _lock = lock(&cache)?;
    let place = cache.join(place_name(release, arch));
    let known = read(&place, arch);
    match known {
        Ok(kernel) if release != Release::Newest || is_recent(&place) => Ok(kernel),
        known => download(release, arch, &cache, &place).or_else(|error| {
            let Ok(kernel) = known else {
                return Err(error).with_context(|| cannot_download(release, arch));
            };
            eprintln!("vm: taking {} from the cache: {error:#}", kernel.version);
            Ok(kernel)
        }),
    }
}

/// The kernel of a release if it is in the cache; the network is not asked.
#[cfg(test)]
pub(crate) fn cached(release: Release, arch: Arch) -> Option<Kernel> {
    let place = directory().ok()?.join(place_name(release, arch));
    read(&place, arch).ok()
}

/// The name of a kernel's directory in the cache.
fn place_name(release: Release, arch: Arch) -> String {
    format!("{}-{arch}", release.suite())
}

fn cannot_download(release: Release, arch: Arch) -> String {
    format!(
        "kernel {} of {} for {arch} cannot be had",
        release.series(),
        release.suite()
    )
}

/// Where kernels are kept, beside our tools.
fn directory() -> Result<PathBuf> {
    let tools = toolchain::tools_directory()
        .context("neither HOME nor XDG_CACHE_HOME is set: set one, to where kernels may be kept")?;
    Ok(tools.with_file_name("kernels"))
}

/// Keeps others out of the cache until it is dropped.
fn lock(cache: &Path) -> Result<File> {
    let path = cache.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("vm: waiting for another task, which downloads a kernel");
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

/// The kernel that was unpacked at `place`.
fn read(place: &Path, arch: Arch) -> Result<Kernel> {
    let modules = place.join("lib").join("modules");
    let version = only_name(&modules)?;
    // The image moved beside the modules in kernel packages since 7.0.
    let images = [
        place.join("boot").join(format!("vmlinuz-{version}")),
        modules.join(&version).join("vmlinuz"),
    ];
    let Some(image) = images.into_iter().find(|image| image.is_file()) else {
        bail!("the package of kernel {version} holds no image");
    };
    let index = modules.join(&version).join("modules.dep");
    ensure!(index.is_file(), "there is no {}", index.display());
    Ok(Kernel {
        version,
        arch,
        image,
        modules: place.to_owned(),
        busybox: Some(place.join("bin").join("busybox")).filter(|path| path.is_file()),
    })
}

/// The name of the only entry of a directory.
fn only_name(directory: &Path) -> Result<String> {
    let mut names = Vec::new();
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    ensure!(
        names.len() == 1,
        "{} holds {names:?}, and not one kernel",
        directory.display()
    );
    Ok(names.swap_remove(0))
}

fn is_recent(place: &Path) -> bool {
    let age = fs::metadata(place)
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age < NEWEST_FOR)
}

/// Puts the release's kernel at `place`, all of it or nothing.
fn download(release: Release, arch: Arch, cache: &Path, place: &Path) -> Result<Kernel> {
    const UNFINISHED: &str = "unfinished-";
    // We hold the lock: whatever has this name was left by a task that was killed.
    for entry in fs::read_dir(cache)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    ensure_space(cache)?;
    eprintln!("vm: looking up kernel {} for {arch}", release.series());
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(cache)
        .with_context(|| format!("cannot make a directory in {}", cache.display()))?;
    let lists = unfinished.path().join("apt");
    let root = unfinished.path().join("root");
    fs::create_dir(&root)?;
    let apt = Apt::open(&lists, release.suite(), arch.debian())?;
    let packages = packages(&apt, arch)?;
    eprintln!("vm: downloading {}", packages.join(" "));
    apt.unpack(&packages, &root)?;
    if Arch::host() != Some(arch) {
        unpack_busybox(&apt, release, arch, unfinished.path(), &root)?;
    }
    arrange(&root)?;
    let kernel = read(&root, arch)?;
    let _ = fs::remove_dir_all(place);
    fs::rename(&root, place).with_context(|| format!("cannot make {}", place.display()))?;
    eprintln!("vm: kernel {} is in {}", kernel.version, place.display());
    read(place, arch)
}

/// Unpacks a shell for another architecture. Backports have none: it comes from the release.
fn unpack_busybox(
    apt: &Apt,
    release: Release,
    arch: Arch,
    unfinished: &Path,
    root: &Path,
) -> Result<()> {
    let busybox = ["busybox-static".to_owned()];
    let Some((base, _)) = release.suite().split_once('-') else {
        return apt.unpack(&busybox, root);
    };
    Apt::open(&unfinished.join("base"), base, arch.debian())?.unpack(&busybox, root)
}

fn ensure_space(cache: &Path) -> Result<()> {
    let free = statvfs(cache)
        .with_context(|| format!("cannot tell how much space {} has", cache.display()))?;
    let free = free.blocks_available() * free.fragment_size();
    ensure!(
        free >= SPACE_NEEDED,
        "a kernel takes up to {} MiB, and {} has {} free: make space, or set XDG_CACHE_HOME to \
         where there is some",
        SPACE_NEEDED >> 20,
        cache.display(),
        free >> 20
    );
    Ok(())
}

/// The packages that hold the kernel that the release's meta-package names.
fn packages(apt: &Apt, arch: Arch) -> Result<Vec<String>> {
    let meta = format!("linux-image-cloud-{arch}");
    let image = choose_image(apt.depends(&meta)?)
        .with_context(|| format!("{meta} names no kernel package"))?;
    let mut packages = parts(apt.depends(&image)?);
    packages.push(image);
    Ok(packages)
}

/// Of a meta-package's dependencies the kernel itself, such as linux-image-6.1.0-50-cloud-amd64.
fn choose_image(dependencies: Vec<String>) -> Option<String> {
    dependencies.into_iter().find(|name| {
        name.strip_prefix("linux-image-")
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    })
}

/// Of a kernel's dependencies the packages that hold parts of it: since 7.0 it comes in several.
fn parts(dependencies: Vec<String>) -> Vec<String> {
    let is_part = |name: &String| {
        ["linux-binary-", "linux-modules-"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    dependencies.into_iter().filter(is_part).collect()
}

/// Brings what was unpacked into the one layout that [`read`] knows, and indexes the modules.
fn arrange(root: &Path) -> Result<()> {
    let merged = root.join("usr").join("lib").join("modules");
    let modules = root.join("lib").join("modules");
    if merged.is_dir() {
        fs::create_dir_all(root.join("lib"))?;
        fs::rename(&merged, &modules)?;
    }
    let busybox = root.join("usr").join("bin").join("busybox");
    if busybox.is_file() {
        fs::create_dir_all(root.join("bin"))?;
        fs::rename(&busybox, root.join("bin").join("busybox"))?;
    }
    fs::remove_dir_all(root.join("usr")).context("cannot remove the packages' documentation")?;
    let version = only_name(&modules)?;
    let depmod = process::find("depmod").context("there is no depmod: run `cargo xtask setup`")?;
    process::output(Command::new(depmod).arg("-b").arg(root).arg(version)).map(drop)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_kernel_is_chosen_from_the_dependencies() {
        let old = names(&["linux-image-6.1.0-50-cloud-amd64"]);
        assert_eq!(choose_image(old.clone()).as_ref(), old.first());
        let new = names(&[
            "linux-base-cloud-amd64",
            "linux-image-7.3.4+deb13-cloud-amd64",
            "linux-modules-cloud-amd64",
        ]);
        assert_eq!(choose_image(new.clone()).as_ref(), new.get(1));
        assert_eq!(choose_image(names(&["linux-image-cloud-amd64"])), None);
    }

    #[test]
    fn a_kernel_may_come_in_several_packages() {
        let depends = names(&["kmod", "linux-base-7.3.4", "linux-modules-7.3.4"]);
        assert_eq!(parts(depends), ["linux-modules-7.3.4"]);
        assert!(parts(names(&["kmod", "linux-base"])).is_empty());
    }

    #[test]
    fn both_layouts_of_a_kernel_are_read_and_half_of_one_is_not() {
        let place = tempfile::tempdir().unwrap();
        let modules = place.path().join("lib/modules/7.3.4-cloud");
        fs::create_dir_all(&modules).unwrap();
        assert!(read(place.path(), Arch::Amd64).is_err());
        fs::write(modules.join("vmlinuz"), "").unwrap();
        assert!(read(place.path(), Arch::Amd64).is_err(), "no modules.dep");
        fs::write(modules.join("modules.dep"), "").unwrap();
        let kernel = read(place.path(), Arch::Amd64).unwrap();
        assert_eq!(kernel.version, "7.3.4-cloud");
        assert_eq!(kernel.image, modules.join("vmlinuz"));
        assert_eq!(kernel.busybox, None);
        let boot = place.path().join("boot");
        fs::create_dir(&boot).unwrap();
        fs::write(boot.join("vmlinuz-7.3.4-cloud"), "").unwrap();
        let kernel = read(place.path(), Arch::Amd64).unwrap();
        assert_eq!(kernel.image, boot.join("vmlinuz-7.3.4-cloud"));
    }

    #[test]
    fn a_full_disk_is_told_before_the_download() {
        // /proc has no space at all.
        let error = ensure_space(Path::new("/proc")).unwrap_err().to_string();
        assert!(error.contains("/proc has 0 free"), "{error}");
    }
}
