//! Writes tables into a generation's maps.

use std::net::IpAddr;

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use aya::{Ebpf, Pod};
use lb_common::abi::{
    Address, Backend, Row, Rule, Service, ServiceKey, Slots, Tally, Traffic, V4, V6,
};

use super::generation::map_mut;
use super::{DataplaneError, Generation};
use crate::ids::Fresh;
use crate::tables::{PortRows, Prefixes, ServiceTable, Tables, VipKey};

const BACKENDS_MAP: &str = "BACKEND_TABLE";
const SLOTS_MAP: &str = "SLOT_BACKENDS";

impl Generation {
    /// Fills the maps of a generation that is not attached yet.
    pub fn fill(&mut self, tables: &Tables) -> Result<(), DataplaneError> {
        for (id, backend) in &tables.backends {
            self.write_backend(*id, backend)?;
        }
        for (key, service) in &tables.services {
            self.write_service(key, service)?;
            self.mark_vip(key.address)?;
        }
        let firewall = &tables.firewall;
        let mut rows: Array<_, Row> = self.array("ROW_TABLE")?;
        for (index, row) in (0..).zip(&firewall.rows) {
            rows.set(index, row, 0)
                .map_err(DataplaneError::map("ROW_TABLE"))?;
        }
        let mut rules: Array<_, Rule> = self.array("RULE_TABLE")?;
        for (index, rule) in (0..).zip(&firewall.rules) {
            rules
                .set(index, rule, 0)
                .map_err(DataplaneError::map("RULE_TABLE"))?;
        }
        if let Some(prefixes) = &firewall.sources {
            self.fill_prefixes("SOURCES_V4", "SOURCES_V6", prefixes)?;
        }
        if let Some(prefixes) = &firewall.destinations {
            self.fill_prefixes("DESTINATIONS_V4", "DESTINATIONS_V6", prefixes)?;
        }
        firewall
            .ports
            .as_ref()
            .map_or(Ok(()), |ports| self.fill_ports(ports))
    }

    /// Replaces a backend's entry.
    pub fn write_backend(&mut self, id: u32, backend: &Backend) -> Result<(), DataplaneError> {
        let mut backends: Array<_, Backend> = self.array(BACKENDS_MAP)?;
        backends
            .set(id, backend, 0)
            .map_err(DataplaneError::map(BACKENDS_MAP))
    }

    /// Writes a service's slots to a range of their own, then points the service there: packets
    /// see the old range or the new one.
    pub fn write_service(
        &mut self,
        key: &VipKey,
        service: &ServiceTable,
    ) -> Result<(), DataplaneError> {
        let first = self.slots.take(service.slots.len())?;
        let mut slots: Array<_, u32> = self.array(SLOTS_MAP)?;
        for (index, id) in (first..).zip(&service.slots) {
            slots
                .set(index, id, 0)
                .map_err(DataplaneError::map(SLOTS_MAP))?;
        }
        let entry = Service {
            id: service.id,
            slots: Slots::new(first, service.slots.len() as u32),
            scheduler: service.scheduler,
            forward: service.forward,
            ..Service::default()
        };
        self.write_key(key.address, key.port, key.protocol, &entry)?;
        let old = if service.slots.is_empty() {
            self.ranges.remove(key)
        } else {
            self.ranges.insert(*key, first)
        };
        if let Some(old) = old {
            self.slots.release(old);
        }
        Ok(())
    }

    /// Zeroes the counters of numbers that got a new name.
    pub fn clear(&mut self, fresh: &Fresh) -> Result<(), DataplaneError> {
        for id in &fresh.services {
            self.set_on_each_cpu("SERVICE_TRAFFIC", *id, Traffic::default())?;
        }
        for id in &fresh.backends {
            self.set_on_each_cpu("BACKEND_TRAFFIC", *id, Traffic::default())?;
        }
        for id in &fresh.rules {
            self.set_on_each_cpu("RULE_TALLY", *id, Tally::default())?;
        }
        Ok(())
    }

    /// Writes the same value into a per-CPU array's entry on every CPU.
    pub fn set_on_each_cpu<V: Pod>(
        &mut self,
        name: &'static str,
        index: u32,
        value: V,
    ) -> Result<(), DataplaneError> {
        let uncounted = |source| DataplaneError::Io {
            what: "cannot count the CPUs in",
            path: "/sys/devices/system/cpu/possible".into(),
            source,
        };
        let cpus = nr_cpus().map_err(|(_, source)| uncounted(source))?;
        let values = PerCpuValues::try_from(vec![value; cpus]).map_err(uncounted)?;
        let map = self.map_mut(name)?;
        let mut map: PerCpuArray<_, V> = map.try_into().map_err(DataplaneError::map(name))?;
        map.set(index, values, 0).map_err(DataplaneError::map(name))
    }

    /// Marks an address as a VIP, whatever the port.
    fn mark_vip(&mut self, address: IpAddr) -> Result<(), DataplaneError> {
        self.write_key(address, 0, 0, &Service::default())
    }

    fn write_key(
        &mut self,
        address: IpAddr,
        port: u16,
        protocol: u8,
        service: &Service,
    ) -> Result<(), DataplaneError> {
        match address {
            IpAddr::V4(address) => {
                let key = ServiceKey::new(V4::from(address), port, protocol);
                self.insert("SERVICES_V4", key, service)
            }
            IpAddr::V6(address) => {
                let key = ServiceKey::new(V6::from(address), port, protocol);
                self.insert("SERVICES_V6", key, service)
            }
        }
    }

    fn insert<A: Address>(
        &mut self,
        name: &'static str,
        key: ServiceKey<A>,
        service: &Service,
    ) -> Result<(), DataplaneError>
    where
        ServiceKey<A>: Pod,
    {
        let map = self.map_mut(name)?;
        let mut map: HashMap<_, ServiceKey<A>, Service> =
            map.try_into().map_err(DataplaneError::map(name))?;
        map.insert(key, service, 0)
            .map_err(DataplaneError::map(name))
    }

    fn fill_prefixes(
        &mut self,
        v4: &'static str,
        v6: &'static str,
        prefixes: &Prefixes,
    ) -> Result<(), DataplaneError> {
        fill_trie(&mut self.ebpf, v4, &prefixes.v4)?;
        fill_trie(&mut self.ebpf, v6, &prefixes.v6)
    }

    fn fill_ports(&mut self, ports: &PortRows) -> Result<(), DataplaneError> {
        const NAME: &str = "PORT_ROWS";
        let mut map: Array<_, [u16; 65_536]> = self.array(NAME)?;
        for (index, table) in (0..).zip(&ports.tables) {
            let table: &[u16; 65_536] = table
                .as_slice()
                .try_into()
                .map_err(|_| DataplaneError::Missing(NAME))?;
            map.set(index, table, 0)
                .map_err(DataplaneError::map(NAME))?;
        }
        Ok(())
    }

    fn array<V: Pod>(
        &mut self,
        name: &'static str,
    ) -> Result<Array<&mut MapData, V>, DataplaneError> {
        self.map_mut(name)?
            .try_into()
            .map_err(DataplaneError::map(name))
    }
}

/// Enters prefixes of one family, each address bytes, length and value, into a trie.
pub(super) fn fill_trie<const N: usize>(
    ebpf: &mut Ebpf,
    name: &'static str,
    prefixes: &[([u8; N], u8, u32)],
) -> Result<(), DataplaneError> {
    let map = map_mut(ebpf, name)?;
    let mut trie: LpmTrie<_, [u8; N], u32> = map.try_into().map_err(DataplaneError::map(name))?;
    for (network, length, value) in prefixes {
        let key = Key::new(u32::from(*length), *network);
        trie.insert(&key, value, 0)
            .map_err(DataplaneError::map(name))?;
    }
    Ok(())
}
