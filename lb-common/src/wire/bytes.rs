//! A frame of at most `N` bytes, for the tests of this module.

use super::Frame;

/// A frame in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Bytes<N> {
    /// So many zeros.
    pub(super) fn new(length: usize) -> Self {
        assert!(length <= N);
        Self {
            bytes: [0; N],
            length,
        }
    }

    /// Exactly these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut frame = Self::new(bytes.len());
        frame.put(0, bytes);
        frame
    }

    /// Writes bytes at an offset.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[..self.length][at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The frame up to a length.
    pub(super) fn cut(self, length: usize) -> Self {
        assert!(length <= self.length);
        Self::of(&self.bytes[..length])
    }
}

impl<const N: usize> Frame for Bytes<N> {
    fn length(&self) -> usize {
        self.length
    }

    fn bytes<const M: usize>(&self, at: usize) -> Option<&[u8; M]> {
        let bytes = &self.bytes[..self.length];
        bytes.get(at..at.checked_add(M)?)?.try_into().ok()
    }

    fn bytes_mut<const M: usize>(&mut self, at: usize) -> Option<&mut [u8; M]> {
        let bytes = &mut self.bytes[..self.length];
        bytes.get_mut(at..at.checked_add(M)?)?.try_into().ok()
    }

    fn grow_head(&mut self, by: usize) -> Option<()> {
        let length = self.length.checked_add(by).filter(|length| *length <= N)?;
        self.bytes.copy_within(..self.length, by);
        self.length = length;
        Some(())
    }

    fn truncate(&mut self, length: usize) -> Option<()> {
        (length <= self.length).then(|| self.length = length)
    }

    fn shrink_head(&mut self, by: usize) -> Option<()> {
        let length = self.length.checked_sub(by)?;
        self.bytes.copy_within(by.., 0);
        self.length = length;
        Some(())
    }
}
