//! What does not depend on the address family.

use lb_common::abi::address::narrow;
use lb_common::abi::{
    Backend, Datagram, DatagramKey, Features, PortTable, Reason, Rule, Tally, Ticks, V4, V6,
};
use lb_common::datapath::{Env, Steps};

use super::table::{Entry, Fixed};
use super::{Chance, LINK_MTU, World};

impl Steps<V4> for World {}
impl Steps<V6> for World {}

impl Env for World {
    type BackendCell = Fixed<Backend>;
    type DatagramCell = Entry<Datagram>;

    fn features(&self) -> Features {
        self.settings.features
    }

    fn nat_ports(&self) -> (u16, u16) {
        (self.settings.nat_port_first, self.settings.nat_port_count)
    }

    fn rule_words(&self) -> u32 {
        self.settings.rule_words
    }

    fn ingress_interface(&self) -> u32 {
        self.interface
    }

    fn link_mtu(&self, _: u32) -> usize {
        LINK_MTU
    }

    fn note_path_mtu(&mut self, backend: [u64; 2], mtu: u32) {
        self.counted.paths.insert(narrow(backend), mtu);
    }

    fn now(&self) -> Ticks {
        self.now
    }

    fn random(&mut self) -> u32 {
        match &mut self.chance {
            Chance::Seeded(random) => rand::RngExt::random(random.as_mut()),
            Chance::Oracle(oracle) => oracle(self.asked.get()),
        }
    }

    fn may_send_error(&mut self) -> bool {
        self.errors.permit(self.now)
    }

    fn slot(&self, index: u32) -> Option<u32> {
        self.slots.get(index as usize).copied()
    }

    fn backend(&self, id: u32) -> Option<Self::BackendCell> {
        // The kernel's table is an array: ids that nobody has are entries of zeros.
        let limit = lb_common::abi::limits::BACKENDS;
        (id < limit).then(|| Fixed(self.backends.get(&id).copied().unwrap_or_default()))
    }

    fn next_cursor(&mut self, service: u32) -> u64 {
        let cursor = self.cursors.entry(service).or_default();
        *cursor += 1;
        *cursor - 1
    }

    fn port_row(&self, table: PortTable, index: u16) -> u32 {
        self.firewall.ports.as_ref().map_or(0, |ports| {
            ports.tables[table as usize][usize::from(index)].into()
        })
    }

    fn row_word(&self, row: u32, word: u32) -> u64 {
        self.firewall
            .rows
            .get(row as usize)
            .map_or(0, |row| row.words[word as usize])
    }

    fn rule(&self, position: u32) -> Option<Rule> {
        self.firewall.rules.get(position as usize).copied()
    }

    fn count_reason(&mut self, reason: Reason, bytes: u64) {
        tally(
            self.counted.reasons.entry(reason as u32).or_default(),
            bytes,
        );
    }

    fn datagram(&self, key: &DatagramKey) -> Option<Self::DatagramCell> {
        self.datagrams.find(key)
    }

    fn insert_datagram(&mut self, key: &DatagramKey, datagram: &Datagram) {
        self.datagrams.insert(key, *datagram, false);
    }

    fn remove_datagram(&mut self, key: &DatagramKey) {
        self.datagrams.remove(key);
    }

    fn count_rule(&mut self, id: u32, bytes: u64) {
        tally(self.counted.rules.entry(id).or_default(), bytes);
    }

    fn count_ingress(&mut self, service: u32, backend: u32, bytes: u64, new_flow: bool) {
        let services = self.counted.services.entry(service).or_default();
        tally(&mut services.ingress, bytes);
        services.connections += u64::from(new_flow);
        // The kernel's array has no entry for a backend that is none.
        if backend < lb_common::abi::limits::BACKENDS {
            let backends = self.counted.backends.entry(backend).or_default();
            tally(&mut backends.ingress, bytes);
            backends.connections += u64::from(new_flow);
        }
    }

    fn count_egress(&mut self, service: u32, backend: u32, bytes: u64) {
        let services = self.counted.services.entry(service).or_default();
        tally(&mut services.egress, bytes);
        let backends = self.counted.backends.entry(backend).or_default();
        tally(&mut backends.egress, bytes);
    }
}

fn tally(tally: &mut Tally, bytes: u64) {
    tally.packets += 1;
    tally.bytes += bytes;
}
