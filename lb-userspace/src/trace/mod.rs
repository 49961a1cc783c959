//! `lb trace`: the packets of a capture through the real program, attached to nothing.
//!
//! The program is loaded as the daemon would load it, with maps of its own, and run on each packet
//! with `BPF_PROG_TEST_RUN`. Nothing here decides what happens to a packet.

mod capture;
mod error;
mod names;
mod replay;

use std::path::PathBuf;

use serde::Serialize;

pub use self::capture::{Capture, Packet, Sink};
pub use self::error::TraceError;
pub use self::replay::Replay;

/// What became of one packet; the fields are exactly the keys of `--json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Traced {
    /// Its position in the capture, from 0.
    pub index: u64,
    /// `pass`, `drop`, `tx`, `redirect` or `aborted`.
    pub verdict: &'static str,
    /// Why, by the names of `lb stats`; `too_long` if the kernel cannot run the program on a frame
    /// of this length.
    pub reason: &'static str,
    /// The rule that matched.
    pub rule: Option<String>,
    /// The service that it was addressed to, or whose reply it is.
    pub service: Option<String>,
    /// The backend, as ADDRESS:PORT.
    pub backend: Option<String>,
    /// Whether it was scheduled as a new connection.
    pub new_flow: bool,
    /// Bytes of the frame before.
    pub length_in: usize,
    /// Bytes of the frame after.
    pub length_out: usize,
}

/// What a trace is told on its command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOptions {
    /// The document's path.
    pub config: PathBuf,
    /// The capture to read.
    pub read: PathBuf,
    /// The capture to write.
    pub write: Option<PathBuf>,
}

/// Traces a capture to its end and shows each packet as soon as its fate is known.
pub async fn run(
    options: &TraceOptions,
    mut show: impl FnMut(&Traced) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut capture = Capture::open(&options.read)?;
    let mut sink = options.write.as_deref().map(Sink::create).transpose()?;
    let mut replay = Replay::load(&options.config).await?;
    let mut index = 0;
    while let Some(packet) = capture.read()? {
        if packet.original_length as usize > packet.bytes.len() {
            eprintln!("warning: the capture holds only the beginning of packet {index}");
        }
        let (traced, frame) = replay.packet(index, &packet.bytes)?;
        if traced.verdict == "aborted" {
            eprintln!(
                "warning: packet {index} is too long for the kernel to run the program on ({} \
                 bytes); capture with segmentation offload off (`ethtool -K DEV gro off tso off`)",
                traced.length_in
            );
        }
        if let Some(sink) = &mut sink {
            sink.write(packet.timestamp, frame)?;
        }
        show(&traced)?;
        index += 1;
    }
    sink.map_or(Ok(()), |sink| sink.finish().map_err(Into::into))
}
