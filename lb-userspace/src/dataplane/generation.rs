//! One load of the program with maps of its own, and with the state maps that outlive it.

use std::collections::BTreeMap;
use std::path::Path;

use aya::maps::Map;
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use lb_common::abi::limits::SLOTS;

use super::slots::SlotSpace;
use super::{DataplaneError, PROGRAM, pins};
use crate::tables::{Tables, VipKey};

/// The program's name in its object.
const NAME: &str = "lb";

/// Hands the program's log records to the `log` crate, and so to the daemon's log.
pub type Logger = aya_log::EbpfLogger<&'static dyn log::Log>;

/// A loaded program.
pub struct Generation {
    pub(super) ebpf: Ebpf,
    pub(super) slots: SlotSpace,
    /// The first slot of each service's range.
    pub(super) ranges: BTreeMap<VipKey, u32>,
}

/// What the verifier said of the program.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// The program's name.
    pub program: String,
    /// Instructions that the verifier walked; its limit is 1,000,000.
    pub verified_instructions: u32,
    /// Size of the machine code in bytes.
    pub jited_bytes: u32,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation")
            .field("ranges", &self.ranges)
            .finish_non_exhaustive()
    }
}

impl Generation {
    /// Loads the program for these tables. With a directory of pins the state maps found there
    /// are used, and those missing are made and pinned; without one, all maps are its own.
    pub fn load(
        tables: &Tables,
        coarse_clock: bool,
        pin_dir: Option<&Path>,
    ) -> Result<Self, DataplaneError> {
        let settings = tables.settings(coarse_clock);
        let firewall = &tables.firewall;
        // A map has at least one entry, also where nothing is in it.
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).max(1);
        let prefixes = |p: &Option<crate::tables::Prefixes>| {
            p.as_ref()
                .map_or((1, 1), |p| (count(p.v4.len()), count(p.v6.len())))
        };
        let (sources, destinations) = (
            prefixes(&firewall.sources),
            prefixes(&firewall.destinations),
        );
        let mut loader = EbpfLoader::new();
        loader
            .override_global("SETTINGS", &settings, true)
            // Only the way to the refusal: with all ways the log would not fit, and the reason of
            // a refusal be lost.
            .verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS)
            .map_max_entries("SOURCES_V4", sources.0)
            .map_max_entries("SOURCES_V6", sources.1)
            .map_max_entries("DESTINATIONS_V4", destinations.0)
            .map_max_entries("DESTINATIONS_V6", destinations.1)
            .map_max_entries("ROW_TABLE", count(firewall.rows.len()));
        if firewall.ports.is_none() {
            loader.map_max_entries("PORT_ROWS", 1);
        }
        for map in pins::state_maps(tables) {
            loader.map_max_entries(map.name, map.entries);
            if let Some(dir) = pin_dir {
                loader.map_pin_path(map.name, dir.join(map.name));
            }
        }
        let mut ebpf = loader.load(PROGRAM)?;
        load_program(&mut ebpf, NAME)?;
        Ok(Self {
            ebpf,
            slots: SlotSpace::new(SLOTS),
            ranges: BTreeMap::new(),
        })
    }

    /// The program.
    pub fn program(&mut self) -> Result<&mut Xdp, DataplaneError> {
        program(&mut self.ebpf, NAME)
    }

    /// What the verifier said of it.
    pub fn verified(&mut self) -> Result<Verified, DataplaneError> {
        let info = self.program()?.info()?;
        Ok(Verified {
            program: NAME.to_owned(),
            verified_instructions: info.verified_instruction_count().unwrap_or_default(),
            jited_bytes: info.size_jitted(),
        })
    }

    /// Reads the program's log records.
    pub fn log(&mut self) -> Result<Logger, DataplaneError> {
        aya_log::EbpfLogger::init(&mut self.ebpf)
            .map_err(|error| DataplaneError::Log(error.to_string()))
    }

    /// A map by its name.
    pub fn map(&self, name: &'static str) -> Result<&Map, DataplaneError> {
        map(&self.ebpf, name)
    }

    /// A map by its name, to write.
    pub fn map_mut(&mut self, name: &'static str) -> Result<&mut Map, DataplaneError> {
        map_mut(&mut self.ebpf, name)
    }
}

/// A map of an object, by its name.
pub(super) fn map<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a Map, DataplaneError> {
    ebpf.map(name).ok_or(DataplaneError::Missing(name))
}

/// A map of an object, by its name, to write.
pub(super) fn map_mut<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut Map, DataplaneError> {
    ebpf.map_mut(name).ok_or(DataplaneError::Missing(name))
}

/// A program of an object, by its name.
pub(super) fn program<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut Xdp, DataplaneError> {
    let program = ebpf
        .program_mut(name)
        .ok_or(DataplaneError::Missing(name))?;
    Ok(program.try_into()?)
}

/// Verifies and compiles the program; a refusal shows the end of the verifier's log.
pub(super) fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<(), DataplaneError> {
    const LINES: usize = 20;
    match program(ebpf, name)?.load() {
        Ok(()) => Ok(()),
        Err(ProgramError::LoadError {
            io_error,
            verifier_log,
        }) => {
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
            Err(DataplaneError::Verifier {
                error: io_error,
                log: end,
            })
        }
        Err(error) => Err(error.into()),
    }
}
