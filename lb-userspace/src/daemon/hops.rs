//! The next hops of all backends, as the kernel's tables have them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::compile::Way;
use crate::dataplane::PathMtus;
use crate::document::Document;
use crate::route::{NextHop, Routes};

/// What is known of the way to each backend's address.
#[derive(Debug, Default)]
pub(super) struct Hops {
    ways: BTreeMap<IpAddr, Result<NextHop, String>>,
    /// What routers on the ways have said.
    learned: PathMtus,
}

impl Hops {
    /// Asks the kernel about every backend of the document; whether any answer differs from the
    /// last. Neighbours that are not resolved are asked for.
    pub(super) async fn refresh(&mut self, routes: &Routes, document: &Document) -> bool {
        let mut ways = BTreeMap::new();
        let backends = document
            .services
            .iter()
            .flat_map(|service| &service.backends);
        for address in backends.map(|backend| backend.address.ip()) {
            if ways.contains_key(&address) {
                continue;
            }
            let way = routes
                .next_hop(address)
                .await
                .map_err(|error| error.to_string());
            if let Ok(hop) = &way
                && hop.destination_mac.is_none()
                && let Err(error) = routes.solicit(hop).await
            {
                tracing::debug!(%address, %error, "cannot ask for the neighbour");
            }
            ways.insert(address, self.keep_last(address, way));
        }
        let changed = ways != self.ways;
        self.ways = ways;
        changed
    }

    /// A neighbour that is only being asked for again is kept: it most likely has not moved.
    fn keep_last(&self, address: IpAddr, way: Result<NextHop, String>) -> Result<NextHop, String> {
        match (way, self.ways.get(&address)) {
            (Ok(new), Some(Ok(old)))
                if new.destination_mac.is_none()
                    && (new.interface, new.via) == (old.interface, old.via) =>
            {
                Ok(NextHop {
                    destination_mac: old.destination_mac,
                    ..new
                })
            }
            (way, _) => way,
        }
    }

    /// The way as the program takes it.
    pub(super) fn way(&self, address: IpAddr) -> Way {
        let known = self.ways.get(&address).and_then(|way| way.as_ref().ok());
        let way = known.map(NextHop::way).unwrap_or_default();
        match self.learned.get(&address) {
            Some(&mtu) if way.mtu == 0 || mtu < way.mtu => Way { mtu, ..way },
            _ => way,
        }
    }

    /// Bytes of the longest packet on the way, for listings.
    pub(super) fn mtu(&self, address: IpAddr) -> Option<u16> {
        Some(self.way(address).mtu).filter(|mtu| *mtu != 0)
    }

    /// Takes what routers have said; whether it differs from the last.
    pub(super) fn learn(&mut self, learned: PathMtus) -> bool {
        let changed = learned != self.learned;
        self.learned = learned;
        changed
    }

    /// The Ethernet address of the next hop, for listings.
    pub(super) fn mac(&self, address: IpAddr) -> Option<String> {
        let mac = self.ways.get(&address)?.as_ref().ok()?.destination_mac?;
        Some(mac.map(|byte| format!("{byte:02x}")).join(":"))
    }

    /// Why the way to an address is not known; `None` if it is.
    pub(super) fn trouble(&self, address: IpAddr) -> Option<String> {
        match self.ways.get(&address) {
            Some(Ok(way)) if way.destination_mac.is_some() => None,
            Some(Ok(way)) => Some(format!(
                "nobody on {} answers for {}; is it up, and on that network?",
                way.interface_name, way.via
            )),
            Some(Err(error)) => Some(error.clone()),
            None => Some("not asked yet".to_owned()),
        }
    }

    /// Whether any way is not known.
    pub(super) fn any_unresolved(&self) -> bool {
        self.ways
            .keys()
            .any(|address| self.trouble(*address).is_some())
    }
}
