//! The program in front of the balancer, loaded and told what to do.

#[path = "../../../lb-ebpf/src/front/plan.rs"]
mod plan;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, Map, ProgramArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};

pub(super) use plan::{FRAME, SEQUENCE};

use super::flows::Order;
use super::shared::Shared;
use crate::packet::Packet;

/// The object with the programs `front` and `empty`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/front"));

/// The plan as the map holds it.
type Words = [u64; size_of::<plan::Plan>() / 8];

/// The front program with its maps.
pub(super) struct Front {
    ebpf: Ebpf,
    empty: ProgramFd,
    sequence: Shared,
}

/// What a run told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Cost of one packet, in nanoseconds of the kernel's clock.
    pub(super) cost: i64,
    /// What the last packet's program returned.
    pub(super) action: u32,
}

impl Front {
    /// Loads it.
    pub(super) fn load() -> Result<Self> {
        let mut ebpf = EbpfLoader::new().load(OBJECT)?;
        for name in ["front", "empty"] {
            program(&mut ebpf, name)?.load()?;
        }
        let empty = program(&mut ebpf, "empty")?.fd()?.try_clone()?;
        let Some(Map::Array(flows)) = ebpf.map("FLOWS") else {
            bail!("no map FLOWS");
        };
        let sequence = Shared::map(flows.fd().as_fd())?;
        Ok(Self {
            ebpf,
            empty,
            sequence,
        })
    }

    /// Writes the sequence of flows that [`Order::Cycle`] walks.
    pub(super) fn write_sequence(&mut self, flows: &[u32]) -> Result<()> {
        ensure!(flows.len() <= SEQUENCE as usize, "the sequence is too long");
        for (index, flow) in flows.iter().enumerate() {
            self.sequence.write(index, *flow);
        }
        Ok(())
    }

    /// From now on sends this packet, from the sources that follow its own in this order.
    pub(super) fn send(&mut self, packet: &Packet, order: Order) -> Result<()> {
        let bytes = packet.bytes();
        let frame: [u8; FRAME] = bytes
            .as_slice()
            .try_into()
            .with_context(|| format!("a frame has {} bytes and not {FRAME}", bytes.len()))?;
        let mut words = Words::default();
        for (word, bytes) in words.iter_mut().zip(frame.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        let [position, cycle, places, source] = &mut words[FRAME / 8..] else {
            bail!("the plan has another shape");
        };
        (*position, *cycle) = match order {
            Order::From(first) => (u64::from(first), 0),
            Order::Cycle(length) => (0, u64::from(length)),
        };
        let (address_at, port_at) = places_of(packet.source);
        *places = pair(address_at, port_at);
        *source = pair(
            last_word(packet.source.ip()),
            u32::from(packet.source.port()),
        );
        let map = self.ebpf.map_mut("PLAN").context("no map PLAN")?;
        let mut map: Array<_, Words> = map.try_into()?;
        Ok(map.set(0, words, 0)?)
    }

    /// Runs packets through the program behind the front; without one, through the front alone.
    pub(super) fn run(&mut self, behind: Option<&ProgramFd>, packets: u32) -> Result<Run> {
        let map = self.ebpf.map_mut("NEXT").context("no map NEXT")?;
        let mut next: ProgramArray<_> = map.try_into()?;
        next.set(0, behind.unwrap_or(&self.empty), 0)?;
        let frame = [0; FRAME];
        let result = program(&mut self.ebpf, "front")?.test_run(TestRunOptions {
            data_in: Some(&frame),
            repeat: packets,
            ..TestRunOptions::default()
        })?;
        Ok(Run {
            cost: i64::try_from(result.duration.as_nanos())?,
            action: result.return_value,
        })
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf.program_mut(name);
    Ok(program
        .with_context(|| format!("no program {name}"))?
        .try_into()?)
}

/// Where the last four bytes of the source address are, and the source port: behind an Ethernet
/// header and an IP header without options.
fn places_of(source: SocketAddr) -> (u32, u32) {
    match source {
        SocketAddr::V4(_) => (14 + 12, 14 + 20),
        SocketAddr::V6(_) => (14 + 8 + 12, 14 + 40),
    }
}

fn last_word(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => address.to_bits() as u32,
    }
}

/// Two neighbours of four bytes as one word.
fn pair(first: u32, second: u32) -> u64 {
    let (first, second) = (first.to_ne_bytes(), second.to_ne_bytes());
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first);
    bytes[4..].copy_from_slice(&second);
    u64::from_ne_bytes(bytes)
}
