//! The program of `lb decap`, which unpacks tunnels on a backend.
//!
//! Nothing is pinned: the program leaves its interfaces when this is dropped.

use aya::maps::lpm_trie::Key;
use aya::maps::{LpmTrie, MapData, PerCpuArray};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use ipnet::IpNet;
use lb_common::decapsulation::{PREFIXES, Unpacked};

use super::attach::{attach, attachment, index_of};
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
        let map = self.ebpf.map(UNPACKED);
        let map = map.ok_or(DataplaneError::Missing(UNPACKED))?;
        let counts: PerCpuArray<_, u64> = map.try_into().map_err(DataplaneError::map(UNPACKED))?;
        let count = |unpacked: Unpacked| {
            let values = counts.get(&(unpacked as u32), 0);
            let values = values.map_err(DataplaneError::map(UNPACKED))?;
            Ok::<u64, DataplaneError>(values.iter().sum())
        };
        Ok(Frames {
            inner: count(Unpacked::Inner)?,
            untrusted: count(Unpacked::Untrusted)?,
            malformed: count(Unpacked::Malformed)?,
            congested: count(Unpacked::Congested)?,
        })
    }
}

/// Enters the trusted sources.
fn trust(ebpf: &mut Ebpf, trusted: &[IpNet]) -> Result<(), DataplaneError> {
    const V4: &str = "TRUSTED_V4";
    const V6: &str = "TRUSTED_V6";
    let most = PREFIXES as usize;
    for is_v4 in [true, false] {
        let family = trusted
            .iter()
            .filter(|prefix| prefix.addr().is_ipv4() == is_v4);
        if family.count() > most {
            return Err(DataplaneError::TooManySources { most });
        }
    }
    for prefix in trusted {
        let length = u32::from(prefix.prefix_len());
        match prefix {
            IpNet::V4(prefix) => {
                let map = ebpf.map_mut(V4).ok_or(DataplaneError::Missing(V4))?;
                let mut map: LpmTrie<&mut MapData, [u8; 4], u32> =
                    map.try_into().map_err(DataplaneError::map(V4))?;
                map.insert(&Key::new(length, prefix.addr().octets()), 1, 0)
                    .map_err(DataplaneError::map(V4))?;
            }
            IpNet::V6(prefix) => {
                let map = ebpf.map_mut(V6).ok_or(DataplaneError::Missing(V6))?;
                let mut map: LpmTrie<&mut MapData, [u8; 16], u32> =
                    map.try_into().map_err(DataplaneError::map(V6))?;
                map.insert(&Key::new(length, prefix.addr().octets()), 1, 0)
                    .map_err(DataplaneError::map(V6))?;
            }
        }
    }
    Ok(())
}
