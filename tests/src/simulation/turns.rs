//! Round robin: whose turn it was.

use std::collections::{HashMap, VecDeque};

/// The latest turns of every service since its membership last changed.
#[derive(Debug, Default)]
pub(super) struct Turns(HashMap<u32, VecDeque<u32>>);

impl Turns {
    /// Membership changes: turns are counted anew.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Notes a turn among so many backends of equal weight.
    ///
    /// Each of them has exactly one of any so many turns in a row; this is the same as to differ
    /// by at most one in every window.
    pub(super) fn note(
        &mut self,
        service: u32,
        backend: u32,
        members: usize,
    ) -> Result<(), String> {
        let turns = self.0.entry(service).or_default();
        while turns.len() >= members {
            turns.pop_front();
        }
        if turns.contains(&backend) {
            return Err(format!(
                "backend {backend} of service {service} has a turn before all {members} had \
                 theirs: {turns:?}"
            ));
        }
        turns.push_back(backend);
        Ok(())
    }
}
