//! What is wrong with a document: where, what, and the remedy.
//!
//! Problems are collected, not thrown, so that one run shows everything there is to mend. This
//! module knows positions and how to print them; it judges nothing.

use std::fmt::{self, Write as _};
use std::ops::Range;

/// Problems kept; a document with more has one cause, and the rest is only counted.
const KEPT: usize = 50;
/// Characters of the offending line that are shown at most.
const EXCERPT: usize = 100;
/// Characters shown before the offending place when the line is longer than [`EXCERPT`].
const LEAD: usize = 40;

/// Why a text is not a document: every problem found, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DocumentError {
    origin: String,
    problems: Vec<Problem>,
    uncounted: usize,
}

impl DocumentError {
    /// The problems in the order of the text; at least one, and at most 50 of them.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            problem.write(f, &self.origin)?;
        }
        if self.uncounted > 0 {
            write!(f, "\n\n{}: {} more problems", self.origin, self.uncounted)?;
        }
        Ok(())
    }
}

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Path of the key, such as `service[0].backend[1].address`; empty for the whole document.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The offending line, shortened.
    excerpt: String,
    /// Where the caret goes under `excerpt`, in characters.
    caret: Range<usize>,
}

impl Problem {
    fn write(&self, f: &mut fmt::Formatter<'_>, origin: &str) -> fmt::Result {
        write!(f, "{origin}:{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        writeln!(f, "{}", self.message)?;
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", self.excerpt)?;
        let marks = "^".repeat(self.caret.len().max(1));
        writeln!(f, "{gutter} | {}{marks}", " ".repeat(self.caret.start))?;
        write!(f, "{gutter} = {}", self.remedy)
    }
}

/// Collects the problems of one text.
#[derive(Debug)]
pub(super) struct Report<'t> {
    text: &'t str,
    /// Byte offset of each line's start.
    lines: Vec<usize>,
    /// Problems with the byte offset they begin at.
    found: Vec<(usize, Problem)>,
    uncounted: usize,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            lines: std::iter::once(0).chain(starts).collect(),
            found: Vec::new(),
            uncounted: 0,
        }
    }

    /// Notes a problem at the bytes `span` of the text.
    pub(super) fn push(
        &mut self,
        span: Range<usize>,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if self.found.len() == KEPT {
            self.uncounted += 1;
            return;
        }
        let start = self.floor(span.start);
        let line = self.lines.partition_point(|at| *at <= start).max(1) - 1;
        let (line_start, content) = self.line(line);
        let line_end = line_start + content.len();
        // A span may begin between the two characters of a line break, and end in a later line;
        // the caret stays in this one.
        let start = start.min(line_end);
        let end = self.floor(span.end).clamp(start, line_end);
        let before = chars(self.text, line_start, start);
        let marked = before..before + chars(self.text, start, end);
        let (excerpt, caret) = shorten(content, marked);
        let problem = Problem {
            line: line + 1,
            column: before + 1,
            key: key.to_owned(),
            message: message.into(),
            remedy: remedy.into(),
            excerpt,
            caret,
        };
        self.found.push((start, problem));
    }

    /// The line number, from 1, of a byte offset.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|at| *at <= offset)
    }

    /// Gives `checked` where nothing was wrong, otherwise the problems in the order of the text.
    pub(super) fn finish<T>(
        mut self,
        origin: &str,
        checked: Option<T>,
    ) -> Result<T, DocumentError> {
        if self.found.is_empty() && checked.is_none() {
            // Whoever gave up without a word must not pass for success.
            self.push(
                0..0,
                "",
                "the document is not complete",
                "compare it with lb.example.toml",
            );
        }
        match checked {
            Some(checked) if self.found.is_empty() => Ok(checked),
            _ => {
                self.found.sort_by_key(|(start, _)| *start);
                Err(DocumentError {
                    origin: origin.to_owned(),
                    problems: self.found.into_iter().map(|(_, problem)| problem).collect(),
                    uncounted: self.uncounted,
                })
            }
        }
    }

    /// A line's first byte and its text without the line break.
    fn line(&self, line: usize) -> (usize, &'t str) {
        let start = self.lines.get(line).copied().unwrap_or(0);
        let rest = self.text.get(start..).unwrap_or_default();
        (start, rest.lines().next().unwrap_or_default())
    }

    /// The character boundary at or before a byte offset.
    fn floor(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset)
    }
}

/// How many characters lie between two byte offsets on character boundaries.
fn chars(text: &str, from: usize, to: usize) -> usize {
    text.get(from..to).map_or(0, |part| part.chars().count())
}

/// Cuts a long line around the marked characters, and makes every character one column wide.
fn shorten(line: &str, marked: Range<usize>) -> (String, Range<usize>) {
    let length = line.chars().count();
    let skipped = if length <= EXCERPT {
        0
    } else {
        marked.start.saturating_sub(LEAD)
    };
    let mut shown = String::new();
    if skipped > 0 {
        shown.push('…');
    }
    shown.extend(
        line.chars()
            .skip(skipped)
            .take(EXCERPT)
            .map(|c| if c.is_control() { ' ' } else { c }),
    );
    if skipped + EXCERPT < length {
        shown.push('…');
    }
    let shift = usize::from(skipped > 0);
    let start = marked.start - skipped + shift;
    let end = (marked.end - skipped + shift).min(shown.chars().count());
    (shown, start..end.max(start))
}

/// `one, two or three` in back quotes, for remedies that list what may be written.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    let mut text = String::new();
    for (index, word) in words.iter().enumerate() {
        let separator = match index {
            0 => "",
            _ if index + 1 == words.len() => " or ",
            _ => ", ",
        };
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{separator}`{word}`");
    }
    text
}

/// The candidate that `word` was probably meant to be.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
