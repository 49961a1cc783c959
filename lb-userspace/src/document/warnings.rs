//! What is odd about a document without being wrong.
//!
//! A warning never keeps a document from being applied; `lb check` and `lb status` show it.

use std::collections::HashSet;

use super::{Document, Scheduler, Service};

impl Document {
    /// What an operator should know about the document, in full sentences.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.services.iter().flat_map(of_service).collect();
        let used: HashSet<&str> = self
            .firewall
            .rules
            .iter()
            .flat_map(|rule| rule.source.text.iter().chain(&rule.destination.text))
            .filter_map(|text| text.trim_start_matches('!').strip_prefix('@'))
            .collect();
        for set in &self.firewall.sets {
            if !used.contains(set.name.as_str()) {
                warnings.push(format!(
                    "The set `{}` has no effect, because no rule refers to it.",
                    set.name
                ));
            }
        }
        warnings
    }
}

fn of_service(service: &Service) -> Vec<String> {
    let name = &service.name;
    let mut warnings = Vec::new();
    let weighted: Vec<String> = service
        .backends
        .iter()
        .filter(|backend| backend.weight != 1)
        .map(|backend| backend.address.to_string())
        .collect();
    if service.scheduler == Scheduler::RoundRobin && !weighted.is_empty() {
        warnings.push(format!(
            "Service `{name}`: the weight of {} has no effect under `round-robin`; set scheduler = \
             \"weighted-round-robin\".",
            weighted.join(", ")
        ));
    }
    if service.backends.iter().all(|backend| backend.drain) {
        warnings.push(format!(
            "Service `{name}`: every backend is draining, so new connections are refused."
        ));
    }
    for backend in &service.backends {
        if backend.address.ip().is_loopback() {
            warnings.push(format!(
                "Service `{name}`: the backend {} is a loopback address, which no packet from \
                 outside can be forwarded to.",
                backend.address
            ));
        }
    }
    warnings
}
