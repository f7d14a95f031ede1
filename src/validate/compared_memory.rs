//! Measured peaks compared.

use super::row::MeasuredRun;
use super::run::predicted;
use super::skip::Skip;
use rayon::prelude::*;

/// A measured peak with its prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedMemory {
    /// The row.
    pub row: MeasuredRun,
    /// Bytes measured.
    pub measured: f64,
    /// Bytes predicted of that kind, and whether the plan is said to fit.
    pub outcome: Result<(u64, bool), Skip>,
}

impl ComparedMemory {
    /// Predicted over measured, less one.
    pub fn error(&self) -> Option<f64> {
        let (bytes, _) = self.outcome.as_ref().ok()?;
        (self.measured > 0.0).then(|| *bytes as f64 / self.measured - 1.0)
    }
}

/// Predicts the peak of every row that has one.
pub fn compare_memory(rows: Vec<MeasuredRun>) -> Vec<ComparedMemory> {
    let one = |row: MeasuredRun| {
        let measured = row.peak_mem_gib.unwrap_or(0.0) * f64::from(1u32 << 30);
        let outcome = if measured > 0.0 {
            predicted(&row, &|_, _, _| {})
                .map(|found| (found.peak.counted_as(&row.mem_kind), found.fits))
        } else {
            Err(Skip::NotMeasured)
        };
        ComparedMemory { row, measured, outcome }
    };
    rows.into_par_iter().map(one).collect()
}
