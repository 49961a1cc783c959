//! IP addresses as map keys hold them: opaque words in the byte order of the wire.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of either family.
pub trait Address: Copy + Eq + Default {
    /// What fills a [`crate::abi::ServiceKey`] up to a multiple of eight bytes.
    type Padding: Copy + Eq + Default;

    /// Whether this is the IPv6 type.
    const IS_V6: bool;

    /// Reads the address from the common form of [`crate::abi::Backend`].
    fn from_wide(wide: [u64; 2]) -> Self;

    /// The common form: IPv4 as the IPv6 address that it is mapped to (RFC 4291, section 2.5.5.2).
    fn wide(self) -> [u64; 2];

    /// Whether it may be a sender's: neither unspecified, nor loopback, nor multicast, nor (IPv4)
    /// broadcast or reserved (RFC 1122, section 3.2.1.3; RFC 4291).
    fn is_sender(self) -> bool;

    /// The same address with its last `bits` bits, at most 32, varied by a word.
    #[must_use]
    fn vary(self, bits: u8, by: u32) -> Self;

    /// A word that mixes all bytes of the address, for hashing.
    fn fold(self) -> u32;

    /// The sum of its 32-bit words, for checksums.
    fn sum(self) -> u64;

    /// The sum of the one's complement of its 32-bit words, for checksums.
    fn complement_sum(self) -> u64;
}

/// An IPv4 address.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct V4(u32);

/// An IPv6 address.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct V6([u64; 2]);

const _: () = assert!(size_of::<V4>() == 4 && size_of::<V6>() == 16);

/// What comes before the bytes of a mapped address in its second half; the first is zero.
const MAPPED: u64 = u64::from_ne_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]);

impl V4 {
    /// From bytes in the order of the wire.
    #[inline(always)]
    pub const fn from_octets(octets: [u8; 4]) -> Self {
        Self(u32::from_ne_bytes(octets))
    }

    /// Bytes in the order of the wire.
    #[inline(always)]
    pub const fn octets(self) -> [u8; 4] {
        self.0.to_ne_bytes()
    }
}

impl V6 {
    /// From bytes in the order of the wire.
    #[inline(always)]
    pub const fn from_octets(o: [u8; 16]) -> Self {
        Self([
            u64::from_ne_bytes([o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7]]),
            u64::from_ne_bytes([o[8], o[9], o[10], o[11], o[12], o[13], o[14], o[15]]),
        ])
    }

    /// Bytes in the order of the wire.
    #[inline(always)]
    pub const fn octets(self) -> [u8; 16] {
        let [a, b] = [self.0[0].to_ne_bytes(), self.0[1].to_ne_bytes()];
        [
            a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], b[0], b[1], b[2], b[3], b[4], b[5],
            b[6], b[7],
        ]
    }
}

impl Address for V4 {
    type Padding = [u32; 0];

    const IS_V6: bool = false;

    #[inline(always)]
    fn from_wide(wide: [u64; 2]) -> Self {
        let [.., a, b, c, d] = wide[1].to_ne_bytes();
        Self::from_octets([a, b, c, d])
    }

    #[inline(always)]
    fn wide(self) -> [u64; 2] {
        let [a, b, c, d] = self.octets();
        [0, MAPPED | u64::from_ne_bytes([0, 0, 0, 0, a, b, c, d])]
    }

    #[inline(always)]
    fn is_sender(self) -> bool {
        let [first, ..] = self.octets();
        first != 0 && first != 127 && first < 224
    }

    #[inline(always)]
    fn vary(self, bits: u8, by: u32) -> Self {
        Self(self.0 ^ (by & last(bits)).to_be())
    }

    #[inline(always)]
    fn fold(self) -> u32 {
        self.0
    }

    #[inline(always)]
    fn sum(self) -> u64 {
        u64::from(self.0)
    }

    #[inline(always)]
    fn complement_sum(self) -> u64 {
        u64::from(!self.0)
    }
}

impl Address for V6 {
    type Padding = [u32; 1];

    const IS_V6: bool = true;

    #[inline(always)]
    fn from_wide(wide: [u64; 2]) -> Self {
        Self(wide)
    }

    #[inline(always)]
    fn wide(self) -> [u64; 2] {
        self.0
    }

    #[inline(always)]
    fn is_sender(self) -> bool {
        let [first, second] = self.0;
        let local = first == 0 && u64::from_be(second) <= 1;
        !local && first.to_ne_bytes()[0] != 0xff
    }

    #[inline(always)]
    fn vary(self, bits: u8, by: u32) -> Self {
        Self([self.0[0], self.0[1] ^ u64::from(by & last(bits)).to_be()])
    }

    #[inline(always)]
    fn fold(self) -> u32 {
        let word = self.0[0] ^ self.0[1].rotate_left(17);
        (word ^ (word >> 32)) as u32
    }

    #[inline(always)]
    fn sum(self) -> u64 {
        let halves = |word: u64| (word & 0xffff_ffff) + (word >> 32);
        halves(self.0[0]) + halves(self.0[1])
    }

    #[inline(always)]
    fn complement_sum(self) -> u64 {
        Self([!self.0[0], !self.0[1]]).sum()
    }
}

/// The last bits of a word, at most 32.
#[inline(always)]
fn last(bits: u8) -> u32 {
    ((1_u64 << (bits & 63)) - 1) as u32
}

impl From<Ipv4Addr> for V4 {
    fn from(address: Ipv4Addr) -> Self {
        Self::from_octets(address.octets())
    }
}

impl From<Ipv6Addr> for V6 {
    fn from(address: Ipv6Addr) -> Self {
        Self::from_octets(address.octets())
    }
}

/// Whether an address in the common form is an IPv4 one.
#[inline(always)]
pub fn is_v4(wide: [u64; 2]) -> bool {
    const BEFORE: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    wide[0] == 0 && wide[1] & BEFORE == MAPPED
}

/// The common form of an address of either family.
pub fn wide(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => V4::from(address).wide(),
        IpAddr::V6(address) => V6::from(address).wide(),
    }
}

/// The address of a common form.
pub fn narrow(wide: [u64; 2]) -> IpAddr {
    IpAddr::from(V6::from_wide(wide).octets()).to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_survive_every_form() {
        let four = V4::from_octets([192, 0, 2, 7]);
        assert_eq!(four.octets(), [192, 0, 2, 7]);
        assert_eq!(V4::from_wide(four.wide()), four);
        assert!(is_v4(four.wide()));
        let octets = [32, 1, 13, 184, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let six = V6::from_octets(octets);
        assert_eq!(six.octets(), octets);
        assert_eq!(V6::from_wide(six.wide()), six);
        assert!(!is_v4(six.wide()));
        let mapped = IpAddr::from(Ipv4Addr::from([192, 0, 2, 7]).to_ipv6_mapped());
        assert_eq!(wide(mapped), four.wide());
        assert_eq!(wide(IpAddr::from(octets)), six.wide());
        assert_eq!(narrow(six.wide()), IpAddr::from(octets));
        assert_eq!(narrow(four.wide()), IpAddr::from([192, 0, 2, 7]));
    }

    #[test]
    fn senders_are_single_hosts() {
        for (octets, is_sender) in [
            ([0, 0, 0, 0], false),
            ([0, 1, 2, 3], false),
            ([1, 0, 0, 1], true),
            ([127, 0, 0, 1], false),
            ([192, 0, 2, 1], true),
            ([223, 255, 255, 255], true),
            ([224, 0, 0, 1], false),
            ([255, 255, 255, 255], false),
        ] {
            assert_eq!(V4::from_octets(octets).is_sender(), is_sender, "{octets:?}");
        }
        let six = |first: u8, last: u8| {
            let mut octets = [0; 16];
            (octets[0], octets[15]) = (first, last);
            V6::from_octets(octets).is_sender()
        };
        assert!(six(0x20, 1) && six(0xfe, 1) && six(0, 2));
        assert!(!six(0, 0) && !six(0, 1) && !six(0xff, 1));
    }

    #[test]
    fn only_the_last_bits_vary() {
        let four = V4::from_octets([172, 16, 0, 1]);
        assert_eq!(four.vary(0, u32::MAX), four);
        assert_eq!(four.vary(12, u32::MAX).octets(), [172, 16, 0x0f, 0xfe]);
        assert_eq!(four.vary(32, 0x0102_0304).octets(), [173, 18, 3, 5]);
        let six = V6::from_octets([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let varied = six.vary(16, 0xffff_1200).octets();
        assert_eq!(varied, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 1]);
        assert_eq!(
            six.vary(32, u32::MAX).octets()[11..],
            [0, 255, 255, 255, 254]
        );
    }
}
