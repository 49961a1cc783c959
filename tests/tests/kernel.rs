//! Every case of the corpus in the kernel.

use lb_tests::case::{Case, Proof, Step, corpus, prove};
use lb_tests::kernel::{self, Kernel};

/// Ticks that may pass while a case runs.
const SLACK: u32 = 5;

fn prove_all(cases: &[Case]) {
    if !kernel::is_available() {
        return;
    }
    let mut failures = Vec::new();
    let mut proven = 0;
    for case in cases {
        if let Some(why) = case.host_only {
            println!("only on the host, because {why}: {}", case.description);
            continue;
        }
        let hands_over = case
            .steps
            .iter()
            .any(|step| matches!(step, Step::Generation(_)));
        let mut ring = if hands_over {
            Kernel::with_generations(&case.tables)
        } else {
            Kernel::new(&case.tables)
        };
        match prove(case, &mut ring, SLACK) {
            Proof::Holds => proven += 1,
            Proof::Skipped(why) => println!("skipped, because {why}: {}", case.description),
            Proof::Fails(why) => failures.push(why),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases fail:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    assert!(proven > 0, "no case of the group can run in the kernel");
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
