//! What one stage holds in memory at its peak, in whole bytes.

use super::schedule::InFlight;
use super::stage::StageSettings;
use super::stage_parameters::StageParameters;
use super::work::{BlockTimes, StageWork};
use crate::plan::OptimizerSharding;
use crate::units::Bytes;

/// Peak of a rank, and what it consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageMemory {
    /// Parameters as the forward pass reads them.
    pub parameters: Bytes,
    /// Gradients.
    pub gradients: Bytes,
    /// Optimizer states and master copies.
    pub optimizer: Bytes,
    /// Activations kept for micro-batches in flight.
    pub activations: Bytes,
    /// Working memory, communication buffers, context, fragmentation.
    pub other: Bytes,
}

impl StageMemory {
    /// All of it.
    pub fn total(&self) -> Bytes {
        self.parameters + self.gradients + self.optimizer + self.activations + self.other
    }
}

/// What decides the memory of all stages of a candidate, beside their blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryModel {
    /// Bytes of a parameter element: as read, its gradient, its optimizer states.
    pub state: [u64; 3],
    /// Bytes of a gradient element held beside those, never sharded.
    pub gradient_copy: u64,
    /// Buckets into which gradients are flattened for their reduction.
    pub reduce_buffers: u64,
    /// Runtime and communicators of a rank.
    pub fixed: Bytes,
    /// A pipeline transfer; each rank has one buffer for each direction in and out.
    pub transfer: Bytes,
    /// Whether what a stage sent is kept for every micro-batch in flight.
    pub keeps_stage_outputs: bool,
    /// Share of activations and working memory lost to fragmentation.
    pub fragmentation: f64,
    /// Memory of the device.
    pub capacity: Bytes,
}

impl MemoryModel {
    /// Peak of a stage with the given chunks, where `in_flight` are the largest numbers of
    /// micro-batches alive at once, by chunk ([`super::Pipeline::in_flight`]).
    ///
    /// Sharding divides what it shards over the replicas (Rajbhandari et al. 2020): optimizer
    /// states from ZeRO-1 on, gradients from ZeRO-2, parameters under ZeRO-3, whose two largest
    /// neighbouring blocks are whole while they run. Frozen parameters have neither gradients nor
    /// states; ZeRO-3 shards them too.
    pub fn peak(
        &self,
        shape: &StageSettings,
        layer: &BlockTimes,
        chunks: &[StageWork<'_>],
        in_flight: &[InFlight],
    ) -> StageMemory {
        let StageParameters { all, trained, .. } = StageParameters::of(chunks, layer);
        let replicas = shape.replicas;
        let sharded = |elements: u64, bytes: u64, from: OptimizerSharding| {
            let whole = Bytes::new(elements) * bytes;
            if shape.sharding >= from { whole.div_ceil(replicas) } else { whole }
        };
        let [parameter, gradient, optimizer] = self.state;
        let mut memory = StageMemory {
            parameters: sharded(all, parameter, OptimizerSharding::Zero3),
            gradients: sharded(trained, gradient, OptimizerSharding::Zero2),
            optimizer: sharded(trained, optimizer, OptimizerSharding::Zero1),
            activations: peak_activations(layer, chunks, in_flight),
            other: self.fixed + self.transfer * 2,
        };
        let sends = chunks.last().is_some_and(|work| work.head.is_none()) || chunks.len() > 1;
        if self.keeps_stage_outputs && shape.stages > 1 && sends {
            let held = in_flight.iter().map(|held| held.all).max().unwrap_or(0);
            memory.activations += self.transfer * held;
        }
        if shape.sharding == OptimizerSharding::Zero3 && replicas > 1 {
            memory.parameters += Bytes::new(whole_blocks(layer, chunks)) * parameter;
        }
        if shape.sharding >= OptimizerSharding::Zero2 && replicas > 1 {
            let bucket = shape.bucket_elements.max(layer.trained()).min(trained);
            memory.gradients += Bytes::new(bucket) * gradient;
        }
        memory.gradients += Bytes::new(trained) * self.gradient_copy;
        let mut transient = peak_transient(layer, chunks);
        if replicas > 1 {
            let bucket = Bytes::new(trained.min(shape.bucket_elements)) * shape.gradient_bytes;
            transient += bucket * self.reduce_buffers;
        }
        let lost = (memory.activations + transient).as_f64() * self.fragmentation;
        // `f64::ceil` is a call on targets without the instruction, and this runs for every column.
        let whole = lost as u64;
        memory.other += transient + Bytes::new(whole + u64::from((whole as f64) < lost));
        memory
    }
}

/// Activations of the micro-batches in flight, at their largest.
fn peak_activations(layer: &BlockTimes, chunks: &[StageWork<'_>], in_flight: &[InFlight]) -> Bytes {
    // All chunks of a stage have the same layers, but that with the embedding and that with the
    // head may have one fewer.
    let kept =
        |work: Option<&StageWork<'_>>| work.map_or(Bytes::ZERO, |work| layers_saved(layer, work));
    let layers = chunks.iter().map(|work| kept(Some(work))).max().unwrap_or(Bytes::ZERO);
    let [fewer_first, fewer_last] =
        [chunks.first(), chunks.last()].map(|work| layers.saturating_sub(kept(work)));
    let saved = |block: Option<&BlockTimes>| block.map_or(Bytes::ZERO, |block| block.saved[0]);
    let first = saved(chunks.first().and_then(|work| work.embedding));
    let last = saved(chunks.last().and_then(|work| work.head));
    let at = |held: &InFlight| {
        let all = layers * held.all + first * held.first + last * held.last;
        all.saturating_sub(fewer_first * held.first + fewer_last * held.last)
    };
    in_flight.iter().map(at).max().unwrap_or(Bytes::ZERO)
}

/// Activations that one micro-batch keeps in the layers of a chunk.
fn layers_saved(layer: &BlockTimes, work: &StageWork<'_>) -> Bytes {
    (0..3).map(|r| layer.saved[r] * work.layers[r]).sum()
}

/// Activations that one micro-batch keeps in a chunk.
pub fn chunk_saved(layer: &BlockTimes, work: &StageWork<'_>) -> Bytes {
    let ends = [work.embedding, work.head].into_iter().flatten();
    layers_saved(layer, work) + ends.map(|block| block.saved[0]).sum()
}

/// The largest working memory of any block of the stage.
fn peak_transient(layer: &BlockTimes, chunks: &[StageWork<'_>]) -> Bytes {
    let mut peak = Bytes::ZERO;
    for work in chunks {
        for (count, transient) in work.layers.iter().zip(layer.transient) {
            if *count > 0 {
                peak = peak.max(transient);
            }
        }
        for block in [work.embedding, work.head].into_iter().flatten() {
            peak = peak.max(block.transient[0]);
        }
    }
    peak
}

/// Elements of the two largest neighbouring blocks, which ZeRO-3 holds whole while they run.
fn whole_blocks(layer: &BlockTimes, chunks: &[StageWork<'_>]) -> u64 {
    let ends = chunks.iter().flat_map(|work| [work.embedding, work.head]).flatten();
    let largest = ends.map(|block| block.parameters).max().unwrap_or(0).max(layer.parameters);
    largest + layer.parameters
}
