//! Every case of the corpus in the kernel.

use lb_tests::case::{Case, Proof, Step, corpus, prove};
use lb_tests::kernel::{self, Kernel};

/// Ticks that may pass while a case runs.
const SLACK: u32 = 4;

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
        let mut ring = Kernel::new(tables);
        for case in alike {
            if hands_over(case) {
                let mut ring = Kernel::with_generations(tables);
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
