//! The decision about one packet, as `lb trace` reads it from the kernel.

/// An id that is none.
pub const NONE: u32 = u32::MAX;

/// What was decided about the last packet, and why.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The reason's number.
    pub reason: u32,
    /// The rule that decided or accepted, or [`NONE`].
    pub rule: u32,
    /// The service's id, or [`NONE`].
    pub service: u32,
    /// The backend's id, or [`NONE`].
    pub backend: u32,
    /// 1 if the packet made a new flow.
    pub new_flow: u32,
    /// Explicit padding, zero.
    pub zero: u32,
}

const _: () = assert!(size_of::<Trace>() == 24);
