//! Reads what the program has learned of the paths to the backends.

use std::collections::BTreeMap;
use std::net::IpAddr;

use aya::maps::HashMap;
use lb_common::abi::address::narrow;
use lb_common::abi::{PathMtu, Ticks};

use super::{DataplaneError, Generation, coarse_ns};

/// The map that the program writes.
const MAP: &str = "PATH_MTUS";

/// Bytes of the longest packet on the way to an address, by that address.
pub type PathMtus = BTreeMap<IpAddr, u16>;

/// Reads what still holds.
pub(super) fn read(generation: &Generation) -> Result<PathMtus, DataplaneError> {
    let map: HashMap<_, [u64; 2], PathMtu> = generation
        .map(MAP)?
        .try_into()
        .map_err(DataplaneError::map(MAP))?;
    let now = Ticks::from_ns(coarse_ns());
    let mut paths = PathMtus::new();
    for entry in &map {
        let (address, path) = entry.map_err(DataplaneError::map(MAP))?;
        if path.holds(now) {
            let mtu = u16::try_from(path.mtu).unwrap_or(u16::MAX);
            paths.insert(narrow(address), mtu);
        }
    }
    Ok(paths)
}
