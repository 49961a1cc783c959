//! The demonstration: sets the lab up, keeps traffic running, plays the script, and sums up.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lb_tests::lab::attack::Attack;
use lb_tests::lab::example::document;
use lb_tests::lab::traffic::Traffic;
use lb_tests::lab::{Daemon, Lab, Plan, beside_this_program, wait_until};
use lb_userspace::api::types::Stats;

use crate::phase::{Kind, Phase, Snapshot, names_up};
use crate::screen::{Screen, say};
use crate::script::{STEPS, Step, backend_commands};
use crate::setup::{all_up, check_network, places, stop_on_signal, streams};
use crate::summary::Record;

/// Backends at the start.
const BACKENDS: u8 = 3;
/// Time between two steps without `--for`.
const STEP_EVERY: Duration = Duration::from_secs(6);
/// Shortest steady phase: enough connections to tell even from uneven.
const STEADY_MIN: Duration = Duration::from_millis(700);
/// Time between two looks at the daemon while waiting for an effect.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the first probes may take.
const READY_BOUND: Duration = Duration::from_secs(15);

/// Runs until the time is over or a signal comes; the exit status is the verdict.
pub(crate) fn run(lb: Option<PathBuf>, time: Option<Duration>) -> Result<ExitCode> {
    let stop = stop_on_signal()?;
    let lb = match lb {
        Some(path) => path,
        None => beside_this_program("lb")?,
    };
    say(&format!(
        "making namespaces: client, attacker, balancer, {BACKENDS} backends with servers"
    ));
    let lab = Lab::builder()
        .backends(BACKENDS)
        .server(std::env::current_exe()?)
        .build()?;
    check_network(&lab)?;
    say(&format!(
        "starting the daemon {} in {}",
        lb.display(),
        lab.balancer().name()
    ));
    let daemon = lab.start_daemon(&lb, &document(BACKENDS))?;
    let ready = || Ok(all_up(&daemon.stats()?).then_some(()));
    wait_until("healthy backends", READY_BOUND, ready).with_context(|| daemon.log())?;

    say("sending requests; the attacker tries, too. Ctrl-C ends it.");
    let traffic = Traffic::start(lab.client(), &streams());
    let attack = Attack::start(lab.attacker(), &places().map(|(_, to, via)| (to, via)));
    let last = Snapshot::take(&traffic, &daemon)?;
    let (screen, record) = (Screen::new(), Record::default());
    let mut demo = Demo {
        traffic,
        attack,
        daemon,
        lab,
        screen,
        record,
        last,
        stop,
    };
    let outcome = demo.play(time);
    demo.finish(outcome)
}

/// Dropped in this order, also when something fails: who asks, who balances, the network.
struct Demo {
    traffic: Traffic,
    attack: Attack,
    daemon: Daemon,
    lab: Lab,
    screen: Screen,
    record: Record,
    /// At the end of the last phase.
    last: Snapshot,
    stop: Arc<AtomicBool>,
}

impl Demo {
    /// Steady phases with a step between each two. With a time, one round of the script is spread
    /// over it; without, rounds follow each other.
    fn play(&mut self, time: Option<Duration>) -> Result<()> {
        self.screen.begin();
        let started = Instant::now();
        let every = time.map_or(STEP_EVERY, |time| time / (STEPS.len() as u32 + 1));
        let rounds = if time.is_some() { 1 } else { usize::MAX };
        let steps = STEPS
            .iter()
            .cycle()
            .take(STEPS.len().saturating_mul(rounds));
        let mut due = started + every;
        for &step in steps {
            self.steady(due)?;
            if self.stopped() {
                return Ok(());
            }
            self.change(step)?;
            due += every;
        }
        self.steady(due)
    }

    /// Lets traffic run until `due`, and closes a steady phase.
    fn steady(&mut self, due: Instant) -> Result<()> {
        let started = Instant::now();
        let due = due.max(started + STEADY_MIN);
        while Instant::now() < due && !self.stopped() {
            if self.screen.due() {
                self.show(self.daemon.stats()?);
            }
            thread::sleep(
                due.saturating_duration_since(Instant::now())
                    .min(LOOK_EVERY),
            );
        }
        if started.elapsed() < STEADY_MIN {
            return Ok(()); // Interrupted at once: too little to judge.
        }
        let members = names_up(&self.last.stats).join(" ");
        self.close(format!("steady with {members}"), Kind::Steady, started)
    }

    /// Does a step, waits for its effect, and closes the phase.
    fn change(&mut self, step: Step) -> Result<()> {
        let started = Instant::now();
        self.act(step)?;
        let deadline = started + step.bound();
        loop {
            let stats = self.daemon.stats()?;
            let done = step.took_effect(&stats);
            if self.screen.due() {
                self.show(stats);
            }
            if done {
                break;
            }
            ensure!(
                Instant::now() < deadline,
                "{}: no effect within {} ms; the daemon's log:\n{}",
                step.title(),
                step.bound().as_millis(),
                self.daemon.log()
            );
            thread::sleep(LOOK_EVERY);
        }
        let took = started.elapsed().as_millis();
        self.screen.announce(&format!(
            "done: {} took effect within {took} ms",
            step.title()
        ));
        self.close(step.title(), step.kind(), started)
    }

    fn act(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Add(number) => {
                if number > self.lab.backend_count() {
                    self.lab.add_backend()?;
                }
                self.commands("add", number)
            }
            Step::Fail(number) => {
                let name = Plan::backend_name(number);
                self.screen
                    .announce(&format!("# the server of {name} is killed"));
                self.lab.fail_backend(number)
            }
            Step::Recover(number) => {
                let name = Plan::backend_name(number);
                self.screen
                    .announce(&format!("# the server of {name} is started again"));
                self.lab.recover_backend(number)
            }
            Step::Drain(number) => self.commands("drain", number),
            Step::Enable(number) => self.commands("enable", number),
            Step::Retire(number) => {
                self.commands("drain", number)?;
                // Requests under way on it end here; only then is it safe to take away.
                self.traffic.quiet(|_| ());
                self.commands("remove", number)
            }
        }
    }

    fn commands(&mut self, verb: &str, number: u8) -> Result<()> {
        for words in backend_commands(verb, number) {
            self.screen.announce(&format!("$ lb {}", words.join(" ")));
            self.daemon.lb(&words.each_ref().map(String::as_str))?;
        }
        Ok(())
    }

    fn close(&mut self, title: String, kind: Kind, started: Instant) -> Result<()> {
        let after = Snapshot::take(&self.traffic, &self.daemon)?;
        let before = std::mem::replace(&mut self.last, after.clone());
        let took = started.elapsed();
        for problem in self.record.add(Phase {
            title,
            kind,
            before,
            after,
            took,
        }) {
            self.screen.announce(&format!("PROBLEM: {problem}"));
        }
        Ok(())
    }

    fn show(&mut self, stats: Stats) {
        self.screen
            .show(stats, &self.traffic.tally(), &self.attack.attempts());
    }

    /// Ends everything, sums up, and judges.
    fn finish(self, outcome: Result<()>) -> Result<ExitCode> {
        let attempts = self.attack.stop();
        drop(self.traffic);
        outcome?;
        let stats = self.daemon.stats()?;
        let ended = self.daemon.stop()?;
        ensure!(ended.success(), "the daemon ended with {ended} on SIGTERM");
        drop(self.lab);
        Ok(self.record.print(&attempts, &stats))
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
