//! Packet headers: one file each, over the layouts of `network-types`.
//!
//! A parser reads a header once, checks what later code relies on, and returns a small value.
//! Big-endian integers do not leave this module. Nothing here decides what happens to a packet.

#[cfg(test)]
mod bytes;
pub mod checksum;
pub mod ethernet;
mod header;
pub mod icmp;
pub mod ip;
mod ipv4;
pub mod ipv6;
pub mod quote;
pub mod translation;
pub mod transport;
pub mod tunnel;

pub use ip::{Cut, Family, Fragment, Outer, Outline, Packet, Piece};
pub use transport::{TcpFlags, Transport};

/// The only door to packet bytes.
pub trait Frame {
    /// Length of the frame in bytes.
    fn length(&self) -> usize;

    /// `N` bytes at offset `at`, or `None` where the frame ends before them.
    fn bytes<const N: usize>(&self, at: usize) -> Option<&[u8; N]>;

    /// The same, to write.
    fn bytes_mut<const N: usize>(&mut self, at: usize) -> Option<&mut [u8; N]>;

    /// Makes room for `by` bytes before the first one, where every offset then begins; what they
    /// hold is anything. `None` where the driver has no room.
    fn grow_head(&mut self, by: usize) -> Option<()>;

    /// Takes `by` bytes away from the head, where every offset then begins. `None` where there are
    /// not as many.
    fn shrink_head(&mut self, by: usize) -> Option<()>;

    /// Cuts off everything behind the first `length` bytes. `None` where there are not as many.
    fn truncate(&mut self, length: usize) -> Option<()>;

    /// Walks the IPv6 extension headers. The kernel's frame does so in a function that the
    /// verifier judges by itself: judged in line, every number of headers would multiply the
    /// states of all that follows.
    #[inline(always)]
    fn walk_extensions(&self, first: u8, at: usize) -> ipv6::Chain
    where
        Self: Sized,
    {
        ipv6::walk(self, first, at)
    }
}
