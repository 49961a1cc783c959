//! The program of `lb decap`, which unpacks tunnels on a backend.
//!
//! Nothing is pinned: the program leaves its interfaces when this is dropped.

use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use ipnet::IpNet;
use lb_common::decapsulation::{PREFIXES, Unpacked};

use super::attach::{attach, attachment, index_of};
use super::counters::totals;
use super::fill::fill_trie;
use super::generation::{load_program, program};
use super::{Attachment, DataplaneError, Host};
use crate::document::XdpMode;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/decap"));
/// The program's name in its object.
const NAME: &str = "decap";
/// The map that counts.
const UNPACKED: &str = "UNPACKED";

/// The running program.
#[derive(Debug)]
pub struct Decapsulation {
    ebpf: Ebpf,
}

/// Frames by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frames {
    /// Unpacked.
    pub inner: u64,
    /// Dropped, because the source is not trusted.
    pub untrusted: u64,
    /// Dropped, because what is inside is no IP packet or cut off.
    pub malformed: u64,
    /// Dropped, because they met congestion that their sender would not have understood.
    pub congested: u64,
}

impl Decapsulation {
    /// Loads the program. Tunnels from sources in `trusted`, at most 1,024 prefixes of each
    /// family, are unpacked.
    ///
    /// # Errors
    /// The host cannot run it, or there are too many sources.
    pub fn load(trusted: &[IpNet]) -> Result<Self, DataplaneError> {
        Host::probe()?;
        let mut ebpf = EbpfLoader::new()
            .verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS)
            .load(OBJECT)?;
        load_program(&mut ebpf, NAME)?;
        trust(&mut ebpf, trusted)?;
        Ok(Self { ebpf })
    }

    /// Attaches the program to an interface, and says how.
    ///
    /// # Errors
    /// The interface does not exist or refuses the program.
    pub fn attach(&mut self, name: &str, mode: XdpMode) -> Result<Attachment, DataplaneError> {
        let index = index_of(name)?;
        let (_, refusal) = attach(self.program()?, name, index, mode)?;
        Ok(attachment(name, index, mode, refusal))
    }

    /// The program.
    ///
    /// # Errors
    /// The object has none.
    pub fn program(&mut self) -> Result<&mut Xdp, DataplaneError> {
        program(&mut self.ebpf, NAME)
    }

    /// What became of all frames so far.
    ///
    /// # Errors
    /// The kernel does not let the map be read.
    pub fn frames(&self) -> Result<Frames, DataplaneError> {
        let add = |sum: &mut u64, frames| *sum += frames;
        let totals = totals(&self.ebpf, UNPACKED, 0..Unpacked::COUNT, add)?;
        let count =
            |unpacked: Unpacked| totals.get(&(unpacked as u32)).copied().unwrap_or_default();
        Ok(Frames {
            inner: count(Unpacked::Inner),
            untrusted: count(Unpacked::Untrusted),
            malformed: count(Unpacked::Malformed),
            congested: count(Unpacked::Congested),
        })
    }
}

/// Enters the trusted sources.
fn trust(ebpf: &mut Ebpf, trusted: &[IpNet]) -> Result<(), DataplaneError> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for prefix in trusted {
        match prefix {
            IpNet::V4(prefix) => v4.push((prefix.addr().octets(), prefix.prefix_len(), 1)),
            IpNet::V6(prefix) => v6.push((prefix.addr().octets(), prefix.prefix_len(), 1)),
        }
    }
    let most = PREFIXES as usize;
    if v4.len().max(v6.len()) > most {
        return Err(DataplaneError::TooManySources { most });
    }
    fill_trie(ebpf, "TRUSTED_V4", &v4)?;
    fill_trie(ebpf, "TRUSTED_V6", &v6)
}
