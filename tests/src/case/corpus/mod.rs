//! The corpus: every case, in groups.

mod backends;
mod errors;
mod firewall;
mod fragments;
mod icmp;
mod idle;
mod ipv4;
mod ipv6;
mod lifecycle;
mod link;
mod services;
mod strays;
mod translation;
mod transport;
mod tunnels;

use super::Case;

/// A group of cases.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// Makes its cases.
    pub cases: fn() -> Vec<Case>,
}

/// All groups.
pub const GROUPS: &[Group] = &[
    Group {
        name: "link",
        cases: link::cases,
    },
    Group {
        name: "ipv4",
        cases: ipv4::cases,
    },
    Group {
        name: "ipv6",
        cases: ipv6::cases,
    },
    Group {
        name: "fragments",
        cases: fragments::cases,
    },
    Group {
        name: "transport",
        cases: transport::cases,
    },
    Group {
        name: "services",
        cases: services::cases,
    },
    Group {
        name: "lifecycle",
        cases: lifecycle::cases,
    },
    Group {
        name: "icmp",
        cases: icmp::cases,
    },
    Group {
        name: "errors",
        cases: errors::cases,
    },
    Group {
        name: "strays",
        cases: strays::cases,
    },
    Group {
        name: "translation",
        cases: translation::cases,
    },
    Group {
        name: "tunnels",
        cases: tunnels::cases,
    },
    Group {
        name: "idle",
        cases: idle::cases,
    },
    Group {
        name: "backends",
        cases: backends::cases,
    },
    Group {
        name: "firewall",
        cases: firewall::cases,
    },
];

/// Every case.
pub fn all() -> Vec<Case> {
    GROUPS.iter().flat_map(|group| (group.cases)()).collect()
}

/// The cases of a group.
pub fn group(name: &str) -> Vec<Case> {
    GROUPS
        .iter()
        .filter(|group| group.name == name)
        .flat_map(|group| (group.cases)())
        .collect()
}
