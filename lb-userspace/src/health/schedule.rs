//! When probes start, and how long they may take.
//!
//! It does not know what a probe does; tests run it with made-up probes and a paused clock.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until, timeout};

use super::Report;
use super::state::{Outcome, State};
use crate::document::Check;

/// Probes at once and then forever, until the receiver of `reports` is gone.
pub(super) async fn run<F: Future<Output = Outcome>>(
    id: u32,
    check: Check,
    mut state: State,
    probe: impl Fn() -> F,
    reports: Sender<Report>,
) {
    let mut start = Instant::now();
    loop {
        sleep_until(start).await;
        let outcome = timeout(check.timeout, probe())
            .await
            .unwrap_or_else(|_elapsed| Err(format!("no answer within {:?}", check.timeout)));
        if let Some(change) = state.record(outcome) {
            let report = Report {
                id,
                healthy: change.healthy,
                detail: change.detail,
            };
            if reports.send(report).await.is_err() {
                return;
            }
        }
        // A probe that took longer than its interval delays the next and is not made up for.
        start = (start + jittered(check.interval)).max(Instant::now());
    }
}

/// The interval, moved by up to 10 % at random, so that targets which started together drift
/// apart and do not load the network in step.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::random_range(0.9..=1.1))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::cell::RefCell;
    use std::future::pending;

    use tokio::sync::mpsc;

    use super::*;
    use crate::document::CheckKind;

    fn check() -> Check {
        Check {
            kind: CheckKind::Tcp,
            port: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
        }
    }

    fn state() -> State {
        State::new(None, check().rise, check().fall)
    }

    /// Runs the schedule for `seconds` of a paused clock and tells when probes started.
    async fn starts<F>(seconds: u64, probe: impl Fn() -> F) -> Vec<Duration>
    where
        F: Future<Output = Outcome>,
    {
        let begin = Instant::now();
        let starts = RefCell::new(Vec::new());
        let (reports, mut receiver) = mpsc::channel(100);
        let probe = || {
            starts.borrow_mut().push(begin.elapsed());
            probe()
        };
        let run = run(1, check(), state(), probe, reports);
        assert!(
            timeout(Duration::from_secs(seconds), run).await.is_err(),
            "it ends by itself"
        );
        receiver.close();
        starts.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn probes_at_once_and_then_every_interval_with_jitter() {
        let starts = starts(10_000, async || Ok("ok".to_owned())).await;
        assert_eq!(starts[0], Duration::ZERO);
        let gaps: Vec<f64> = starts
            .windows(2)
            .map(|pair| pair[1].as_secs_f64() - pair[0].as_secs_f64())
            .collect();
        assert!((900..=1_112).contains(&gaps.len()), "{} probes", gaps.len());
        // The clock of tokio is exact to a millisecond.
        assert!(
            gaps.iter().all(|gap| (8.99..=11.01).contains(gap)),
            "{gaps:?}"
        );
        // With a thousand draws each tenth of the range is met; the odds against it are < 1e-44.
        assert!(gaps.iter().any(|gap| *gap < 9.2), "no gap is short");
        assert!(gaps.iter().any(|gap| *gap > 10.8), "no gap is long");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_probe_keeps_the_interval_between_starts() {
        let starts = starts(100, async || {
            tokio::time::sleep(Duration::from_millis(900)).await;
            Ok("ok".to_owned())
        })
        .await;
        assert!((10..=12).contains(&starts.len()), "{starts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn probe_without_an_answer_fails_at_its_timeout() {
        let begin = Instant::now();
        let (reports, mut receiver) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            run(7, check(), state(), pending, reports).await;
        });
        let report = receiver.recv().await.unwrap();
        let detail = "no answer within 1s".to_owned();
        assert_eq!(
            report,
            Report {
                id: 7,
                healthy: false,
                detail
            }
        );
        let took = begin.elapsed();
        assert!((1_000..1_010).contains(&took.as_millis()), "{took:?}");
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn ends_when_nobody_listens() {
        let (reports, receiver) = mpsc::channel(1);
        drop(receiver);
        let run = run(1, check(), state(), async || Ok("ok".to_owned()), reports);
        timeout(Duration::from_secs(1), run).await.unwrap();
    }
}
