//! Every case of the corpus in the kernel.

use std::net::SocketAddr;

use lb_tests::case::{Case, Proof, Scene, Step, prove, rounds};
use lb_tests::kernel::{self, Kernel};
use lb_tests::test_groups;
use lb_tests::world::{BackendSetup, Setup, addresses, rule};
use lb_userspace::document::{Action, Forward, Rule};

/// Ticks that may pass around a frame.
const SLACK: u32 = 2;

/// Proves cases; fails with all that do not hold. Those with the same tables share a program.
fn prove_all(cases: &[Case]) {
    if !kernel::is_available() {
        return;
    }
    let mut report = Report::default();
    let mut rest: Vec<&Case> = Vec::new();
    for case in cases {
        match case.host_only {
            Some(why) => println!("only on the host, because {why}: {}", case.description),
            None => rest.push(case),
        }
    }
    while let Some(first) = rest.first() {
        let tables = &first.tables;
        let (alike, others): (Vec<&Case>, Vec<&Case>) =
            rest.iter().partition(|case| case.tables == *tables);
        let mut ring = Kernel::new(tables).with_stopped_clock();
        for case in alike {
            if hands_over(case) {
                let mut ring = Kernel::with_generations(tables).with_stopped_clock();
                report.note(case, prove(case, &mut ring, SLACK));
            } else {
                report.note(case, prove(case, &mut ring, SLACK));
                ring.reset(tables);
            }
        }
        rest = others;
    }
    let failures = &report.failures;
    assert!(
        failures.is_empty(),
        "{} of {} cases fail:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    assert!(
        report.proven > 0,
        "no case of the group can run in the kernel"
    );
}

#[derive(Default)]
struct Report {
    proven: usize,
    failures: Vec<String>,
}

impl Report {
    fn note(&mut self, case: &Case, proof: Proof) {
        match proof {
            Proof::Holds => self.proven += 1,
            Proof::Skipped(why) => println!("skipped, because {why}: {}", case.description),
            Proof::Fails(why) => self.failures.push(why),
        }
    }
}

fn hands_over(case: &Case) -> bool {
    case.steps
        .iter()
        .any(|step| matches!(step, Step::Generation(_)))
}

test_groups!(prove_all);

#[test]
fn three_thousand_flows_are_spread_exactly() {
    if !kernel::is_available() {
        return;
    }
    for scene in Scene::all() {
        let mut kernel = Kernel::new(&rounds::tables(scene));
        assert_eq!(rounds::open_all(scene, &mut kernel), Ok(()));
    }
}

/// Each set of features is another program to the verifier: each must load, well below its limit.
#[test]
fn every_set_of_features_is_verified() {
    /// A quarter of what the verifier walks at most.
    const INSTRUCTIONS_MAX: u32 = 250_000;
    if !kernel::is_available() {
        return;
    }
    let mut most = 0;
    for choice in 0_u8..128 {
        let has = |bit: u8| choice & 1 << bit != 0;
        let mut setup = Setup::new(&[]).nat_ports(1024, 31_744);
        let all = Scene::all();
        let scenes = all.iter().filter(|scene| {
            let mode = match scene.forward {
                Forward::Nat => 6,
                Forward::FullNat if scene.crosses => 6,
                Forward::FullNat => 2,
                Forward::Dsr => 3,
                Forward::Ipip | Forward::Gue => 4,
            };
            scene.is_tcp() && has(u8::from(scene.v6)) && has(mode)
        });
        for (index, scene) in (0..).zip(scenes) {
            // Port 0 makes the lookup of services for any port part of the program.
            let vip = SocketAddr::new(scene.vip().ip(), index * 80);
            let backend = BackendSetup::new(scene.backend(0));
            let name = scene.to_string();
            setup = setup.service(&name, vip, scene.protocol, scene.forward, &[backend]);
        }
        if has(5) {
            setup = setup.block("203.0.113.0/24").rule(Rule {
                source: addresses(&["2001:db8::/32"]),
                destination: addresses(&["!192.0.2.0/24"]),
                protocol: Some(6),
                port: vec![(22, 22)],
                source_port: vec![(0, 1023)],
                ..rule("all dimensions", Action::Drop)
            });
        }
        let tables = setup.tables();
        let instructions = Kernel::new(&tables).verified_instructions();
        println!("{:?}: {instructions}", tables.features());
        assert!(
            instructions < INSTRUCTIONS_MAX,
            "{:?}: {instructions} instructions",
            tables.features()
        );
        most = most.max(instructions);
    }
    assert!(most > 0, "the kernel does not tell");
}
