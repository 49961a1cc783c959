//! Schedulers as ranges of slots, walked by the program's cursor.

use crate::document::Scheduler;

/// The backend id of every slot.
pub(super) fn slots(scheduler: Scheduler, eligible: &[(u32, u16)]) -> Vec<u32> {
    match scheduler {
        Scheduler::RoundRobin => eligible.iter().map(|(id, _)| *id).collect(),
        Scheduler::WeightedRoundRobin => interleave(eligible),
    }
}

/// Smooth weighted round robin: in every round the backend that is furthest behind its share is
/// next, so that a heavy backend's turns are spread and not in a row.
fn interleave(eligible: &[(u32, u16)]) -> Vec<u32> {
    let divisor = eligible
        .iter()
        .fold(0, |divisor, (_, weight)| gcd(divisor, *weight))
        .max(1);
    let weights: Vec<i64> = eligible
        .iter()
        .map(|(_, w)| i64::from(w / divisor))
        .collect();
    let total: i64 = weights.iter().sum();
    let mut behind = vec![0_i64; weights.len()];
    let mut slots = Vec::with_capacity(usize::try_from(total).unwrap_or_default());
    for _ in 0..total {
        for (behind, weight) in behind.iter_mut().zip(&weights) {
            *behind += weight;
        }
        // The first of the furthest, so that equal weights keep the document's order.
        let mut next = 0;
        for index in 1..behind.len() {
            if behind[index] > behind[next] {
                next = index;
            }
        }
        behind[next] -= total;
        slots.push(eligible[next].0);
    }
    slots
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_robin_is_the_documents_order() {
        assert_eq!(slots(Scheduler::RoundRobin, &[(7, 1), (3, 5)]), [7, 3]);
        assert_eq!(slots(Scheduler::RoundRobin, &[]), [] as [u32; 0]);
    }

    #[test]
    fn weights_are_smooth_and_exact() {
        let smooth = slots(Scheduler::WeightedRoundRobin, &[(1, 5), (2, 1), (3, 1)]);
        assert_eq!(smooth, [1, 1, 2, 1, 3, 1, 1]);
        assert_eq!(
            slots(Scheduler::WeightedRoundRobin, &[(1, 20), (2, 10)]),
            [1, 2, 1]
        );
        assert_eq!(slots(Scheduler::WeightedRoundRobin, &[]), [] as [u32; 0]);
        for weights in [[3, 7, 11], [1, 1, 1000], [2, 4, 6]] {
            let eligible: Vec<_> = (0..).zip(weights).collect();
            let slots = interleave(&eligible);
            for (id, weight) in eligible {
                let turns = slots.iter().filter(|slot| **slot == id).count();
                let share = usize::from(weight) * slots.len();
                let all: usize = weights.iter().map(|w| usize::from(*w)).sum();
                assert_eq!(turns, share / all);
            }
        }
    }
}
