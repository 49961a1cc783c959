//! A frame in memory.

use lb_common::datapath::Frame;

/// The bytes of a frame, and a door that can be shut to see what the engine does then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFrame {
    bytes: Vec<u8>,
    /// How many more writes are let through; `None` is all.
    writes: Option<usize>,
}

impl HostFrame {
    /// A frame of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            writes: None,
        }
    }

    /// The same, refusing every access to write after the first `writes`.
    #[must_use]
    pub fn failing_after(mut self, writes: usize) -> Self {
        self.writes = Some(writes);
        self
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Lets one more write through, or refuses it.
    fn let_through(&mut self) -> Option<()> {
        if let Some(writes) = &mut self.writes {
            *writes = writes.checked_sub(1)?;
        }
        Some(())
    }
}

impl Frame for HostFrame {
    fn length(&self) -> usize {
        self.bytes.len()
    }

    fn bytes<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn bytes_mut<const N: usize>(&mut self, at: usize) -> Option<&mut [u8; N]> {
        self.let_through()?;
        self.bytes.get_mut(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn grow_head(&mut self, by: usize) -> Option<()> {
        self.let_through()?;
        self.bytes.splice(..0, std::iter::repeat_n(0, by));
        Some(())
    }

    fn truncate(&mut self, length: usize) -> Option<()> {
        self.let_through()?;
        (length <= self.bytes.len()).then(|| self.bytes.truncate(length))
    }

    fn shrink_head(&mut self, by: usize) -> Option<()> {
        self.let_through()?;
        // The kernel leaves an Ethernet header at least.
        (by + 14 <= self.bytes.len()).then(|| drop(self.bytes.drain(..by)))
    }
}
