//! What the paths to backends were found to take.

use super::Ticks;

/// The longest packet that a router has let through towards a backend, keyed by the backend's address
/// in the common form of [`super::Address`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathMtu {
    /// Bytes of the packet.
    pub mtu: u32,
    /// When the router said so.
    pub seen: Ticks,
}

impl PathMtu {
    /// How long it holds: the path may have changed for the better (RFC 1191, section 6.3; RFC 8201,
    /// section 5.3).
    pub const LIFETIME: u32 = Ticks::in_seconds(600);

    /// Whether it still holds.
    pub const fn holds(&self, now: Ticks) -> bool {
        now.since(self.seen) <= Self::LIFETIME
    }
}

const _: () = assert!(size_of::<PathMtu>() == 8);
