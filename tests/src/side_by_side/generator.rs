//! A flood of packets into the balancer, as fast as one CPU makes them.
//!
//! The frames are made in the kernel (`BPF_PROG_TEST_RUN` with live frames, since 5.18); where it
//! cannot, a packet socket sends them, several times slower. What was sent is nowhere counted: a
//! rate is what a receiver's kernel says.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aya::maps::Array;
use aya::programs::{ProgramError, TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use nix::net::if_::if_nametoindex;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{Pid, gettid};

use super::cpu_time::Meter;
use super::packet_socket::PacketSocket;
use super::template::{Flood, LENGTH};
use crate::lab::{Cable, Namespace, wait_until};

pub(crate) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/generator"));

/// Frames of a flood, which is over long before. It is one call into the kernel, because the kernel
/// waits for all CPUs at the beginning and the end of each, and ended by a signal.
const FRAMES_OF_A_FLOOD: u32 = u32::MAX >> 1;
/// How long a flood may take to end.
const END_BOUND: Duration = Duration::from_secs(10);
/// Ends a system call; the handler does nothing.
const WAKE: Signal = Signal::SIGUSR1;
/// Frames handed to the device at once: a quarter of what a veth's queue holds.
const BATCH: u32 = 64;

/// Makes one kind of packets outside one cable.
pub(crate) struct Generator {
    outside: Namespace,
    source: Source,
}

/// Where frames come from.
enum Source {
    Kernel(Box<Ebpf>),
    Socket(PacketSocket),
}

/// A flood under way; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
    meter: Meter,
}

impl Generator {
    /// Prepares a flood.
    ///
    /// # Errors
    /// The kernel refuses the program, and a packet socket as well.
    pub(crate) fn new(cable: &Cable, flood: &Flood) -> Result<Self> {
        let outside = cable.outside().clone();
        let device = outside.enter(|| if_nametoindex(Cable::WIRE))??;
        let ebpf = load(device, flood).context("cannot load the packet generator")?;
        let generator = Self {
            outside,
            source: Source::Kernel(Box::new(ebpf)),
        };
        match generator.probe() {
            Ok(()) => Ok(generator),
            Err(error) => {
                eprintln!("side-by-side: no live frames ({error:#}): sending through a socket");
                let socket = generator
                    .outside
                    .enter(|| PacketSocket::new(Cable::WIRE, flood))??;
                Ok(Self {
                    outside: generator.outside,
                    source: Source::Socket(socket),
                })
            }
        }
    }

    /// Sends at least so many frames, as fast as possible.
    pub(crate) fn send(&self, frames: u32) -> Result<()> {
        self.outside.enter(|| {
            stay_on_one_cpu()?;
            let mut left = frames;
            while left > 0 {
                left = left.saturating_sub(self.source.send(left)?);
            }
            Ok(())
        })?
    }

    /// Sends until the returned handle is dropped or stopped.
    pub(crate) fn start(self: &Arc<Self>) -> Result<Running> {
        interruptible()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (this, seen) = (Arc::clone(self), Arc::clone(&stop));
        let (says, said) = mpsc::sync_channel(1);
        let thread = thread::spawn(move || {
            this.outside.enter(|| {
                let cpu = stay_on_one_cpu()?;
                // Nobody listens any more if the start was given up.
                let _ = says.send(Meter::new(gettid().as_raw().cast_unsigned(), cpu));
                while !seen.load(Ordering::Relaxed) {
                    this.source.send(FRAMES_OF_A_FLOOD)?;
                }
                Ok(())
            })?
        });
        match said.recv() {
            Ok(meter) => Ok(Running {
                stop,
                thread: Some(thread),
                meter,
            }),
            // It ended before it began, and says why.
            Err(_) => match thread.join() {
                Ok(result) => Err(result.err().unwrap_or_else(|| anyhow!("no flood began"))),
                Err(_) => Err(anyhow!("the generator's thread panicked")),
            },
        }
    }

    /// Whether the kernel has live frames: one tells.
    fn probe(&self) -> Result<()> {
        self.outside.enter(|| self.source.send(1)).map(drop)
    }
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

impl Source {
    /// Sends so many frames and returns how many it tried, at least one.
    fn send(&self, frames: u32) -> Result<u32> {
        let ebpf = match self {
            Self::Kernel(ebpf) => ebpf,
            Self::Socket(socket) => return socket.send(frames),
        };
        let program: &Xdp = ebpf
            .program("generate")
            .context("the object lacks the program `generate`")?
            .try_into()?;
        let options = TestRunOptions {
            data_in: Some(&[0; LENGTH]),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::default()
        };
        match program.test_run(options) {
            Ok(_) => Ok(frames),
            // A signal came in between, as it does when a flood is to end.
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == io::ErrorKind::Interrupted =>
            {
                Ok(frames)
            }
            Err(error) => Err(error).context("the kernel does not send frames"),
        }
    }
}

impl Running {
    /// Tells the CPU time of making packets and of everything done with them.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Ends the flood.
    ///
    /// # Errors
    /// It had ended by itself: the error says why.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        self.stop.store(true, Ordering::Relaxed);
        wait_until("the end of a flood", END_BOUND, || {
            if thread.is_finished() {
                return Ok(Some(()));
            }
            // It may just be about to enter the kernel, so one signal is not enough.
            wake(self.meter.thread());
            Ok(None)
        })?;
        match thread.join() {
            Ok(result) => result,
            Err(_) => Err(anyhow!("the generator's thread panicked")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever drops it without asking is failing for another reason already.
        let _ = self.end();
    }
}

fn load(device: u32, flood: &Flood) -> Result<Ebpf> {
    let (first, stride, count) = (flood.first.to_bits(), flood.stride, flood.count);
    let mut ebpf = EbpfLoader::new()
        .override_global("DEVICE", &device, true)
        .override_global("SOURCE_FIRST", &first, true)
        .override_global("SOURCE_STRIDE", &stride, true)
        .override_global("SOURCE_COUNT", &count, true)
        .load(OBJECT)?;
    let missing = "the object lacks a map of the template";
    let mut template: Array<_, [u8; LENGTH]> =
        ebpf.map_mut("TEMPLATE").context(missing)?.try_into()?;
    template.set(0, flood.template(), 0)?;
    let mut sum: Array<_, u32> = ebpf.map_mut("TEMPLATE_SUM").context(missing)?.try_into()?;
    sum.set(0, flood.template_sum(), 0)?;
    let program: &mut Xdp = ebpf
        .program_mut("generate")
        .context("the object lacks the program `generate`")?
        .try_into()?;
    program.load()?;
    Ok(ebpf)
}

/// Ends the system call that a thread of this process is in.
fn wake(thread: u32) {
    // SAFETY: takes no pointers. Whoever has this number in this process handles the signal by
    // doing nothing; if nobody has it any more, that is what was wanted.
    unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            std::process::id(),
            thread,
            WAKE as libc::c_int,
        )
    };
}

/// Makes [`WAKE`] interrupt a system call and do nothing else.
fn interruptible() -> Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing, which is safe at any moment.
    unsafe { sigaction(WAKE, &action) }
        .map(drop)
        .context("cannot handle a signal")
}

/// Keeps the calling thread on the last CPU it may use, so that every round is on the same
/// one, and returns its number.
fn stay_on_one_cpu() -> Result<usize> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    let last = last.context("this process may use no CPU")?;
    let mut chosen = CpuSet::new();
    chosen.set(last)?;
    sched_setaffinity(this, &chosen).context("cannot stay on one CPU")?;
    Ok(last)
}
