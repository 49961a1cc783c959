//! The revision of a document: a short hash of its text.
//!
//! It tells a stale writer from a current one; it is no protection against forgery.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Bytes of the hash that are shown: enough that two texts of one history never share a revision.
const SHOWN: usize = 8;

/// The first 16 hexadecimal digits of the text's SHA-256; the same on every machine and version.
pub fn revision(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(SHOWN)
        .fold(String::with_capacity(2 * SHOWN), |mut hex, byte| {
            // Writing to a `String` cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::revision;

    #[test]
    fn it_is_the_start_of_the_sha256_that_sha256sum_prints() {
        assert_eq!(revision(""), "e3b0c44298fc1c14");
        assert_eq!(revision("abc"), "ba7816bf8f01cfea");
    }
}
