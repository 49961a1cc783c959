//! Judges a run: what must hold in each phase, and what the attacker must not have got.
//!
//! In a **steady** phase every service's requests are a consecutive run of connections, so:
//! - members and states are the same at both ends, and no request failed;
//! - connections of backends that are up differ by at most one, as the daemon counted them and as
//!   clients saw them by the name in the answers; the others got none;
//! - the daemon counted exactly as many connections as clients made.
//!
//! In a **change** no request may fail. When a server is killed, a connection may fail only if
//! the daemon had scheduled it to that backend: there may be no more failed requests than
//! connections of that backend that it did not answer. How soon the daemon must notice is a bound
//! of the script. The attacker must have tried, have got no answer of any kind, and the firewall's
//! rules must have counted at least a packet per attempt.

use lb_tests::lab::attack::Attempts;
use lb_tests::lab::example::SERVICES;

use crate::phase::{Kind, Phase, Share};

/// Everything that was wrong with this phase, in full sentences; empty when all is well.
pub(crate) fn judge_phase(phase: &Phase) -> Vec<String> {
    let mut problems = Vec::new();
    for service in SERVICES {
        let share = phase.share(service);
        let found = match &phase.kind {
            Kind::Steady => judge_steady(&share),
            Kind::Change => judge_failures(&share, 0),
            Kind::Failure(name) => {
                let failed = share.backends.get(name).copied().unwrap_or_default();
                judge_failures(&share, failed.connections.saturating_sub(failed.answers))
            }
        };
        let place = format!("{}, {service}", phase.title);
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{place}: {problem}")),
        );
    }
    problems
}

/// The same for the attacker; `drops` are the packets that the firewall's rules dropped.
pub(crate) fn judge_attack(attempts: &Attempts, drops: u64) -> Vec<String> {
    let mut problems = Vec::new();
    if attempts.answered > 0 {
        let last = attempts.last_answer.as_deref().unwrap_or_default();
        problems.push(format!(
            "the attacker got {} answers to {} attempts, the last: {last}",
            attempts.answered, attempts.made
        ));
    }
    if attempts.made == 0 {
        problems.push("the attacker never tried, so nothing is proven.".to_owned());
    }
    if drops < attempts.made {
        problems.push(format!(
            "the rules counted {drops} dropped packets for {} attempts of the attacker",
            attempts.made
        ));
    }
    problems
}

fn judge_steady(share: &Share) -> Vec<String> {
    let mut problems = judge_failures(share, 0);
    for (name, backend) in &share.backends {
        if backend.before != backend.after {
            problems.push(format!(
                "{name} went from {:?} to {:?} though nothing was done",
                backend.before, backend.after
            ));
        } else if !backend.eligible() && backend.connections + backend.answers > 0 {
            problems.push(format!(
                "{name} is {:?} but got {} connections and gave {} answers",
                backend.after, backend.connections, backend.answers
            ));
        }
    }
    let eligible = || {
        share
            .backends
            .iter()
            .filter(|(_, backend)| backend.eligible())
    };
    problems.extend(uneven(
        "connections",
        eligible().map(|(name, b)| (name, b.connections)),
    ));
    problems.extend(uneven(
        "answers",
        eligible().map(|(name, b)| (name, b.answers)),
    ));
    let counted: u64 = share
        .backends
        .values()
        .map(|backend| backend.connections)
        .sum();
    if counted != share.seen.requests {
        problems.push(format!(
            "clients made {} connections, the daemon counted {counted}",
            share.seen.requests
        ));
    }
    if share.seen.requests == 0 || eligible().next().is_none() {
        problems.push("no request was made or no backend was up, so nothing is proven".to_owned());
    }
    problems
}

fn judge_failures(share: &Share, permitted: u64) -> Vec<String> {
    let failures = share.seen.failures;
    let excess = (failures > permitted).then(|| {
        let last = share.seen.last_failure.as_deref().unwrap_or_default();
        format!("{failures} requests failed where {permitted} may; the last: {last}")
    });
    excess.into_iter().collect()
}

fn uneven<'a>(what: &str, counts: impl Iterator<Item = (&'a String, u64)>) -> Option<String> {
    let counts: Vec<_> = counts.collect();
    let most = counts.iter().map(|&(_, count)| count).max()?;
    let least = counts.iter().map(|&(_, count)| count).min()?;
    (most - least > 1).then(|| {
        let each = counts.iter().map(|(name, count)| format!("{name} {count}"));
        format!("{what} are uneven: {}", each.collect::<Vec<_>>().join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::BackendShare;
    use lb_tests::lab::traffic::Seen;
    use lb_userspace::api::types::BackendState::{self, Down, Draining, Up};

    fn member(state: BackendState, connections: u64, answers: u64) -> BackendShare {
        BackendShare {
            before: Some(state),
            after: Some(state),
            connections,
            answers,
        }
    }

    fn share(requests: u64, failures: u64, backends: &[(&str, BackendShare)]) -> Share {
        let seen = Seen {
            requests,
            failures,
            ..Seen::default()
        };
        let backends = backends
            .iter()
            .map(|&(name, share)| (name.to_owned(), share))
            .collect();
        Share { seen, backends }
    }

    #[test]
    fn even_to_within_one_is_fine() {
        let all = [
            ("b1", member(Up, 4, 4)),
            ("b2", member(Up, 3, 3)),
            ("b3", member(Draining, 0, 0)),
            ("b4", member(Down, 0, 0)),
        ];
        assert_eq!(judge_steady(&share(7, 0, &all)), Vec::<String>::new());
    }

    #[test]
    fn each_way_of_going_wrong_in_a_steady_phase_is_named() {
        let up = |connections, answers| member(Up, connections, answers);
        let cases = [
            (
                "connections are uneven",
                share(8, 0, &[("b1", up(5, 4)), ("b2", up(3, 4))]),
            ),
            (
                "answers are uneven",
                share(8, 0, &[("b1", up(4, 5)), ("b2", up(4, 3))]),
            ),
            (
                "requests failed",
                share(8, 1, &[("b1", up(4, 4)), ("b2", up(4, 3))]),
            ),
            (
                "but got",
                share(7, 0, &[("b1", up(4, 4)), ("b2", member(Draining, 3, 3))]),
            ),
            (
                "the daemon counted 7",
                share(8, 0, &[("b1", up(4, 4)), ("b2", up(3, 4))]),
            ),
            ("nothing is proven", share(0, 0, &[("b1", up(0, 0))])),
            ("nothing is proven", share(0, 0, &[])),
        ];
        for (words, share) in cases {
            let problems = judge_steady(&share);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(words), "{words}: {problems:?}");
        }
        let flapped = BackendShare {
            after: Some(Down),
            ..up(4, 4)
        };
        let problems = judge_steady(&share(8, 0, &[("b1", up(4, 4)), ("b2", flapped)]));
        assert!(
            problems[0].contains("though nothing was done"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_killed_server_excuses_only_its_own_connections() {
        let failing = share(10, 3, &[("b1", member(Up, 5, 5)), ("b2", member(Up, 5, 2))]);
        assert_eq!(judge_failures(&failing, 3), Vec::<String>::new());
        assert_eq!(judge_failures(&failing, 2).len(), 1);
    }

    #[test]
    fn the_attacker_must_try_get_nothing_and_be_counted() {
        let attempts = |made, answered| Attempts {
            made,
            answered,
            last_answer: None,
        };
        assert_eq!(judge_attack(&attempts(10, 0), 10), Vec::<String>::new());
        assert_eq!(judge_attack(&attempts(10, 1), 10).len(), 1);
        assert_eq!(judge_attack(&attempts(10, 0), 9).len(), 1);
        assert_eq!(judge_attack(&attempts(0, 0), 0).len(), 1);
    }
}
