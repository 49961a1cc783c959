//! The engine in the kernel: the product's own object, loaded and filled by the product's own
//! dataplane, run by `BPF_PROG_TEST_RUN`. Nothing is attached to any interface.
#![expect(
    clippy::expect_used,
    reason = "a kernel that refuses what it should do fails the test"
)]

mod maps;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::maps::PerCpuArray;
use aya::programs::{TestRun as _, TestRunOptions};
use lb_common::abi::{Ticks, Trace};
use lb_userspace::dataplane::{Generation, Host, coarse_ns};
use lb_userspace::reconcile::Write;
use lb_userspace::tables::Tables;

use crate::ring::{Exit, Ran, Ring, State, Tuple};

/// The shortest frame that a test run takes: an Ethernet header.
pub const SHORTEST: usize = 14;

/// Where BPF objects can be pinned.
const BPF_FS: &str = "/sys/fs/bpf";

/// The engine in the kernel.
#[derive(Debug)]
pub struct Kernel {
    generation: Generation,
    pins: Pins,
    /// When a frame was run last, if what passes until the next is to count for nothing.
    stopped: Option<Ticks>,
}

/// A directory of pins of our own, removed with everything in it.
#[derive(Debug)]
struct Pins(Option<PathBuf>);

/// Whether the kernel ring can run here; otherwise prints why not, which in CI is a failure.
pub fn is_available() -> bool {
    let Err(error) = Host::probe() else {
        return true;
    };
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!in_ci, "the kernel ring must run in CI: {error}");
    println!("skipped: {error}");
    false
}

impl Kernel {
    /// Loads the program with these tables.
    pub fn new(tables: &Tables) -> Self {
        Self {
            generation: load(tables, &Pins(None)),
            pins: Pins(None),
            stopped: None,
        }
    }

    /// The same, able to hand its state over to another generation.
    pub fn with_generations(tables: &Tables) -> Self {
        let pins = Pins::new();
        Self {
            generation: load(tables, &pins),
            pins,
            stopped: None,
        }
    }

    /// Begins anew with the same tables: cheaper than to load the program again.
    pub fn reset(&mut self, tables: &Tables) {
        maps::clear(&mut self.generation);
        self.generation
            .fill(tables)
            .expect("the maps take the tables");
    }

    /// Begins anew with other tables: a new program, the same tables of flows, emptied. Cheaper
    /// than to make those again. Only for what hands its state over.
    pub fn begin_anew(&mut self, tables: &Tables) {
        maps::clear(&mut self.generation);
        self.generation(tables);
    }

    /// The same, where no time passes but what a case waits: a slow machine would age entries by
    /// more.
    #[must_use]
    pub fn with_stopped_clock(mut self) -> Self {
        self.stopped = Some(now());
        self
    }

    /// Takes back the time that has passed since the last frame.
    fn turn_back(&mut self) {
        let Some(before) = self.stopped else { return };
        let passed = now().since(before);
        if passed != 0 {
            maps::make_older(&mut self.generation, -passed.cast_signed());
            self.stopped = Some(Ticks(before.0 + passed));
        }
    }

    /// Instructions that the verifier walked.
    pub fn verified_instructions(&mut self) -> u32 {
        self.generation
            .verified()
            .expect("the kernel tells of its programs")
            .verified_instructions
    }

    /// The port that a pending flow has towards its backend.
    pub fn pending_port(&self, flow: &Tuple) -> Option<u16> {
        maps::pending_port(&self.generation, flow)
    }

    /// Fills the record of the decision with what the program never writes, so that an old one is
    /// not taken for new.
    fn blank_trace(&mut self) {
        let blank = Trace {
            reason: u32::MAX,
            rule: 0,
            service: 0,
            backend: 0,
            new_flow: 0,
            zero: u32::MAX,
        };
        self.generation
            .set_on_each_cpu("TRACE", 0, blank)
            .expect("the record can be blanked");
    }

    /// The record that the program left, on whatever CPU it ran.
    fn trace(&self) -> Trace {
        let map = self.generation.map("TRACE").expect("a map");
        let map: PerCpuArray<_, Trace> = map.try_into().expect("a per-CPU array");
        let values = map.get(&0, 0).expect("the record can be read");
        let written: Vec<Trace> = values
            .iter()
            .filter(|trace| trace.zero == 0)
            .copied()
            .collect();
        assert_eq!(written.len(), 1, "one CPU has run the program once");
        written[0]
    }
}

/// The clock that stamps flows.
pub fn now() -> Ticks {
    Ticks::from_ns(coarse_ns())
}

/// Nanoseconds until the next tick of [`now`].
pub fn until_next_tick() -> u64 {
    (1 << 30) - (coarse_ns() & ((1 << 30) - 1))
}

fn load(tables: &Tables, pins: &Pins) -> Generation {
    let mut generation =
        Generation::load(tables, true, pins.0.as_deref()).expect("the kernel takes the program");
    generation.fill(tables).expect("the maps take the tables");
    generation
}

impl Ring for Kernel {
    fn run(&mut self, frame: &[u8]) -> Ran {
        self.blank_trace();
        self.turn_back();
        let mut out = vec![0; frame.len() + 256];
        let program = self.generation.program().expect("the program is loaded");
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ..TestRunOptions::default()
            })
            .expect("the kernel runs the program");
        out.truncate(result.data_size_out as usize);
        Ran {
            exit: exit(result.return_value),
            trace: self.trace(),
            frame: out,
        }
    }

    fn apply(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Backend(id, backend) => self.generation.write_backend(*id, backend),
                Write::Service(key, service) => self.generation.write_service(key, service),
            }
            .expect("the maps take the change");
        }
    }

    fn generation(&mut self, tables: &Tables) {
        assert!(self.pins.0.is_some(), "state is handed over by pins");
        self.generation = load(tables, &self.pins);
    }

    fn forget_ways_back(&mut self) {
        maps::forget_ways_back(&mut self.generation);
    }

    fn state(&mut self) -> State {
        maps::state(&self.generation, self.stopped.unwrap_or_else(now))
    }

    fn wait(&mut self, ticks: u32) -> bool {
        maps::make_older(&mut self.generation, ticks.cast_signed())
    }
}

/// The kernel's word for how a frame leaves (`enum xdp_action`).
fn exit(action: u32) -> Exit {
    match action {
        1 => Exit::Drop,
        2 => Exit::Pass,
        3 => Exit::Tx,
        4 => Exit::Redirect(None),
        other => unreachable!("the program returns {other}"),
    }
}

impl Pins {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut name = String::from("lb-rings");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        write!(name, "-{}-{number}", std::process::id()).expect("a string takes text");
        let path = PathBuf::from(BPF_FS).join(name);
        std::fs::create_dir(&path).expect("a BPF file system is mounted");
        Self(Some(path))
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let Some(path) = &self.0 else { return };
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        for entry in entries {
            // What cannot be removed here is reported by the directory's removal below.
            let _ = std::fs::remove_file(entry.path());
        }
        if let Err(error) = std::fs::remove_dir(path) {
            eprintln!("{} stays behind: {error}", path.display());
        }
    }
}
