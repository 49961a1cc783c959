//! Every case of the corpus on the host.

use std::collections::BTreeSet;

use lb_common::abi::Reason;
use lb_tests::case::{Case, Proof, Step, corpus, prove};
use lb_tests::world::World;

/// Proves cases on worlds of their own; fails with all that do not hold.
fn prove_all(cases: &[Case]) {
    assert!(!cases.is_empty());
    let mut failures = Vec::new();
    for case in cases {
        let mut world = World::new(&case.tables, 1);
        if let Some(prepare) = case.prepare {
            prepare(&mut world);
        }
        match prove(case, &mut world, 0) {
            Proof::Holds => {}
            Proof::Skipped(why) | Proof::Fails(why) => failures.push(why),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases fail:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

macro_rules! groups {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                prove_all(&corpus::group(stringify!($name)));
            }
        )*

        #[test]
        fn every_group_is_a_test() {
            let names: Vec<&str> = corpus::GROUPS.iter().map(|group| group.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

groups!(
    link, ipv4, ipv6, fragments, transport, services, lifecycle, strays, idle, backends, firewall,
);

#[test]
fn every_reason_has_a_case() {
    let shown: BTreeSet<u32> = corpus::all()
        .iter()
        .flat_map(|case| &case.steps)
        .filter_map(|step| match step {
            Step::Frame { expect, .. } => Some(expect.reason as u32),
            _ => None,
        })
        .collect();
    let missing: Vec<&Reason> = Reason::ALL
        .iter()
        .filter(|reason| !shown.contains(&(**reason as u32)))
        .collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}

#[test]
fn descriptions_are_unique() {
    let mut seen = BTreeSet::new();
    for case in corpus::all() {
        assert!(
            seen.insert(case.description.clone()),
            "{}",
            case.description
        );
    }
}
