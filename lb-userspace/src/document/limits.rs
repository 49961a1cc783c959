//! How much a document may hold: the sizes of the program's tables.
//!
//! This module only states bounds; `parse` enforces them, so that whoever fills the tables from a
//! checked document never finds one full.

use std::ops::RangeInclusive;
use std::time::Duration;

use lb_common::abi::limits;

/// Most services.
pub const SERVICES: usize = limits::SERVICES as usize;
/// Most backends over all services.
pub const BACKENDS: usize = limits::BACKENDS as usize;
/// Slots over all services; a change needs room for the old and the new range of each.
pub const SLOTS: usize = limits::SLOTS as usize;
/// Most rules of the document; the program's first rule is the one of `[[firewall.block]]`.
pub const RULES: usize = limits::RULES as usize - 1;
/// Most distinct prefixes over all rules and sets, per family and direction.
pub const PREFIXES: usize = limits::PREFIXES as usize;
/// Most prefixes written out over all rules, each reference to a set counted in full. It bounds
/// the memory of a document in which many rules name the same large set.
pub const RESOLVED_PREFIXES: usize = 8 * PREFIXES;
/// Entries of a flow table.
pub const FLOWS: RangeInclusive<u32> = limits::FLOWS_MIN..=limits::FLOWS_MAX;
/// Entries of a flow table when the document does not say.
pub const FLOWS_DEFAULT: u32 = 262_144;
/// A backend's share of new connections.
pub const WEIGHT: RangeInclusive<u16> = 1..=1000;
/// Probe results in a row that change a backend's state.
pub const RISE_FALL: RangeInclusive<u32> = 1..=1000;
/// Shortest and longest time between two probes, and of one probe.
pub const PROBE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
/// Bytes of an interface's name: the kernel's `IFNAMSIZ` without its terminating zero.
pub const INTERFACE_NAME: usize = 15;
/// Bytes of the name of a service, set or rule.
pub const NAME: usize = 128;
