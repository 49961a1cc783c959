//! Which flow each packet belongs to.

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::Zipf;

use super::front::SEQUENCE;

/// The order in which the front takes flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// One after another from a first one, none twice.
    From(u32),
    /// Around a sequence of so many entries.
    Cycle(u32),
}

/// How packets are spread over flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Each flow as often as any other, in no order.
    Uniform,
    /// The n-th flow in proportion to 1/n, as web traffic is (Zipf's law with exponent 1).
    Zipf,
}

/// Entries of a sequence of draws; that of a permutation is as long as there are flows.
const DRAWS: u32 = 1024 * 1024;
/// The same sequence in every run.
const SEED: u64 = 0x5eed;

/// A sequence of flow numbers below `flows`.
pub(super) fn sequence(flows: u32, spread: Spread) -> Result<Vec<u32>> {
    let mut random = StdRng::seed_from_u64(SEED);
    // The n-th flow must not be the n-th in memory as well.
    let mut order: Vec<u32> = (0..flows.min(SEQUENCE)).collect();
    order.shuffle(&mut random);
    if spread == Spread::Uniform {
        return Ok(order);
    }
    let zipf = Zipf::new(f64::from(flows), 1.0).context("no such distribution")?;
    Ok((0..DRAWS)
        .map(|_| order[index(random.sample(zipf), order.len())])
        .collect())
}

/// The index of a rank, which counts from 1.
#[expect(clippy::cast_sign_loss, reason = "a rank is a positive integer")]
fn index(rank: f64, length: usize) -> usize {
    (rank as usize).clamp(1, length) - 1
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_uniform_sequence_has_each_flow_once_in_no_order() {
        let flows = sequence(1000, Spread::Uniform).unwrap();
        let mut sorted = flows.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<u32>>());
        assert_ne!(sorted, flows);
    }

    #[test]
    fn the_first_rank_of_zipf_is_twice_as_frequent_as_the_second() {
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for flow in sequence(1000, Spread::Zipf).unwrap() {
            assert!(flow < 1000);
            *counts.entry(flow).or_default() += 1;
        }
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
    }
}
