//! What came up in a simulation: one that is idle proves nothing.

/// What came up, so that a test can tell that a simulation was not idle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets that reached a backend.
    pub at_backend: u64,
    /// Packets that reached a client.
    pub at_client: u64,
    /// Packets dropped by the firewall.
    pub denied: u64,
    /// Packets that had to stay in their flow, and did.
    pub kept: u64,
    /// Of these, while another packet of the client was under way.
    pub kept_in_crowd: u64,
    /// Replies that had to reach their client, and did.
    pub returned: u64,
    /// Turns that were judged.
    pub turns: u64,
    /// Turns beyond one for each new connection, because first packets met.
    pub extra_turns: u64,
    /// Changes of the configuration.
    pub changes: u64,
    /// Packets that were under way during one.
    pub amid_change: u64,
    /// Packets dropped for want of a port or of room.
    pub exhausted: u64,
    /// Entries of flow tables that made room for others.
    pub evicted: u64,
    /// Times that one CPU went on in the middle of another's packet.
    pub switches: u64,
}

impl Tally {
    /// Adds another simulation's.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.at_backend, other.at_backend),
            (&mut self.at_client, other.at_client),
            (&mut self.denied, other.denied),
            (&mut self.kept, other.kept),
            (&mut self.kept_in_crowd, other.kept_in_crowd),
            (&mut self.returned, other.returned),
            (&mut self.turns, other.turns),
            (&mut self.extra_turns, other.extra_turns),
            (&mut self.changes, other.changes),
            (&mut self.amid_change, other.amid_change),
            (&mut self.exhausted, other.exhausted),
            (&mut self.evicted, other.evicted),
            (&mut self.switches, other.switches),
        ];
        for (sum, count) in pairs {
            *sum += count;
        }
    }

    /// Whether everything came up that always must.
    pub fn is_busy(&self) -> bool {
        let always = [
            self.at_backend,
            self.at_client,
            self.denied,
            self.kept,
            self.returned,
            self.turns,
            self.changes,
            self.amid_change,
            self.switches,
        ];
        always.iter().all(|count| *count > 50)
    }
}
