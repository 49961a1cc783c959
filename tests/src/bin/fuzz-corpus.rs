//! Turns a committed corpus into the directory of files that libFuzzer wants, and back.
//!
//! `cargo xtask fuzz` calls it; it fuzzes nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use lb_tests::fuzz::corpus::{decode, encode, findings, load, path};
use lb_tests::fuzz::{TARGETS, Target};

/// Between a committed corpus and a directory of inputs.
#[derive(Debug, Parser)]
enum Task {
    /// Writes the committed inputs, and seeds made from the cases, into a directory
    Unpack {
        /// Name of the fuzz target
        target: String,
        /// Where to; what is there stays
        directory: PathBuf,
    },
    /// Writes a directory's inputs as the committed corpus; what once was a finding stays
    Pack {
        /// Name of the fuzz target
        target: String,
        /// Where from
        directory: PathBuf,
    },
    /// Appends one input to the committed corpus as a finding
    Add {
        /// Name of the fuzz target
        target: String,
        /// The input
        file: PathBuf,
        /// What it found, in words
        what: String,
    },
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Unpack { target, directory } => unpack(named(&target)?, &directory),
        Task::Pack { target, directory } => pack(named(&target)?, &directory),
        Task::Add { target, file, what } => add(named(&target)?, &file, &what),
    }
}

fn named(name: &str) -> Result<Target> {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.with_context(|| {
        let names = TARGETS.map(|target| target.name).join(", ");
        format!("there is no fuzz target `{name}`; the targets are {names}")
    })
}

fn unpack(target: Target, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let committed = match load(target.name) {
        Ok(inputs) => inputs,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let seeds = (target.seeds)();
    println!(
        "{}: {} inputs committed, {} seeds",
        target.name,
        committed.len(),
        seeds.len()
    );
    let inputs: BTreeSet<Vec<u8>> = committed.into_iter().chain(seeds).collect();
    for (number, input) in inputs.iter().enumerate() {
        let file = directory.join(format!("committed-{number:05}"));
        fs::write(&file, input).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

fn pack(target: Target, directory: &Path) -> Result<()> {
    let file = path(target.name);
    let old = fs::read_to_string(&file).unwrap_or_default();
    let mut text = String::new();
    let mut kept = BTreeSet::new();
    for (comment, line) in findings(&old) {
        writeln!(text, "{comment}\n{line}")?;
        kept.insert(line.to_owned());
    }
    let mut lines = BTreeSet::new();
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    for entry in entries {
        let line = encode(&fs::read(entry?.path())?);
        if !line.is_empty() && !kept.contains(&line) {
            lines.insert((line.len(), line));
        }
    }
    if lines.is_empty() {
        bail!(
            "{} holds no inputs; minimise the corpus first",
            directory.display()
        );
    }
    // Short ones first: what fails is then found in the plainest input that shows it.
    for (_, line) in &lines {
        writeln!(text, "{line}")?;
    }
    println!(
        "{}: {} inputs, {} bytes",
        file.display(),
        lines.len() + kept.len(),
        text.len()
    );
    fs::write(&file, text).with_context(|| file.display().to_string())
}

fn add(target: Target, input: &Path, what: &str) -> Result<()> {
    let input = fs::read(input).with_context(|| input.display().to_string())?;
    let line = encode(&input);
    if decode(&line).as_deref() != Some(&input) || what.contains('\n') {
        bail!("say in one line what the input found");
    }
    let file = path(target.name);
    let mut text = fs::read_to_string(&file).unwrap_or_default();
    writeln!(text, "# {what}\n{line}")?;
    fs::write(&file, text).with_context(|| file.display().to_string())
}
