//! The kernel's side as user space sees it: loads generations of the program, attaches them,
//! writes maps and reads counters. It decides nothing and knows no document.
//!
//! Link and state maps are pinned, so that the kernel goes on without us: flows and counters
//! survive this process, and the next one takes over what it finds.

mod attach;
mod clock;
mod counters;
mod decapsulation;
mod error;
mod fill;
mod generation;
mod grace;
mod host;
mod paths;
mod pins;
mod slots;

use std::path::PathBuf;

pub use attach::Attachment;
pub use clock::coarse_ns;
pub use counters::{Counters, Totals};
pub use decapsulation::{Decapsulation, Frames};
pub use error::DataplaneError;
pub use generation::{Generation, Logger, Verified};
pub use host::Host;
pub use paths::PathMtus;

use crate::document::XdpMode;
use crate::ids::Fresh;
use crate::reconcile::{Plan, Write, plan};
use crate::tables::Tables;

/// The compiled XDP program.
pub static PROGRAM: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb-ebpf"));

/// Where the program is to be attached, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Interfaces by name.
    pub interfaces: Vec<String>,
    /// How to attach.
    pub mode: XdpMode,
}

/// The running program and its maps.
#[derive(Debug)]
pub struct Dataplane {
    host: Host,
    pin_dir: PathBuf,
    attachments: Vec<Attachment>,
    running: Option<(Generation, Tables)>,
    generations: u64,
    /// The directory of pins was not there before us.
    made_pins: bool,
}

impl Drop for Dataplane {
    /// A start that failed leaves nothing behind. What an earlier process left stays, and so does
    /// a program that runs.
    fn drop(&mut self) {
        if self.made_pins
            && self.running.is_none()
            && let Err(error) = pins::remove(&self.pin_dir)
        {
            tracing::warn!(%error, "pins are left behind");
        }
    }
}

impl Dataplane {
    /// Checks the host and takes over the directory of pins, which may hold the link and the maps
    /// of an earlier process.
    pub fn open(host: Host, pin_dir: PathBuf) -> Result<Self, DataplaneError> {
        let made_pins = !pin_dir.exists();
        pins::prepare(&pin_dir)?;
        Ok(Self {
            host,
            pin_dir,
            attachments: Vec::new(),
            running: None,
            generations: 0,
            made_pins,
        })
    }

    /// Brings the kernel to these tables and this placement: by single writes where that is
    /// enough, otherwise by a new program that is swapped in atomically. On an error the program
    /// that ran goes on running as it was.
    pub fn apply(
        &mut self,
        tables: Tables,
        placement: &Placement,
        fresh: &Fresh,
    ) -> Result<(), DataplaneError> {
        if let Some((generation, running)) = &mut self.running
            && attach::is_placed(&self.attachments, placement)
            && let Plan::Writes(writes) = plan(running, &tables)
        {
            generation.clear(fresh)?;
            write(generation, &writes)?;
            *running = tables;
            return Ok(());
        }
        pins::drop_misfits(&self.pin_dir, &tables)?;
        let mut generation =
            Generation::load(&tables, self.host.coarse_clock, Some(&self.pin_dir))?;
        generation.clear(fresh)?;
        generation.fill(&tables)?;
        let previous = self.running.as_mut().map(|(generation, _)| generation);
        self.attachments = attach::place(&mut generation, previous, placement, &self.pin_dir)?;
        self.running = Some((generation, tables));
        self.generations += 1;
        Ok(())
    }

    /// The tables that run.
    pub fn tables(&self) -> Option<&Tables> {
        self.running.as_ref().map(|(_, tables)| tables)
    }

    /// Where the program is attached.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// How many programs were installed.
    pub fn generations(&self) -> u64 {
        self.generations
    }

    /// What the host offers.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Reads every counter that the running tables have a name for.
    pub fn counters(&self) -> Result<Counters, DataplaneError> {
        match &self.running {
            Some((generation, tables)) => counters::read(generation, tables),
            None => Ok(Counters::default()),
        }
    }

    /// What the program has learned of the paths to the backends.
    pub fn path_mtus(&self) -> Result<PathMtus, DataplaneError> {
        match &self.running {
            Some((generation, _)) => paths::read(generation),
            None => Ok(PathMtus::new()),
        }
    }

    /// The program's log records, if the document asks for them.
    pub fn log(&mut self) -> Option<Result<Logger, DataplaneError>> {
        let (generation, tables) = self.running.as_mut()?;
        tables.debug.then(|| generation.log())
    }

    /// Takes the program off every interface and forgets all state.
    pub fn detach(self) -> Result<(), DataplaneError> {
        pins::remove(&self.pin_dir)
    }
}

fn write(generation: &mut Generation, writes: &[Write]) -> Result<(), DataplaneError> {
    for write in writes {
        match write {
            Write::Backend(id, backend) => generation.write_backend(*id, backend)?,
            Write::Service(key, service) => {
                // The entry takes the memory of the one that was replaced last.
                grace::wait();
                generation.write_service(key, service)?;
            }
        }
    }
    Ok(())
}
