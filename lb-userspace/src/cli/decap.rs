//! `lb decap`: the other end of `ipip` and `gue`, on a backend.

use std::time::Duration;

use anyhow::Context as _;
use ipnet::IpNet;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::output;
use crate::dataplane::{Decapsulation, Frames};
use crate::document::XdpMode;

const EXAMPLES: &str = "\
Examples:
  sudo lb decap eth0 --from 172.16.0.0/16
  sudo lb decap eth0 eth1 --from 172.16.0.0/16 --from 100::/64

The backend needs the VIP on lo as well: ip address add 192.0.2.10/32 dev lo";

/// How often to look for frames that are dropped.
const LOOK: Duration = Duration::from_secs(10);

/// Unpacks the packets of ipip and gue on a backend that has no tunnel device.
///
/// It attaches a program to the interfaces, and takes it off when SIGTERM or Ctrl-C ends it. What is
/// not in a tunnel passes untouched. It needs root, or the capabilities `CAP_BPF` and
/// `CAP_NET_ADMIN`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where packets from the balancer arrive.
    #[arg(required = true, value_name = "INTERFACE")]
    interfaces: Vec<String>,
    /// The balancer's `tunnel_source`; other tunnels are dropped.
    #[arg(long = "from", required = true, value_name = "PREFIX")]
    from: Vec<IpNet>,
    /// In the driver, in the network stack, or in whichever works.
    #[arg(long, value_enum, default_value_t = XdpMode::Auto, value_name = "MODE")]
    xdp_mode: XdpMode,
}

/// Attaches the program and waits for a signal.
pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    // Before anything is attached, so that none is lost.
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?;
    let mut decapsulation = Decapsulation::load(&args.from)?;
    for name in &args.interfaces {
        let attachment = decapsulation.attach(name, args.xdp_mode)?;
        let mode = if attachment.native {
            "native"
        } else {
            "generic"
        };
        let (interface, why) = (&attachment.interface, &attachment.why);
        output::print(&format!(
            "unpacking tunnels on {interface} ({mode}: {why})\n"
        ))?;
    }
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Frames::default();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = look.tick() => told = tell_drops(told, decapsulation.frames()?)?,
        }
    }
    let Frames {
        inner,
        untrusted,
        malformed,
        congested,
    } = decapsulation.frames()?;
    output::print(&format!(
        "unpacked {inner} packets; dropped {untrusted} of other sources, {malformed} malformed, \
         {congested} congested\n"
    ))
}

/// Says what was dropped since the last time.
fn tell_drops(before: Frames, now: Frames) -> anyhow::Result<Frames> {
    let untrusted = now.untrusted - before.untrusted;
    if untrusted > 0 {
        output::print(&format!(
            "dropped {untrusted} packets from sources that no --from names; it is to be the \
             balancer's `tunnel_source`\n"
        ))?;
    }
    let malformed = now.malformed - before.malformed;
    if malformed > 0 {
        output::print(&format!(
            "dropped {malformed} packets that are no IP inside, or cut off\n"
        ))?;
    }
    Ok(now)
}
