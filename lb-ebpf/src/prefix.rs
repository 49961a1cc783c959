//! The lookup of a prefix.

use aya_ebpf::maps::LpmTrie;
use aya_ebpf::maps::lpm_trie::Key;

/// The value of the longest prefix that covers an address of so many bits.
#[inline(always)]
pub(crate) fn longest<A>(trie: &LpmTrie<A, u32>, bits: u32, address: A) -> Option<u32> {
    /// The key is packed behind a length of four bytes, but the verifier wants the stack accessed
    /// aligned ("misaligned stack access off 0+0+-108 size 8"): this puts the address on a
    /// multiple of eight.
    #[repr(C, align(8))]
    struct Aligned<A> {
        padding: u32,
        key: Key<A>,
    }

    let aligned = Aligned {
        padding: 0,
        key: Key::new(bits, address),
    };
    trie.get(&aligned.key).copied()
}
