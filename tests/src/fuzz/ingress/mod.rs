//! The whole packet engine: a configuration, then frames, with backends, time and configuration
//! changing in between.
//!
//! An input is a small program: [`configuration`](self) first, then steps, each a byte that says
//! what happens and the bytes that it needs. A frame is built from headers, or given byte for
//! byte; both may be mutilated on their way. `check` says what must hold after each frame,
//! `kernel` that the kernel does the same.

mod check;
mod configuration;
mod kernel;
mod packets;
mod seeds;

use lb_userspace::reconcile::{Plan, Write};
use lb_userspace::tables::Tables;

use self::configuration::Configuration;
use super::language::Bytes;
use super::reading::{self, Reading};
use crate::case::Scene;
use crate::packet::{Packet, verify};
use crate::ring::{Ran, Ring, Table};
use crate::world::{WhenFull, World};

pub use kernel::{Agreement, Comparison};
pub use seeds::seeds;

/// What happens, as the first byte of each step. Any other byte is a packet's first byte, so that
/// new steps can be given numbers of their own later without changing what old inputs mean.
mod step {
    pub(super) const PACKET: u8 = 0;
    pub(super) const RAW: u8 = 1;
    pub(super) const REPLY: u8 = 2;
    pub(super) const MUTATE: u8 = 3;
    pub(super) const AGAIN: u8 = 4;
    pub(super) const LOOP: u8 = 5;
    pub(super) const BACKEND: u8 = 6;
    pub(super) const WAIT: u8 = 7;
    pub(super) const GENERATION: u8 = 8;
    pub(super) const FORGET_WAYS_BACK: u8 = 9;
    pub(super) const LIMIT: u8 = 10;
    pub(super) const DOOR: u8 = 11;
}

/// Most steps of an input.
const STEPS_MAX: usize = 64;
/// Longest frame given byte for byte.
const RAW_MAX: u16 = 1600;
/// Mutilations that one frame suffers at most.
const MUTATIONS_MAX: usize = 4;
/// Answers that backends have in mind.
const ANSWERS_MAX: usize = 8;

/// Where steps happen.
trait Stage {
    /// A frame arrives; `None` if nothing more can be said of this input here.
    fn frame(&mut self, bytes: &[u8], configuration: &Configuration) -> Option<Ran>;

    /// The running configuration changes.
    fn apply(&mut self, writes: &[Write]);

    /// A new program takes over.
    fn generation(&mut self, tables: &Tables);

    /// Every way back is forgotten.
    fn forget_ways_back(&mut self);

    /// Ticks pass; false if they cannot here.
    fn wait(&mut self, ticks: u32) -> bool;

    /// A table gets so small; false if it cannot here.
    fn limit(&mut self, table: Table, entries: usize, when_full: WhenFull) -> bool;

    /// The frame's door shuts after so many writes; false if it cannot here.
    fn door(&mut self, writes: Option<usize>) -> bool;
}

/// Runs one input on the host and checks what must hold after each frame.
pub fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let configuration = Configuration::read(&mut bytes);
    let mut stage = Checked::new(&configuration.tables);
    play(&mut bytes, configuration, &mut stage);
}

/// Plays an input's steps; false if the stage ended it.
fn play(bytes: &mut Bytes<'_>, mut configuration: Configuration, stage: &mut dyn Stage) -> bool {
    let mut past = Past::default();
    for _ in 0..STEPS_MAX {
        let Some(kind) = bytes.next() else {
            return true;
        };
        let frame = match kind {
            step::MUTATE => {
                past.mutate(bytes);
                continue;
            }
            step::RAW => {
                let length = bytes.word() % RAW_MAX;
                bytes.take(usize::from(length)).to_vec()
            }
            step::REPLY => match past.reply(bytes) {
                Some(packet) => packet.bytes(),
                None => continue,
            },
            step::AGAIN => past.sent.clone(),
            step::LOOP => past.received.clone(),
            step::BACKEND..=step::DOOR => {
                if !happen(kind, bytes, &mut configuration, stage) {
                    return false;
                }
                continue;
            }
            _ => packets::read(bytes).bytes(),
        };
        let frame = past.mutilated(frame);
        let Some(ran) = stage.frame(&frame, &configuration) else {
            return false;
        };
        past.remember(frame, ran);
    }
    true
}

/// What happens besides frames; false if it cannot happen here.
fn happen(
    kind: u8,
    bytes: &mut Bytes<'_>,
    configuration: &mut Configuration,
    stage: &mut dyn Stage,
) -> bool {
    match kind {
        step::BACKEND => match configuration.change_backend(bytes) {
            Some(Plan::Writes(writes)) => stage.apply(&writes),
            Some(Plan::Generation) => stage.generation(&configuration.tables),
            None => {}
        },
        step::WAIT => return stage.wait(u32::from(bytes.word())),
        step::GENERATION => {
            configuration.succeeded_by(Configuration::read(bytes));
            stage.generation(&configuration.tables);
        }
        step::FORGET_WAYS_BACK => stage.forget_ways_back(),
        step::LIMIT => {
            let what = bytes.byte();
            let (table, when_full) = (
                [Table::Pending, Table::Established][usize::from(what & 1)],
                [WhenFull::Evict, WhenFull::Refuse][usize::from(what >> 1 & 1)],
            );
            return stage.limit(table, usize::from(what >> 2), when_full);
        }
        _ => {
            let writes = bytes.byte();
            return stage.door((writes < 8).then_some(usize::from(writes)));
        }
    }
    true
}

/// What has happened so far, as far as later steps refer to it.
#[derive(Default)]
struct Past {
    sent: Vec<u8>,
    received: Vec<u8>,
    /// Packets that backends and clients may answer, and their protocol.
    answers: Vec<(verify::Received, u8)>,
    mutations: Vec<(u8, u8, u8)>,
}

impl Past {
    fn mutate(&mut self, bytes: &mut Bytes<'_>) {
        let mutation = (bytes.byte(), bytes.byte(), bytes.byte());
        if self.mutations.len() < MUTATIONS_MAX {
            self.mutations.push(mutation);
        }
    }

    fn mutilated(&mut self, mut frame: Vec<u8>) -> Vec<u8> {
        for (kind, at, value) in self.mutations.drain(..) {
            let at = usize::from(at).min(frame.len().saturating_sub(1));
            match kind {
                0 => frame.truncate(at),
                1 => frame.resize(frame.len() + usize::from(value), value),
                2 => frame.insert(at, value),
                _ => {
                    if let Some(byte) = frame.get_mut(at) {
                        *byte = if kind == 3 { *byte ^ value } else { value };
                    }
                }
            }
        }
        frame
    }

    /// The answer to a packet that arrived.
    fn reply(&self, bytes: &mut Bytes<'_>) -> Option<Packet> {
        let (index, flags) = (bytes.byte(), bytes.byte());
        let (received, protocol) = self.answers.get(usize::from(index))?;
        let (from, to) = (received.destination, received.source);
        let packet = if *protocol == 6 {
            Packet::tcp(from, to, flags)
        } else {
            Packet::udp(from, to)
        };
        Some(packets::dress(packet.payload(&received.payload), bytes))
    }

    fn remember(&mut self, sent: Vec<u8>, ran: Ran) {
        if ran.is_forwarded()
            && let Ok(received) = verify::receive(&ran.frame)
            && let Some(reading) = reading::read(&ran.frame)
        {
            self.answers.insert(0, (received, reading.protocol));
            self.answers.truncate(ANSWERS_MAX);
            self.received = ran.frame;
        }
        self.sent = sent;
    }
}

/// The host's world, watched.
struct Checked {
    world: World,
    is_limited: bool,
    firsts: check::Firsts,
}

impl Checked {
    fn new(tables: &Tables) -> Self {
        Self {
            world: World::new(tables, 1),
            is_limited: false,
            firsts: check::Firsts::new(),
        }
    }
}

impl Stage for Checked {
    fn frame(&mut self, bytes: &[u8], configuration: &Configuration) -> Option<Ran> {
        let before = self.world.state();
        let ran = self.world.run(bytes);
        let after = self.world.state();
        let moment = check::Moment {
            before: &before,
            sent: bytes,
            ran: &ran,
            after: &after,
            configuration,
            firsts: &self.firsts,
            may_evict: self.is_limited,
            may_fail: self.world.writes.is_some(),
        };
        moment.check();
        let named = moment.named();
        self.firsts.extend(named);
        Some(ran)
    }

    fn apply(&mut self, writes: &[Write]) {
        self.world.apply(writes);
    }

    fn generation(&mut self, tables: &Tables) {
        self.world.generation(tables);
    }

    fn forget_ways_back(&mut self) {
        self.world.forget_ways_back();
    }

    fn wait(&mut self, ticks: u32) -> bool {
        self.world.wait(ticks)
    }

    fn limit(&mut self, table: Table, entries: usize, when_full: WhenFull) -> bool {
        self.is_limited = true;
        self.world.limit(table, entries, when_full);
        true
    }

    fn door(&mut self, writes: Option<usize>) -> bool {
        self.world.writes = writes;
        true
    }
}

/// The scene of a packet or a service by its number: the family, then the protocol.
fn scene_of(number: u8) -> Scene {
    configuration::scene(number & 1 != 0, number & 2 != 0, false)
}
