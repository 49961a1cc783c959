//! Views of header layouts in packet bytes: the one place that turns bytes into structs.
#![expect(unsafe_code, reason = "a view of bytes as a struct")]

use network_types::eth::EthHdr;
use network_types::ip::{Ipv4Hdr, Ipv6Hdr};
use network_types::tcp::TcpHdr as BitfieldTcpHdr;
use network_types::udp::UdpHdr;
use network_types::vlan::VlanHdr;

use super::Frame;

/// A header layout that can be viewed in place.
///
/// # Safety
///
/// The type must have alignment 1 and be valid for any bytes.
pub(super) unsafe trait Header: Sized {
    /// The header at offset `at`, or `None` where the frame ends before it.
    fn view<F: Frame>(frame: &F, at: usize) -> Option<&Self>;

    /// The same, to write.
    fn view_mut<F: Frame>(frame: &mut F, at: usize) -> Option<&mut Self>;
}

macro_rules! header {
    ($($type:ty),* $(,)?) => {
        $(
            // A type that is misaligned or would grow padding does not compile.
            const _: () = assert!(align_of::<$type>() == 1);

            // SAFETY: alignment is asserted above; the type is `repr(C)` over bytes.
            unsafe impl Header for $type {
                #[inline(always)]
                fn view<F: Frame>(frame: &F, at: usize) -> Option<&Self> {
                    let bytes = frame.bytes::<{ size_of::<$type>() }>(at)?;
                    // SAFETY: exactly as many bytes as the type has, alignment 1, any bytes valid.
                    Some(unsafe { &*bytes.as_ptr().cast::<Self>() })
                }

                #[inline(always)]
                fn view_mut<F: Frame>(frame: &mut F, at: usize) -> Option<&mut Self> {
                    let bytes = frame.bytes_mut::<{ size_of::<$type>() }>(at)?;
                    // SAFETY: as above, and the bytes are borrowed exclusively.
                    Some(unsafe { &mut *bytes.as_mut_ptr().cast::<Self>() })
                }
            }
        )*
    };
}

/// An Ethernet header; the type of `network-types` has alignment 2.
#[repr(C)]
pub(super) struct Ethernet {
    pub(super) destination: [u8; 6],
    pub(super) source: [u8; 6],
    pub(super) ether_type: [u8; 2],
}

/// What follows a VLAN tag's `EtherType`.
#[repr(C)]
pub(super) struct Tag {
    pub(super) control: [u8; 2],
    pub(super) ether_type: [u8; 2],
}

/// A TCP header with its flags as one byte; `network-types` gives them bit by bit.
#[repr(C)]
pub(super) struct Tcp {
    pub(super) source: [u8; 2],
    pub(super) destination: [u8; 2],
    pub(super) sequence: [u8; 4],
    pub(super) acknowledgment: [u8; 4],
    /// Data offset in 32-bit words, in the upper four bits.
    pub(super) offset: u8,
    pub(super) flags: u8,
    pub(super) window: [u8; 2],
    pub(super) checksum: [u8; 2],
    pub(super) urgent: [u8; 2],
}

/// An IPv6 fragment header (RFC 8200, section 4.5).
#[repr(C)]
pub(super) struct FragmentHeader {
    pub(super) next: u8,
    pub(super) reserved: u8,
    /// In units of eight bytes, in the upper 13 bits; the lowest says whether more follow.
    pub(super) offset: [u8; 2],
    pub(super) identification: [u8; 4],
}

/// What begins every ICMP and `ICMPv6` message (RFC 792, RFC 4443).
#[repr(C)]
pub(super) struct Icmp {
    pub(super) kind: u8,
    pub(super) code: u8,
    pub(super) checksum: [u8; 2],
    /// Identifier and sequence number, or what else the type makes of it.
    pub(super) rest: [u8; 4],
}

const _: () = assert!(size_of::<Ethernet>() == EthHdr::LEN && size_of::<Tag>() == VlanHdr::LEN);
const _: () = assert!(size_of::<Tcp>() == BitfieldTcpHdr::LEN);

header!(
    Ethernet,
    Tag,
    Ipv4Hdr,
    Ipv6Hdr,
    FragmentHeader,
    Tcp,
    UdpHdr,
    Icmp
);

#[cfg(test)]
mod tests {
    //! Under Miri these say whether the views are sound, at any offset and at a frame's end.
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    struct Bytes([u8; 64]);

    impl Frame for Bytes {
        fn length(&self) -> usize {
            self.0.len()
        }

        fn bytes<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
            self.0.get(at..at.checked_add(N)?)?.try_into().ok()
        }

        fn bytes_mut<const N: usize>(&mut self, at: usize) -> Option<&mut [u8; N]> {
            self.0.get_mut(at..at.checked_add(N)?)?.try_into().ok()
        }

        fn grow_head(&mut self, _: usize) -> Option<()> {
            None
        }

        fn shrink_head(&mut self, _: usize) -> Option<()> {
            None
        }

        fn truncate(&mut self, _: usize) -> Option<()> {
            None
        }
    }

    /// Checks the views of a type by its last two bytes, at every offset.
    fn ends_with<H: Header>(last: fn(&mut H) -> &mut [u8; 2]) {
        let length = size_of::<H>();
        for at in 0..80 {
            let mut frame = Bytes(core::array::from_fn(|at| at as u8));
            assert_eq!(H::view(&frame, at).is_some(), at + length <= 64);
            let Some(header) = H::view_mut(&mut frame, at) else {
                continue;
            };
            let end = at + length;
            assert_eq!(*last(header), [end as u8 - 2, end as u8 - 1]);
            *last(header) = [0xab, 0xcd];
            let found = frame.0.iter().position(|byte| *byte == 0xab);
            assert_eq!(found, Some(end - 2));
            assert_eq!(frame.0.get(end - 1), Some(&0xcd));
        }
        assert!(H::view(&Bytes([0; 64]), usize::MAX).is_none());
    }

    #[test]
    fn views_reach_from_any_offset_to_the_last_byte_and_no_further() {
        ends_with::<Ethernet>(|header| &mut header.ether_type);
        ends_with::<Tag>(|header| &mut header.ether_type);
        ends_with::<Ipv4Hdr>(|header| header.dst_addr.last_chunk_mut().unwrap());
        ends_with::<Ipv6Hdr>(|header| header.dst_addr.last_chunk_mut().unwrap());
        ends_with::<Tcp>(|header| &mut header.urgent);
        ends_with::<UdpHdr>(|header| &mut header.check);
        ends_with::<Icmp>(|header| header.rest.last_chunk_mut().unwrap());
    }
}
