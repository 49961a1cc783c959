//! The maps, and their plain access. Sizes of maps marked so are set when the program is loaded.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray};
use lb_common::abi::limits::{self, BACKENDS, PATHS, PENDING, RULES, SERVICES, SLOTS};
use lb_common::abi::{
    Backend, Datagram, DatagramKey, ErrorLimit, Flow, FlowKey, PathMtu, PortTable, Reason, Reverse,
    Row, Rule, Service, ServiceKey, Settings, Tally, Trace, Traffic, V4, V6,
};

/// Frozen settings.
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Settings = Settings {
    features: lb_common::abi::Features(0),
    nat_port_first: 0,
    nat_port_count: 0,
    rule_words: 0,
    source_row_v4: 0,
    source_row_v6: 0,
    destination_row_v4: 0,
    destination_row_v6: 0,
};

/// Each service takes up to three entries: exact, any port, and the mark of its address.
const SERVICE_KEYS: u32 = SERVICES * 2;

#[map]
pub(crate) static SERVICES_V4: HashMap<ServiceKey<V4>, Service> =
    HashMap::with_max_entries(SERVICE_KEYS, 0);
#[map]
pub(crate) static SERVICES_V6: HashMap<ServiceKey<V6>, Service> =
    HashMap::with_max_entries(SERVICE_KEYS, 0);
#[map]
pub(crate) static SLOT_BACKENDS: Array<u32> = Array::with_max_entries(SLOTS, 0);
#[map]
pub(crate) static BACKEND_TABLE: Array<Backend> = Array::with_max_entries(BACKENDS, 0);
/// One cursor to a cache line, so that services do not slow each other.
#[map]
pub(crate) static CURSORS: Array<[u64; 8]> = Array::with_max_entries(SERVICES, 0);

// The flow tables: size set at load.
#[map]
pub(crate) static FLOWS_V4: LruHashMap<FlowKey<V4>, Flow> = LruHashMap::with_max_entries(1, 0);
#[map]
pub(crate) static FLOWS_V6: LruHashMap<FlowKey<V6>, Flow> = LruHashMap::with_max_entries(1, 0);
#[map]
pub(crate) static REVERSE_V4: LruHashMap<FlowKey<V4>, Reverse> = LruHashMap::with_max_entries(1, 0);
#[map]
pub(crate) static REVERSE_V6: LruHashMap<FlowKey<V6>, Reverse> = LruHashMap::with_max_entries(1, 0);
#[map]
pub(crate) static PENDING_V4: LruHashMap<FlowKey<V4>, Flow> =
    LruHashMap::with_max_entries(PENDING, 0);
#[map]
pub(crate) static PENDING_V6: LruHashMap<FlowKey<V6>, Flow> =
    LruHashMap::with_max_entries(PENDING, 0);
#[map]
pub(crate) static PENDING_REVERSE_V4: LruHashMap<FlowKey<V4>, Reverse> =
    LruHashMap::with_max_entries(PENDING, 0);
#[map]
pub(crate) static PENDING_REVERSE_V6: LruHashMap<FlowKey<V6>, Reverse> =
    LruHashMap::with_max_entries(PENDING, 0);

// The firewall: sizes set at load.
#[map]
pub(crate) static SOURCES_V4: LpmTrie<V4, u32> = LpmTrie::with_max_entries(1, 0);
#[map]
pub(crate) static SOURCES_V6: LpmTrie<V6, u32> = LpmTrie::with_max_entries(1, 0);
#[map]
pub(crate) static DESTINATIONS_V4: LpmTrie<V4, u32> = LpmTrie::with_max_entries(1, 0);
#[map]
pub(crate) static DESTINATIONS_V6: LpmTrie<V6, u32> = LpmTrie::with_max_entries(1, 0);
#[map]
pub(crate) static PORT_ROWS: Array<[u16; 65_536]> = Array::with_max_entries(PortTable::COUNT, 0);
#[map]
pub(crate) static ROW_TABLE: Array<Row> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static RULE_TABLE: Array<Rule> = Array::with_max_entries(RULES, 0);

#[map]
pub(crate) static SERVICE_TRAFFIC: PerCpuArray<Traffic> =
    PerCpuArray::with_max_entries(SERVICES, 0);
#[map]
pub(crate) static BACKEND_TRAFFIC: PerCpuArray<Traffic> =
    PerCpuArray::with_max_entries(BACKENDS, 0);
#[map]
pub(crate) static RULE_TALLY: PerCpuArray<Tally> = PerCpuArray::with_max_entries(RULES, 0);
#[map]
pub(crate) static REASON_TALLY: PerCpuArray<Tally> =
    PerCpuArray::with_max_entries(Reason::COUNT, 0);
#[map]
pub(crate) static PATH_MTUS: LruHashMap<[u64; 2], PathMtu> = LruHashMap::with_max_entries(PATHS, 0);
#[map]
pub(crate) static DATAGRAMS: LruHashMap<DatagramKey, Datagram> =
    LruHashMap::with_max_entries(limits::DATAGRAMS, 0);
#[map]
pub(crate) static ERROR_LIMIT: PerCpuArray<ErrorLimit> = PerCpuArray::with_max_entries(1, 0);
#[map]
static TRACE: PerCpuArray<Trace> = PerCpuArray::with_max_entries(1, 0);

/// Leaves the decision where `lb trace` finds it.
#[inline(always)]
pub(crate) fn write_trace(trace: &Trace) {
    if let Some(entry) = TRACE.get_ptr_mut(0) {
        // SAFETY: a value of this CPU's own.
        unsafe { entry.write(*trace) };
    }
}

/// Adds to a per-CPU counter.
#[inline(always)]
pub(crate) fn count<T>(map: &PerCpuArray<T>, index: u32, add: impl FnOnce(&mut T)) {
    if let Some(entry) = map.get_ptr_mut(index) {
        // SAFETY: the value is this CPU's own, and XDP programs do not interrupt each other.
        add(unsafe { &mut *entry });
    }
}
