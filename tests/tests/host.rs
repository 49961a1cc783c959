//! Every case of the corpus on the host.

use std::collections::BTreeSet;

use lb_common::abi::Reason;
use lb_tests::case::{Case, Proof, Scene, Step, corpus, prove, rounds};
use lb_tests::packet::verify;
use lb_tests::ring::Ring as _;
use lb_tests::test_groups;
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

test_groups!(prove_all);

#[test]
fn three_thousand_flows_are_spread_exactly() {
    for scene in Scene::all() {
        let mut world = World::new(&rounds::tables(scene), 1);
        assert_eq!(rounds::open_all(scene, &mut world), Ok(()));
    }
}

/// Every frame of the corpus, cut at every length: never a panic, never half rewritten, and what
/// is sent on is whole.
#[test]
fn frames_cut_anywhere_do_no_harm() {
    for case in corpus::all() {
        for step in &case.steps {
            let Step::Frame { name, bytes, .. } = step else {
                continue;
            };
            let mut world = World::new(&case.tables, 1);
            for length in (0..bytes.len()).rev().filter(|length| *length < 200) {
                let cut = &bytes[..length];
                let ran = world.run(cut);
                let why = || format!("{}, {name}, cut to {length} bytes", case.description);
                if ran.is_forwarded() {
                    assert_eq!(verify::receive(&ran.frame).err(), None, "{}", why());
                } else {
                    assert_eq!(ran.frame, cut, "{}", why());
                }
            }
        }
    }
}

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
