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

/// Hands the names of all groups to a macro, behind a word of its own.
#[macro_export]
macro_rules! with_group_names {
    ($then:ident, $word:ident) => {
        $then! {
            $word: link, ipv4, ipv6, fragments, transport, services, lifecycle, icmp, errors, strays,
            translation, tunnels, idle, backends, firewall
        }
    };
}

macro_rules! list {
    ($list:ident: $($name:ident),*) => {
        /// All groups.
        pub const $list: &[Group] = &[
            $(
                Group {
                    name: stringify!($name),
                    cases: $name::cases,
                },
            )*
        ];
    };
}

with_group_names!(list, GROUPS);

/// Makes a test of each group, which hands its cases to a function.
#[macro_export]
macro_rules! test_groups {
    ($prove:ident) => {
        $crate::with_group_names!(test_groups, $prove);
    };
    ($prove:ident: $($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                $prove(&$crate::case::corpus::group(stringify!($name)));
            }
        )*
    };
}

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
