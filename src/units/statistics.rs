//! Middles and spreads of repeated measurements.

/// Sorted by value.
pub fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which a share `q` of `sorted` lies, interpolated; zero of nothing.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// The middle one of some numbers, the upper of two; zero where there is none.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values.iter().copied());
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The mean of some numbers, each counted as twice the middle one at most; zero where there is none.
/// A shared core runs at one of two speeds as its neighbour works or rests: between them the mean is
/// steady and the middle one is not, but a burst of interruptions is no speed.
pub fn clipped_mean(values: &[f64]) -> f64 {
    let most = 2.0 * median(values);
    let sum: f64 = values.iter().map(|value| value.min(most)).sum();
    sum / values.len().max(1) as f64
}

/// The mean without the tenth that is longest. Who waits for others waits for each of their delays,
/// so the middle one is too short; a neighbour's burst on the machine is not the collective's.
pub fn mean_without_longest(values: &[f64]) -> f64 {
    let sorted = sorted(values.iter().copied());
    let kept = &sorted[..sorted.len() - sorted.len() / 10];
    kept.iter().sum::<f64>() / kept.len().max(1) as f64
}

/// (largest - smallest) / median; zero where there is none.
pub fn spread(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(0.0, f64::max);
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let middle = median(values);
    if middle > 0.0 { (largest - smallest) / middle } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let values = [1.0, 2.0, 4.0];
        assert_eq!(quantile(&values, 0.5), 2.0);
        assert_eq!(quantile(&values, 0.75), 3.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn bursts_do_not_count() {
        let values = [1.0, 1.4, 1.0, 1.4, 90.0];
        assert_eq!(median(&values), 1.4);
        assert!((clipped_mean(&values) - 1.52).abs() < 1e-12);
        assert!((spread(&values) - 89.0 / 1.4).abs() < 1e-12);
        let ten = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 50.0];
        assert_eq!(mean_without_longest(&ten), 1.0);
        for middle in [median, clipped_mean, mean_without_longest, spread] {
            assert_eq!(middle(&[]), 0.0);
        }
    }
}
