//! Counts test results from what a test runner prints: nextest, or cargo's own.
//!
//! Neither has a stable machine-readable format, so their closing lines are read.

use std::fmt;

/// Results of one or more runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Tally {
    /// Takes a line of a runner's output; all but closing lines are passed over. nextest shows the
    /// closing lines of tests that failed indented.
    pub(crate) fn read(&mut self, line: &str) {
        let line = without_colours(line);
        if let Some(results) = line.strip_prefix("test result: ") {
            self.passed += number_before(results, " passed").unwrap_or(0);
            self.failed += number_before(results, " failed").unwrap_or(0);
        } else if let Some(results) = nextest_results(&line) {
            let passed = number_before(results, " passed").unwrap_or(0);
            // Whatever ran and did not pass: failed, timed out, or could not be started.
            let ran = number_before(results, "run:").unwrap_or(passed);
            self.passed += passed;
            self.failed += ran.saturating_sub(passed);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Of "  Summary [   1.5s] 4 tests run: 3 passed, 1 failed" what follows the time, with "tests"
/// taken out. A run that was cut short says "4/9 tests run".
fn nextest_results(line: &str) -> Option<&str> {
    let (_, results) = line
        .trim_start()
        .strip_prefix("Summary [")?
        .split_once("] ")?;
    Some(results)
}

/// The number in front of the first `word`, skipping words without one.
fn number_before(text: &str, word: &str) -> Option<usize> {
    let (before, _) = text.split_once(word)?;
    let mut words = before.split([' ', ',']).filter(|word| !word.is_empty());
    let number = words.rfind(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split('/').next()?.parse().ok()
}

/// Removes terminal escape sequences that set colours, which end in `m`.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once('m').map_or("", |(_, rest)| rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for line in lines {
            tally.read(line);
        }
        tally
    }

    #[test]
    fn results_of_cargo_test_are_summed() {
        let lines = [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out",
        ];
        assert_eq!(
            tally(&lines),
            Tally {
                passed: 4,
                failed: 2
            }
        );
    }

    #[test]
    fn nextest_summary_is_read() {
        let line = "     Summary [   0.003s] 4 tests run: 4 passed, 2 skipped";
        assert_eq!(
            tally(&[line]),
            Tally {
                passed: 4,
                failed: 0
            }
        );
        let line = "     Summary [   9.100s] 1 test run: 1 passed (1 slow), 0 skipped";
        assert_eq!(
            tally(&[line]),
            Tally {
                passed: 1,
                failed: 0
            }
        );
    }

    #[test]
    fn tests_that_time_out_or_do_not_start_count_as_failed() {
        let line = "Summary [ 61.0s] 5/9 tests run: 2 passed, 1 failed, 1 timed out, 1 exec failed";
        assert_eq!(
            tally(&[line]),
            Tally {
                passed: 2,
                failed: 3
            }
        );
        let line = "Summary [ 1.0s] 2 tests run: 0 passed, 2 failed, 0 skipped";
        assert_eq!(
            tally(&[line]),
            Tally {
                passed: 0,
                failed: 2
            }
        );
    }

    #[test]
    fn colours_do_not_hide_a_summary() {
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m3\u{1b}[0m tests run: \
                    \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m1\u{1b}[0m failed";
        assert_eq!(
            tally(&[line]),
            Tally {
                passed: 2,
                failed: 1
            }
        );
    }

    #[test]
    fn the_closing_line_is_plain() {
        assert_eq!(
            Tally {
                passed: 12,
                failed: 0
            }
            .to_string(),
            "12 passed, 0 failed"
        );
    }
}
