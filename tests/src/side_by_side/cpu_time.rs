//! How long a thread's CPU worked for it: the time that passed, less the time that others had the
//! CPU.
//!
//! Packets are taken in softirqs, which run on top of the thread that sends or, when there is much
//! to do, in the kernel thread `ksoftirqd` of the same CPU. What the kernel charges a thread for
//! softirqs depends on how it was built; what a thread waited for its CPU does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where to look up the two threads.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    thread: u32,
    statistic: PathBuf,
    softirqs: Option<PathBuf>,
}

/// The meter at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    at: Instant,
    waited: Duration,
    softirqs: Duration,
}

impl Meter {
    /// For a thread of this process that never sleeps and stays on `cpu`.
    pub(crate) fn new(thread: u32, cpu: usize) -> Self {
        Self {
            thread,
            statistic: PathBuf::from(format!("/proc/self/task/{thread}/schedstat")),
            softirqs: kernel_thread(&format!("ksoftirqd/{cpu}")),
        }
    }

    /// The thread's number.
    pub(crate) fn thread(&self) -> u32 {
        self.thread
    }

    /// Reads it. On a kernel that does not count, nobody ever waits: all time that passes counts.
    pub(crate) fn read(&self) -> Reading {
        let (_, waited) = schedstat(&self.statistic).unwrap_or_default();
        let softirqs = self.softirqs.as_deref().and_then(schedstat);
        Reading {
            at: Instant::now(),
            waited,
            softirqs: softirqs.unwrap_or_default().0,
        }
    }
}

impl Reading {
    /// CPU time since an earlier reading; never more than what has passed.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let passed = self.at - earlier.at;
        let waited = self.waited.saturating_sub(earlier.waited);
        let softirqs = self.softirqs.saturating_sub(earlier.softirqs);
        (passed.saturating_sub(waited) + softirqs).min(passed)
    }
}

/// The process id's directory of a kernel thread.
fn kernel_thread(name: &str) -> Option<PathBuf> {
    let mut entries = fs::read_dir("/proc").ok()?.flatten();
    let found = entries.find(|entry| {
        let comm = fs::read_to_string(entry.path().join("comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    });
    Some(found?.path().join("schedstat"))
}

/// Time on the CPU and time spent waiting for it.
fn schedstat(path: &Path) -> Option<(Duration, Duration)> {
    parse(&fs::read_to_string(path).ok()?)
}

/// Reads the first two of three numbers, in nanoseconds; the kernel's sched-stats.rst.
fn parse(text: &str) -> Option<(Duration, Duration)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || Some(Duration::from_nanos(numbers.next()?.ok()?));
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statistic_is_nanoseconds_run_and_waited() {
        let expected = (
            Duration::from_nanos(189_002),
            Duration::from_nanos(1_439_086),
        );
        assert_eq!(parse("189002 1439086 2\n"), Some(expected));
        assert_eq!(parse("189002"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn time_of_others_does_not_count_and_softirqs_do() {
        let at = Instant::now();
        let ms = Duration::from_millis;
        let begin = Reading {
            at,
            waited: ms(100),
            softirqs: ms(7),
        };
        let end = |waited, softirqs| Reading {
            at: at + ms(1000),
            waited: ms(waited),
            softirqs: ms(softirqs),
        };
        assert_eq!(end(100, 7).since(begin), ms(1000));
        assert_eq!(end(400, 7).since(begin), ms(700));
        assert_eq!(end(400, 107).since(begin), ms(800));
        assert_eq!(end(100, 107).since(begin), ms(1000), "no more than passed");
        assert_eq!(end(2000, 7).since(begin), ms(0));
    }
}
