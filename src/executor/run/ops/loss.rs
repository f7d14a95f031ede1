//! Softmax cross-entropy, whole or over a sharded vocabulary, and the sum of losses.
//!
//! The loss of a step is the mean over its sequences of the mean over the rows of a sequence.

use super::at::{At, Kept, bytes_of, needed, slot};
use crate::executor::error::Result;
use crate::graph::{Collective, OpKind, PassKind};
use crate::lower::Input;
use crate::plan::Strategy;
use crate::sharding::Layout;
use tch::{Kind, Tensor};

pub(super) fn forward(at: &mut At<'_, '_>, inputs: &[Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
    let OpKind::CrossEntropy { classes } = at.operator.op.kind else {
        return Ok((sum(at, inputs)?, Vec::new()));
    };
    let logits = as_rows(at, slot(at, inputs, 0)?, classes)?;
    let targets = targets(at, classes)?;
    let wide = at.env().wide;
    if at.strategy() != Strategy::Vocabulary {
        let slot = at.cursor.memory(PassKind::CrossEntropy)?;
        let (loss, softmax) = at.cursor.run(slot, || {
            let log = logits.to_kind(wide).log_softmax(-1, wide);
            let loss = -log.gather(-1, &targets.unsqueeze(-1), false).squeeze_dim(-1);
            (loss, log.exp())
        });
        return Ok((loss, vec![softmax]));
    }
    over_vocabulary(at, &logits, &targets, classes as i64)
}

/// The logits \[rows, sequences, classes\]. For spans the scores \[positions, sequences, 2\] are
/// two rows of as many classes as there are positions.
fn as_rows(at: &At<'_, '_>, input: &Tensor, classes: u64) -> Result<Tensor> {
    if !is_span(at, classes) {
        return Ok(input.shallow_clone());
    }
    if at.strategy() != Strategy::Replicated {
        return at.unsupported("a span's loss over split positions");
    }
    Ok(input.permute([2, 1, 0]).contiguous())
}

fn is_span(at: &At<'_, '_>, classes: u64) -> bool {
    at.operator.inputs.first().is_some_and(|input| input.shape.width != classes)
}

/// The right class of each row that this rank holds, \[rows, sequences\].
fn targets(at: &At<'_, '_>, classes: u64) -> Result<Tensor> {
    let whole = at.work.batch.targets(&at.operator.op.name, at.operator.op.rows, classes);
    if at.strategy() != Strategy::Sequence {
        return Ok(whole);
    }
    let ranks = &at.env().tensor;
    let part = whole.size()[0] / ranks.size();
    Ok(whole.narrow(0, ranks.rank() * part, part))
}

/// Three numbers a row are reduced over the ranks: the maximum, the target's logit, the sum of
/// exponentials (Shoeybi et al. 2019, §3).
fn over_vocabulary(
    at: &mut At<'_, '_>,
    logits: &Tensor,
    targets: &Tensor,
    classes: i64,
) -> Result<(Tensor, Vec<Tensor>)> {
    let wide = at.env().wide;
    let ranks = &at.work.env.tensor;
    let columns = logits.size().last().copied().unwrap_or(0);
    let first = ranks.rank() * columns;
    let pass = at.cursor.memory(PassKind::CrossEntropy)?;
    let (logits, maximum) = at.cursor.run(pass, || {
        let logits = without_padding(&logits.to_kind(wide), classes - first);
        let maximum = logits.amax(-1i64, true);
        (logits, maximum)
    });
    let bytes = bytes_of(&maximum);
    let mut slots = Vec::with_capacity(3);
    for _ in 0..3 {
        slots.push(at.cursor.collective(Collective::AllReduce, bytes, 0)?);
    }
    let maximum = at.cursor.run(slots[0], || ranks.all_reduce(&maximum, true))?;
    let (exponentials, partial, target) = at.cursor.run(pass, || {
        let shifted = logits - &maximum;
        let own = targets - first;
        let elsewhere = own.lt(0).logical_or(&own.ge(columns));
        let own = own.masked_fill(&elsewhere, 0).unsqueeze(-1);
        let target = shifted.gather(-1, &own, false).squeeze_dim(-1);
        let target = target.masked_fill(&elsewhere, 0.0);
        let exponentials = shifted.exp();
        let partial = exponentials.sum_dim_intlist(-1i64, false, wide);
        (exponentials, partial, target)
    });
    let target = at.cursor.run(slots[1], || ranks.all_reduce(&target, false))?;
    let total = at.cursor.run(slots[2], || ranks.all_reduce(&partial, false))?;
    let (loss, softmax) =
        at.cursor.run(pass, || (total.log() - target, exponentials / total.unsqueeze(-1)));
    Ok((loss, vec![softmax]))
}

/// Columns beyond the vocabulary's end never count.
fn without_padding(logits: &Tensor, valid: i64) -> Tensor {
    let columns = logits.size().last().copied().unwrap_or(0);
    let valid = valid.clamp(0, columns);
    if valid < columns {
        let _ = logits.narrow(-1, valid, columns - valid).fill_(f64::NEG_INFINITY);
    }
    logits.shallow_clone()
}

fn sum(at: &mut At<'_, '_>, inputs: &[Tensor]) -> Result<Tensor> {
    let wide = at.env().wide;
    let rows: Vec<f64> = at.operator.inputs.iter().map(|input| input.shape.rows as f64).collect();
    let total = at.pass(PassKind::CrossEntropy, || {
        let parts = inputs.iter().zip(&rows).map(|(loss, rows)| loss.sum(wide) / *rows);
        parts.reduce(|a, b| a + b).unwrap_or_else(|| Tensor::from(0.0)).reshape([1, 1])
    })?;
    if at.strategy() != Strategy::Sequence {
        return Ok(total);
    }
    let slot = at.cursor.collective(Collective::AllReduce, 4, 0)?;
    let ranks = &at.work.env.tensor;
    at.cursor.run(slot, || ranks.all_reduce(&total, false))
}

pub(super) fn backward(at: &mut At<'_, '_>, gradient: &Tensor, kept: &Kept) -> Result<Vec<Tensor>> {
    let OpKind::CrossEntropy { classes } = at.operator.op.kind else {
        let shapes = local_losses(at);
        let inputs = &at.operator.inputs;
        return at.pass(PassKind::CrossEntropy, || {
            let spread = |(shape, input): (&[i64; 2], &Input)| {
                (gradient / input.shape.rows as f64).expand(shape, false).contiguous()
            };
            shapes.iter().zip(inputs).map(spread).collect()
        });
    };
    let softmax = needed(at, kept.extra.first())?;
    let targets = targets(at, classes)?;
    let ranks = &at.work.env.tensor;
    let columns = softmax.size().last().copied().unwrap_or(0);
    let first = if at.strategy() == Strategy::Vocabulary { ranks.rank() * columns } else { 0 };
    let (kind, span) = (at.env().kind, is_span(at, classes));
    let left = at.pass(PassKind::CrossEntropy, || {
        let own = &targets - first;
        let here = own.ge(0).logical_and(&own.lt(columns));
        let own = (own * here.to_kind(Kind::Int64)).unsqueeze(-1);
        let hit = -here.to_kind(softmax.kind()).unsqueeze(-1);
        let left = softmax.scatter_add(-1, &own, &hit) * gradient.unsqueeze(-1);
        left.to_kind(kind)
    })?;
    Ok(vec![if span { left.permute([2, 1, 0]).contiguous() } else { left }])
}

/// Local \[rows, sequences\] of the inputs of a sum of losses.
fn local_losses(at: &At<'_, '_>) -> Vec<[i64; 2]> {
    let local = |input: &Input| {
        let split = input.arrive.to == Layout::Sequence;
        let ways = if split { at.env().tensor.size() } else { 1 };
        [input.shape.rows as i64 / ways, at.env().micro_batch]
    };
    at.operator.inputs.iter().map(local).collect()
}
