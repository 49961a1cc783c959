//! The program in front of the balancer when its cost per packet is measured.
//!
//! `BPF_PROG_TEST_RUN` gives every repetition the frame that the last one left. This program
//! restores its length and bytes, gives it the source of the next flow, and calls what is to be
//! measured. Its own cost is measured before an empty program, and subtracted.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

#[path = "../frame.rs"]
mod frame;
mod plan;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP};
use aya_ebpf::helpers::bpf_xdp_adjust_head;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, ProgramArray};
use aya_ebpf::programs::XdpContext;

use lb_common::datapath::Frame as _;

use crate::frame::XdpFrame;
use crate::plan::{FRAME, Plan, SEQUENCE};

#[map]
static PLAN: Array<Plan> = Array::with_max_entries(1, 0);
/// Flow numbers; user space writes millions of them through its memory.
#[map]
static FLOWS: Array<u32> = Array::with_max_entries(SEQUENCE, BPF_F_MMAPABLE);
/// What is measured, at index 0.
#[map]
static NEXT: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Bounds the plan's offsets for the verifier.
const OFFSET_MASK: usize = 63;

#[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
#[xdp]
fn front(xdp: XdpContext) -> u32 {
    if prepare(&xdp).is_some() {
        // SAFETY: it comes back only where there is no such program.
        unsafe { NEXT.tail_call(&xdp, 0) };
    }
    XDP_ABORTED
}

/// Does nothing: behind it is the cost of the front.
#[xdp]
fn empty(_xdp: XdpContext) -> u32 {
    XDP_DROP
}

#[inline(always)]
fn prepare(xdp: &XdpContext) -> Option<()> {
    let plan = PLAN.get_ptr_mut(0)?;
    // SAFETY: a live map value that only this CPU uses.
    let plan = unsafe { &mut *plan };
    let flow = next_flow(plan)?;
    let mut frame = XdpFrame::new(xdp.ctx);
    let excess = frame.length().wrapping_sub(FRAME);
    if excess != 0 {
        // SAFETY: a valid context; the frame makes its pointers anew at each use.
        unsafe { bpf_xdp_adjust_head(xdp.ctx, excess.cast_signed() as i32) };
    }
    for (index, word) in plan.frame.iter().enumerate() {
        *frame.bytes_mut(index * 8)? = word.to_ne_bytes();
    }
    let address = plan.address.wrapping_add(flow);
    *frame.bytes_mut(plan.address_at as usize & OFFSET_MASK)? = address.to_be_bytes();
    let port = plan.port.wrapping_add(flow & 0x7fff) as u16;
    *frame.bytes_mut(plan.port_at as usize & OFFSET_MASK)? = port.to_be_bytes();
    Some(())
}

/// The number of this packet's flow.
#[inline(always)]
fn next_flow(plan: &mut Plan) -> Option<u32> {
    let position = plan.position;
    let next = position + 1;
    plan.position = if next == plan.cycle { 0 } else { next };
    if plan.cycle == 0 {
        Some(position as u32)
    } else {
        FLOWS.get(position as u32).copied()
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
