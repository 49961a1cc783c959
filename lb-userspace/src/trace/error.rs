//! Why a capture cannot be traced.

use std::path::PathBuf;

use pcap_file::PcapError;

use crate::compile::CompileError;
use crate::dataplane::DataplaneError;
use crate::document::DocumentError;

/// Why a capture cannot be traced.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// The file is no capture, or a broken one.
    #[error("{} is not a whole pcap or pcapng capture, at packet {index}: {source}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// Packets read before.
        index: u64,
        /// What is wrong.
        source: PcapError,
    },
    /// The capture holds something else than Ethernet frames.
    #[error(
        "{} holds {link} frames, but the program sees Ethernet; capture on an Ethernet interface \
         (`tcpdump -i eth0`, not `-i any`)", path.display()
    )]
    Link {
        /// The file.
        path: PathBuf,
        /// The link type.
        link: String,
    },
    /// The document is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The document asks for too much.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The kernel refuses the program.
    #[error(transparent)]
    Dataplane(#[from] DataplaneError),
}
