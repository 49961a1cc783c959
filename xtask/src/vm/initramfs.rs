//! The guest's file system: an archive that the kernel unpacks into memory.
//!
//! It is written to a file that has no name, so that it ends with us, however we end. It holds
//! files and directories; devices come from the guest's devtmpfs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use cpio::NewcBuilder;
use cpio::newc::{self, ModeFileType};

use super::kernel::Kernel;
use crate::process;

const CANNOT_WRITE: &str = "cannot write the guest's file system to the temporary directory (set \
    TMPDIR to one with more space)";

/// An archive in the making.
#[derive(Debug)]
pub(super) struct Initramfs {
    archive: BufWriter<File>,
    paths: BTreeSet<String>,
}

impl Initramfs {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            archive: BufWriter::new(tempfile::tempfile().context(CANNOT_WRITE)?),
            paths: BTreeSet::new(),
        })
    }

    /// Adds a directory and those above it.
    pub(super) fn directory(&mut self, path: &str) -> Result<()> {
        let path = path.trim_matches('/');
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        for directory in above.chain([path]).filter(|path| !path.is_empty()) {
            self.entry(directory, ModeFileType::Directory, 0o755, &[])?;
        }
        Ok(())
    }

    /// Adds a file that anyone may read and execute.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        if let Some((directory, _)) = path.trim_start_matches('/').rsplit_once('/') {
            self.directory(directory)?;
        }
        self.entry(path, ModeFileType::Regular, 0o755, bytes)
    }

    /// Adds a file of this machine, with the shared libraries that it needs.
    pub(super) fn program(&mut self, file: &Path, path: &str) -> Result<()> {
        self.copy(file, path)?;
        for library in libraries(file)? {
            let path = library.to_string_lossy().into_owned();
            self.copy(&library, &path)?;
        }
        Ok(())
    }

    /// Adds kernel modules and those that they depend on, each before who needs it, and returns
    /// their paths in that order.
    pub(super) fn modules(&mut self, kernel: &Kernel, names: &[&str]) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        for file in module_files(kernel, names)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let path = format!("/modules/{}", name.trim_end_matches(".xz"));
            if !paths.contains(&path) {
                self.file(&path, &module_content(&file)?)?;
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// The finished archive, to be read from its beginning.
    pub(super) fn finish(self) -> Result<File> {
        let mut archive = newc::trailer(self.archive).context(CANNOT_WRITE)?;
        archive.flush().context(CANNOT_WRITE)?;
        let mut file = archive.into_inner().context(CANNOT_WRITE)?;
        file.rewind()?;
        Ok(file)
    }

    fn copy(&mut self, file: &Path, path: &str) -> Result<()> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.file(path, &bytes)
    }

    /// Adds what is not there yet: the first file of a name is the one that counts.
    fn entry(&mut self, path: &str, kind: ModeFileType, mode: u32, bytes: &[u8]) -> Result<()> {
        let path = path.trim_start_matches('/');
        if !self.paths.insert(path.to_owned()) {
            return Ok(());
        }
        let length = u32::try_from(bytes.len())
            .with_context(|| format!("{path} is too large for the guest's file system"))?;
        let number = u32::try_from(self.paths.len())?;
        let entry = NewcBuilder::new(path)
            .ino(number)
            .mode(mode)
            .set_mode_file_type(kind);
        let mut writer = entry.write(&mut self.archive, length);
        writer.write_all(bytes).context(CANNOT_WRITE)?;
        writer.finish().context(CANNOT_WRITE)?;
        Ok(())
    }
}

/// The shared libraries of a program, its loader among them; none for what is no such program.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program).env("LC_ALL", "C").stdin(Stdio::null());
    let output = ldd.output().context("cannot start `ldd`")?;
    // It fails for static programs and for those of another architecture.
    let text = String::from_utf8_lossy(&output.stdout);
    named_libraries(&text).with_context(|| program.display().to_string())
}

/// Reads lines such as `libm.so.6 => /lib/libm.so.6 (0x7f…)` or `/lib/ld-linux.so.2 (0x7f…)`. A
/// library without a path is the kernel's own.
fn named_libraries(text: &str) -> Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if line.ends_with("not found") {
            bail!("a library is missing: {line}");
        }
        let path = line.split_once(" => ").map_or(line, |(_, path)| path);
        if let Some((path, _)) = path.split_once(" (0x")
            && path.starts_with('/')
        {
            libraries.push(PathBuf::from(path));
        }
    }
    Ok(libraries)
}

/// The files of modules and of those that they need, in the order of loading.
fn module_files(kernel: &Kernel, names: &[&str]) -> Result<Vec<PathBuf>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let modprobe =
        process::find("modprobe").context("there is no modprobe: run `cargo xtask setup`")?;
    let mut command = Command::new(modprobe);
    command
        .arg("--dirname")
        .arg(&kernel.modules)
        .args(["--set-version", &kernel.version])
        // Neither what this machine has loaded nor how it is configured says anything.
        .args([
            "--ignore-install",
            "--show-depends",
            "--config",
            "/dev/null",
            "--all",
        ])
        .args(names);
    let text = process::output(&mut command)
        .with_context(|| format!("kernel {} lacks a module", kernel.version))?;
    Ok(files_to_load(&text))
}

/// Reads lines such as `insmod /lib/modules/6.1/veth.ko `, or `builtin veth`.
fn files_to_load(text: &str) -> Vec<PathBuf> {
    let lines = text.lines();
    let paths = lines.filter_map(|line| line.strip_prefix("insmod ")?.split(' ').next());
    paths.map(PathBuf::from).collect()
}

/// A module as the kernel takes it; some releases compress them.
fn module_content(file: &Path) -> Result<Vec<u8>> {
    let is_compressed = file.extension().is_some_and(|extension| extension == "xz");
    if !is_compressed {
        return fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let mut xz = Command::new("xz");
    let output = xz
        .args(["--decompress", "--stdout"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .context("cannot start `xz`: run `cargo xtask setup`")?;
    ensure!(
        output.status.success(),
        "`{}` failed: {}",
        process::line(&xz),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Read as _;

    use super::*;

    #[test]
    fn libraries_are_read_and_a_missing_one_is_told() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found = named_libraries(text).unwrap();
        let expected = [
            "/lib/x86_64-linux-gnu/libm.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        assert!(named_libraries("\tstatically linked\n").unwrap().is_empty());
        let error = named_libraries("\tliba.so => not found\n").unwrap_err();
        assert!(error.to_string().contains("liba.so"), "{error}");
    }

    #[test]
    fn modules_are_loaded_in_order_and_those_built_in_are_not() {
        let text = "builtin unix\ninsmod /k/a.ko.xz \ninsmod /k/veth.ko parameter=1\n";
        assert_eq!(
            files_to_load(text),
            ["/k/a.ko.xz", "/k/veth.ko"].map(PathBuf::from)
        );
    }

    #[test]
    fn the_archive_holds_directories_before_files_and_everything_once() {
        let mut archive = Initramfs::new().unwrap();
        archive.file("/a/b/c", b"first").unwrap();
        archive.file("/a/b/c", b"second").unwrap();
        archive.directory("a/d/").unwrap();
        let mut file = archive.finish().unwrap();
        let mut found = Vec::new();
        loop {
            let mut reader = cpio::NewcReader::new(file).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            found.push((reader.entry().name().to_owned(), text));
            file = reader.finish().unwrap();
        }
        let expected = [("a", ""), ("a/b", ""), ("a/b/c", "first"), ("a/d", "")];
        assert_eq!(
            found,
            expected.map(|(name, text)| (name.into(), text.into()))
        );
    }
}
