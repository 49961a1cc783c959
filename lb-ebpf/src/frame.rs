//! The bytes of the frame that XDP is about to receive.

use core::arch::asm;
use core::hint::assert_unchecked;
use core::ptr;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use lb_common::datapath::Frame;
use lb_common::wire::ipv6::{self, Chain};

/// A frame in the driver's memory.
///
/// Its bounds are read from the program's argument at each use: a load of them costs what
/// restoring them from the stack would, and the stack is short.
pub(crate) struct XdpFrame {
    xdp: *mut xdp_md,
}

impl XdpFrame {
    /// The frame of the program's argument.
    #[inline(always)]
    pub(crate) fn new(xdp: *mut xdp_md) -> Self {
        Self { xdp }
    }

    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: the kernel passes a valid `xdp_md`; the load is rewritten to a pointer.
        unsafe { (*self.xdp).data as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.xdp).data_end as usize }
    }

    /// Address of `N` bytes at `at`, checked in the form that the verifier follows.
    #[inline(always)]
    fn address<const N: usize>(&self, at: usize) -> Option<usize> {
        let mut address = self.start();
        // The sum is opaque to the compiler, so that it does not compute it a second time behind
        // the comparison: the verifier knows only the very register that was compared ("invalid
        // access to packet, off=12 size=1, R2(id=316,off=12,r=0)").
        // SAFETY: one addition.
        unsafe { asm!("{0} += {1}", inout(reg) address, in(reg) at, options(nomem, nostack)) };
        if address + N > self.end() {
            None
        } else {
            // SAFETY: no packet lies at address zero. Unsaid, an `Option` of a reference to it is
            // tested once more.
            unsafe { assert_unchecked(address != 0) };
            Some(address)
        }
    }
}

impl Frame for XdpFrame {
    #[inline(always)]
    fn length(&self) -> usize {
        self.end() - self.start()
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        let address = self.address::<N>(at)?;
        // SAFETY: `N` bytes from there lie inside the frame; any bytes are valid.
        Some(unsafe { &*ptr::with_exposed_provenance(address) })
    }

    #[inline(always)]
    fn bytes_mut<const N: usize>(&mut self, at: usize) -> Option<&mut [u8; N]> {
        let address = self.address::<N>(at)?;
        // SAFETY: as above; the frame is borrowed exclusively and belongs to this CPU.
        Some(unsafe { &mut *ptr::with_exposed_provenance_mut(address) })
    }

    #[inline(always)]
    fn grow_head(&mut self, by: usize) -> Option<()> {
        let by = i32::try_from(by).ok()?;
        // SAFETY: the program's argument; no reference into the frame outlives this borrow of it.
        (unsafe { bpf_xdp_adjust_head(self.xdp, -by) } == 0).then_some(())
    }

    #[inline(always)]
    fn shrink_head(&mut self, by: usize) -> Option<()> {
        let by = i32::try_from(by).ok()?;
        // SAFETY: as above.
        (unsafe { bpf_xdp_adjust_head(self.xdp, by) } == 0).then_some(())
    }

    #[inline(always)]
    fn truncate(&mut self, length: usize) -> Option<()> {
        let excess = i32::try_from(self.length().checked_sub(length)?).ok()?;
        // SAFETY: as above.
        (unsafe { bpf_xdp_adjust_tail(self.xdp, -excess) } == 0).then_some(())
    }

    #[inline(always)]
    fn walk_extensions(&self, first: u8, at: usize) -> Chain {
        Chain(walk_extensions(self.xdp, u64::from(first), at as u64))
    }
}

/// The walk over IPv6 extension headers as a global function, which the verifier judges once and
/// for any arguments, see `steps.rs`; hence the bound on the offset.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_extensions(xdp: *mut xdp_md, first: u64, at: u64) -> u64 {
    /// Ethernet, two tags and the IPv6 header are 62 bytes.
    const OFFSET_MASK: u64 = 0x7f;
    let at = (at & OFFSET_MASK) as usize;
    ipv6::walk(&XdpFrame::new(xdp), first as u8, at).0
}
