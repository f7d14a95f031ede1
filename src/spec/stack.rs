//! `hardware/stacks/*.yaml`: what the training software can do, and what it costs.

use crate::units::{Bytes, Seconds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A training software stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StackSpec {
    /// Name, as in the catalogue.
    pub name: String,
    /// Attention as one fused kernel that keeps no score matrix (Dao et al. 2022).
    pub flash_attention: bool,
    /// Generation of the fused attention's algorithm: 1 (Dao et al. 2022), 2 (Dao 2023), 3 (Shah et
    /// al. 2024, and cuDNN's of that time).
    #[serde(default = "second")]
    pub flash_attention_version: u64,
    /// Scale, mask and softmax of unfused attention in one pass.
    pub fused_softmax: bool,
    /// Bias, dropout and residual sum in one pass.
    pub fused_bias_dropout_add: bool,
    /// Bias and activation in one pass.
    pub fused_bias_activation: bool,
    /// Cross-entropy over the sharded vocabulary without a 32-bit copy of the logits.
    pub fused_cross_entropy: bool,
    /// Weight gradients accumulate into the 32-bit buffer inside the matrix product.
    pub fused_gradient_accumulation: bool,
    /// Bytes of a gradient element as it is kept and reduced (2 or 4).
    pub gradient_bytes: u64,
    /// Bytes of a gradient element that are held beside those: 16-bit gradients beside their 32-bit
    /// sums, or buckets beside gradients.
    #[serde(default)]
    pub gradient_copy_bytes: u64,
    /// Bytes of a gradient element on the wire (2 or 4).
    pub gradient_reduce_bytes: u64,
    /// Data-parallel reduction runs under the backward pass of the last micro-batch.
    pub overlap_gradient_reduce: bool,
    /// Gathering of sharded parameters runs under the forward pass of the first micro-batch.
    pub overlap_parameter_gather: bool,
    /// Pipeline transfers run beside computation; otherwise the stage waits for them.
    pub overlap_p2p: bool,
    /// What the local part of a vocabulary is padded to a multiple of
    /// (Megatron-LM, `--make-vocab-size-divisible-by`).
    #[serde(default = "padded")]
    pub vocabulary_multiple: u64,
    /// Which tensor-parallel collectives run beside matrix products.
    #[serde(default)]
    pub overlap_tensor_parallel: TensorOverlap,
    /// Slowdown of computation beside which a collective runs (0.05 = 5 %).
    pub overlap_contention: f64,
    /// Pipeline transfers are split over the tensor-parallel ranks and gathered on arrival
    /// (Narayanan et al. 2021, §4.1).
    pub p2p_scatter_gather: bool,
    /// Share of the arithmetic rates of today's libraries that those of the stack's time reach, in
    /// products and attention: the device files are calibrated with libraries of 2025.
    #[serde(default = "one")]
    pub library_efficiency: f64,
    /// Share of the bandwidth of a streaming kernel that passes over activations reach: those that
    /// normalise, draw random numbers or compute activations reach less than a copy.
    #[serde(default = "one")]
    pub pass_efficiency: f64,
    /// Time of a step in which the host does what no kernel runs beside: batches, learning rate,
    /// synchronisation, logging.
    #[serde(default = "no_time")]
    pub step_overhead: Seconds,
    /// Time of the host to launch one kernel.
    pub launch_overhead: Seconds,
    /// Kernels are replayed from a graph, without the launch floor.
    pub cuda_graphs: bool,
    /// Gradient elements that are reduced as one bucket.
    pub bucket_elements: u64,
    /// Buffers of that size that gradients are flattened into for their reduction.
    #[serde(default)]
    pub reduce_buffers: u64,
    /// Full recomputation of a layer ends with the last operator that the backward pass needs
    /// something of; what follows is not computed again (PyTorch, `torch.utils.checkpoint` without
    /// re-entry: `set_checkpoint_early_stop`).
    #[serde(default)]
    pub recompute_stops_early: bool,
    /// Under sequence parallelism, layers keep their gathered input for the backward pass instead of
    /// gathering it again (nanotron without `tp_recompute_allgather`).
    #[serde(default)]
    pub keeps_gathered_input: bool,
    /// Tensor-parallel ways need not divide the heads: where they do not, every rank computes
    /// attention whole. Other software refuses such ways (Megatron-Core,
    /// `transformer_config.py`: heads and query groups are multiples of them; torchtitan likewise).
    #[serde(default)]
    pub replicates_attention: bool,
    /// Gated activations keep the activated gate beside their input, as two passes do (activation,
    /// product) that know nothing of each other.
    #[serde(default)]
    pub keeps_activated_gate: bool,
    /// A pipeline stage keeps what it sent for every micro-batch in flight; Megatron-LM frees it
    /// (`deallocate_pipeline_outputs`), DeepSpeed's and nanotron's engines do not.
    #[serde(default)]
    pub keeps_stage_outputs: bool,
    /// Device memory of the runtime: context, libraries, kernels.
    pub context_memory: Bytes,
    /// Communication buffers for each group that a rank is in.
    pub communicator_memory: Bytes,
    /// Share of the allocated memory lost to fragmentation.
    pub fragmentation: f64,
    /// Schedules on offer.
    pub schedules: Vec<ScheduleKind>,
    /// Where the facts come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

const fn padded() -> u64 {
    128
}

const fn second() -> u64 {
    2
}

const fn one() -> f64 {
    1.0
}

const fn no_time() -> Seconds {
    Seconds::ZERO
}

/// Which tensor-parallel collectives run beside matrix products.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TensorOverlap {
    /// None: each is waited for.
    #[default]
    None,
    /// Those of the backward pass that no product waits for: gathering a layer's input beside the
    /// product for its gradient, reducing that gradient beside the product for the weights'
    /// (Korthikanti et al. 2022, §4.2.2; Megatron-LM, `tensor_parallel/layers.py`).
    Backward,
    /// All next to a product, which is cut into parts (Transformer Engine's user buffers).
    All,
}

/// Pipeline schedules that are planned and simulated.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ScheduleKind {
    /// All forwards, then all backwards (Huang et al. 2019).
    #[serde(rename = "gpipe")]
    Gpipe,
    /// One forward, one backward (Narayanan et al. 2019, 2021).
    #[serde(rename = "1f1b")]
    OneFOneB,
    /// One forward, one backward over several model chunks a device (Narayanan et al. 2021).
    #[serde(rename = "interleaved-1f1b")]
    Interleaved,
}
