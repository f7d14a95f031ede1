//! What the expansion of an operator needs to know beside the operator.

use crate::spec::Precision;
use crate::spec::stack::StackSpec;

/// The group of ranks, the micro-batch and the software that an operator is expanded for.
#[derive(Debug, Clone, Copy)]
pub struct ShardContext<'a> {
    /// Ranks that share each operator (t).
    pub tensor: u64,
    /// Ranks that share each sequence (c).
    pub context: u64,
    /// Sequences of a micro-batch (b).
    pub micro_batch: u64,
    /// What the training software fuses.
    pub stack: &'a StackSpec,
    /// Numeric recipe.
    pub precision: Precision,
}

impl ShardContext<'_> {
    /// Bytes of an element of an activation, and of a parameter as it is multiplied by.
    pub const fn element_bytes(&self) -> u64 {
        match self.precision {
            Precision::Fp32 | Precision::Tf32 => 4,
            Precision::Fp16Mixed | Precision::Bf16Mixed | Precision::Fp8 => 2,
        }
    }

    /// Bytes of an operand element of a linear layer's products (FP8 recipes keep attention's
    /// products and all results in 16 bits).
    pub const fn operand_bytes(&self) -> u64 {
        match self.precision {
            Precision::Fp8 => 1,
            _ => self.element_bytes(),
        }
    }
}
