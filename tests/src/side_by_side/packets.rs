//! Packets per second: dropping a blocked set of sources, and spreading datagrams.
//!
//! All contenders stand at the balancer's end of a cable of their own. Who makes the packets runs
//! on the same CPU as who takes them: nothing is lost in between, so the rate is what one CPU does
//! with making, moving and judging a packet, and the maker's part is the same for all. Time that
//! other programs had this CPU does not count.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::balancer::{Balancer, Kind};
use super::contender::{Contender, Side};
use super::generator::Generator;
use super::link::received;
use super::sink::Sink;
use super::template::Flood;
use super::{BACKENDS, Options, documents};
use crate::lab::{Cable, Namespace, Plan, wait_until};

/// Flows of the balanced traffic: as many as a balancer's caches hold with ease.
const FLOWS: u32 = 1024;
/// Frames of a check: each flow's, a hundred times.
const CHECK_FRAMES: u32 = FLOWS * 100;
/// How long a flood may take to begin, and its end to reach the counters.
const SETTLE_BOUND: Duration = Duration::from_secs(10);
/// For how long counters stand still once nothing is under way.
const STILL: Duration = Duration::from_millis(20);

/// Drops every packet of a flood from blocked sources.
pub(crate) struct Dropping {
    balancer: Balancer,
    generator: Arc<Generator>,
    innocent: Arc<Generator>,
    cable: Cable,
}

/// Spreads a flood of datagrams over the backends.
pub(crate) struct Balancing {
    balancer: Balancer,
    generator: Arc<Generator>,
    /// Stays where packets come back by an XDP program: then the cable's end needs one as well.
    sink: Option<Sink>,
    cable: Cable,
}

impl Dropping {
    /// Builds a contender that blocks [`documents::BLOCKED`] prefixes.
    pub(crate) fn new(kind: Kind, options: &Options) -> Result<Self> {
        let cable = Cable::lay(BACKENDS)?;
        let flood = Flood {
            to: (Plan::VIP.v4(), documents::PORT),
            first: documents::blocked(0),
            stride: documents::BLOCKED_STRIDE,
            count: documents::BLOCKED,
        };
        let innocent = Flood {
            first: documents::innocent(0),
            ..flood
        };
        let generator = Arc::new(Generator::new(&cable, &flood)?);
        let innocent = Arc::new(Generator::new(&cable, &innocent)?);
        let balancer = balancer_on(&cable, kind, options)?;
        Ok(Self {
            balancer,
            generator,
            innocent,
            cable,
        })
    }

    /// Packets taken from the cable, and packets dropped, once both stand still.
    fn counts(&self) -> Result<(u64, u64)> {
        still(self.cable.balancer(), Plan::INTERFACE)?;
        let taken = received(self.cable.balancer(), Plan::INTERFACE)?;
        Ok((taken, self.balancer.dropped(self.cable.balancer())?))
    }

    /// What a piece of work adds to both counts.
    fn during<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, u64, u64)> {
        let before = self.counts()?;
        let answer = work()?;
        let after = self.counts()?;
        Ok((answer, after.0 - before.0, after.1 - before.1))
    }
}

impl Contender for Dropping {
    fn side(&self) -> &Side {
        self.balancer.side()
    }

    fn check(&mut self) -> Result<()> {
        let ((), taken, dropped) = self.during(|| self.innocent.send(CHECK_FRAMES))?;
        ensure!(
            taken > 0 && dropped == 0,
            "of {taken} packets that nothing forbids it dropped {dropped}"
        );
        let ((), taken, dropped) = self.during(|| self.generator.send(CHECK_FRAMES))?;
        ensure!(
            taken > 0 && dropped == taken,
            "of {taken} packets from blocked sources it dropped {dropped}"
        );
        Ok(())
    }

    fn measure(&mut self, window: Duration) -> Result<f64> {
        let rate = || {
            let (namespace, device) = (self.cable.balancer(), Plan::INTERFACE);
            flood_rate(&self.generator, namespace, device, window)
        };
        let (rate, taken, dropped) = self.during(rate)?;
        ensure!(
            dropped == taken,
            "of {taken} packets from blocked sources it dropped {dropped}"
        );
        Ok(rate)
    }
}

impl Balancing {
    /// Builds a contender that spreads datagrams over [`BACKENDS`] backends.
    pub(crate) fn new(kind: Kind, options: &Options) -> Result<Self> {
        let cable = Cable::lay(BACKENDS)?;
        let flood = Flood {
            to: (Plan::VIP.v4(), documents::PORT),
            first: documents::innocent(0),
            stride: 1,
            count: FLOWS,
        };
        let generator = Arc::new(Generator::new(&cable, &flood)?);
        let balancer = balancer_on(&cable, kind, options)?;
        Ok(Self {
            balancer,
            generator,
            sink: None,
            cable,
        })
    }
}

impl Contender for Balancing {
    fn side(&self) -> &Side {
        self.balancer.side()
    }

    fn check(&mut self) -> Result<()> {
        let sink = Sink::attach(&self.cable)?;
        self.generator.send(CHECK_FRAMES)?;
        still(self.cable.outside(), Cable::WIRE)?;
        let arrived = sink.arrived()?;
        let kept = self.balancer.keeps_destination().then(|| Plan::VIP.v4());
        arrived.even(BACKENDS, kept)?;
        let (total, sent) = (arrived.total(), u64::from(CHECK_FRAMES));
        ensure!(
            total <= sent && total > sent - sent / 100,
            "of {sent} packets {total} came out"
        );
        if self.balancer.is_xdp() {
            self.sink = Some(sink);
        }
        Ok(())
    }

    fn measure(&mut self, window: Duration) -> Result<f64> {
        let (namespace, device) = (self.cable.outside(), Cable::WIRE);
        let rate = flood_rate(&self.generator, namespace, device, window)?;
        self.balancer.forget(self.cable.balancer())?;
        Ok(rate)
    }
}

fn balancer_on(cable: &Cable, kind: Kind, options: &Options) -> Result<Balancer> {
    Balancer::start(kind, cable.footprint(), cable.balancer(), &options.lb)
}

/// Packets that a device takes per second of the one CPU that makes and moves them.
fn flood_rate(
    generator: &Arc<Generator>,
    namespace: &Namespace,
    device: &str,
    window: Duration,
) -> Result<f64> {
    let idle = received(namespace, device)?;
    let running = generator.start()?;
    wait_until("the flood to arrive", SETTLE_BOUND, || {
        Ok((received(namespace, device)? > idle).then_some(()))
    })?;
    let (before, begin) = (received(namespace, device)?, running.meter().read());
    thread::sleep(window);
    let (after, end) = (received(namespace, device)?, running.meter().read());
    running.stop()?;
    still(namespace, device)?;
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let packets = (after - before) as f64;
    Ok(packets / end.since(begin).as_secs_f64())
}

/// Waits until a device takes no more packets.
fn still(namespace: &Namespace, device: &str) -> Result<()> {
    let mut last = (received(namespace, device)?, Instant::now());
    wait_until("the end of a flood", SETTLE_BOUND, || {
        let now = received(namespace, device)?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        Ok((last.1.elapsed() >= STILL).then_some(()))
    })
    .context("packets keep coming although nobody sends")
}
