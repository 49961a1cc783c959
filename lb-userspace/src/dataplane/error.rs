//! What can go wrong between us and the kernel, and what the user can do about it.

use std::io;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;

/// Why the kernel does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// We may not use BPF.
    #[error(
        "loading an XDP program needs root, or the capabilities CAP_BPF, CAP_NET_ADMIN and \
         CAP_PERFMON; run it with sudo"
    )]
    Privilege,
    /// The kernel is older than the program needs.
    #[error(
        "this kernel is {running}, but the program needs {needed} (exact round robin across CPUs \
         needs the atomic fetch-and-add that BPF has since then); boot a newer kernel"
    )]
    KernelTooOld {
        /// What `uname -r` prints.
        running: String,
        /// The oldest version that works.
        needed: &'static str,
    },
    /// The kernel does not describe its types.
    #[error(
        "the kernel has no BTF ({0} does not exist); use a kernel built with \
         CONFIG_DEBUG_INFO_BTF=y, as the stock kernels of Debian, Ubuntu and Fedora are"
    )]
    NoBtf(PathBuf),
    /// Pins cannot be kept there.
    #[error(
        "{} is not on a BPF file system; mount one with `mount -t bpf bpf /sys/fs/bpf`, or name a \
         directory on one with --pin-dir", .0.display()
    )]
    NoBpfFs(PathBuf),
    /// An interface of the document does not exist.
    #[error("there is no interface {name}; this host has {known}. Correct `interfaces`")]
    NoInterface {
        /// The name in the document.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// Somebody else's program is there.
    #[error(
        "another XDP program is attached to {interface}; see `ip link show dev {interface}`, and \
         take it off with `ip link set dev {interface} xdp off` (or end the program that put it \
         there)"
    )]
    Occupied {
        /// The interface.
        interface: String,
    },
    /// The driver has no native XDP, and nothing else was asked for.
    #[error(
        "{interface} cannot run XDP natively ({source}); set xdp_mode = \"auto\" or \"generic\""
    )]
    NotNative {
        /// The interface.
        interface: String,
        /// What the kernel says.
        source: ProgramError,
    },
    /// More trusted sources than the table holds.
    #[error("there are more than {most} sources of one family; merge neighbouring prefixes")]
    TooManySources {
        /// As many there may be.
        most: usize,
    },
    /// Attaching failed.
    #[error("cannot attach the program to {interface}: {source}")]
    Attach {
        /// The interface.
        interface: String,
        /// What the kernel says.
        source: ProgramError,
    },
    /// The link cannot be kept.
    #[error(
        "cannot keep the link to {interface} ({what}); kernel 5.9 or newer has links that can be \
         pinned"
    )]
    Link {
        /// The interface.
        interface: String,
        /// What happened.
        what: String,
    },
    /// The verifier refused.
    #[error("the kernel's verifier refuses the program: {error}; the end of its log:\n{log}")]
    Verifier {
        /// The system's error.
        error: io::Error,
        /// The last lines of the verifier's log.
        log: String,
    },
    /// The object cannot be loaded.
    #[error("cannot load the program: {0}")]
    Load(#[from] EbpfError),
    /// A program operation failed.
    #[error("the kernel refuses an operation on the program: {0}")]
    Program(#[from] ProgramError),
    /// A map operation failed.
    #[error("cannot access the map {map}: {source}")]
    Map {
        /// The map's name.
        map: &'static str,
        /// What happened.
        source: MapError,
    },
    /// Object and controller do not fit together; cannot happen in one build.
    #[error("the program has no map or program {0}; rebuild with `cargo xtask build`")]
    Missing(&'static str),
    /// No range of slots is free.
    #[error("the slot table is full: {wanted} slots in a row are not free; use smaller weights")]
    NoSlots {
        /// Slots needed in a row.
        wanted: usize,
    },
    /// A file system operation failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The program's log cannot be read.
    #[error("cannot read the program's log: {0}")]
    Log(String),
}

impl DataplaneError {
    /// Names the map of a failed operation.
    pub(crate) fn map(map: &'static str) -> impl Fn(MapError) -> Self {
        move |source| Self::Map { map, source }
    }
}
