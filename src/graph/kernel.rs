//! What a device executes: matrix products, fused attention, passes over memory; and what a group
//! of devices executes: collectives. One vocabulary for the cost model, simulator and executor.

use crate::units::{Bytes, Flops};
use serde::{Deserialize, Serialize};

/// One kernel (or a fixed number of like kernels) on one device, at its local shapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// `batch` products C\[m,n\] = A\[m,k\]·B\[k,n\].
    Gemm {
        /// Independent products in one launch (1 for a linear layer).
        batch: u64,
        /// Rows of the result.
        m: u64,
        /// Columns of the result.
        n: u64,
        /// Depth of the product.
        k: u64,
        /// Bytes of an operand element.
        operand_bytes: u64,
        /// Bytes of a result element.
        result_bytes: u64,
        /// The result is added to what is there (read and written).
        accumulate: bool,
        /// Which product of a linear layer this is; attention's score products are `Forward` too.
        pass: GemmPass,
    },
    /// Attention in one fused kernel that keeps no scores.
    FlashAttention {
        /// Backward (five products) instead of forward (two).
        backward: bool,
        /// Sequences.
        batch: u64,
        /// Query heads on this device.
        heads: u64,
        /// Key and value heads on this device.
        kv_heads: u64,
        /// Query positions.
        query_length: u64,
        /// Key positions.
        key_length: u64,
        /// Width of a head.
        head_dim: u64,
        /// Half of the work is masked and skipped.
        causal: bool,
        /// Bytes of an element.
        element_bytes: u64,
    },
    /// Passes over memory with little arithmetic.
    Memory {
        /// What they do.
        pass: PassKind,
        /// Bytes read, all launches together.
        read: Bytes,
        /// Bytes written, all launches together.
        written: Bytes,
        /// Kernel launches.
        launches: u64,
    },
}

/// Which product of a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GemmPass {
    /// Y = X·W.
    Forward,
    /// dX = dY·Wᵀ.
    InputGradient,
    /// dW = Xᵀ·dY.
    WeightGradient,
}

/// What a pass over memory does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the operations")]
pub enum PassKind {
    Embedding,
    Norm,
    Softmax,
    Activation,
    DropoutAdd,
    Bias,
    Rotary,
    CrossEntropy,
    GradientAccumulate,
    Optimizer,
    Copy,
}

impl PassKind {
    /// All kinds, in their order.
    pub const ALL: [PassKind; 11] = [
        PassKind::Embedding,
        PassKind::Norm,
        PassKind::Softmax,
        PassKind::Activation,
        PassKind::DropoutAdd,
        PassKind::Bias,
        PassKind::Rotary,
        PassKind::CrossEntropy,
        PassKind::GradientAccumulate,
        PassKind::Optimizer,
        PassKind::Copy,
    ];

    /// As device files write it.
    pub const fn name(self) -> &'static str {
        match self {
            PassKind::Embedding => "embedding",
            PassKind::Norm => "norm",
            PassKind::Softmax => "softmax",
            PassKind::Activation => "activation",
            PassKind::DropoutAdd => "dropout_add",
            PassKind::Bias => "bias",
            PassKind::Rotary => "rotary",
            PassKind::CrossEntropy => "cross_entropy",
            PassKind::GradientAccumulate => "gradient_accumulate",
            PassKind::Optimizer => "optimizer",
            PassKind::Copy => "copy",
        }
    }
}

/// A collective operation over a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collective {
    /// Sum, everywhere. Size: the whole buffer, as each rank holds it.
    AllReduce,
    /// Sum, each rank keeps its part. Size: the whole buffer before.
    ReduceScatter,
    /// Every rank gets all parts. Size: the whole buffer after.
    AllGather,
    /// Every rank sends a part to every other. Size: the buffer that each rank holds.
    AllToAll,
    /// One rank's buffer to all. Size: the buffer.
    Broadcast,
}

impl Kernel {
    /// Operations executed (a multiply-add is two; masked halves of causal attention are skipped).
    pub fn flops(&self) -> Flops {
        match *self {
            Kernel::Gemm { batch, m, n, k, .. } => {
                Flops::new(2.0 * batch as f64 * m as f64 * n as f64 * k as f64)
            }
            Kernel::FlashAttention {
                backward,
                batch,
                heads,
                query_length,
                key_length,
                head_dim,
                causal,
                ..
            } => {
                let product = 2.0
                    * (batch * heads) as f64
                    * query_length as f64
                    * key_length as f64
                    * head_dim as f64;
                let products = if backward { 5.0 } else { 2.0 };
                Flops::new(product * products * if causal { 0.5 } else { 1.0 })
            }
            Kernel::Memory { .. } => Flops::ZERO,
        }
    }

    /// Kernel launches.
    pub const fn launches(&self) -> u64 {
        match self {
            Kernel::Gemm { .. } => 1,
            Kernel::FlashAttention { backward, .. } => 1 + *backward as u64 * 2,
            Kernel::Memory { launches, .. } => *launches,
        }
    }
}
