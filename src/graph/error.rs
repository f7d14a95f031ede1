//! Why a model has no graph.

use thiserror::Error;

/// Why no operator graph can be built from a model.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A kind of model that is not planned yet.
    #[error(
        "`{model}` is a mixture of experts, for which lmplan can not make plans yet: neither how experts \
         are spread over devices nor what routing tokens to them costs is modelled; it makes plans for \
         dense models of the gpt, bert and llama families"
    )]
    MixtureOfExperts {
        /// The model.
        model: String,
    },
    /// A size that is zero or beyond what makes sense.
    #[error("`{field}` of `{model}` is {value}, expected 1 to {limit}")]
    Size {
        /// The model.
        model: String,
        /// The field, or the product of fields.
        field: &'static str,
        /// What it is.
        value: u64,
        /// The most it may be.
        limit: u64,
    },
    /// A probability of dropout outside of \[0, 1).
    #[error("`{field}` of `{model}` is {value}, expected at least 0 and less than 1")]
    Probability {
        /// The model.
        model: String,
        /// The field.
        field: &'static str,
        /// What it is.
        value: f64,
    },
    /// A size that has to be a multiple of another one.
    #[error("`{field}` {value} of `{model}` is not a multiple of `{divisor_field}` {divisor}")]
    Multiple {
        /// The model.
        model: String,
        /// The field.
        field: &'static str,
        /// What it is.
        value: u64,
        /// The field that has to divide it.
        divisor_field: &'static str,
        /// What that one is.
        divisor: u64,
    },
    /// An objective that the family can not learn.
    #[error("`{model}` can not learn `{objective}`: {reason}")]
    Objective {
        /// The model.
        model: String,
        /// The objective, as files write it.
        objective: &'static str,
        /// Why not, and what would do.
        reason: &'static str,
    },
    /// Adapters that the model can not have.
    #[error("LoRA adapters of `{model}`: {reason}")]
    Lora {
        /// The model.
        model: String,
        /// Why not, and what would do.
        reason: String,
    },
    /// A graph in which no layers can be told apart.
    #[error("the operator graph has no layers to plan: {0}")]
    Structure(&'static str),
}
