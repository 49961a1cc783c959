//! What user space tells the front program. `tests` includes this file by path.

/// Bytes of the frame that the front restores before each run: headers and a little payload.
pub(crate) const FRAME: usize = 96;
/// Most entries of the sequence of flows.
pub(crate) const SEQUENCE: u32 = 4 * 1024 * 1024;

/// What the front does, and how far it is.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The frame, as words because it is copied as such.
    pub(crate) frame: [u64; FRAME / 8],
    /// The number of the next packet.
    pub(crate) position: u64,
    /// How many entries of the sequence to walk in a circle; 0 gives each packet a flow of its
    /// own, numbered by `position`.
    pub(crate) cycle: u64,
    /// Where the last four bytes of the source address are.
    pub(crate) address_at: u32,
    /// Where the source port is.
    pub(crate) port_at: u32,
    /// The source address of flow 0, of which only the last four bytes vary.
    pub(crate) address: u32,
    /// The source port of flow 0.
    pub(crate) port: u32,
}

const _: () = assert!(size_of::<Plan>() == FRAME + 32);
