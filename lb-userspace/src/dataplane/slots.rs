//! Ranges of the slot table: who has which.

use std::collections::BTreeMap;

use super::DataplaneError;

/// The slot table's ranges in use.
///
/// Ranges are given out in a circle: what was freed last is reused last, long after the last
/// packet has read it.
#[derive(Debug, Clone)]
pub(super) struct SlotSpace {
    size: u32,
    next: u32,
    /// First slot to length.
    taken: BTreeMap<u32, u32>,
}

impl SlotSpace {
    pub(super) fn new(size: u32) -> Self {
        Self {
            size,
            next: 0,
            taken: BTreeMap::new(),
        }
    }

    /// Takes `count` slots in a row.
    pub(super) fn take(&mut self, count: usize) -> Result<u32, DataplaneError> {
        let full = || DataplaneError::NoSlots { wanted: count };
        let wanted = u32::try_from(count).map_err(|_| full())?;
        if wanted == 0 {
            return Ok(0);
        }
        let first = self
            .free_from(self.next, wanted)
            .or_else(|| self.free_from(0, wanted))
            .ok_or_else(full)?;
        self.taken.insert(first, wanted);
        self.next = first + wanted;
        Ok(first)
    }

    /// Gives a range back.
    pub(super) fn release(&mut self, first: u32) {
        self.taken.remove(&first);
    }

    /// The first free range of a length at or behind a slot.
    fn free_from(&self, start: u32, wanted: u32) -> Option<u32> {
        let before = self
            .taken
            .range(..start)
            .next_back()
            .map_or(0, |(f, l)| f + l);
        let mut first = start.max(before);
        for (taken, length) in self.taken.range(start..) {
            if first + wanted <= *taken {
                break;
            }
            first = taken + length;
        }
        (first + wanted <= self.size).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn ranges_never_overlap_and_come_back_late() {
        let mut space = SlotSpace::new(10);
        let (a, b) = (space.take(4).unwrap(), space.take(4).unwrap());
        assert_eq!((a, b), (0, 4));
        space.release(a);
        assert_eq!(space.take(2).unwrap(), 8, "behind the last, not in the gap");
        assert_eq!(space.take(3).unwrap(), 0);
        assert!(matches!(
            space.take(2),
            Err(DataplaneError::NoSlots { wanted: 2 })
        ));
        space.release(b);
        assert_eq!(space.take(5).unwrap(), 3);
        assert_eq!(space.take(0).unwrap(), 0);
    }
}
