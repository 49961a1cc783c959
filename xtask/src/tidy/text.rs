//! Checks of a file's lines: length, header, trailing white space, paths of one machine.

use super::Finding;

/// Longer files hold more than one idea.
const FILE_LINES_MAX: usize = 500;

/// Directories that exist on some developer's machine only, without the slashes around them.
const PRIVATE_DIRECTORIES: [&str; 3] = ["root", "work", "home"];

/// Checks that apply to every text file.
pub(super) fn check(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.ends_with([' ', '\t']) {
            findings.push(Finding::new(number, "trailing white space, remove it"));
        }
        if let Some(directory) = private_directory(line) {
            findings.push(Finding::new(
                number,
                format!("path of one machine in `/{directory}/`, make it relative or look it up"),
            ));
        }
    }
    findings
}

/// Checks that apply to Rust files.
pub(super) fn check_rust(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        findings.push(Finding::new(
            1,
            "no module header, begin with `//!` and say what this does and does not do",
        ));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(Finding::new(
            lines,
            format!("{lines} lines, over {FILE_LINES_MAX}: split the file by idea"),
        ));
    }
    findings
}

/// The private directory that an absolute path in this line begins with.
fn private_directory(line: &str) -> Option<&'static str> {
    PRIVATE_DIRECTORIES.into_iter().find(|directory| {
        let path = format!("/{directory}/");
        line.match_indices(&path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            // Otherwise it is the middle of a longer path or of an address.
            before.is_none_or(|before| !before.is_alphanumeric() && !"._-/})~".contains(before))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn trailing_white_space_is_found() {
        assert_eq!(lines(&check("a\nb \nc\t\n\n")), [2, 3]);
    }

    #[test]
    fn absolute_paths_of_one_machine_are_found() {
        for directory in PRIVATE_DIRECTORIES {
            assert_eq!(lines(&check(&format!("let p = \"/{directory}/x\";"))), [1]);
            assert_eq!(lines(&check(&format!("/{directory}/x"))), [1]);
            assert_eq!(
                check(&format!("tests/{directory}/x, https://a.org/{directory}/x")),
                []
            );
            assert_eq!(check(&format!("/{directory}s/x")), []);
        }
    }

    #[test]
    fn a_missing_header_is_found() {
        assert_eq!(lines(&check_rust("use std::fmt;\n")), [1]);
        assert_eq!(lines(&check_rust("// Not a header.\n")), [1]);
        assert_eq!(check_rust("//! Header.\n"), []);
    }

    #[test]
    fn long_files_are_found() {
        assert_eq!(
            check_rust(&format!("//! Header.\n{}", "\n".repeat(499))),
            []
        );
        assert_eq!(
            lines(&check_rust(&format!("//! Header.\n{}", "\n".repeat(500)))),
            [501]
        );
    }
}
