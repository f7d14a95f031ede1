//! 1F1B (Narayanan et al. 2019): stage q warms up with p - 1 - q forwards, then alternates.

use super::pipeline::Pipeline;

pub(super) const fn warm_up(pipeline: &Pipeline, stage: u64) -> u64 {
    pipeline.stages - 1 - stage
}

/// The forwards behind the warm-up but one.
pub(super) const fn forwards_between(pipeline: &Pipeline, stage: u64) -> u64 {
    (pipeline.micro_batches + stage).saturating_sub(pipeline.stages)
}
