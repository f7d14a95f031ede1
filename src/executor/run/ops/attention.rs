//! softmax(QKᵀ/√d)·V over the heads of a rank: fused, or product by product.
//!
//! Columns of the input are grouped by key-value head: its query heads, its key, its value. So a
//! rank's part of the columns holds whole groups.

use super::at::{At, Kept, needed, slot};
use crate::executor::error::Result;
use crate::graph::{OpKind, PassKind};
use lmplan_c10d::Attended;
use tch::{Device, Kind, Tensor};

/// Sizes on this rank.
struct Shape {
    rows: i64,
    sequences: i64,
    heads: i64,
    kv_heads: i64,
    width: i64,
    causal: bool,
    /// Probability that an attention weight is dropped.
    dropout: f64,
    /// Heads of all ranks and the first of this one, where scores have ALiBi's biases.
    alibi: Option<[i64; 2]>,
}

/// Kernels of a GPU load a bias of the scores in pieces of so many elements: its rows begin at
/// multiples of them.
const ALIGNED: i64 = 16;

/// Slopes of ALiBi of `count` heads from `first` on, \[count\]: powers of 2^(-8/n) for n heads; where
/// n is no power of two, those of the power of two below and then every other one of the power above
/// (Press, Smith and Lewis 2022). Computed on the device: a copy from the host would wait for it.
fn slopes(heads: i64, first: i64, count: i64, device: Device) -> Tensor {
    let below = (1i64 << heads.ilog2()) as f64;
    let head = Tensor::arange_start(first, first + count, (Kind::Double, device));
    let powers = (&head + 1.0).where_self(&head.lt(below), &(&head - (below - 0.5)));
    (powers * (-8.0 * std::f64::consts::LN_2 / below)).exp()
}

impl Shape {
    fn of(at: &At<'_, '_>, input: &Tensor) -> Result<Shape> {
        let OpKind::Attention { heads, kv_heads, head_dim, causal, dropout, alibi } =
            at.operator.op.kind
        else {
            return at.unsupported("attention of another kind");
        };
        let (heads, kv_heads, width) = (heads as i64, kv_heads as i64, head_dim as i64);
        let size = input.size();
        let ways = (heads + 2 * kv_heads) * width / size[2];
        let dropout = if dropout { at.env().dropout.0 } else { 0.0 };
        let first = if ways > 1 { at.env().tensor.rank() * (heads / ways) } else { 0 };
        let alibi = alibi.then_some([heads, first]);
        let (heads, kv_heads) = (heads / ways, kv_heads / ways);
        let (rows, sequences) = (size[0], size[1]);
        Ok(Shape { rows, sequences, heads, kv_heads, width, causal, dropout, alibi })
    }

    fn group(&self) -> i64 {
        self.heads / self.kv_heads
    }

    /// Query, key and value \[sequences, heads, rows, width\] of the fused projection.
    fn split(&self, input: &Tensor) -> [Tensor; 3] {
        let group = self.group();
        let columns = input.view([self.rows, self.sequences, self.kv_heads, group + 2, self.width]);
        let heads = |first: i64, count: i64| {
            let part = columns.narrow(3, first, count);
            let shape = [self.rows, self.sequences, self.kv_heads * count, self.width];
            part.reshape(shape).permute([1, 2, 0, 3])
        };
        [heads(0, group), heads(group, 1), heads(group + 1, 1)]
    }

    /// Keys or values, once for each query head of their group.
    fn expand(&self, few: &Tensor) -> Tensor {
        if self.group() == 1 {
            return few.shallow_clone();
        }
        let shape = [self.sequences, self.kv_heads, self.group(), self.rows, self.width];
        few.unsqueeze(2).expand(shape, false).reshape([
            self.sequences,
            self.heads,
            self.rows,
            self.width,
        ])
    }

    /// Gradients of expanded keys or values, summed by group.
    fn contract(&self, many: &Tensor) -> Tensor {
        if self.group() == 1 {
            return many.shallow_clone();
        }
        let shape = [self.sequences, self.kv_heads, self.group(), self.rows, self.width];
        many.reshape(shape).sum_dim_intlist(2i64, false, many.kind())
    }

    /// Gradients of query, key and value, as the gradient of the fused projection.
    fn join(&self, [query, key, value]: [&Tensor; 3]) -> Tensor {
        let columns = |part: &Tensor, count: i64| {
            let shape = [self.rows, self.sequences, self.kv_heads, count, self.width];
            part.permute([2, 0, 1, 3]).reshape(shape)
        };
        let parts = [columns(query, self.group()), columns(key, 1), columns(value, 1)];
        let all = self.kv_heads * (self.group() + 2) * self.width;
        Tensor::cat(&parts, 3).view([self.rows, self.sequences, all])
    }

    /// \[sequences, heads, rows, width\] to \[rows, sequences, heads · width\].
    fn merge(&self, heads: &Tensor) -> Tensor {
        let shape = [self.rows, self.sequences, self.heads * self.width];
        heads.permute([2, 0, 1, 3]).reshape(shape)
    }

    /// The other way round, as a view.
    fn by_head(&self, merged: &Tensor) -> Tensor {
        let shape = [self.rows, self.sequences, self.heads, self.width];
        merged.reshape(shape).permute([1, 2, 0, 3])
    }

    /// What is added to the scores before the softmax, as a view of the shape \[sequences, heads, rows,
    /// rows\]. Where no position sees those after it, the distance to a key may be counted from the
    /// first one: softmax does not change by what all keys of a query have in common.
    fn bias(&self, kind: Kind, device: Device) -> Option<Tensor> {
        let [heads, first] = self.alibi?;
        let slopes = slopes(heads, first, self.heads, device);
        let aligned = (self.rows + ALIGNED - 1) / ALIGNED * ALIGNED;
        let keys = Tensor::arange(aligned, (Kind::Double, device));
        let queries = Tensor::arange(self.rows, (Kind::Double, device));
        let nearness =
            if self.causal { keys } else { -(queries.unsqueeze(1) - keys.unsqueeze(0)).abs() };
        let bias = (slopes.view([1, self.heads, 1, 1]) * nearness).to_kind(kind);
        let shape = [self.sequences, self.heads, self.rows, self.rows];
        Some(bias.narrow(-1, 0, self.rows).expand(shape, false))
    }

    /// As [`Shape::bias`], in the type that the device's fused kernel takes: on a GPU the queries'.
    fn fused_bias(&self, query: &Tensor) -> Option<Tensor> {
        let device = query.device();
        let kind = if device.is_cuda() { query.kind() } else { wide(query.kind()) };
        self.bias(kind, device)
    }

    fn query(&self) -> [i64; 4] {
        [self.sequences, self.heads, self.rows, self.width]
    }

    fn scale(&self) -> f64 {
        1.0 / (self.width as f64).sqrt()
    }

    /// Batched matrices of all heads.
    fn flat(&self, heads: &Tensor) -> Tensor {
        let size = heads.size();
        heads.reshape([size[0] * size[1], size[2], size[3]])
    }

    /// And back.
    fn unflat(&self, matrices: &Tensor) -> Tensor {
        let size = matrices.size();
        matrices.view([self.sequences, self.heads, size[1], size[2]])
    }
}

/// The type in which scores of another one become weights.
fn wide(kind: Kind) -> Kind {
    if kind == Kind::Double { kind } else { Kind::Float }
}

fn is_fused(at: &At<'_, '_>) -> bool {
    at.operator.sharding.output_kept
}

pub(super) fn forward(at: &mut At<'_, '_>, inputs: &[Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
    let input = slot(at, inputs, 0)?;
    let shape = Shape::of(at, input)?;
    if !is_fused(at) {
        return unfused(at, input, &shape);
    }
    // libtorch's kernel for host memory has no dropout.
    let dropout = if input.device().is_cuda() { shape.dropout } else { 0.0 };
    let fused = at.cursor.attention(false, shape.query())?;
    if dropout > 0.0 {
        // So that recomputation draws the same random numbers.
        tch::manual_seed(at.work.seed + at.index as i64);
    }
    let bias = shape.fused_bias(input);
    at.cursor.run(fused, || {
        let [query, key, value] = shape.split(input);
        let (key, value) = (shape.expand(&key), shape.expand(&value));
        let parts = [&query, &key, &value];
        let attended = lmplan_c10d::attention(parts, bias.as_ref(), dropout, shape.causal)?;
        let mut extra = vec![attended.denominators];
        extra.extend(attended.random.into_iter().flatten());
        Ok((shape.merge(&attended.output), extra))
    })
}

pub(super) fn backward(at: &mut At<'_, '_>, gradient: &Tensor, kept: &Kept) -> Result<Vec<Tensor>> {
    let input = needed(at, kept.input.as_ref())?;
    let shape = Shape::of(at, input)?;
    if !is_fused(at) {
        return unfused_backward(at, gradient, kept, &shape);
    }
    let output = needed(at, kept.output.as_ref())?;
    let denominators = needed(at, kept.extra.first())?;
    let dropout = if input.device().is_cuda() { shape.dropout } else { 0.0 };
    let fused = at.cursor.attention(true, shape.query())?;
    let bias = shape.fused_bias(input);
    let result = at.cursor.run(fused, || -> Result<Tensor> {
        let [query, key, value] = shape.split(input);
        let (key, value) = (shape.expand(&key), shape.expand(&value));
        let random = |index: usize| kept.extra.get(index).map(Tensor::shallow_clone);
        let attended = Attended {
            output: shape.by_head(output),
            denominators: denominators.shallow_clone(),
            random: [random(1), random(2)],
        };
        let [dq, dk, dv] = lmplan_c10d::attention_backward(
            &shape.by_head(gradient),
            [&query, &key, &value],
            bias.as_ref(),
            &attended,
            dropout,
            shape.causal,
        )?;
        Ok(shape.join([&dq, &shape.contract(&dk), &shape.contract(&dv)]))
    })?;
    Ok(vec![result])
}

/// Keeps the softmax, and with dropout its mask and the weights after it.
fn unfused(at: &mut At<'_, '_>, input: &Tensor, shape: &Shape) -> Result<(Tensor, Vec<Tensor>)> {
    let [query, key, value] = expanded(at, shape, input)?;
    let batch = shape.sequences * shape.heads;
    let (rows, width) = (shape.rows, shape.width);
    let product = at.cursor.batched(batch, [rows, rows, width])?;
    let scores =
        at.cursor.run(product, || shape.flat(&query).matmul(&shape.flat(&key).transpose(1, 2)));
    let softmax = at.pass(PassKind::Softmax, || {
        let kind = scores.kind();
        let mut scores = scores * shape.scale();
        if let Some(bias) = shape.bias(wide(kind), scores.device()) {
            scores = shape.flat(&(shape.unflat(&scores) + bias));
        }
        if shape.causal {
            let above = Tensor::ones([rows, rows], (Kind::Bool, scores.device())).triu(1);
            scores = scores.masked_fill(&above, f64::NEG_INFINITY);
        }
        scores.softmax(-1, wide(kind)).to_kind(kind)
    })?;
    let mut extra = vec![softmax.shallow_clone()];
    let mut weights = softmax;
    if at.cursor.is_memory(PassKind::DropoutAdd) {
        tch::manual_seed(at.work.seed + at.index as i64);
        let (dropped, mask) =
            at.pass(PassKind::DropoutAdd, || weights.native_dropout(shape.dropout, true))?;
        extra.extend([mask, dropped.shallow_clone()]);
        weights = dropped;
    }
    let product = at.cursor.batched(batch, [rows, width, rows])?;
    let output = at.cursor.run(product, || {
        let heads = weights.matmul(&shape.flat(&value));
        shape.merge(&shape.unflat(&heads))
    });
    Ok((output, extra))
}

/// Query, key and value, copied to all heads where there are fewer keys than queries.
fn expanded(at: &mut At<'_, '_>, shape: &Shape, input: &Tensor) -> Result<[Tensor; 3]> {
    let [query, key, value] = shape.split(input);
    if shape.group() == 1 {
        return Ok([query, key, value]);
    }
    let (key, value) = if at.cursor.is_memory(PassKind::Copy) {
        at.pass(PassKind::Copy, || (shape.expand(&key), shape.expand(&value)))?
    } else {
        (shape.expand(&key), shape.expand(&value))
    };
    Ok([query, key, value])
}

fn unfused_backward(
    at: &mut At<'_, '_>,
    gradient: &Tensor,
    kept: &Kept,
    shape: &Shape,
) -> Result<Vec<Tensor>> {
    let input = needed(at, kept.input.as_ref())?;
    let softmax = needed(at, kept.extra.first())?;
    let [query, key, value] = shape.split(input);
    let (key, value) = (shape.expand(&key), shape.expand(&value));
    let (query, key, value) = (shape.flat(&query), shape.flat(&key), shape.flat(&value));
    let gradient = shape.flat(&shape.by_head(gradient));
    let batch = shape.sequences * shape.heads;
    let (rows, width) = (shape.rows, shape.width);
    let weights = kept.extra.get(2).unwrap_or(softmax);
    let product = at.cursor.batched(batch, [rows, width, rows])?;
    let dv = at.cursor.run(product, || weights.transpose(1, 2).matmul(&gradient));
    let product = at.cursor.batched(batch, [rows, rows, width])?;
    let mut dweights = at.cursor.run(product, || gradient.matmul(&value.transpose(1, 2)));
    if let Some(mask) = kept.extra.get(1) {
        let scale = 1.0 / (1.0 - shape.dropout);
        dweights = at.pass(PassKind::DropoutAdd, || {
            Tensor::native_dropout_backward(&dweights, mask, scale)
        })?;
    }
    let dscores = at.pass(PassKind::Softmax, || {
        let back = Tensor::internal_softmax_backward_data(&dweights, softmax, -1, softmax.kind());
        back * shape.scale()
    })?;
    let product = at.cursor.batched(batch, [rows, width, rows])?;
    let dq = at.cursor.run(product, || dscores.matmul(&key));
    let product = at.cursor.batched(batch, [rows, width, rows])?;
    let dk = at.cursor.run(product, || dscores.transpose(1, 2).matmul(&query));
    let join = |dk: &Tensor, dv: &Tensor| {
        let (dk, dv) = (shape.contract(&shape.unflat(dk)), shape.contract(&shape.unflat(dv)));
        shape.join([&shape.unflat(&dq), &dk, &dv])
    };
    let joined = if at.cursor.is_memory(PassKind::Copy) {
        at.pass(PassKind::Copy, || join(&dk, &dv))?
    } else {
        join(&dk, &dv)
    };
    Ok(vec![joined])
}
