//! What a row measured.

use super::row::MeasuredRun;

/// Seconds of an iteration, from the cell that the source gives rather than from one computed from
/// others: the time, else samples or tokens a second. `batch` is the global batch.
pub fn iteration_seconds(row: &MeasuredRun, batch: u64) -> Option<f64> {
    let length = row.seq_len? as f64;
    let devices = row.gpus? as f64;
    let batch = batch as f64;
    let positive = |value: Option<f64>| value.filter(|value| *value > 0.0);
    let time = positive(row.iter_time_s);
    let by_samples = positive(row.samples_per_s).map(|rate| batch / rate);
    let by_tokens = positive(row.tokens_per_s_per_gpu).map(|rate| batch * length / rate / devices);
    let given = |column: &str, value: Option<f64>| value.filter(|_| !row.is_derived(column));
    given("iter_time_s", time)
        .or_else(|| given("samples_per_s", by_samples))
        .or_else(|| given("tokens_per_s_per_gpu", by_tokens))
        .or(time)
        .or(by_tokens)
        .or(by_samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_cells_come_before_computed_ones() {
        let mut row = MeasuredRun { seq_len: Some(100), gpus: Some(4), ..MeasuredRun::default() };
        assert_eq!(iteration_seconds(&row, 8), None);
        row.tokens_per_s_per_gpu = Some(50.0);
        assert_eq!(iteration_seconds(&row, 8), Some(4.0));
        row.iter_time_s = Some(5.0);
        assert_eq!(iteration_seconds(&row, 8), Some(5.0));
        row.derived = vec!["iter_time_s".into()];
        assert_eq!(iteration_seconds(&row, 8), Some(4.0));
        row.derived.push("tokens_per_s_per_gpu".into());
        assert_eq!(iteration_seconds(&row, 8), Some(5.0));
    }
}
