//! A flow table: a map whose values can be held and written while it changes.

use std::cell::Cell as StdCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

use lb_common::datapath::Cell;

/// A value in place. Like the kernel's it may be held after its entry is gone.
#[derive(Debug)]
pub struct Entry<V: Copy>(Rc<StdCell<V>>);

/// A value of a configuration table, which the engine must not write.
#[derive(Debug, Clone, Copy)]
pub struct Fixed<V>(pub(super) V);

/// What a table does when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Refuses new entries.
    Refuse,
    /// Forgets the entry that was used longest ago.
    Evict,
}

/// A table with room for so many entries.
#[derive(Debug)]
pub struct FlowTable<K, V: Copy> {
    entries: HashMap<K, (Entry<V>, StdCell<u64>)>,
    capacity: usize,
    when_full: WhenFull,
    uses: StdCell<u64>,
}

impl<V: Copy> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<V: Copy> Cell<V> for Entry<V> {
    fn load(&self) -> V {
        self.0.get()
    }

    fn update(&self, change: impl FnOnce(&mut V)) {
        let mut value = self.0.get();
        change(&mut value);
        self.0.set(value);
    }

    fn with<R>(&self, see: impl FnOnce(&V) -> R) -> R {
        see(&self.0.get())
    }
}

impl<V: Copy> Cell<V> for Fixed<V> {
    fn load(&self) -> V {
        self.0
    }

    fn update(&self, _: impl FnOnce(&mut V)) {
        panic!("the engine writes a configuration table");
    }

    fn with<R>(&self, see: impl FnOnce(&V) -> R) -> R {
        see(&self.0)
    }
}

impl<K: Copy + Eq + Hash, V: Copy> FlowTable<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::new(),
            capacity,
            when_full: WhenFull::Evict,
            uses: StdCell::new(0),
        }
    }

    /// Makes the table smaller or larger; what is in it stays.
    pub(super) fn resize(&mut self, capacity: usize, when_full: WhenFull) {
        self.capacity = capacity;
        self.when_full = when_full;
    }

    pub(super) fn find(&self, key: &K) -> Option<Entry<V>> {
        let (entry, used) = self.entries.get(key)?;
        used.set(self.next_use());
        Some(entry.clone())
    }

    /// Writes an entry; false if the table is full and refuses, or if `fresh` and there is one.
    pub(super) fn insert(&mut self, key: &K, value: V, fresh: bool) -> bool {
        let known = self.entries.contains_key(key);
        if known && fresh {
            return false;
        }
        if !known && self.entries.len() >= self.capacity {
            if self.when_full == WhenFull::Refuse {
                return false;
            }
            self.evict();
        }
        // As in the kernel a new element takes the place of the old: who holds the old one no
        // longer writes the table.
        let entry = Entry(Rc::new(StdCell::new(value)));
        let used = StdCell::new(self.next_use());
        self.entries.insert(*key, (entry, used));
        true
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, V)> {
        self.entries
            .iter()
            .map(|(key, (entry, _))| (key, entry.load()))
    }

    fn evict(&mut self) {
        let oldest = self
            .entries
            .iter()
            .min_by_key(|(_, (_, used))| used.get())
            .map(|(key, _)| *key);
        if let Some(key) = oldest {
            self.entries.remove(&key);
        }
    }

    fn next_use(&self) -> u64 {
        let next = self.uses.get() + 1;
        self.uses.set(next);
        next
    }
}
