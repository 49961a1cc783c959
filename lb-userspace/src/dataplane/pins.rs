//! The directory of pins: the state maps and the links that outlive us.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use aya::maps::MapData;
use lb_common::abi::limits::{BACKENDS, DATAGRAMS, PATHS, PENDING, RULES, SERVICES};
use lb_common::abi::{
    Datagram, DatagramKey, Features, Flow, FlowKey, PathMtu, Reason, Reverse, Tally, Traffic, V4,
    V6,
};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::DataplaneError;
use crate::tables::Tables;

/// Entries of a flow table that the features leave unused.
const UNUSED: u32 = 64;

/// A map that outlives generations, and the shape it must have.
pub(super) struct StateMap {
    pub(super) name: &'static str,
    pub(super) entries: u32,
    key_size: u32,
    value_size: u32,
}

impl StateMap {
    fn new<K, V>(name: &'static str, entries: u32) -> Self {
        Self {
            name,
            entries,
            key_size: size_of::<K>() as u32,
            value_size: size_of::<V>() as u32,
        }
    }
}

/// The maps that outlive generations.
pub(super) fn state_maps(tables: &Tables) -> Vec<StateMap> {
    let features = tables.features();
    let if_used = |used: bool, entries| if used { entries } else { UNUSED };
    let families = [Features::SERVICES_V4, Features::SERVICES_V6];
    let [v4, v6] = families.map(|family| features.has(family));
    let [nat4, nat6] = families.map(|family| has_ways_back(features, family));
    let flows = tables.flows;
    vec![
        StateMap::new::<FlowKey<V4>, Flow>("FLOWS_V4", if_used(v4, flows)),
        StateMap::new::<FlowKey<V6>, Flow>("FLOWS_V6", if_used(v6, flows)),
        StateMap::new::<FlowKey<V4>, Reverse>("REVERSE_V4", if_used(nat4, flows)),
        StateMap::new::<FlowKey<V6>, Reverse>("REVERSE_V6", if_used(nat6, flows)),
        StateMap::new::<FlowKey<V4>, Flow>("PENDING_V4", if_used(v4, PENDING)),
        StateMap::new::<FlowKey<V6>, Flow>("PENDING_V6", if_used(v6, PENDING)),
        StateMap::new::<FlowKey<V4>, Reverse>("PENDING_REVERSE_V4", if_used(nat4, PENDING)),
        StateMap::new::<FlowKey<V6>, Reverse>("PENDING_REVERSE_V6", if_used(nat6, PENDING)),
        StateMap::new::<[u64; 2], PathMtu>("PATH_MTUS", PATHS),
        StateMap::new::<DatagramKey, Datagram>("DATAGRAMS", DATAGRAMS),
        StateMap::new::<u32, [u64; 8]>("CURSORS", SERVICES),
        StateMap::new::<u32, Traffic>("SERVICE_TRAFFIC", SERVICES),
        StateMap::new::<u32, Traffic>("BACKEND_TRAFFIC", BACKENDS),
        StateMap::new::<u32, Tally>("RULE_TALLY", RULES),
        StateMap::new::<u32, Tally>("REASON_TALLY", Reason::COUNT),
    ]
}

/// Whether replies of a family are looked for: backends are of the family of their service, or where
/// `full-nat` crosses of either.
fn has_ways_back(features: Features, family: Features) -> bool {
    let is_nat = features.has(Features::FULL_NAT) || features.has(Features::NAT);
    is_nat && (features.has(family) || features.has(Features::CROSSING))
}

/// Makes the directory and checks that it can hold pins.
pub(super) fn prepare(dir: &Path) -> Result<(), DataplaneError> {
    let parent = dir.parent().unwrap_or(dir);
    let on_bpf_fs = statfs(parent).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC);
    if !on_bpf_fs {
        return Err(DataplaneError::NoBpfFs(dir.to_owned()));
    }
    fs::create_dir_all(dir).map_err(|source| io("cannot make", dir, source))
}

/// Unpins state maps of another shape: the program would not load with them. Their state is lost,
/// which the log says.
pub(super) fn drop_misfits(dir: &Path, tables: &Tables) -> Result<(), DataplaneError> {
    for wanted in state_maps(tables) {
        let path = dir.join(wanted.name);
        let Ok(map) = MapData::from_pin(&path) else {
            continue;
        };
        let info = map.info().map_err(DataplaneError::map(wanted.name))?;
        let fits = info.key_size() == wanted.key_size
            && info.value_size() == wanted.value_size
            && info.max_entries() == wanted.entries;
        if !fits {
            if info.max_entries() != UNUSED {
                tracing::warn!(
                    map = wanted.name,
                    "the table changes its size and starts empty"
                );
            }
            fs::remove_file(&path).map_err(|source| io("cannot remove", &path, source))?;
        }
    }
    Ok(())
}

/// Where the link to an interface is pinned.
pub(super) fn link_path(dir: &Path, interface: &str) -> PathBuf {
    dir.join(format!("link-{interface}"))
}

/// The interfaces with a pinned link.
pub(super) fn linked_interfaces(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| name.strip_prefix("link-").map(str::to_owned))
        .collect()
}

/// Removes every pin, which detaches the program, and the directory.
pub(super) fn remove(dir: &Path) -> Result<(), DataplaneError> {
    match fs::read_dir(dir) {
        Ok(entries) => {
            for entry in entries.flatten() {
                let path = entry.path();
                fs::remove_file(&path).map_err(|source| io("cannot remove", &path, source))?;
            }
            fs::remove_dir(dir).map_err(|source| io("cannot remove", dir, source))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io("cannot read", dir, source)),
    }
}

/// Removes one file.
pub(super) fn unpin(path: &Path) -> Result<(), DataplaneError> {
    fs::remove_file(path).map_err(|source| io("cannot remove", path, source))
}

fn io(what: &'static str, path: &Path, source: std::io::Error) -> DataplaneError {
    DataplaneError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_with_replies_has_room_for_its_ways_back() {
        let (v4, v6) = (Features::SERVICES_V4, Features::SERVICES_V6);
        let ways = |features: Features| [v4, v6].map(|family| has_ways_back(features, family));
        for mode in [Features::FULL_NAT, Features::NAT] {
            assert_eq!(ways(v4.with(mode)), [true, false]);
            assert_eq!(ways(v6.with(mode)), [false, true]);
            assert_eq!(ways(v4.with(v6).with(mode)), [true, true]);
        }
        let crossing = Features::FULL_NAT.with(Features::CROSSING);
        assert_eq!(ways(v4.with(crossing)), [true, true]);
        assert_eq!(ways(v6.with(crossing)), [true, true]);
        assert_eq!(ways(v4.with(Features::DSR)), [false, false]);
    }
}
