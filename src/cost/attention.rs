//! Fused attention.

use crate::spec::KernelConstants;

/// Query positions that one multiprocessor works on at a time (FlashAttention-2 and -3 use 64 to
/// 192 by head size; Dao 2023, section 3.3).
const QUERY_TILE: u64 = 128;

/// Products of query length, key length and head width: two forward, five backward (Dao 2023,
/// section 3.1 and algorithm 2).
const FORWARD_PRODUCTS: f64 = 2.0;
const BACKWARD_PRODUCTS: f64 = 5.0;

/// Width of head that `attention_efficiency` is given for.
const REFERENCE_HEAD: f64 = 128.0;

/// The local shape of fused attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionShape {
    pub(crate) backward: bool,
    pub(crate) batch: u64,
    pub(crate) heads: u64,
    pub(crate) kv_heads: u64,
    pub(crate) query_length: u64,
    pub(crate) key_length: u64,
    pub(crate) head_dim: u64,
    pub(crate) causal: bool,
    pub(crate) element_bytes: u64,
}

/// Time of fused attention on one device.
///
/// A score costs 2·d operations in each product and σ more for its exponential, which runs on
/// another unit of far lower rate (Shah et al. 2024, section 3.1), so the efficiency at width d is
/// e₁₂₈ · (2·2·128 + σ)/(2·2·128) · 4d/(4d + σ). Work is divided over the multiprocessors by
/// (sequence, head, query tile); the time is the larger of the evenly divided work plus half of
/// the longest tile's, and the longest tile's alone. Each tile takes the time of some more keys for
/// its start and end. Ignored: split keys, dropout.
#[derive(Debug, Clone)]
pub(crate) struct AttentionModel {
    /// Seconds of one multiprocessor for one operation at the reference width, forward, backward.
    seconds_per_flop: (f64, f64),
    softmax_flops: f64,
    prologue_keys: f64,
    sms: f64,
    seconds_per_byte: f64,
    latency: f64,
}

impl AttentionModel {
    /// A model from a matrix peak in operations per second and a memory bandwidth in bytes per
    /// second.
    pub(crate) fn new(
        peak: f64,
        memory_bandwidth: f64,
        sm_count: u64,
        constants: &KernelConstants,
    ) -> Self {
        let sms = sm_count.max(1) as f64;
        let seconds = |efficiency: f64| {
            let above = (efficiency / constants.power_limited_rate).max(1.0);
            sms * above.cbrt() / (peak * efficiency)
        };
        let (forward, backward) = constants.attention_efficiency;
        AttentionModel {
            seconds_per_flop: (seconds(forward), seconds(backward)),
            softmax_flops: constants.softmax_flops,
            prologue_keys: constants.attention_prologue_keys,
            sms,
            seconds_per_byte: 1.0 / (memory_bandwidth * constants.memory_efficiency),
            latency: constants.attention_latency.get(),
        }
    }

    /// Seconds of one attention, forward or backward.
    pub(crate) fn seconds(&self, shape: &AttentionShape) -> f64 {
        let groups = shape.batch as f64 * shape.heads as f64;
        let (queries, keys) = (shape.query_length as f64, shape.key_length as f64);
        let width = shape.head_dim as f64;
        if groups == 0.0 || queries == 0.0 || keys == 0.0 || width == 0.0 {
            return 0.0;
        }
        let (products, rate) = if shape.backward {
            (BACKWARD_PRODUCTS, self.seconds_per_flop.1)
        } else {
            (FORWARD_PRODUCTS, self.seconds_per_flop.0)
        };
        // The exponential is taken once a score, forward and again backward.
        let score = 2.0 * products * width + self.softmax_flops;
        let reference = 2.0 * products * REFERENCE_HEAD;
        let score_seconds = rate * score * reference / (reference + self.softmax_flops);
        let tiles = shape.query_length.div_ceil(QUERY_TILE) as f64;
        let rows = queries.min(QUERY_TILE as f64);
        // A causal tile sees the keys up to its diagonal, which it computes in full.
        let seen = if shape.causal { (keys + rows) / 2.0 } else { keys };
        let longest = rows * (keys + self.prologue_keys) * score_seconds;
        let even = groups * tiles * rows * (seen + self.prologue_keys) * score_seconds / self.sms;
        let waves = groups * tiles / self.sms;
        let arithmetic = if waves <= 1.0 { longest } else { longest.max(even + 0.5 * longest) };
        let kv_groups = shape.batch as f64 * shape.kv_heads as f64;
        let elements = width * 2.0 * (groups * queries + kv_groups * keys);
        // Backward reads the output and its gradient too, and writes three gradients.
        let passes = if shape.backward { 2.5 } else { 1.0 };
        let memory = elements * shape.element_bytes as f64 * passes * self.seconds_per_byte;
        self.latency + arithmetic.max(memory)
    }
}
