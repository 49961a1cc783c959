//! Internet checksums by difference (RFC 1624, equation 3): HC' = ~(~HC + ~m + m').
//!
//! One's complement sums do not depend on byte order (RFC 1071, section 2), so all words here are
//! in the machine's. No checksum is ever computed over a whole packet.

use crate::abi::{Address, FlowKey};

/// The sum of ~m + m' over every word that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delta(u64);

impl Delta {
    /// Nothing changed.
    pub const NONE: Self = Self(0);

    /// With a 16-bit word changed, given as its bytes on the wire.
    #[inline(always)]
    #[must_use]
    pub fn word(self, old: [u8; 2], new: [u8; 2]) -> Self {
        let (old, new) = (u16::from_ne_bytes(old), u16::from_ne_bytes(new));
        Self(self.0 + u64::from(!old) + u64::from(new))
    }

    /// With four bytes where there were zeros.
    #[inline(always)]
    #[must_use]
    pub fn added(self, bytes: [u8; 4]) -> Self {
        // A word of zeros is as good as one of ones, its complement.
        Self(self.0 + u64::from(u32::from_ne_bytes(bytes)))
    }

    /// With all that another says has changed.
    #[inline(always)]
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// With an address changed, if need be for one of the other family.
    #[inline(always)]
    #[must_use]
    pub fn address<A: Address, B: Address>(self, old: A, new: B) -> Self {
        Self(self.0 + old.complement_sum() + new.sum())
    }

    /// With both addresses of one flow's packets changed for those of another's.
    #[inline(always)]
    pub fn between<A: Address, B: Address>(old: &FlowKey<A>, new: &FlowKey<B>) -> Self {
        Self::NONE
            .address(old.remote, new.remote)
            .address(old.local, new.local)
    }

    /// The checksum after the change, given and returned as its bytes on the wire.
    #[inline(always)]
    #[must_use]
    pub fn apply(self, checksum: [u8; 2]) -> [u8; 2] {
        let mut sum = self.0 + u64::from(!u16::from_ne_bytes(checksum));
        // Each fold adds the carries back in. Sums stay below 2^40, so that folding to 32 bits
        // and then three times to 16 leaves none.
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        (!(sum as u16)).to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{V4, V6};

    /// RFC 1071 over whole data: the independent way to the same figure.
    fn full(words: &[u16]) -> u16 {
        let mut sum: u32 = words.iter().map(|word| u32::from(*word)).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn rfc_1624_example() {
        // Section 4: HC = 0xdd2f, m = 0x5555, m' = 0x3285 gives 0x0000.
        let delta = Delta::NONE.word(0x5555_u16.to_be_bytes(), 0x3285_u16.to_be_bytes());
        assert_eq!(delta.apply(0xdd2f_u16.to_be_bytes()), [0, 0]);
    }

    #[test]
    fn every_word_change_agrees_with_the_full_sum() {
        // Miri interprets, and takes minutes for what takes the machine milliseconds.
        let sparsely = if cfg!(miri) { 32 } else { 1 };
        for old in (0..=u16::MAX).step_by(257 * sparsely) {
            for new in (0..=u16::MAX).step_by(251 * sparsely) {
                let rest = [0x1234, 0xfffe, 0x0001];
                let before = full(&[old, rest[0], rest[1], rest[2]]);
                let after = full(&[new, rest[0], rest[1], rest[2]]);
                let delta = Delta::NONE.word(old.to_ne_bytes(), new.to_ne_bytes());
                assert_eq!(u16::from_ne_bytes(delta.apply(before.to_ne_bytes())), after);
            }
        }
    }

    #[test]
    fn address_changes_agree_with_the_full_sum() {
        let words = |octets: &[u8]| -> [u16; 8] {
            let mut words = [0; 8];
            for (word, pair) in words.iter_mut().zip(octets.chunks(2)) {
                *word = u16::from_ne_bytes([pair[0], pair[1]]);
            }
            words
        };
        let (a, b) = ([255; 16], [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 16]);
        let delta = Delta::NONE.address(V6::from_octets(a), V6::from_octets(b));
        assert_eq!(
            delta.apply(full(&words(&a)).to_ne_bytes()),
            full(&words(&b)).to_ne_bytes()
        );
        let (a, b) = ([10, 0, 255, 255], [192, 0, 2, 1]);
        let delta = Delta::NONE.address(V4::from_octets(a), V4::from_octets(b));
        assert_eq!(
            delta.apply(full(&words(&a)).to_ne_bytes()),
            full(&words(&b)).to_ne_bytes()
        );
    }
}
