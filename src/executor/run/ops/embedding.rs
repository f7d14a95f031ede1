//! Look-ups in learned tables, whole or split by vocabulary.

use super::at::{At, slot};
use crate::executor::error::Result;
use crate::graph::{Collective, OpKind, PassKind};
use crate::plan::Strategy;
use crate::sharding::Layout;
use tch::{Kind, Tensor};

/// What a rank looks up.
struct Look {
    /// Rows of the table, \[rows, sequences\]; clamped to this rank's part of the table.
    indices: Tensor,
    /// Which of them are elsewhere, as \[rows, sequences, 1\].
    elsewhere: Option<Tensor>,
}

/// The part of the rows that this rank holds, where rows are split.
fn own_rows(at: &At<'_, '_>, whole: &Tensor) -> Tensor {
    if at.strategy() != Strategy::Sequence {
        return whole.shallow_clone();
    }
    let ranks = &at.env().tensor;
    let part = whole.size()[0] / ranks.size();
    whole.narrow(0, ranks.rank() * part, part)
}

fn look(at: &At<'_, '_>, table_rows: i64) -> Result<Look> {
    let batch = at.work.batch;
    let sequences = at.env().micro_batch;
    let indices = match at.operator.op.kind {
        OpKind::TokenEmbedding { .. } => batch.tokens.shallow_clone(),
        OpKind::TokenTypeEmbedding { .. } => batch.types.shallow_clone(),
        _ => batch.positions.expand([-1, sequences], false),
    };
    let indices = own_rows(at, &indices);
    if !at.strategy().splits_vocabulary() {
        return Ok(Look { indices, elsewhere: None });
    }
    let indices = indices - at.env().tensor.rank() * table_rows;
    let elsewhere = indices.lt(0).logical_or(&indices.ge(table_rows));
    let indices = indices.masked_fill(&elsewhere, 0);
    Ok(Look { indices, elsewhere: Some(elsewhere.unsqueeze(-1)) })
}

pub(super) fn forward(at: &mut At<'_, '_>, inputs: &[Tensor]) -> Result<Tensor> {
    let table = at.weight("weight")?;
    let look = look(at, table.size()[0])?;
    let rows = at.pass(PassKind::Embedding, || {
        let rows = Tensor::embedding(&table, &look.indices, -1, false, false);
        match &look.elsewhere {
            Some(elsewhere) => rows.masked_fill(elsewhere, 0.0),
            None => rows,
        }
    })?;
    match at.strategy() {
        Strategy::Vocabulary => at.collective(Collective::AllReduce, &rows),
        Strategy::VocabularyScatter => at.collective(Collective::ReduceScatter, &rows),
        _ if at.operator.inputs.is_empty() => Ok(rows),
        _ => {
            let input = slot(at, inputs, 0)?.shallow_clone();
            at.pass(PassKind::DropoutAdd, || input + rows)
        }
    }
}

pub(super) fn backward(at: &mut At<'_, '_>, gradient: Tensor) -> Result<Vec<Tensor>> {
    let rows = at.weight("weight")?.size()[0];
    let look = look(at, rows)?;
    let mut whole = gradient.shallow_clone();
    if at.strategy() == Strategy::VocabularyScatter {
        whole = at.collective(Collective::AllGather, &gradient)?;
    }
    let table = at.pass(PassKind::Embedding, || {
        let seen = match &look.elsewhere {
            Some(elsewhere) => whole.masked_fill(elsewhere, 0.0),
            None => whole,
        };
        Tensor::embedding_dense_backward(&seen, &look.indices, rows, -1, false)
    })?;
    at.accumulate(&[("weight", &table)], None)?;
    let passes_on = !at.operator.inputs.is_empty();
    Ok(if passes_on { vec![gradient] } else { Vec::new() })
}

/// Positions of the rows that a rank holds of an activation in a layout, \[rows\].
pub(super) fn positions(at: &At<'_, '_>, local_rows: i64, device: tch::Device) -> Tensor {
    let layout = at.operator.sharding.output.layout;
    let first = if layout == Layout::Sequence { at.env().tensor.rank() * local_rows } else { 0 };
    Tensor::arange_start(first, first + local_rows, (Kind::Int64, device))
}
