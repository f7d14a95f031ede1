//! Names of the ways in which an operator is split.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How one operator is split over the ranks of a tensor-parallel group; which operators have which
/// is in [`crate::sharding::rules`]. In the order of their names, by which equals are told apart.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Output columns of a product (Shoeybi et al. 2019, §3).
    Column,
    /// The same, where the input is sequence-sharded and gathered (Korthikanti et al. 2022, §4.2.2).
    ColumnGather,
    /// Elements of a row.
    Feature,
    /// Attention heads.
    Heads,
    /// Not at all: every rank does everything.
    Replicated,
    /// Input rows of a product, whose results are summed.
    Row,
    /// The same, where the sum is scattered over the sequence.
    RowScatter,
    /// Rows of the activations; parameters are whole.
    Sequence,
    /// Rows of the vocabulary.
    Vocabulary,
    /// The same, where the result is scattered over the sequence.
    VocabularyScatter,
}

impl Strategy {
    /// All of them, in the order of their names.
    pub const ALL: [Strategy; 10] = [
        Strategy::Column,
        Strategy::ColumnGather,
        Strategy::Feature,
        Strategy::Heads,
        Strategy::Replicated,
        Strategy::Row,
        Strategy::RowScatter,
        Strategy::Sequence,
        Strategy::Vocabulary,
        Strategy::VocabularyScatter,
    ];

    /// The word for it in plan files.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Column => "column",
            Strategy::ColumnGather => "column-gather",
            Strategy::Feature => "feature",
            Strategy::Heads => "heads",
            Strategy::Replicated => "replicated",
            Strategy::Row => "row",
            Strategy::RowScatter => "row-scatter",
            Strategy::Sequence => "sequence",
            Strategy::Vocabulary => "vocabulary",
            Strategy::VocabularyScatter => "vocabulary-scatter",
        }
    }

    /// Whether weights are split by columns.
    pub const fn splits_columns(self) -> bool {
        matches!(self, Strategy::Column | Strategy::ColumnGather)
    }

    /// Whether weights are split by rows.
    pub const fn splits_rows(self) -> bool {
        matches!(self, Strategy::Row | Strategy::RowScatter)
    }

    /// Whether the table is split by its rows, the vocabulary.
    pub const fn splits_vocabulary(self) -> bool {
        matches!(self, Strategy::Vocabulary | Strategy::VocabularyScatter)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_read_back() {
        assert!(Strategy::ALL.is_sorted());
        assert!(Strategy::ALL.is_sorted_by_key(|strategy| strategy.name()));
        for strategy in Strategy::ALL {
            let word = serde_json::to_value(strategy).unwrap();
            assert_eq!(word, strategy.name());
            assert_eq!(serde_json::from_value::<Strategy>(word).unwrap(), strategy);
        }
    }
}
