//! A flow table as the kernel has it: a bounded LRU map whose elements are taken up again at once.
//!
//! Who holds an element while its entry goes holds the next owner's: the kernel frees elements
//! of a preallocated map without waiting for readers. Which of the entries that were used long
//! ago is evicted is left to chance, because the kernel's order is not exact either.

use std::cell::Cell as StdCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::ring::Tuple;

/// Where a value lies; it outlives the entry.
pub(super) type Place<V> = Rc<StdCell<V>>;

/// A map with room for so many entries.
#[derive(Debug)]
pub(super) struct Table<V: Copy> {
    entries: BTreeMap<Tuple, Element<V>>,
    /// Elements without an entry, the latest last: it is the next to be used.
    free: Vec<Place<V>>,
    room: usize,
    uses: StdCell<u64>,
}

#[derive(Debug)]
struct Element<V: Copy> {
    place: Place<V>,
    used: StdCell<u64>,
}

/// What became of a new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inserted {
    /// Whether it is in the table.
    pub(super) done: bool,
    /// The entry that made room.
    pub(super) evicted: Option<Tuple>,
}

impl<V: Copy> Table<V> {
    pub(super) fn new(room: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            free: Vec::new(),
            room,
            uses: StdCell::new(0),
        }
    }

    pub(super) fn find(&self, key: &Tuple) -> Option<Place<V>> {
        let element = self.entries.get(key)?;
        element.used.set(self.next_use());
        Some(Rc::clone(&element.place))
    }

    /// Writes an entry in an element of its own, unless it is to be `fresh` and there is one.
    ///
    /// As in the kernel the element is taken first, so that even a refused one may evict.
    pub(super) fn insert(&mut self, key: Tuple, value: V, fresh: bool, chance: u32) -> Inserted {
        let full = self.free.is_empty() && self.entries.len() >= self.room;
        let evicted = full.then(|| self.evict(chance)).flatten();
        let place = self
            .free
            .pop()
            .unwrap_or_else(|| Rc::new(StdCell::new(value)));
        place.set(value);
        if fresh && self.entries.contains_key(&key) {
            self.free.push(place);
            return Inserted {
                done: false,
                evicted,
            };
        }
        let used = StdCell::new(self.next_use());
        if let Some(old) = self.entries.insert(key, Element { place, used }) {
            self.free.push(old.place);
        }
        Inserted {
            done: true,
            evicted,
        }
    }

    /// Takes an entry out; false if there is none.
    pub(super) fn remove(&mut self, key: &Tuple) -> bool {
        let removed = self.entries.remove(key);
        let found = removed.is_some();
        self.free.extend(removed.map(|element| element.place));
        found
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Tuple> {
        self.entries.keys()
    }

    /// Drops one of the quarter that was used longest ago.
    fn evict(&mut self, chance: u32) -> Option<Tuple> {
        let mut old: Vec<(u64, Tuple)> = self
            .entries
            .iter()
            .map(|(key, element)| (element.used.get(), *key))
            .collect();
        old.sort_unstable();
        let quarter = old.len().div_ceil(4);
        let (_, key) = *old.get(chance as usize % quarter.max(1))?;
        self.remove(&key).then_some(key)
    }

    fn next_use(&self) -> u64 {
        let next = self.uses.get() + 1;
        self.uses.set(next);
        next
    }
}
