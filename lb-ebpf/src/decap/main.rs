//! The program that unpacks tunnels on a backend, for `lb decap`.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

#[path = "../frame.rs"]
mod frame;
#[path = "../prefix.rs"]
mod prefix;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{LpmTrie, PerCpuArray};
use aya_ebpf::programs::XdpContext;
use lb_common::abi::{V4, V6};
use lb_common::decapsulation::{PREFIXES, Trust, Unpacked, unpack};

use crate::frame::XdpFrame;
use crate::prefix::longest;

/// Outer sources that are trusted.
#[map]
static TRUSTED_V4: LpmTrie<V4, u32> = LpmTrie::with_max_entries(PREFIXES, 0);
#[map]
static TRUSTED_V6: LpmTrie<V6, u32> = LpmTrie::with_max_entries(PREFIXES, 0);
/// Frames by what became of them.
#[map]
static UNPACKED: PerCpuArray<u64> = PerCpuArray::with_max_entries(Unpacked::COUNT, 0);

struct Prefixes;

impl Trust<V4> for Prefixes {
    #[inline(always)]
    fn trusts(&self, source: V4) -> bool {
        longest(&TRUSTED_V4, 32, source).is_some()
    }
}

impl Trust<V6> for Prefixes {
    #[inline(always)]
    fn trusts(&self, source: V6) -> bool {
        longest(&TRUSTED_V6, 128, source).is_some()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
#[xdp]
fn decap(xdp: XdpContext) -> u32 {
    let unpacked = unpack(&mut XdpFrame::new(xdp.ctx), &Prefixes);
    if let Some(count) = UNPACKED.get_ptr_mut(unpacked as u32) {
        // SAFETY: the value is this CPU's own, and XDP programs do not interrupt each other.
        unsafe { *count += 1 };
    }
    if unpacked.passes() {
        XDP_PASS
    } else {
        XDP_DROP
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
