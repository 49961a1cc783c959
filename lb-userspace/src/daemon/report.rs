//! What the controller tells: status, counters, and what is dropped.

use jiff::Timestamp;
use lb_common::abi;
use lb_common::abi::reason::Outlet;
use lb_common::abi::{Features, Reason, Tally, limits};

use super::controller::Controller;
use super::error::DaemonError;
use crate::api::control::ControlError;
use crate::api::types::{
    BackendState, BackendStats, BlockEntry, FirewallList, Interface, ReasonStats, RuleEntry,
    RuleStats, ServiceStats, SetEntry, Stats, Status, Traffic, Usage,
};
use crate::dataplane::Counters;
use crate::document::{Action, Backend, Service};
use crate::ids::BLOCK_RULE;
use crate::tables::{Prefixes, Tables};

impl Controller {
    /// What runs, where, and how full its tables are.
    pub(super) fn status(&self) -> Status {
        let interfaces = self
            .dataplane
            .attachments()
            .iter()
            .map(|attachment| Interface {
                name: attachment.interface.clone(),
                index: attachment.index,
                mode: if attachment.native {
                    "native"
                } else {
                    "generic"
                }
                .to_owned(),
                why: attachment.why.clone(),
            });
        let tables = self.dataplane.tables();
        let coarse = self.dataplane.host().coarse_clock;
        let features = tables
            .map(|tables| tables.settings(coarse).features)
            .unwrap_or_default();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            document: self.store.path().to_string_lossy().into_owned(),
            revision: self.store.revision(),
            generation: self.dataplane.generations(),
            kernel: self.dataplane.host().kernel.clone(),
            features: names(features),
            interfaces: interfaces.collect(),
            usage: tables.map(usage).unwrap_or_default(),
            warnings: self.warnings(),
        }
    }

    /// What an operator should know, in full sentences.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.store.document().warnings();
        for service in &self.store.document().services {
            let mut serving = 0;
            for backend in &service.backends {
                let (state, detail) = self.backend_state(service, backend);
                let trouble = self.hops.trouble(backend.address.ip());
                if let Some(trouble) = trouble {
                    warnings.push(format!(
                        "Service {}: the way to {} is not known: {trouble}",
                        service.name, backend.address
                    ));
                } else if state == BackendState::Up {
                    serving += 1;
                }
                if state == BackendState::Down {
                    warnings.push(format!(
                        "Service {}: backend {} is down: {detail}.",
                        service.name, backend.address
                    ));
                }
            }
            if serving == 0 {
                warnings.push(format!(
                    "Service {}: no backend takes new connections; they are dropped.",
                    service.name
                ));
            }
        }
        for attachment in self.dataplane.attachments().iter().filter(|a| !a.native) {
            warnings.push(format!(
                "{} runs XDP in generic mode, several times slower than native: {}.",
                attachment.interface, attachment.why
            ));
        }
        warnings
    }

    /// Every counter.
    pub(super) fn stats(&self) -> Result<Stats, ControlError> {
        let counters = self.counters()?;
        let document = self.store.document();
        let services = document.services.iter().map(|service| {
            let id = self.ids.service(&service.name);
            ServiceStats {
                name: service.name.clone(),
                vip: service.vip.to_string(),
                scheduler: service.scheduler.to_string(),
                forward: service.forward.to_string(),
                traffic: traffic(counters.services.get(&id)),
                backends: service
                    .backends
                    .iter()
                    .map(|backend| self.backend_stats(service, backend, &counters))
                    .collect(),
            }
        });
        let block = (BLOCK_RULE, Action::Drop);
        let rules = document
            .firewall
            .rules
            .iter()
            .map(|rule| (rule.name.as_str(), rule.action));
        let rules = std::iter::once(block).chain(rules).map(|(name, action)| {
            let tally = self.rule_tally(name, &counters);
            RuleStats {
                name: name.to_owned(),
                action: action.to_string(),
                packets: tally.packets,
                bytes: tally.bytes,
            }
        });
        let reasons = Reason::ALL.iter().map(|reason| {
            let tally = counters
                .reasons
                .get(&(*reason as u32))
                .copied()
                .unwrap_or_default();
            ReasonStats {
                name: reason.name().to_owned(),
                verdict: outlet(*reason).to_owned(),
                packets: tally.packets,
                bytes: tally.bytes,
            }
        });
        Ok(Stats {
            at: Timestamp::now(),
            services: services.collect(),
            rules: rules.collect(),
            reasons: reasons.collect(),
        })
    }

    /// What is dropped.
    pub(super) fn firewall(&self) -> Result<FirewallList, ControlError> {
        let counters = self.counters()?;
        let firewall = &self.store.document().firewall;
        let blocks = firewall.blocks.iter().map(|block| BlockEntry {
            prefix: block.prefix,
            until: block.until,
        });
        let rules = firewall.rules.iter().map(|rule| {
            let tally = self.rule_tally(&rule.name, &counters);
            RuleEntry {
                name: rule.name.clone(),
                matches: rule.matches_text(),
                action: rule.action.to_string(),
                packets: tally.packets,
                bytes: tally.bytes,
            }
        });
        let sets = firewall.sets.iter().map(|set| SetEntry {
            name: set.name.clone(),
            entries: set.entries.len() as u64,
        });
        Ok(FirewallList {
            blocks: blocks.collect(),
            rules: rules.collect(),
            sets: sets.collect(),
        })
    }

    fn counters(&self) -> Result<Counters, ControlError> {
        self.dataplane
            .counters()
            .map_err(|error| DaemonError::from(error).into())
    }

    fn rule_tally(&self, name: &str, counters: &Counters) -> Tally {
        counters
            .rules
            .get(&self.ids.rule(name))
            .copied()
            .unwrap_or_default()
    }

    fn backend_stats(
        &self,
        service: &Service,
        backend: &Backend,
        counters: &Counters,
    ) -> BackendStats {
        let (id, _) = self.ids.backend(&service.name, backend.address);
        let (state, detail) = self.backend_state(service, backend);
        let detail = self.hops.trouble(backend.address.ip()).unwrap_or(detail);
        BackendStats {
            address: backend.address,
            weight: backend.weight,
            state,
            detail,
            next_hop: self.hops.mac(backend.address.ip()),
            mtu: self.hops.mtu(backend.address.ip()),
            traffic: traffic(counters.backends.get(&id)),
        }
    }

    /// What a backend gets at the moment, and why.
    fn backend_state(&self, service: &Service, backend: &Backend) -> (BackendState, String) {
        let (id, _) = self.ids.backend(&service.name, backend.address);
        let health = self.health.get(&id);
        let detail = match (health, &service.check) {
            (Some(health), _) => health.detail.clone(),
            (None, Some(_)) => "not probed yet".to_owned(),
            (None, None) => "no check".to_owned(),
        };
        let entry = self
            .dataplane
            .tables()
            .and_then(|tables| tables.backends.get(&id));
        let state = match entry.map(|entry| entry.state) {
            Some(abi::BackendState::UP) => BackendState::Up,
            Some(abi::BackendState::DRAINING) => BackendState::Draining,
            _ => BackendState::Down,
        };
        (state, detail)
    }
}

fn names(features: Features) -> Vec<String> {
    let bits = (0..).zip(Features::NAMES);
    bits.filter(|(bit, _)| features.0 >> bit & 1 == 1)
        .map(|(_, name)| name.to_owned())
        .collect()
}

fn usage(tables: &Tables) -> Vec<Usage> {
    let entry = |name: &str, used: usize, limit: u32| Usage {
        name: name.to_owned(),
        used: used as u64,
        limit: u64::from(limit),
    };
    let count = |prefixes: &Option<Prefixes>| {
        prefixes
            .as_ref()
            .map_or(0, |prefixes| prefixes.v4.len() + prefixes.v6.len())
    };
    let firewall = &tables.firewall;
    vec![
        entry("services", tables.services.len(), limits::SERVICES),
        entry("backends", tables.backends.len(), limits::BACKENDS),
        entry(
            "slots",
            tables.services.values().map(|s| s.slots.len()).sum(),
            limits::SLOTS,
        ),
        entry("rules", firewall.rules.len(), limits::RULES),
        entry(
            "prefixes",
            count(&firewall.sources) + count(&firewall.destinations),
            limits::PREFIXES,
        ),
    ]
}

fn traffic(counted: Option<&abi::Traffic>) -> Traffic {
    let counted = counted.copied().unwrap_or_default();
    Traffic {
        connections: counted.connections,
        packets_in: counted.ingress.packets,
        bytes_in: counted.ingress.bytes,
        packets_out: counted.egress.packets,
        bytes_out: counted.egress.bytes,
    }
}

fn outlet(reason: Reason) -> &'static str {
    match reason.outlet() {
        Outlet::Pass => "pass",
        Outlet::Drop => "drop",
        Outlet::Forward => "forward",
    }
}
