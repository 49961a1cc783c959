//! Captures: pcap and pcapng in, pcap out.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, PcapError, TsResolution};
use tempfile::NamedTempFile;

use super::TraceError;

/// One packet of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Time since 1970.
    pub timestamp: Duration,
    /// Its length on the wire, which may exceed what was captured.
    pub original_length: u32,
    /// What was captured.
    pub bytes: Vec<u8>,
}

/// A capture being read.
pub struct Capture {
    path: PathBuf,
    reader: Reader,
    packets: u64,
}

enum Reader {
    Pcap(Box<PcapReader<BufReader<File>>>),
    PcapNg(Box<PcapNgReader<BufReader<File>>>),
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Capture {
    /// Opens a capture of Ethernet frames.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        /// RFC draft-ietf-opsawg-pcapng, section 4.1: a file starts with a section header block.
        const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
        let io = |source| TraceError::Io {
            what: "read",
            path: path.to_owned(),
            source,
        };
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let mut magic = Vec::new();
        file.by_ref().take(4).read_to_end(&mut magic).map_err(io)?;
        file.rewind().map_err(io)?;
        let broken = |source| TraceError::Capture {
            path: path.to_owned(),
            index: 0,
            source,
        };
        let reader = if magic == PCAPNG {
            Reader::PcapNg(Box::new(PcapNgReader::new(file).map_err(broken)?))
        } else {
            let reader = PcapReader::new(file).map_err(broken)?;
            check_link(path, reader.header().datalink)?;
            Reader::Pcap(Box::new(reader))
        };
        Ok(Self {
            path: path.to_owned(),
            reader,
            packets: 0,
        })
    }

    /// The next packet, or `None` at the end.
    pub fn read(&mut self) -> Result<Option<Packet>, TraceError> {
        let (path, index) = (&self.path, self.packets);
        let broken = |source| TraceError::Capture {
            path: path.clone(),
            index,
            source,
        };
        let packet = match &mut self.reader {
            Reader::Pcap(reader) => reader.next_packet().transpose().map_err(broken)?.map(|p| {
                let bytes = p.data.into_owned();
                Packet {
                    timestamp: p.timestamp,
                    original_length: p.orig_len,
                    bytes,
                }
            }),
            Reader::PcapNg(reader) => loop {
                match reader.next_block().transpose().map_err(broken)? {
                    None => break None,
                    Some(Block::InterfaceDescription(interface)) => {
                        check_link(path, interface.linktype)?;
                    }
                    Some(Block::EnhancedPacket(p)) => {
                        let bytes = p.data.into_owned();
                        break Some(Packet {
                            timestamp: p.timestamp,
                            original_length: p.original_len,
                            bytes,
                        });
                    }
                    Some(Block::SimplePacket(p)) => {
                        let bytes = p.data.into_owned();
                        break Some(Packet {
                            timestamp: Duration::ZERO,
                            original_length: p.original_len,
                            bytes,
                        });
                    }
                    Some(_) => {}
                }
            },
        };
        self.packets += u64::from(packet.is_some());
        Ok(packet)
    }
}

fn check_link(path: &Path, link: DataLink) -> Result<(), TraceError> {
    if link == DataLink::ETHERNET {
        return Ok(());
    }
    Err(TraceError::Link {
        path: path.to_owned(),
        link: format!("{link:?}"),
    })
}

/// A capture being written; it gets its name when it is complete.
#[derive(Debug)]
pub struct Sink {
    path: PathBuf,
    writer: PcapWriter<BufWriter<NamedTempFile>>,
}

impl Sink {
    /// Starts a pcap file of Ethernet frames with nanosecond time stamps.
    pub fn create(path: &Path) -> Result<Self, TraceError> {
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let file =
            NamedTempFile::new_in(directory.unwrap_or(Path::new("."))).map_err(|source| {
                TraceError::Io {
                    what: "write",
                    path: path.to_owned(),
                    source,
                }
            })?;
        let header = PcapHeader {
            datalink: DataLink::ETHERNET,
            ts_resolution: TsResolution::NanoSecond,
            ..PcapHeader::default()
        };
        let writer = PcapWriter::with_header(BufWriter::new(file), header)
            .map_err(|error| write_error(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            writer,
        })
    }

    /// Adds a frame.
    pub fn write(&mut self, timestamp: Duration, frame: &[u8]) -> Result<(), TraceError> {
        let packet = PcapPacket::new(timestamp, frame.len() as u32, frame);
        let written = self.writer.write_packet(&packet);
        written
            .map(drop)
            .map_err(|error| write_error(&self.path, error))
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<(), TraceError> {
        let path = self.path;
        let io = |source| TraceError::Io {
            what: "write",
            path: path.clone(),
            source,
        };
        let mut buffer = self.writer.into_writer();
        buffer.flush().map_err(io)?;
        let file = buffer
            .into_inner()
            .map_err(|error| io(error.into_error()))?;
        file.persist(&path)
            .map(drop)
            .map_err(|error| io(error.error))
    }
}

fn write_error(path: &Path, error: PcapError) -> TraceError {
    let source = match error {
        PcapError::IoError(error) => error,
        other => std::io::Error::other(other.to_string()),
    };
    TraceError::Io {
        what: "write",
        path: path.to_owned(),
        source,
    }
}
