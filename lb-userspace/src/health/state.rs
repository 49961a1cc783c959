//! When a target counts as healthy: the rise and fall counters.
//!
//! Pure: outcomes of probes go in, reportable changes come out. It knows no clock.

/// How one probe ended, in words; `Err` is a failure.
pub(super) type Outcome = Result<String, String>;

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) healthy: bool,
    pub(super) detail: String,
}

/// Where one target stands.
#[derive(Debug)]
pub(super) struct State {
    /// `None` until a probe decides.
    healthy: Option<bool>,
    /// Outcomes in a row that speak against `healthy`.
    against: u32,
    rise: u32,
    fall: u32,
    /// `None` until the first.
    reported: Option<Change>,
}

impl State {
    /// `rise` and `fall` are the outcomes in a row, at least 1, that change the state.
    pub(super) fn new(known: Option<bool>, rise: u32, fall: u32) -> Self {
        Self {
            healthy: known,
            against: 0,
            rise,
            fall,
            reported: None,
        }
    }

    /// Takes the outcome of a probe and tells what to report, if anything.
    pub(super) fn record(&mut self, outcome: Outcome) -> Option<Change> {
        let (success, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        let healthy = self.decide(success);
        // A backend on its way back says how far it is; otherwise a listing would show a
        // success as the reason why the backend is down.
        let detail = if success && !healthy {
            format!("{detail}, success {} of {}", self.against, self.rise)
        } else {
            detail
        };
        let change = Change { healthy, detail };
        if !self.is_news(&change) {
            return None;
        }
        self.reported = Some(change.clone());
        Some(change)
    }

    fn decide(&mut self, success: bool) -> bool {
        let healthy = match self.healthy {
            None => success,
            Some(healthy) if healthy == success => {
                self.against = 0;
                healthy
            }
            Some(healthy) => {
                self.against += 1;
                let needed = if healthy { self.fall } else { self.rise };
                if self.against < needed {
                    healthy
                } else {
                    self.against = 0;
                    success
                }
            }
        };
        self.healthy = Some(healthy);
        healthy
    }

    /// While healthy, words that differ (`status 200`, then `status 204`) are not worth a report.
    fn is_news(&self, change: &Change) -> bool {
        self.reported.as_ref().is_none_or(|reported| {
            reported.healthy != change.healthy
                || (!change.healthy && reported.detail != change.detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RISE: u32 = 2;
    const FALL: u32 = 3;

    /// One letter per probe: `+` succeeds, any other fails with that letter as its detail. The
    /// answer has one item per probe, `-` where there is nothing to report.
    fn play(known: Option<bool>, probes: &str) -> Vec<String> {
        let mut state = State::new(known, RISE, FALL);
        let outcomes = probes.chars().map(|probe| match probe {
            '+' => Ok("ok".to_owned()),
            failure => Err(failure.to_string()),
        });
        outcomes
            .map(|outcome| match state.record(outcome) {
                Some(Change {
                    healthy: true,
                    detail,
                }) => format!("up: {detail}"),
                Some(Change {
                    healthy: false,
                    detail,
                }) => format!("down: {detail}"),
                None => "-".to_owned(),
            })
            .collect()
    }

    #[test]
    fn first_probe_decides_an_unknown_target() {
        assert_eq!(play(None, "+"), ["up: ok"]);
        assert_eq!(play(None, "a"), ["down: a"]);
    }

    #[test]
    fn falls_after_consecutive_failures_only() {
        assert_eq!(
            play(None, "+aa+aaa"),
            ["up: ok", "-", "-", "-", "-", "-", "down: a"],
            "a success in between must start the count anew"
        );
    }

    #[test]
    fn rises_after_consecutive_successes_only() {
        assert_eq!(
            play(None, "a+a++"),
            [
                "down: a",
                "down: ok, success 1 of 2",
                "down: a",
                "down: ok, success 1 of 2",
                "up: ok"
            ]
        );
    }

    #[test]
    fn known_state_is_confirmed_by_a_first_report() {
        assert_eq!(play(Some(true), "+"), ["up: ok"]);
        assert_eq!(play(Some(false), "a"), ["down: a"]);
    }

    #[test]
    fn known_state_needs_the_full_count_to_change() {
        assert_eq!(play(Some(true), "aaa"), ["up: a", "-", "down: a"]);
        assert_eq!(
            play(Some(false), "++"),
            ["down: ok, success 1 of 2", "up: ok"]
        );
    }

    #[test]
    fn another_reason_is_reported_while_down_but_not_twice() {
        assert_eq!(play(None, "aabb"), ["down: a", "-", "down: b", "-"]);
    }

    #[test]
    fn another_reason_is_silent_while_up() {
        assert_eq!(play(None, "+ab+"), ["up: ok", "-", "-", "-"]);
    }

    #[test]
    fn counts_of_one_change_at_once() {
        let mut state = State::new(Some(true), 1, 1);
        let first = state.record(Err("a".to_owned()));
        assert_eq!(
            first,
            Some(Change {
                healthy: false,
                detail: "a".to_owned()
            })
        );
        let second = state.record(Ok("ok".to_owned()));
        assert_eq!(
            second,
            Some(Change {
                healthy: true,
                detail: "ok".to_owned()
            })
        );
    }
}
