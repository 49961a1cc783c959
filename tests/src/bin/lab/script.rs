//! What is done to the backends while traffic runs, and how to tell that it took effect.

use std::time::Duration;

use lb_tests::lab::Plan;
use lb_tests::lab::example::{FALL, INTERVAL, RISE, SERVICES, TIMEOUT, backend_of};
use lb_userspace::api::types::{BackendState, Stats};

use crate::phase::{Kind, state};

/// Beyond the probes: the daemon's write, our own looking, and a busy machine.
const SLACK: Duration = Duration::from_millis(1500);
/// How long a command's effect may take that waits for no probe.
const EFFECT_BOUND: Duration = Duration::from_secs(5);

/// One thing done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// `lb backend add`, of a backend whose server runs already.
    Add(u8),
    /// The server is killed.
    Fail(u8),
    /// The server is started again.
    Recover(u8),
    /// `lb backend drain`.
    Drain(u8),
    /// `lb backend enable`.
    Enable(u8),
    /// `lb backend drain`, and once its requests are over, `lb backend remove`.
    Retire(u8),
}

/// In this order, over and over; each round ends with the backends it began with.
pub(crate) const STEPS: [Step; 6] = [
    Step::Add(4),
    Step::Fail(2),
    Step::Recover(2),
    Step::Drain(3),
    Step::Enable(3),
    Step::Retire(4),
];

impl Step {
    /// For the summary.
    pub(crate) fn title(self) -> String {
        let (verb, number) = match self {
            Self::Add(number) => ("add", number),
            Self::Fail(number) => ("fail", number),
            Self::Recover(number) => ("recover", number),
            Self::Drain(number) => ("drain", number),
            Self::Enable(number) => ("enable", number),
            Self::Retire(number) => ("retire", number),
        };
        format!("{verb} {}", Plan::backend_name(number))
    }

    /// What may go wrong meanwhile.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Fail(number) => Kind::Failure(Plan::backend_name(number)),
            _ => Kind::Change,
        }
    }

    /// Whether the daemon reports its effect in every service.
    pub(crate) fn took_effect(self, stats: &Stats) -> bool {
        let (number, wanted) = match self {
            Self::Add(number) | Self::Recover(number) | Self::Enable(number) => {
                (number, Some(BackendState::Up))
            }
            Self::Fail(number) => (number, Some(BackendState::Down)),
            Self::Drain(number) => (number, Some(BackendState::Draining)),
            Self::Retire(number) => (number, None),
        };
        let name = Plan::backend_name(number);
        SERVICES
            .iter()
            .all(|service| state(stats, service, &name) == wanted)
    }

    /// How long that may take. Probes start up to 10 % late, and the last one may take its time.
    pub(crate) fn bound(self) -> Duration {
        let probes = match self {
            Self::Fail(_) => FALL,
            Self::Add(_) | Self::Recover(_) | Self::Enable(_) => RISE,
            Self::Drain(_) | Self::Retire(_) => return EFFECT_BOUND,
        };
        INTERVAL * 11 / 10 * probes + TIMEOUT + SLACK
    }
}

/// `backend VERB SERVICE ADDRESS` for every service.
pub(crate) fn backend_commands(verb: &str, number: u8) -> [[String; 4]; SERVICES.len()] {
    SERVICES.map(|service| {
        [
            "backend".into(),
            verb.into(),
            service.into(),
            backend_of(service, number),
        ]
    })
}
