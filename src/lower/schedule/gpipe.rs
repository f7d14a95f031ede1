//! GPipe (Huang et al. 2019): all forwards, then all backwards. On one stage there is no pipeline,
//! and gradients of micro-batches accumulate one after the other.

use super::pipeline::Pipeline;

pub(super) const fn warm_up(pipeline: &Pipeline) -> u64 {
    if pipeline.stages == 1 { 0 } else { u64::MAX }
}

/// All forwards but one come before any backward.
pub(super) const fn forwards_between(pipeline: &Pipeline) -> u64 {
    pipeline.micro_batches - 1
}
