//! Reading an input byte by byte. An input that ends early goes on as zeros, so that every string
//! of bytes means something and cutting one keeps its beginning's meaning.

/// The rest of an input.
#[derive(Debug)]
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The next byte, or `None` at the end.
    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    /// The next two bytes, the more significant first.
    pub(super) fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// At most so many of the next bytes.
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The entry of a table that the next byte names; `None` beyond its end, so that a table can
    /// grow without changing what old inputs mean.
    pub(super) fn of<T: Copy>(&mut self, table: &[T]) -> Option<T> {
        table.get(usize::from(self.byte())).copied()
    }
}
