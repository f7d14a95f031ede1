//! Interleaved 1F1B (Narayanan et al. 2021, section 2.2): stages walk their chunks in groups of p
//! micro-batches, of which there is a multiple.

use super::pipeline::{InFlight, Pass, Pipeline, Step};

/// 2 (p - 1 - q) forwards, so that the first gradient finds its way back, and (v - 1) p before the
/// last chunk.
pub(super) const fn warm_up(pipeline: &Pipeline, stage: u64) -> u64 {
    2 * (pipeline.stages - 1 - stage) + (pipeline.chunks - 1) * pipeline.stages
}

/// The `k`-th such pass of a stage: p micro-batches of a chunk, then of the next; backwards from the
/// last chunk.
pub(super) const fn unit(pipeline: &Pipeline, k: u64, pass: Pass) -> Step {
    let (p, v) = (pipeline.stages, pipeline.chunks);
    let group = p * v;
    let chunk = k % group / p;
    let chunk = match pass {
        Pass::Forward => chunk,
        Pass::Backward => v - 1 - chunk,
    };
    let micro_batch = k / group * p + k % p;
    Step { pass, chunk: chunk as u32, micro_batch: micro_batch as u32 }
}

/// The Pareto-maximal moments. After the warm-up, which is shorter than two groups of p
/// micro-batches, steps repeat with each such group: later ones hold no more.
pub(super) fn in_flight(pipeline: &Pipeline, stage: u64) -> Vec<InFlight> {
    let few = pipeline.micro_batches.min(4 * pipeline.stages);
    peaks(&Pipeline { micro_batches: few, ..*pipeline }, stage)
}

/// The Pareto-maximal moments, by walking all steps.
pub(super) fn peaks(pipeline: &Pipeline, stage: u64) -> Vec<InFlight> {
    // Only the stages at the ends hold chunks that differ from the others.
    let (is_first, is_last) = (stage == 0, stage + 1 == pipeline.stages);
    let mut now = InFlight::default();
    let mut peaks: Vec<InFlight> = Vec::new();
    let mut rising = false;
    for step in pipeline.steps(stage) {
        if step.pass == Pass::Backward && rising && !peaks.iter().any(|peak| peak.covers(&now)) {
            // Only the moment before a release can be a maximum.
            peaks.retain(|peak| !now.covers(peak));
            peaks.push(now);
        }
        let change = |count: &mut u64| {
            *count = match step.pass {
                Pass::Forward => *count + 1,
                Pass::Backward => *count - 1,
            };
        };
        change(&mut now.all);
        if is_first && step.chunk == 0 {
            change(&mut now.first);
        }
        if is_last && u64::from(step.chunk) + 1 == pipeline.chunks {
            change(&mut now.last);
        }
        rising = step.pass == Pass::Forward;
    }
    peaks
}
