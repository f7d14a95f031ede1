//! Low-rank adaptation (Hu et al. 2021): what is trained instead of the weights.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adapters beside frozen weights: Y = X·W + X·A·B with A \[input, r\] and B \[r, output\], where A
/// and B alone are trained (Hu et al. 2021, §4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraSpec {
    /// Rank of the adapters (r).
    pub rank: u64,
    /// Projections that have an adapter, in every layer; `[query, value]`, as in Hu et al. 2021
    /// (§7.1), where left out.
    #[serde(default = "LoraSpec::default_targets")]
    pub targets: Vec<LoraTarget>,
}

/// A projection of a layer that can have an adapter.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LoraTarget {
    /// Queries (`q_proj`, W_q).
    Query,
    /// Keys (`k_proj`, W_k).
    Key,
    /// Values (`v_proj`, W_v).
    Value,
    /// Output of the attention (`o_proj`, W_o).
    Output,
    /// Gate of a gated feed-forward network (`gate_proj`).
    Gate,
    /// Into the feed-forward network (`up_proj`, `fc1`).
    Up,
    /// Out of the feed-forward network (`down_proj`, `fc2`).
    Down,
}

impl LoraTarget {
    /// All of them, in the order of a layer.
    pub const ALL: [LoraTarget; 7] = [
        LoraTarget::Query,
        LoraTarget::Key,
        LoraTarget::Value,
        LoraTarget::Output,
        LoraTarget::Gate,
        LoraTarget::Up,
        LoraTarget::Down,
    ];

    /// As files write it.
    pub const fn name(self) -> &'static str {
        match self {
            LoraTarget::Query => "query",
            LoraTarget::Key => "key",
            LoraTarget::Value => "value",
            LoraTarget::Output => "output",
            LoraTarget::Gate => "gate",
            LoraTarget::Up => "up",
            LoraTarget::Down => "down",
        }
    }

    /// Whether it belongs to the feed-forward network.
    pub const fn is_feed_forward(self) -> bool {
        matches!(self, LoraTarget::Gate | LoraTarget::Up | LoraTarget::Down)
    }
}

impl LoraSpec {
    /// Queries and values.
    pub fn default_targets() -> Vec<LoraTarget> {
        vec![LoraTarget::Query, LoraTarget::Value]
    }

    /// Whether a projection has an adapter.
    pub fn has(&self, target: LoraTarget) -> bool {
        self.targets.contains(&target)
    }

    /// `rank 16 on query, value`.
    pub fn words(&self) -> String {
        let names: Vec<&str> =
            LoraTarget::ALL.into_iter().filter(|t| self.has(*t)).map(LoraTarget::name).collect();
        format!("rank {} on {}", self.rank, names.join(", "))
    }
}
