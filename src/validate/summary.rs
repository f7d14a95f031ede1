//! Errors of many rows in a few numbers.

use super::run::Compared;
use crate::units::statistics::{quantile, sorted};
use serde::Serialize;
use std::collections::BTreeMap;

/// Errors of a set of rows; absolute errors are |predicted / measured - 1|. Where nothing was
/// predicted they are no numbers, `null` in JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Summary {
    /// Rows in all.
    pub rows: usize,
    /// Of these, not predicted.
    pub skipped: usize,
    /// Median of the absolute errors.
    pub median_abs_error: f64,
    /// Mean of them.
    pub mean_abs_error: f64,
    /// Their 90th percentile.
    pub p90_abs_error: f64,
    /// Median of the signed errors.
    pub bias: f64,
    /// Rank correlation of predicted and measured times (Spearman).
    pub spearman: f64,
    /// Mean regret of the groups of like jobs.
    pub regret_mean: f64,
    /// Largest of them.
    pub regret_max: f64,
}

/// Errors of `rows`.
pub fn summarise<'a>(rows: impl IntoIterator<Item = &'a Compared>) -> Summary {
    let rows: Vec<&Compared> = rows.into_iter().collect();
    let errors: Vec<f64> = rows.iter().filter_map(|row| row.error()).collect();
    let absolute = sorted(errors.iter().map(|error| error.abs()));
    let count = absolute.len().max(1) as f64;
    let pairs: Vec<(f64, f64)> = rows
        .iter()
        .filter_map(|row| Some((row.outcome.as_ref().ok()?.seconds, row.measured_s?)))
        .collect();
    let regrets = regrets(&rows);
    let regret_count = regrets.len().max(1) as f64;
    let of_any = |value: f64| if absolute.is_empty() { f64::NAN } else { value };
    Summary {
        rows: rows.len(),
        skipped: rows.len() - absolute.len(),
        median_abs_error: of_any(quantile(&absolute, 0.5)),
        // A sum of nothing is a negative zero.
        mean_abs_error: of_any(absolute.iter().sum::<f64>() / count),
        p90_abs_error: of_any(quantile(&absolute, 0.9)),
        bias: of_any(quantile(&sorted(errors), 0.5)),
        spearman: of_any(spearman(&pairs)),
        regret_mean: of_any(
            regrets.iter().map(|(_, regret)| *regret).fold(0.0, |sum, regret| sum + regret)
                / regret_count,
        ),
        regret_max: of_any(regrets.iter().map(|(_, regret)| *regret).fold(0.0, f64::max)),
    }
}

/// Mean ranks of values, ties shared.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start;
        while end < order.len() && values[order[end]] == values[order[start]] {
            end += 1;
        }
        for at in &order[start..end] {
            ranks[*at] = (start + end - 1) as f64 / 2.0;
        }
        start = end;
    }
    ranks
}

/// Correlation of the ranks of pairs; zero where there is none to speak of.
pub fn spearman(pairs: &[(f64, f64)]) -> f64 {
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (a, b) = (ranks(&a), ranks(&b));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (ma, mb) = (mean(&a), mean(&b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(&b).map(|(x, y)| f(x - ma, y - mb)).sum()
    };
    let spread = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    if spread > 0.0 { sum(&|x, y| x * y) / spread } else { 0.0 }
}

/// Jobs that were measured under at least this many plans are compared by regret.
const GROUP: usize = 3;

/// For every job that was measured under several plans: the measured time of the plan with the
/// least predicted time, over the best measured time, less one.
pub fn regrets(rows: &[&Compared]) -> Vec<(String, f64)> {
    let mut groups: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows {
        let (Ok(predicted), Some(measured)) = (&row.outcome, row.measured_s) else { continue };
        let r = &row.row;
        let key = format!(
            "{}, {}: {:?} layers of {:?}, {:?} heads, {:?} tokens, {} on {:?} {}, batch {:?}",
            r.source,
            r.framework,
            r.layers,
            r.hidden,
            r.heads,
            r.seq_len,
            r.precision,
            r.gpus,
            r.hardware,
            r.global_batch
        );
        groups.entry(key).or_default().push((predicted.seconds, measured));
    }
    let regret = |plans: &[(f64, f64)]| {
        let best = plans.iter().map(|(_, measured)| *measured).fold(f64::INFINITY, f64::min);
        // Repetitions of one plan are predicted alike: which of them counts is not a choice.
        let least = plans.iter().map(|(predicted, _)| *predicted).fold(f64::INFINITY, f64::min);
        let chosen = plans.iter().filter(|(predicted, _)| *predicted == least);
        let (sum, count) =
            chosen.fold((0.0, 0.0), |(sum, n), (_, measured)| (sum + measured, n + 1.0));
        if count > 0.0 { sum / count / best - 1.0 } else { 0.0 }
    };
    groups
        .into_iter()
        .filter(|(_, plans)| plans.len() >= GROUP)
        .map(|(key, plans)| (key, regret(&plans)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_nothing_are_no_numbers() {
        let summary = summarise([]);
        assert_eq!((summary.rows, summary.skipped), (0, 0));
        assert!(summary.median_abs_error.is_nan() && summary.mean_abs_error.is_nan());
        let json = serde_json::to_value(summary).unwrap();
        assert!(json["median_abs_error"].is_null() && json["bias"].is_null(), "{json}");
    }

    #[test]
    fn rank_correlation_shares_ties() {
        assert_eq!(spearman(&[(1.0, 10.0), (2.0, 20.0), (3.0, 30.0)]), 1.0);
        assert_eq!(spearman(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]), -1.0);
        assert_eq!(ranks(&[5.0, 1.0, 5.0]), [1.5, 0.0, 1.5]);
    }
}
