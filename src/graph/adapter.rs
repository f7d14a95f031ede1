//! What of an operator is trained, and the low-rank adapters beside it.

use crate::spec::LoraTarget;

/// Which parameters of an operator are trained.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Trained {
    /// All that it has.
    #[default]
    All,
    /// None of its own, but those of its adapters, if it has any.
    Adapters(Vec<Adapter>),
}

/// An adapter: A \[input, rank\] and B \[rank, output\], whose product is added to `output` columns of
/// the layer's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Adapter {
    /// What it adapts.
    pub target: LoraTarget,
    /// Its rank (r).
    pub rank: u64,
    /// Width of the layer's input.
    pub input: u64,
    /// Width of what it adds.
    pub output: u64,
}

impl Adapter {
    /// r·(input + output).
    pub(super) fn elements_f64(&self) -> f64 {
        self.rank as f64 * (self.input as f64 + self.output as f64)
    }
}

impl Trained {
    /// Whether the operator's own parameters stay as they are.
    pub const fn is_frozen(&self) -> bool {
        matches!(self, Trained::Adapters(_))
    }

    /// The adapters.
    pub fn adapters(&self) -> &[Adapter] {
        match self {
            Trained::All => &[],
            Trained::Adapters(adapters) => adapters,
        }
    }

    /// Ranks of all adapters together.
    pub fn total_rank(&self) -> u64 {
        self.adapters().iter().fold(0, |sum, adapter| sum.saturating_add(adapter.rank))
    }
}
