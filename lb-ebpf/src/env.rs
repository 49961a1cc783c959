//! The engine's environment, answered by BPF maps and functions.

use core::arch::asm;
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ptr;

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST, xdp_md};
use aya_ebpf::helpers::generated::{bpf_check_mtu, bpf_ktime_get_coarse_ns};
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_ktime_get_ns};
use lb_common::abi::{
    Backend, Datagram, DatagramKey, Features, Flow, FlowKey, PathMtu, PortTable, Reason, Reverse,
    Rule, Service, ServiceKey, Ticks, V4, V6,
};
use lb_common::datapath::{Cell, Env, Stage, Tables};

use crate::maps;
use crate::prefix::longest;

/// The kernel as the engine's environment.
pub(crate) struct Kernel {
    pub(crate) xdp: *mut xdp_md,
}

/// A map value in place.
pub(crate) struct Value<V>(pub(crate) *mut V);

impl<V> Clone for Value<V> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Value<V> {}

impl<V: Copy> Cell<V> for Value<V> {
    #[inline(always)]
    fn load(&self) -> V {
        // SAFETY: a pointer from a map lookup, valid until the program returns. Other CPUs may
        // write at the same time; any bytes are valid values.
        unsafe { *self.0 }
    }

    #[inline(always)]
    fn reload(&self) -> V {
        // The compiler takes what it has read before for what is there, or reads in another order.
        // SAFETY: no instruction.
        unsafe { asm!("", options(nostack, preserves_flags)) };
        self.load()
    }

    #[inline(always)]
    fn update(&self, change: impl FnOnce(&mut V)) {
        // SAFETY: as above; the reference does not outlive the call.
        change(unsafe { &mut *self.0 });
    }

    #[inline(always)]
    fn with<R>(&self, see: impl FnOnce(&V) -> R) -> R {
        // SAFETY: as above; the reference does not outlive the call.
        see(unsafe { &*self.0 })
    }
}

/// Reads one field of the frozen settings; volatile, so that the compiler does not take the
/// initial value for the final one.
macro_rules! setting {
    ($field:ident) => {
        // SAFETY: a field of a static.
        unsafe { ptr::read_volatile(&raw const maps::SETTINGS.$field) }
    };
}

/// The stages in use.
#[inline(always)]
pub(crate) fn features() -> Features {
    setting!(features)
}

impl Kernel {
    /// The environment of a step that asks nothing about the packet.
    #[inline(always)]
    pub(crate) fn without_packet() -> Self {
        Self::new(ptr::null_mut())
    }

    /// The environment of one run.
    #[inline(always)]
    pub(crate) fn new(xdp: *mut xdp_md) -> Self {
        Self { xdp }
    }
}

impl Env for Kernel {
    type BackendCell = Value<Backend>;
    type DatagramCell = Value<Datagram>;

    #[inline(always)]
    fn features(&self) -> Features {
        features()
    }

    #[inline(always)]
    fn nat_ports(&self) -> (u16, u16) {
        (setting!(nat_port_first), setting!(nat_port_count))
    }

    #[inline(always)]
    fn rule_words(&self) -> u32 {
        setting!(rule_words)
    }

    #[inline(always)]
    fn ingress_interface(&self) -> u32 {
        // SAFETY: the kernel passes a valid `xdp_md`.
        unsafe { (*self.xdp).ingress_ifindex }
    }

    #[inline(always)]
    fn link_mtu(&self, interface: u32) -> usize {
        let mut mtu = 0;
        // SAFETY: the kernel passed the program's argument; the helper writes four bytes (kernel
        // 5.12).
        unsafe { bpf_check_mtu(self.xdp.cast(), interface, &raw mut mtu, 0, 0) };
        mtu as usize
    }

    #[inline(always)]
    fn note_path_mtu(&mut self, backend: [u64; 2], mtu: u32) {
        let seen = self.now();
        // A table that refuses one learns it from the next.
        let _ = maps::PATH_MTUS.insert(backend, PathMtu { mtu, seen }, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn datagram(&self, key: &DatagramKey) -> Option<Self::DatagramCell> {
        maps::DATAGRAMS.get_ptr_mut(key).map(Value)
    }

    #[inline(always)]
    fn insert_datagram(&mut self, key: &DatagramKey, datagram: &Datagram) {
        let _ = maps::DATAGRAMS.insert(key, datagram, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn remove_datagram(&mut self, key: &DatagramKey) {
        // An entry that is gone already is as good as removed.
        let _ = maps::DATAGRAMS.remove(key);
    }

    #[inline(always)]
    fn now(&self) -> Ticks {
        let ns = if self.features().has(Features::COARSE_CLOCK) {
            // SAFETY: takes no arguments.
            unsafe { bpf_ktime_get_coarse_ns() }
        } else {
            // SAFETY: takes no arguments.
            unsafe { bpf_ktime_get_ns() }
        };
        Ticks::from_ns(ns)
    }

    #[inline(always)]
    fn random(&mut self) -> u32 {
        // SAFETY: takes no arguments.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline(always)]
    fn may_send_error(&mut self) -> bool {
        let now = self.now();
        maps::ERROR_LIMIT.get_ptr_mut(0).is_some_and(|errors| {
            // SAFETY: the value is this CPU's own, and XDP programs do not interrupt each other.
            unsafe { &mut *errors }.permit(now)
        })
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<u32> {
        maps::SLOT_BACKENDS.get(index).copied()
    }

    #[inline(always)]
    fn backend(&self, id: u32) -> Option<Self::BackendCell> {
        maps::BACKEND_TABLE.get_ptr_mut(id).map(Value)
    }

    #[inline(always)]
    fn next_cursor(&mut self, service: u32) -> u64 {
        let Some(cursor) = maps::CURSORS.get_ptr_mut(service) else {
            return 0;
        };
        // A relaxed fetch-add whose result is used miscompiles under LLVM 22: it returns the
        // addend. Stronger orderings select the right instruction (kernel 5.12).
        // SAFETY: a live map value, aligned to eight bytes; every access to it is atomic.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(cursor.cast(), 1) }
    }

    #[inline(always)]
    fn port_row(&self, table: PortTable, index: u16) -> u32 {
        let rows = maps::PORT_ROWS.get(table as u32);
        rows.map_or(0, |rows| u32::from(rows[usize::from(index)]))
    }

    #[inline(always)]
    fn row_word(&self, row: u32, word: u32) -> u64 {
        let row = maps::ROW_TABLE.get(row);
        row.and_then(|row| row.words.get(word as usize))
            .copied()
            .unwrap_or(0)
    }

    #[inline(always)]
    fn rule(&self, position: u32) -> Option<Rule> {
        maps::RULE_TABLE.get(position).copied()
    }

    #[inline(always)]
    fn count_reason(&mut self, reason: Reason, bytes: u64) {
        maps::count(&maps::REASON_TALLY, reason as u32, |tally| tally.add(bytes));
    }

    #[inline(always)]
    fn count_rule(&mut self, id: u32, bytes: u64) {
        maps::count(&maps::RULE_TALLY, id, |tally| tally.add(bytes));
    }

    #[inline(always)]
    fn count_ingress(&mut self, service: u32, backend: u32, bytes: u64, new_flow: bool) {
        let add = |traffic: &mut lb_common::abi::Traffic| {
            traffic.ingress.add(bytes);
            traffic.connections += u64::from(new_flow);
        };
        maps::count(&maps::SERVICE_TRAFFIC, service, add);
        maps::count(&maps::BACKEND_TRAFFIC, backend, add);
    }

    #[inline(always)]
    fn count_egress(&mut self, service: u32, backend: u32, bytes: u64) {
        maps::count(&maps::SERVICE_TRAFFIC, service, |traffic| {
            traffic.egress.add(bytes);
        });
        maps::count(&maps::BACKEND_TRAFFIC, backend, |traffic| {
            traffic.egress.add(bytes);
        });
    }
}

/// The tables of both families differ in names and types only.
macro_rules! tables {
    ($address:ty, $bits:literal, $services:ident, $flows:ident, $reverse:ident, $pending:ident,
     $pending_reverse:ident, $sources:ident, $source_row:ident, $destinations:ident,
     $destination_row:ident) => {
        impl Tables<$address> for Kernel {
            type ServiceCell = Value<Service>;
            type FlowCell = Value<Flow>;
            type ReverseCell = Value<Reverse>;

            #[inline(always)]
            fn service(&self, key: &ServiceKey<$address>) -> Option<Self::ServiceCell> {
                maps::$services.get_ptr_mut(key).map(Value)
            }

            #[inline(always)]
            fn source_row(&self, address: $address) -> u32 {
                longest(&maps::$sources, $bits, address).unwrap_or_else(|| setting!($source_row))
            }

            #[inline(always)]
            fn destination_row(&self, address: $address) -> u32 {
                longest(&maps::$destinations, $bits, address)
                    .unwrap_or_else(|| setting!($destination_row))
            }

            #[inline(always)]
            fn flow(&self, stage: Stage, key: &FlowKey<$address>) -> Option<Self::FlowCell> {
                match stage {
                    Stage::Pending => maps::$pending.get_ptr_mut(key),
                    Stage::Established => maps::$flows.get_ptr_mut(key),
                }
                .map(Value)
            }

            #[inline(always)]
            fn insert_flow(&mut self, stage: Stage, key: &FlowKey<$address>, flow: &Flow) -> bool {
                match stage {
                    Stage::Pending => maps::$pending.insert(key, flow, u64::from(BPF_ANY)),
                    Stage::Established => maps::$flows.insert(key, flow, u64::from(BPF_ANY)),
                }
                .is_ok()
            }

            #[inline(always)]
            fn remove_flow(&mut self, stage: Stage, key: &FlowKey<$address>) {
                // An entry that is gone already is as good as removed.
                let _ = match stage {
                    Stage::Pending => maps::$pending.remove(key),
                    Stage::Established => maps::$flows.remove(key),
                };
            }

            #[inline(always)]
            fn reverse(&self, stage: Stage, key: &FlowKey<$address>) -> Option<Self::ReverseCell> {
                match stage {
                    Stage::Pending => maps::$pending_reverse.get_ptr_mut(key),
                    Stage::Established => maps::$reverse.get_ptr_mut(key),
                }
                .map(Value)
            }

            #[inline(always)]
            fn insert_reverse(
                &mut self,
                stage: Stage,
                key: &FlowKey<$address>,
                reverse: &Reverse,
            ) -> bool {
                let flags = u64::from(BPF_NOEXIST);
                match stage {
                    Stage::Pending => maps::$pending_reverse.insert(key, reverse, flags),
                    Stage::Established => maps::$reverse.insert(key, reverse, flags),
                }
                .is_ok()
            }

            #[inline(always)]
            fn remove_reverse(&mut self, stage: Stage, key: &FlowKey<$address>) {
                // An entry that is gone already is as good as removed.
                let _ = match stage {
                    Stage::Pending => maps::$pending_reverse.remove(key),
                    Stage::Established => maps::$reverse.remove(key),
                };
            }
        }
    };
}

tables!(
    V4,
    32,
    SERVICES_V4,
    FLOWS_V4,
    REVERSE_V4,
    PENDING_V4,
    PENDING_REVERSE_V4,
    SOURCES_V4,
    source_row_v4,
    DESTINATIONS_V4,
    destination_row_v4
);
tables!(
    V6,
    128,
    SERVICES_V6,
    FLOWS_V6,
    REVERSE_V6,
    PENDING_V6,
    PENDING_REVERSE_V6,
    SOURCES_V6,
    source_row_v6,
    DESTINATIONS_V6,
    destination_row_v6
);
