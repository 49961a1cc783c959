//! Whatever can be measured, and measuring several in turns.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::row::Row;

/// A balancer at its work, built up and ready.
pub(crate) trait Contender {
    /// Whose it is.
    fn side(&self) -> &Side;

    /// Proves that the work is really done: what must be dropped is, what must arrive arrives
    /// where it should.
    ///
    /// # Errors
    /// It is not; then there is nothing to measure.
    fn check(&mut self) -> Result<()>;

    /// Works for so long and returns what was done per second.
    ///
    /// # Errors
    /// The work was not done as it should be.
    fn measure(&mut self, window: Duration) -> Result<f64>;
}

/// Who takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Side {
    /// This balancer, and the mode it works in, if there are several.
    Ours(Option<&'static str>),
    /// Another, by name.
    Peer(&'static str),
}

/// How long and how often to measure, and whether to go on.
#[derive(Debug)]
pub(crate) struct Schedule<'a> {
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    /// Turns true when the user wants no more.
    pub(crate) stop: &'a AtomicBool,
}

/// Checks all contenders, measures them in turns, and compares each of ours with each peer.
pub(crate) fn compare(
    work: &str,
    unit: &'static str,
    contenders: &mut [Box<dyn Contender>],
    schedule: &Schedule<'_>,
) -> Result<Vec<Row>> {
    for contender in &mut *contenders {
        let name = contender.side().name();
        eprintln!("side-by-side: {work}: checking {name}");
        contender
            .check()
            .with_context(|| format!("{work}: {name} does not do the work"))?;
    }
    let mut rates = vec![Vec::new(); contenders.len()];
    for round in 1..=schedule.rounds {
        let mut said = Vec::new();
        for (contender, rates) in contenders.iter_mut().zip(&mut rates) {
            if schedule.stop.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            let name = contender.side().name();
            let rate = contender
                .measure(schedule.window)
                .with_context(|| format!("{work}: measuring {name}"))?;
            said.push(format!("{name} {rate:.0}"));
            rates.push(rate);
        }
        let (all, said) = (schedule.rounds, said.join(", "));
        eprintln!("side-by-side: {work}: round {round} of {all}: {said} {unit}");
    }
    let sides = contenders.iter().map(|contender| contender.side().clone());
    rows(work, unit, &sides.zip(rates).collect::<Vec<_>>())
}

/// Each of ours with each peer.
fn rows(work: &str, unit: &'static str, measured: &[(Side, Vec<f64>)]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (side, ours) in measured {
        let Side::Ours(mode) = side else { continue };
        for (side, theirs) in measured {
            let Side::Peer(peer) = side else { continue };
            let scenario = match mode {
                Some(mode) => format!("{work}, {mode}"),
                None => work.to_owned(),
            };
            let row = Row::new(scenario, peer, unit, ours, theirs);
            rows.push(row.with_context(|| format!("{work}: {peer} did nothing in a round"))?);
        }
    }
    Ok(rows)
}

impl Side {
    /// Whether it is another's.
    pub(crate) fn is_peer(&self) -> bool {
        matches!(self, Self::Peer(_))
    }

    /// The name to show.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Ours(None) => "lb".to_owned(),
            Self::Ours(Some(mode)) => format!("lb {mode}"),
            Self::Peer(name) => (*name).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    type Log = Rc<RefCell<Vec<String>>>;

    /// Notes the order in which it is used.
    struct Fake {
        side: Side,
        rate: f64,
        broken: bool,
        log: Log,
    }

    impl Contender for Fake {
        fn side(&self) -> &Side {
            &self.side
        }

        fn check(&mut self) -> Result<()> {
            self.log
                .borrow_mut()
                .push(format!("check {}", self.side.name()));
            anyhow::ensure!(!self.broken, "lets everything through");
            Ok(())
        }

        fn measure(&mut self, _: Duration) -> Result<f64> {
            self.log.borrow_mut().push(self.side.name());
            Ok(self.rate)
        }
    }

    fn contenders(broken: bool) -> (Vec<Box<dyn Contender>>, Log) {
        let log = Rc::new(RefCell::new(Vec::new()));
        let fake = |side, rate, broken| -> Box<dyn Contender> {
            Box::new(Fake {
                side,
                rate,
                broken,
                log: Rc::clone(&log),
            })
        };
        let all = vec![
            fake(Side::Ours(Some("dsr")), 8.0, false),
            fake(Side::Ours(Some("full-nat")), 4.0, false),
            fake(Side::Peer("other"), 2.0, broken),
        ];
        (all, log)
    }

    #[test]
    fn takes_turns_and_compares_each_with_each() {
        let (mut all, log) = contenders(false);
        let stop = AtomicBool::new(false);
        let schedule = Schedule {
            rounds: 2,
            window: Duration::ZERO,
            stop: &stop,
        };
        let rows = compare("work", "things", &mut all, &schedule).unwrap();
        let once = ["lb dsr", "lb full-nat", "other"];
        let checks = once.map(|name| format!("check {name}"));
        let expected = checks
            .into_iter()
            .chain(once.iter().chain(&once).map(ToString::to_string));
        assert_eq!(*log.borrow(), expected.collect::<Vec<_>>());
        let ratios: Vec<_> = rows
            .iter()
            .map(|row| (row.scenario.as_str(), row.peer.as_str(), row.ratio))
            .collect();
        assert_eq!(
            ratios,
            [
                ("work, dsr", "other", 4.0),
                ("work, full-nat", "other", 2.0)
            ]
        );
    }

    #[test]
    fn who_does_not_do_the_work_is_not_measured() {
        let (mut all, log) = contenders(true);
        let stop = AtomicBool::new(false);
        let schedule = Schedule {
            rounds: 2,
            window: Duration::ZERO,
            stop: &stop,
        };
        let error = compare("work", "things", &mut all, &schedule).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "work: other does not do the work: lets everything through"
        );
        assert!(log.borrow().iter().all(|entry| entry.starts_with("check")));
    }

    #[test]
    fn an_interrupt_ends_it() {
        let (mut all, _) = contenders(false);
        let schedule = Schedule {
            rounds: 2,
            window: Duration::ZERO,
            stop: &AtomicBool::new(true),
        };
        compare("work", "things", &mut all, &schedule).unwrap_err();
    }
}
