//! What was in the flow tables when: which entry lay there throughout a packet's flight, and whose
//! it was.

use std::collections::BTreeMap;

use super::machine::{Change, index};
use crate::ring::Tuple;
use lb_common::datapath::Stage;

/// The entries of one kind, as they were and are.
#[derive(Debug, Default)]
pub(super) struct Presence(BTreeMap<Tuple, Vec<At>>);

/// An entry from some moment on.
#[derive(Debug, Clone, Copy)]
struct At {
    since: u64,
    clock: u32,
    /// Whose it is in the pending and in the established table.
    owners: [Option<Tuple>; 2],
    /// What made it so.
    cause: Cause,
}

/// What a version of an entry came about by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It was laid where there was none.
    Laid,
    /// It was written in place of one.
    Replaced,
    /// This packet removed it from a table by its key.
    Removed(Stage, u64),
    /// It made room.
    Evicted,
}

/// A packet's flight: its number, and from when to when it lasts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flown {
    pub(super) serial: u64,
    pub(super) span: (u64, u64),
}

impl At {
    fn is_of(&self, owner: Tuple) -> bool {
        self.owners.contains(&Some(owner))
    }
}

impl Presence {
    /// Notes a change that a packet made.
    pub(super) fn note(
        &mut self,
        (stage, key, change): (Stage, Tuple, Change),
        (now, clock): (u64, u32),
        serial: u64,
    ) {
        let versions = self.0.entry(key).or_default();
        let mut owners = versions.last().map_or([None; 2], |at| at.owners);
        let place = &mut owners[index(stage)];
        let (owner, cause) = match change {
            Change::Laid(owner) if place.is_some() => (Some(owner), Cause::Replaced),
            Change::Laid(owner) => (Some(owner), Cause::Laid),
            Change::Removed => (None, Cause::Removed(stage, serial)),
            Change::Evicted => (None, Cause::Evicted),
        };
        *place = owner;
        versions.push(At {
            since: now,
            clock,
            owners,
            cause,
        });
    }

    /// The owner in a table now.
    pub(super) fn owner(&self, stage: Stage, key: &Tuple) -> Option<Tuple> {
        self.0.get(key)?.last()?.owners[index(stage)]
    }

    /// Whether there was an entry in a table when a flight began.
    pub(super) fn stood(&self, stage: Stage, key: &Tuple, flown: Flown) -> bool {
        let mut versions = self.versions(key, flown.span);
        versions
            .next()
            .is_some_and(|at| at.owners[index(stage)].is_some())
    }

    /// Whether the entry was the owner's throughout a flight, or until that packet itself removed
    /// it.
    pub(super) fn held_throughout(&self, key: &Tuple, owner: Tuple, flown: Flown) -> bool {
        let mut seen = false;
        for at in self.versions(key, flown.span) {
            if !at.is_of(owner) {
                return seen && matches!(at.cause, Cause::Removed(_, by) if by == flown.serial);
            }
            seen = seen || at.since <= flown.span.0;
        }
        seen
    }

    /// What happened to the entry, as a message shows it.
    pub(super) fn story(&self, key: &Tuple, flown: Flown) -> String {
        let all: Vec<_> = self
            .versions(key, flown.span)
            .map(|at| (at.since, at.cause, at.owners.map(|owner| owner.is_some())))
            .collect();
        format!("{all:?} during {:?}", flown.span)
    }

    /// Everything that happened to the entry during a flight.
    pub(super) fn causes(&self, key: &Tuple, flown: Flown) -> impl Iterator<Item = Cause> {
        self.versions(key, flown.span)
            .filter(move |at| at.since > flown.span.0)
            .map(|at| at.cause)
    }

    /// Whether the entry was the owner's at some moment of a flight.
    pub(super) fn held_sometime(&self, key: &Tuple, owner: Tuple, flown: Flown) -> bool {
        self.versions(key, flown.span).any(|at| at.is_of(owner))
    }

    /// Whether the entry was another's at some moment of a flight.
    pub(super) fn lent(&self, key: &Tuple, owner: Tuple, flown: Flown) -> bool {
        self.versions(key, flown.span)
            .flat_map(|at| at.owners.into_iter().flatten())
            .any(|found| found != owner)
    }

    /// Everyone whose the entry was during a flight.
    pub(super) fn owners(&self, key: &Tuple, flown: Flown) -> Vec<Tuple> {
        self.versions(key, flown.span)
            .flat_map(|at| at.owners.into_iter().flatten())
            .collect()
    }

    /// Whether the entry was the owner's at some moment when the clock showed this or later.
    pub(super) fn held_since(&self, key: &Tuple, owner: Tuple, clock: u32) -> bool {
        let versions = self.0.get(key).map_or(&[][..], Vec::as_slice);
        let ends = versions.iter().skip(1).map(|at| at.clock);
        versions
            .iter()
            .zip(ends.chain([u32::MAX]))
            .any(|(at, end)| end >= clock && at.is_of(owner))
    }

    /// Forgets what no packet can have seen any more.
    pub(super) fn prune(&mut self, clock: u32) {
        self.0.retain(|_, versions| {
            let last = versions.len().saturating_sub(1);
            let first = versions
                .iter()
                .rposition(|at| at.clock + 4 < clock)
                .unwrap_or(0);
            versions.drain(..first.min(last));
            versions.len() > 1 || versions.iter().any(|at| at.owners != [None; 2])
        });
    }

    /// The entries that are there now, in the tables' order.
    pub(super) fn keys(&self, stage: Stage) -> Vec<Tuple> {
        self.0
            .iter()
            .filter(|(_, versions)| {
                versions
                    .last()
                    .is_some_and(|at| at.owners[index(stage)].is_some())
            })
            .map(|(key, _)| *key)
            .collect()
    }

    /// The versions that were in force at some moment of the span.
    fn versions(&self, key: &Tuple, (began, ended): (u64, u64)) -> impl Iterator<Item = &At> {
        let versions = self.0.get(key).map_or(&[][..], Vec::as_slice);
        let first = versions.iter().rposition(|at| at.since <= began);
        versions[first.unwrap_or(0)..]
            .iter()
            .take_while(move |at| at.since <= ended)
    }
}
