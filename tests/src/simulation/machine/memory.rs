//! What all CPUs share: flow tables, cursors, the clock, and which program is attached.
//!
//! It writes down every change of a flow table and every turn that is taken, for the judges.

use std::cell::{Cell as StdCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use lb_common::abi::{Flow, Reverse, V4, V6};
use lb_common::datapath::Stage;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::generation::Generation;
use super::table::{Inserted, Table};
use crate::ring::{State, Tuple};
use crate::world::Member;

/// Something that a packet did to what it shares with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulation) enum Event {
    /// To a client's flow.
    Flow(Stage, Tuple, Change),
    /// To a way back, keyed by the tuple of the backend's replies.
    Way(Stage, Tuple, Change),
    /// It took a turn of a service.
    Turn(u32, u64),
}

/// A change of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulation) enum Change {
    /// Written; a way back leads to this tuple's client.
    Laid(Tuple),
    /// Removed by its key.
    Removed,
    /// Dropped to make room.
    Evicted,
}

/// What all CPUs share.
#[derive(Debug)]
pub(in crate::simulation) struct Memory {
    /// The clock in ticks; CPUs may lag behind it by one.
    pub(in crate::simulation) clock: StdCell<u32>,
    pub(super) chance: RefCell<StdRng>,
    pub(super) cursors: RefCell<BTreeMap<u32, u64>>,
    pub(super) attached: RefCell<Rc<Generation>>,
    pub(super) log: RefCell<Vec<Event>>,
    /// By CPU, as in a per-CPU map.
    pub(super) counted: Vec<RefCell<State>>,
    v4: Family,
    v6: Family,
}

/// The flow tables of one address family.
#[derive(Debug)]
pub(super) struct Family {
    flows: [RefCell<Table<Flow>>; 2],
    ways: [RefCell<Table<Reverse>>; 2],
}

/// An address family of the machine.
pub(super) trait Kin: Member {
    fn family(memory: &Memory) -> &Family;
}

impl Kin for V4 {
    fn family(memory: &Memory) -> &Family {
        &memory.v4
    }
}

impl Kin for V6 {
    fn family(memory: &Memory) -> &Family {
        &memory.v6
    }
}

impl Family {
    fn new(pending: usize, established: usize) -> Self {
        Self {
            flows: [
                RefCell::new(Table::new(pending)),
                RefCell::new(Table::new(established)),
            ],
            ways: [
                RefCell::new(Table::new(pending)),
                RefCell::new(Table::new(established)),
            ],
        }
    }

    pub(super) fn flows(&self, stage: Stage) -> &RefCell<Table<Flow>> {
        &self.flows[index(stage)]
    }

    pub(super) fn ways(&self, stage: Stage) -> &RefCell<Table<Reverse>> {
        &self.ways[index(stage)]
    }
}

/// The place of a stage in a pair.
pub(in crate::simulation) fn index(stage: Stage) -> usize {
    match stage {
        Stage::Pending => 0,
        Stage::Established => 1,
    }
}

impl Memory {
    pub(super) fn new(
        cpus: usize,
        room: Option<(usize, usize)>,
        seed: u64,
        attached: Rc<Generation>,
    ) -> Self {
        let (pending, established) = room.unwrap_or((usize::MAX, usize::MAX));
        Self {
            // Late enough that every idle time lies behind us.
            clock: StdCell::new(1_000_000),
            chance: RefCell::new(StdRng::seed_from_u64(seed)),
            cursors: RefCell::default(),
            attached: RefCell::new(attached),
            log: RefCell::default(),
            counted: (0..cpus).map(|_| RefCell::default()).collect(),
            v4: Family::new(pending, established),
            v6: Family::new(pending, established),
        }
    }

    pub(super) fn random(&self) -> u32 {
        self.chance.borrow_mut().random()
    }

    pub(super) fn note(&self, event: Event) {
        self.log.borrow_mut().push(event);
    }

    pub(super) fn note_flow(&self, stage: Stage, key: Tuple, inserted: Inserted) {
        if let Some(evicted) = inserted.evicted {
            self.note(Event::Flow(stage, evicted, Change::Evicted));
        }
        if inserted.done {
            self.note(Event::Flow(stage, key, Change::Laid(key)));
        }
    }

    pub(super) fn note_way(&self, stage: Stage, key: Tuple, client: Tuple, inserted: Inserted) {
        if let Some(evicted) = inserted.evicted {
            self.note(Event::Way(stage, evicted, Change::Evicted));
        }
        if inserted.done {
            self.note(Event::Way(stage, key, Change::Laid(client)));
        }
    }

    /// The keys of every flow, and of every way back, by stage.
    pub(super) fn keys(&self) -> [Vec<(Stage, Tuple)>; 2] {
        let mut keys = [Vec::new(), Vec::new()];
        for stage in [Stage::Pending, Stage::Established] {
            let [flows, ways] = &mut keys;
            flows.extend(
                self.v4
                    .flows(stage)
                    .borrow()
                    .keys()
                    .map(|key| (stage, *key)),
            );
            flows.extend(
                self.v6
                    .flows(stage)
                    .borrow()
                    .keys()
                    .map(|key| (stage, *key)),
            );
            ways.extend(self.v4.ways(stage).borrow().keys().map(|key| (stage, *key)));
            ways.extend(self.v6.ways(stage).borrow().keys().map(|key| (stage, *key)));
        }
        keys
    }
}
