//! Counts what comes out of the balancer, by backend, at the outside's end of a cable.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use aya::maps::PerCpuArray;
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};

use super::generator::OBJECT;
use crate::lab::{Cable, Host, Plan};

/// How far a backend's share of packets may be from an equal one, in parts of a hundred.
const UNEVEN_MAX: u64 = 3;

/// An attached program that counts and drops; dropping it detaches it.
pub(crate) struct Sink {
    ebpf: Ebpf,
}

/// IPv4 packets seen, by the last byte of two destination addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    by_mac: BTreeMap<u8, u64>,
    by_address: BTreeMap<u8, u64>,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

impl Sink {
    /// Attaches a sink. Packets that an XDP program sends back into the cable need it to arrive.
    pub(crate) fn attach(cable: &Cable) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .load(OBJECT)
            .context("cannot load the sink")?;
        let program: &mut Xdp = ebpf
            .program_mut("sink")
            .context("the object lacks the program `sink`")?
            .try_into()?;
        program.load()?;
        cable
            .outside()
            .enter(|| program.attach(Cable::WIRE, XdpMode::Driver).map(drop))?
            .with_context(|| format!("cannot attach the sink to {}", Cable::WIRE))?;
        Ok(Self { ebpf })
    }

    /// What it has counted since it was attached.
    pub(crate) fn arrived(&self) -> Result<Arrived> {
        Ok(Arrived {
            by_mac: self.counters("BY_MAC")?,
            by_address: self.counters("BY_ADDRESS")?,
        })
    }

    /// The counters that are not zero.
    fn counters(&self, map: &str) -> Result<BTreeMap<u8, u64>> {
        let counters = self.ebpf.map(map);
        let counters = counters.with_context(|| format!("the object lacks the map {map}"))?;
        let counters: PerCpuArray<_, u64> = counters.try_into()?;
        let mut found = BTreeMap::new();
        for index in 0..=u8::MAX {
            let sum: u64 = counters.get(&u32::from(index), 0)?.iter().sum();
            if sum > 0 {
                found.insert(index, sum);
            }
        }
        Ok(found)
    }
}

impl Arrived {
    /// All packets.
    pub(crate) fn total(&self) -> u64 {
        self.by_mac.values().sum()
    }

    /// Whether the packets went to these many backends and nobody else, each getting its share:
    /// by Ethernet address and, unless `destination` stays that of the service, by IPv4 address.
    ///
    /// # Errors
    /// Says what arrived where.
    pub(crate) fn even(&self, backends: u8, destination: Option<Ipv4Addr>) -> Result<()> {
        let last = |host: Host| host.v4().octets()[3];
        let shares = |counts: &BTreeMap<u8, u64>| {
            let equal = self.total() / u64::from(backends);
            let near = |count: &u64| count.abs_diff(equal) * 100 <= equal * UNEVEN_MAX;
            let members: Vec<u8> = (1..=backends).map(Plan::backend).map(last).collect();
            equal > 0 && counts.keys().copied().eq(members) && counts.values().all(near)
        };
        let addressed = match destination {
            None => shares(&self.by_address),
            Some(address) => self.by_address.keys().copied().eq([address.octets()[3]]),
        };
        ensure!(
            shares(&self.by_mac) && addressed,
            "the packets did not go evenly to {backends} backends: by the last byte of the \
             Ethernet address {:?}, of the IPv4 address {:?}",
            self.by_mac,
            self.by_address
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn arrived(by_mac: &[(u8, u64)], by_address: &[(u8, u64)]) -> Arrived {
        Arrived {
            by_mac: by_mac.iter().copied().collect(),
            by_address: by_address.iter().copied().collect(),
        }
    }

    #[test]
    fn even_is_every_backend_and_nobody_else() {
        let even = [(11, 1000), (12, 1001), (13, 999)];
        arrived(&even, &even).even(3, None).unwrap();
        let vip = Plan::VIP.v4();
        arrived(&even, &[(100, 3000)]).even(3, Some(vip)).unwrap();
        for (by_mac, by_address, destination) in [
            (vec![], vec![], None),
            (
                vec![(11, 1500), (12, 1500)],
                vec![(11, 1500), (12, 1500)],
                None,
            ),
            (vec![(11, 900), (12, 1050), (13, 1050)], even.to_vec(), None),
            (even.to_vec(), vec![(11, 900), (12, 1050), (13, 1050)], None),
            (even.to_vec(), vec![(100, 3000)], None),
            (even.to_vec(), even.to_vec(), Some(vip)),
            (
                vec![(11, 1000), (12, 1000), (14, 1000)],
                even.to_vec(),
                None,
            ),
        ] {
            let odd = arrived(&by_mac, &by_address);
            odd.even(3, destination).unwrap_err();
        }
    }
}
