//! Which layers and which part of the work each rank has.

use super::input::ExportInput;
use crate::mesh::{Coordinates, Mesh, Nodes, Place};
use crate::plan::RecomputeCounts;
use std::ops::Range;

/// Layers of a chunk of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The stage.
    pub(super) stage: u64,
    /// Its layers, numbered through the model.
    pub(super) layers: Range<u64>,
    /// How many of them recompute what.
    pub(super) recompute: RecomputeCounts,
}

/// Where a rank stands and what it works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankPlace {
    /// The rank.
    pub rank: u64,
    /// Its node, counted over the node groups.
    pub node: u64,
    /// Its device within the node.
    pub local_rank: u64,
    /// Its stage.
    pub pipeline: u64,
    /// Its replica.
    pub data: u64,
    /// Its part of a sequence.
    pub context: u64,
    /// Its part of each operator.
    pub tensor: u64,
    /// Its layers, one range for each chunk.
    pub layers: Vec<Range<u64>>,
}

/// The chunks in the order of the model: first chunks of all stages, then second ones.
pub(super) fn chunks(subject: &ExportInput<'_>) -> Vec<Chunk> {
    let plan = subject.plan;
    let (p, v) = (plan.parallelism.pipeline.max(1), plan.parallelism.virtual_stages.max(1));
    let layers = subject.model.num_layers;
    let short = v > 1 && !layers.is_multiple_of(p * v);
    let mut next = 0;
    let mut chunks = Vec::new();
    for chunk in 0..v {
        for stage in 0..p {
            let mut counts = stage_counts(subject, stage, short).map(|count| count / v);
            let first = stage == 0 && chunk == 0;
            let last = stage + 1 == p && chunk + 1 == v;
            if short && (first || last) {
                change_last(&mut counts, |count| count.saturating_sub(1));
            }
            let [none, selective, full] = counts;
            let first = next;
            next += none + selective + full;
            let recompute = RecomputeCounts { none, selective, full };
            chunks.push(Chunk { stage, layers: first..next, recompute });
        }
    }
    chunks
}

/// Layers of a stage by recomputation; with interleaving of short ends, as if they were not short.
fn stage_counts(subject: &ExportInput<'_>, stage: u64, short: bool) -> [u64; 3] {
    let plan = subject.plan;
    let p = plan.parallelism.pipeline.max(1);
    let layers = subject.model.num_layers;
    let listed = usize::try_from(stage).ok().and_then(|stage| plan.stages.get(stage));
    let Some(listed) = listed else {
        let all = layers + if short { 2 } else { 0 };
        return [all / p + u64::from(stage < all % p), 0, 0];
    };
    let RecomputeCounts { none, selective, full } = listed.recompute;
    let mut counts = [none, selective, full];
    if short && (stage == 0 || stage + 1 == p) {
        change_last(&mut counts, |count| count + 1);
    }
    counts
}

/// Changes the count of the kind that recomputes most.
fn change_last(counts: &mut [u64; 3], change: impl Fn(u64) -> u64) {
    if let Some(count) = counts.iter_mut().rev().find(|count| **count > 0) {
        *count = change(*count);
    }
}

/// Whether all chunks hold as many layers.
pub(super) fn is_even(chunks: &[Chunk]) -> bool {
    let count = |chunk: &Chunk| chunk.layers.end - chunk.layers.start;
    chunks.windows(2).all(|pair| count(&pair[0]) == count(&pair[1]))
}

/// What every rank is: they fill the nodes in order, tensor-parallel innermost, then context, data
/// and pipeline, as all targets place them.
pub fn ranks(subject: &ExportInput<'_>) -> Vec<RankPlace> {
    let mesh = Mesh::of(&subject.plan.parallelism);
    let nodes = Nodes::of(subject.cluster);
    let chunks = chunks(subject);
    let place = |rank: u64| {
        let Place { node, device: local_rank, .. } = nodes.place(rank)?;
        let Coordinates { tensor, context, data, stage: pipeline } = mesh.coordinates(rank);
        let own = chunks.iter().filter(|chunk| chunk.stage == pipeline);
        let layers = own.map(|chunk| chunk.layers.clone()).collect();
        Some(RankPlace { rank, node, local_rank, pipeline, data, context, tensor, layers })
    };
    (0..mesh.ranks()).map_while(place).collect()
}
