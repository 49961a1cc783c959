//! The memory of an array map, written without a system call for each entry.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use anyhow::{Context as _, Result};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::front::SEQUENCE;

/// The kernel rounds an array's values up to eight bytes.
type Entry = u64;

/// The sequence's map in our address space.
pub(super) struct Shared {
    start: NonNull<Entry>,
}

impl Shared {
    const SIZE: usize = SEQUENCE as usize * size_of::<Entry>();

    /// Maps an array of [`SEQUENCE`] entries.
    pub(super) fn map(map: BorrowedFd<'_>) -> Result<Self> {
        let length = NonZeroUsize::new(Self::SIZE).context("an empty map")?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, map, 0) };
        let start = start.context("cannot map the sequence of flows into memory")?;
        Ok(Self {
            start: start.cast(),
        })
    }

    /// Writes an entry; nothing beyond the last.
    pub(super) fn write(&mut self, index: usize, value: u32) {
        if index < SEQUENCE as usize {
            // SAFETY: inside the mapping.
            let entry = unsafe { self.start.add(index) };
            // SAFETY: aligned, as the mapping begins with a page; no program runs meanwhile.
            unsafe { entry.cast::<u32>().write_volatile(value) };
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: our own mapping, to which nothing refers any more. It cannot fail.
        let _ = unsafe { munmap(self.start.cast(), Self::SIZE) };
    }
}
