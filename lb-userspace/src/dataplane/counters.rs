//! Reads the per-CPU counters and adds up the CPUs.

use std::collections::BTreeMap;

use aya::Ebpf;
use aya::maps::PerCpuArray;
use lb_common::abi::{Reason, Tally, Traffic};

use super::generation::map;
use super::{DataplaneError, Generation};
use crate::tables::Tables;

/// The totals of everything that is counted.
pub type Totals<T> = BTreeMap<u32, T>;

/// All counters, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// By service id.
    pub services: Totals<Traffic>,
    /// By backend id.
    pub backends: Totals<Traffic>,
    /// By rule id.
    pub rules: Totals<Tally>,
    /// By the reason's number.
    pub reasons: Totals<Tally>,
}

/// Reads the counters of everything in the tables.
pub(super) fn read(generation: &Generation, tables: &Tables) -> Result<Counters, DataplaneError> {
    let ebpf = &generation.ebpf;
    let services = tables.services.values().map(|service| service.id);
    let rules = tables.firewall.rules.iter().map(|rule| rule.id);
    let reasons = Reason::ALL.iter().map(|reason| *reason as u32);
    Ok(Counters {
        services: totals(ebpf, "SERVICE_TRAFFIC", services, Traffic::merge)?,
        backends: totals(
            ebpf,
            "BACKEND_TRAFFIC",
            tables.backends.keys().copied(),
            Traffic::merge,
        )?,
        rules: totals(ebpf, "RULE_TALLY", rules, Tally::merge)?,
        reasons: totals(ebpf, "REASON_TALLY", reasons, Tally::merge)?,
    })
}

/// Adds up entries of a per-CPU array, each over all CPUs.
pub(super) fn totals<V: aya::Pod + Default>(
    ebpf: &Ebpf,
    name: &'static str,
    ids: impl Iterator<Item = u32>,
    merge: fn(&mut V, V),
) -> Result<Totals<V>, DataplaneError> {
    let map: PerCpuArray<_, V> = map(ebpf, name)?
        .try_into()
        .map_err(DataplaneError::map(name))?;
    ids.map(|id| {
        let cpus = map.get(&id, 0).map_err(DataplaneError::map(name))?;
        let mut total = V::default();
        for value in cpus.iter() {
            merge(&mut total, *value);
        }
        Ok((id, total))
    })
    .collect()
}
