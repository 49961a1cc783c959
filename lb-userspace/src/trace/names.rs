//! From the program's numbers back to the document's names.

use std::collections::HashMap;

use crate::document::Document;
use crate::ids::{BLOCK_RULE, Ids};

/// The names of all numbers.
#[derive(Debug)]
pub(super) struct Names {
    rules: HashMap<u32, String>,
    services: HashMap<u32, String>,
    backends: HashMap<u32, String>,
}

impl Names {
    pub(super) fn new(document: &Document, ids: &Ids) -> Self {
        let rules = document
            .firewall
            .rules
            .iter()
            .map(|rule| rule.name.as_str());
        let services = &document.services;
        Self {
            rules: std::iter::once(BLOCK_RULE)
                .chain(rules)
                .map(|name| (ids.rule(name), name.to_owned()))
                .collect(),
            services: services
                .iter()
                .map(|service| (ids.service(&service.name), service.name.clone()))
                .collect(),
            backends: services
                .iter()
                .flat_map(|service| service.backends.iter().map(move |b| (service, b.address)))
                .map(|(service, address)| {
                    (ids.backend(&service.name, address).0, address.to_string())
                })
                .collect(),
        }
    }

    pub(super) fn rule(&self, id: u32) -> Option<String> {
        self.rules.get(&id).cloned()
    }

    pub(super) fn service(&self, id: u32) -> Option<String> {
        self.services.get(&id).cloned()
    }

    pub(super) fn backend(&self, id: u32) -> Option<String> {
        self.backends.get(&id).cloned()
    }
}
