//! Rates of a comparison, round by round, and what they amount to.

use serde::Serialize;

/// One comparison: this balancer against one peer at the same work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The work, and how this balancer does it.
    pub scenario: String,
    /// What it is compared with.
    pub peer: String,
    /// Median of this balancer's rates.
    pub ours_per_second: f64,
    /// Median of the peer's.
    pub peer_per_second: f64,
    /// What is counted.
    pub unit: &'static str,
    /// Median of the rounds' ratios, ours to the peer's: above 1, ours does more.
    pub ratio: f64,
    /// The lowest ratio of all rounds.
    pub ratio_low: f64,
    /// The highest.
    pub ratio_high: f64,
    /// How many rounds there were.
    pub rounds: usize,
}

impl Row {
    /// Compares rates that were measured in turns: each of ours with the peer's of the same round,
    /// because a machine's speed drifts from round to round. `None` if there is no round, or one
    /// in which the peer did nothing.
    pub(crate) fn new(
        scenario: String,
        peer: &str,
        unit: &'static str,
        ours: &[f64],
        theirs: &[f64],
    ) -> Option<Self> {
        let rounds = ours.iter().zip(theirs);
        let ratios: Vec<f64> = rounds.map(|(ours, theirs)| ours / theirs).collect();
        if !ratios.iter().all(|ratio| ratio.is_finite()) {
            return None;
        }
        Some(Self {
            scenario,
            peer: peer.to_owned(),
            ours_per_second: median(ours)?,
            peer_per_second: median(theirs)?,
            unit,
            ratio: median(&ratios)?,
            ratio_low: ratios.iter().copied().min_by(f64::total_cmp)?,
            ratio_high: ratios.iter().copied().max_by(f64::total_cmp)?,
            rounds: ratios.len(),
        })
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 2.0]), Some(3.0));
    }

    #[test]
    fn a_drift_of_the_machine_cancels_out() {
        // The machine slows down to a half and to a quarter; the ratio stays.
        let row = Row::new(
            "s".into(),
            "p",
            "u",
            &[400.0, 200.0, 100.0],
            &[200.0, 100.0, 50.0],
        );
        let row = row.unwrap();
        assert_eq!((row.ratio, row.ratio_low, row.ratio_high), (2.0, 2.0, 2.0));
        assert_eq!((row.ours_per_second, row.peer_per_second), (200.0, 100.0));
        assert_eq!(row.rounds, 3);
    }

    #[test]
    fn the_spread_is_that_of_ratios() {
        let row = Row::new(
            "s".into(),
            "p",
            "u",
            &[100.0, 100.0, 100.0],
            &[50.0, 25.0, 100.0],
        );
        let row = row.unwrap();
        assert_eq!((row.ratio, row.ratio_low, row.ratio_high), (2.0, 1.0, 4.0));
    }

    #[test]
    fn nothing_measured_is_no_row() {
        assert_eq!(Row::new("s".into(), "p", "u", &[], &[]), None);
        assert_eq!(Row::new("s".into(), "p", "u", &[1.0], &[0.0]), None);
    }
}
