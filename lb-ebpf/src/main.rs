//! The XDP program: hands a frame to the engine in `lb-common` and turns its verdict into what
//! XDP returns. Nothing is decided here.
#![no_std]
#![no_main]
#![expect(
    internal_features,
    reason = "the target has no other atomics, see env.rs"
)]
#![feature(asm_experimental_arch, core_intrinsics)]

mod env;
mod frame;
mod maps;
mod observe;
mod prefix;
mod steps;

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use lb_common::datapath::{self, Verdict};

use crate::env::Kernel;
use crate::frame::XdpFrame;

/// The program attached to every interface.
#[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
#[xdp]
fn lb(xdp: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(xdp.ctx);
    let mut kernel = Kernel::new(xdp.ctx);
    let outcome = datapath::ingress(&mut frame, &mut kernel);
    observe::outcome(&outcome);
    action(outcome.verdict)
}

/// The engine's verdict in XDP's terms.
#[inline(always)]
fn action(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Pass => XDP_PASS,
        Verdict::Drop => XDP_DROP,
        Verdict::Tx => XDP_TX,
        Verdict::Redirect(interface) => {
            // SAFETY: takes no pointers; an unknown interface is an error counted by the kernel.
            let action = unsafe { bpf_redirect(interface, 0) };
            u32::try_from(action).unwrap_or(XDP_ABORTED)
        }
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
