//! The committed corpora: one text file a target, one input a line.
//!
//! A corpus is some hundred inputs of some dozen bytes. As lines of one file they are reviewed,
//! compared and merged like code, and what is text stays readable; as files of their own they
//! would be hundreds of binary blobs named by hashes. A line is the input with everything that is
//! not printable ASCII escaped, as in a Rust byte string; lines that begin with `#` say what the
//! next input once found.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The inputs of a target.
pub fn load(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let path = path(target);
    let text = fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let lines = text.lines().zip(1..);
    lines
        .filter(|(line, _)| !line.starts_with('#'))
        .map(|(line, number)| {
            decode(line).ok_or_else(|| {
                let place = format!("{}:{number}", path.display());
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{place}: not an escaped input; write it as in a Rust byte string"),
                )
            })
        })
        .collect()
}

/// The file of a target's inputs.
pub fn path(target: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    directory.join(target).with_extension("txt")
}

/// The lines of a corpus that are kept whatever a minimiser says: findings with their comments.
pub fn findings(text: &str) -> Vec<(&str, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .windows(2)
        .filter(|pair| pair[0].starts_with('#') && !pair[1].starts_with('#'))
        .map(|pair| (pair[0], pair[1]))
        .collect()
}

/// An input as a line.
pub fn encode(input: &[u8]) -> String {
    let line = input.escape_ascii().to_string();
    // A space at an end would be lost on many an editor, and `#` begins a comment.
    let line = match line.strip_prefix('#') {
        Some(rest) => format!("\\x23{rest}"),
        None => line,
    };
    match line.strip_suffix(' ') {
        Some(rest) => format!("{rest}\\x20"),
        None => line,
    }
}

/// The input of a line, or `None` if the line is not one.
pub fn decode(line: &str) -> Option<Vec<u8>> {
    let mut input = Vec::new();
    let mut letters = line.bytes();
    while let Some(letter) = letters.next() {
        if letter != b'\\' {
            input.push(letter);
            continue;
        }
        input.push(match letters.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = [letters.next()?, letters.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            letter @ (b'\\' | b'\'' | b'"') => letter,
            _ => return None,
        });
    }
    Some(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_being_written_and_read() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        for input in [&all[..], b"", b"# no comment", b"a space ", b"\\x4", b"'\""] {
            let line = encode(input);
            assert!(line.is_ascii() && !line.starts_with('#') && !line.ends_with(' '));
            assert_eq!(decode(&line).as_deref(), Some(input), "{line}");
        }
    }

    #[test]
    fn lines_that_are_no_inputs_are_refused() {
        for line in ["\\", "\\q", "\\x", "\\x4", "\\xzz"] {
            assert_eq!(decode(line), None, "{line}");
        }
    }

    #[test]
    fn findings_are_lines_behind_comments() {
        let text = "one\n# what it was\ntwo\nthree\n# a\n# b\nfour\n";
        assert_eq!(findings(text), [("# what it was", "two"), ("# b", "four")]);
    }
}
