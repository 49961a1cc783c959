//! `cargo xtask tidy`: the conventions of CONTRIBUTING.md that rustfmt and clippy do not know.
//!
//! Each finding says where, what, and what to do. It fixes nothing. `text` looks at the lines of
//! any file, `names` and `layout` at the code of Rust files.

mod layout;
mod names;
mod text;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use proc_macro2::{LexError, TokenStream};

use crate::process;
use crate::workspace::Workspace;

/// A breach of a convention.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// Counted from 1.
    line: usize,
    /// What is wrong and what to do.
    message: String,
}

impl Finding {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}

/// Checks the repository; prints `file:line: what, what to do` for each breach.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let findings = check(&workspace.root)?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!(
            "{} breach(es) of the conventions, listed above",
            findings.len()
        );
    }
    Ok(())
}

/// Findings in all files that git tracks, or would with `git add --all`.
fn check(root: &Path) -> Result<Vec<Located>> {
    let mut git = Command::new("git");
    git.current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let list = process::output(&mut git).context("tidy asks git which files there are")?;
    let mut findings = Vec::new();
    for file in list.split_terminator('\0') {
        // Not text, such as a capture; or deleted and not yet committed.
        let Ok(text) = std::fs::read_to_string(root.join(file)) else {
            continue;
        };
        let found = check_file(file, &text);
        findings.extend(found.into_iter().map(|finding| Located {
            file: file.into(),
            finding,
        }));
    }
    Ok(findings)
}

fn check_file(file: &str, text: &str) -> Vec<Finding> {
    let path = Path::new(file);
    let mut findings = text::check(text);
    if path.extension().is_some_and(|extension| extension == "rs") {
        findings.extend(text::check_rust(text));
        findings.extend(names::check_path(path));
        match text.parse::<TokenStream>() {
            Ok(tokens) => {
                findings.extend(names::check(&tokens));
                findings.extend(layout::check(tokens, text));
            }
            Err(error) => findings.push(unreadable(&error)),
        }
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}

fn unreadable(error: &LexError) -> Finding {
    Finding::new(
        error.span().start().line,
        format!("not Rust: {error}; correct it"),
    )
}

struct Located {
    file: String,
    finding: Finding,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}",
            self.file, self.finding.line, self.finding.message
        )
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let findings = check(&Workspace::find().unwrap().root).unwrap();
        let lines: Vec<_> = findings.iter().map(Located::to_string).collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }

    #[test]
    fn a_clean_file_has_no_findings() {
        assert_eq!(
            check_file("src/lib.rs", "//! Says what it does.\n\nfn f() {}\n"),
            []
        );
    }

    #[test]
    fn findings_of_all_checks_come_in_order_of_lines() {
        let text = "fn f() {} \nfn g() {\n    todo!()\n}\n";
        let lines: Vec<_> = check_file("src/misc.rs", text)
            .iter()
            .map(|one| one.line)
            .collect();
        // Header, file name and trailing space on the first line, then the macro.
        assert_eq!(lines, [1, 1, 1, 3]);
    }

    #[test]
    fn only_rust_files_are_read_as_rust() {
        assert_eq!(check_file("notes.md", "todo!() in utils\n"), []);
        let findings = check_file("src/lib.rs", "//! Header.\nfn f( {\n");
        assert!(
            findings
                .iter()
                .any(|one| one.message.starts_with("not Rust")),
            "{findings:?}"
        );
    }
}
