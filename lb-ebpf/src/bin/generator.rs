//! The bench's two ends of a cable: `generate` makes frames, `sink` counts what comes back.
//!
//! `generate` is run by `BPF_PROG_TEST_RUN` with live frames and sends each out of one device.
//! The kernel recycles a frame as its receiver left it, so all of it is written anew each time.
//! No part of the product.
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP};
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, PerCpuArray};
use aya_ebpf::programs::XdpContext;
use core::ptr::read_volatile;

/// A frame in 64-bit words: the shortest that Ethernet knows.
type Words = [u64; 8];

/// Ethernet header, then an IPv4 header without options.
const ETHER_TYPE: usize = 12;
const HEADER_CHECKSUM: usize = 24;
const SOURCE: usize = 26;
const DESTINATION: usize = 30;
const IPV4: u16 = 0x0800;

/// The interface that frames leave by.
#[unsafe(no_mangle)]
static DEVICE: u32 = 0;
/// The first source address, in the host's byte order.
#[unsafe(no_mangle)]
static SOURCE_FIRST: u32 = 0;
/// How far apart source addresses are.
#[unsafe(no_mangle)]
static SOURCE_STRIDE: u32 = 1;
/// How many there are; then they begin anew.
#[unsafe(no_mangle)]
static SOURCE_COUNT: u32 = 1;

/// The frame, with a zero source address and header checksum.
#[map]
static TEMPLATE: Array<Words> = Array::with_max_entries(1, 0);
/// The sum of the template's IPv4 header in 16-bit words.
#[map]
static TEMPLATE_SUM: Array<u32> = Array::with_max_entries(1, 0);
/// Frames made.
#[map]
static CURSOR: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);
/// IPv4 frames that came back, by the last byte of their destination's Ethernet address.
#[map]
static BY_MAC: PerCpuArray<u64> = PerCpuArray::with_max_entries(256, 0);
/// The same by the last byte of their destination's IPv4 address.
#[map]
static BY_ADDRESS: PerCpuArray<u64> = PerCpuArray::with_max_entries(256, 0);

/// Makes one frame and sends it.
#[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
#[xdp]
fn generate(xdp: XdpContext) -> u32 {
    make(&xdp).unwrap_or(XDP_ABORTED)
}

/// Counts a frame and drops it.
#[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
#[xdp]
fn sink(xdp: XdpContext) -> u32 {
    count(&xdp);
    XDP_DROP
}

#[inline(always)]
fn make(xdp: &XdpContext) -> Option<u32> {
    let template = TEMPLATE.get(0)?;
    let header_sum = *TEMPLATE_SUM.get(0)?;
    let cursor = CURSOR.get_ptr_mut(0)?;
    // SAFETY: the entry is this CPU's own.
    let made = unsafe { *cursor };
    // SAFETY: as above.
    unsafe { *cursor = made.wrapping_add(1) };

    let number = made.checked_rem(frozen(&SOURCE_COUNT))?;
    let source = frozen(&SOURCE_FIRST).wrapping_add(number.wrapping_mul(frozen(&SOURCE_STRIDE)));
    write(xdp, 0, *template)?;
    write(xdp, SOURCE, source.to_be_bytes())?;
    let sum = header_sum + (source >> 16) + (source & 0xffff);
    let folded = (sum >> 16) + (sum & 0xffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    write(xdp, HEADER_CHECKSUM, (!folded as u16).to_be_bytes())?;
    // SAFETY: takes no pointers; an unknown interface is an error counted by the kernel.
    let action = unsafe { bpf_redirect(frozen(&DEVICE), 0) };
    u32::try_from(action).ok()
}

#[inline(always)]
fn count(xdp: &XdpContext) -> Option<()> {
    let kind: [u8; 2] = read(xdp, ETHER_TYPE)?;
    if u16::from_be_bytes(kind) != IPV4 {
        return None;
    }
    let [mac]: [u8; 1] = read(xdp, 5)?;
    let [address]: [u8; 1] = read(xdp, DESTINATION + 3)?;
    increment(&BY_MAC, mac)?;
    increment(&BY_ADDRESS, address)
}

#[inline(always)]
fn increment(counters: &PerCpuArray<u64>, index: u8) -> Option<()> {
    let counter = counters.get_ptr_mut(u32::from(index))?;
    // SAFETY: the entry is this CPU's own.
    unsafe { *counter += 1 };
    Some(())
}

/// A setting that user space froze before the program was loaded.
#[inline(always)]
fn frozen(setting: &u32) -> u32 {
    // SAFETY: a valid reference. Volatile, so that the compiler does not take the value for known.
    unsafe { read_volatile(setting) }
}

#[inline(always)]
fn write<T>(xdp: &XdpContext, at: usize, value: T) -> Option<()> {
    let place: *mut T = address(xdp, at)?;
    // SAFETY: within the frame, which the program may write at any alignment.
    unsafe { place.write_unaligned(value) };
    Some(())
}

#[inline(always)]
fn read<T>(xdp: &XdpContext, at: usize) -> Option<T> {
    let place: *mut T = address(xdp, at)?;
    // SAFETY: within the frame; `T` is an array of bytes here, so any content is valid.
    Some(unsafe { place.read_unaligned() })
}

#[inline(always)]
fn address<T>(xdp: &XdpContext, at: usize) -> Option<*mut T> {
    let start = xdp.data() + at;
    (start + size_of::<T>() <= xdp.data_end()).then_some(start as *mut T)
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
