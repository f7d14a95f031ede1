//! The training of a model that was read.

use super::field::Fields;
use crate::spec::{Objective, Optimizer, TrainingSpec};

/// Sequences of an optimizer step where the caller gives none: the file never does.
const ASSUMED_BATCH: u64 = 256;

/// How the model is trained, as far as the file says.
pub(super) fn training(fields: &mut Fields<'_>, pretraining: Objective) -> TrainingSpec {
    let objective = fields.objective(pretraining);
    let labels = matches!(objective, Objective::Classification | Objective::TokenClassification)
        .then(|| fields.labels())
        .flatten();
    TrainingSpec {
        objective,
        global_batch_size: fields.options.global_batch.unwrap_or_else(|| {
            fields.assume(format!(
                "a global batch of {ASSUMED_BATCH} sequences: `--global-batch` gives another"
            ));
            ASSUMED_BATCH
        }),
        precision: fields.precision(),
        optimizer: Optimizer::Adam,
        max_predictions_per_sequence: None,
        num_labels: labels,
        tokens: fields.options.tokens,
        lora: None,
    }
}
