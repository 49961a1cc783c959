//! Stable numbers for named things: flows point at backends by id, counters at services and rules.
//!
//! An id stays with its name for as long as the document has it. A freed id is reused as late as
//! possible, and a backend's incarnation never is.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lb_common::abi::limits::{BACKENDS, RULES, SERVICES};
use serde::{Deserialize, Serialize};

use crate::document::Document;

/// The name of the rule that `lb firewall block` stands for.
pub const BLOCK_RULE: &str = "block";

/// All numbers given out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ids {
    services: Pool<String>,
    backends: Pool<String>,
    rules: Pool<String>,
    incarnations: BTreeMap<String, u32>,
    next_incarnation: u32,
}

/// Numbers of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pool<K: Ord> {
    taken: BTreeMap<K, u32>,
    next: u32,
}

/// Numbers that were given to another name: their counters start anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fresh {
    /// Ids of services.
    pub services: Vec<u32>,
    /// Ids of backends.
    pub backends: Vec<u32>,
    /// Ids of rules.
    pub rules: Vec<u32>,
}

impl Ids {
    /// Numbers everything that the document names and frees the rest.
    ///
    /// The document is checked, so that there are at most as many names as numbers.
    pub fn assign(&mut self, document: &Document) -> Fresh {
        let services = document.services.iter().map(|service| service.name.clone());
        let backends = document.services.iter().flat_map(|service| {
            service
                .backends
                .iter()
                .map(|backend| backend_key(&service.name, backend.address))
        });
        let rules = document.firewall.rules.iter().map(|rule| rule.name.clone());
        let rules = std::iter::once(BLOCK_RULE.to_owned()).chain(rules);
        let fresh = Fresh {
            services: self.services.assign(services.collect(), SERVICES),
            backends: self.backends.assign(backends.collect(), BACKENDS),
            rules: self.rules.assign(rules.collect(), RULES),
        };
        for key in self
            .backends
            .taken
            .iter()
            .filter(|(_, id)| fresh.backends.contains(id))
        {
            self.next_incarnation = self.next_incarnation.wrapping_add(1);
            self.incarnations
                .insert(key.0.clone(), self.next_incarnation);
        }
        self.incarnations
            .retain(|key, _| self.backends.taken.contains_key(key));
        fresh
    }

    /// A service's id.
    pub fn service(&self, name: &str) -> u32 {
        self.services.id(name)
    }

    /// A backend's id and incarnation.
    pub fn backend(&self, service: &str, address: SocketAddr) -> (u32, u32) {
        let key = backend_key(service, address);
        (
            self.backends.id(&key),
            self.incarnations.get(&key).copied().unwrap_or_default(),
        )
    }

    /// A rule's id.
    pub fn rule(&self, name: &str) -> u32 {
        self.rules.id(name)
    }
}

fn backend_key(service: &str, address: SocketAddr) -> String {
    format!("{address} {service}")
}

impl<K: Ord> Default for Pool<K> {
    fn default() -> Self {
        Self {
            taken: BTreeMap::new(),
            next: 0,
        }
    }
}

impl Pool<String> {
    /// Keeps the numbers of names that stay, frees the others, and numbers new ones; returns the
    /// numbers that are new.
    fn assign(&mut self, names: Vec<String>, limit: u32) -> Vec<u32> {
        let wanted: std::collections::BTreeSet<&String> = names.iter().collect();
        self.taken.retain(|name, _| wanted.contains(name));
        let mut used: std::collections::BTreeSet<u32> = self.taken.values().copied().collect();
        let mut fresh = Vec::new();
        for name in names {
            if self.taken.contains_key(&name) {
                continue;
            }
            let Some(id) = (0..limit)
                .map(|step| (self.next.wrapping_add(step)) % limit)
                .find(|id| !used.contains(id))
            else {
                continue;
            };
            self.next = (id + 1) % limit;
            used.insert(id);
            self.taken.insert(name, id);
            fresh.push(id);
        }
        fresh
    }

    fn id(&self, name: &str) -> u32 {
        self.taken.get(name).copied().unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn ids_stay_with_their_names_and_come_back_late() {
        let mut pool = Pool::default();
        assert_eq!(pool.assign(names(&["a", "b", "c"]), 4), [0, 1, 2]);
        assert_eq!(pool.assign(names(&["a", "c"]), 4), [] as [u32; 0]);
        assert_eq!(
            pool.assign(names(&["a", "c", "d"]), 4),
            [3],
            "a free id before a freed one"
        );
        assert_eq!(pool.assign(names(&["a", "c", "d", "e"]), 4), [1]);
        assert_eq!((pool.id("a"), pool.id("c"), pool.id("e")), (0, 2, 1));
    }

    #[test]
    fn a_pool_that_is_full_gives_no_number_twice() {
        let mut pool = Pool::default();
        assert_eq!(pool.assign(names(&["a", "b"]), 1), [0]);
        assert_eq!(pool.id("b"), u32::MAX);
    }
}
