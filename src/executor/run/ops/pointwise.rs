//! Norms, activations, dropout, residual sums, rotary positions and row selection.

use super::at::{At, Kept, needed, slot};
use super::embedding;
use crate::executor::error::Result;
use crate::graph::{OpKind, PassKind};
use crate::plan::Strategy;
use crate::spec::{Activation, Norm};
use tch::{Kind, Tensor};

/// Added to the variance.
pub(crate) const EPSILON: f64 = 1e-5;
/// Base of the rotary angles (Su et al. 2021).
const ROTARY_BASE: f64 = 10_000.0;

pub(super) fn forward(at: &mut At<'_, '_>, inputs: &[Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
    let input = slot(at, inputs, 0)?;
    match at.operator.op.kind {
        OpKind::Norm { norm, .. } => norm_forward(at, input, norm),
        OpKind::Activation(activation) => {
            let pieces = local_pieces(at);
            let output = at.pass(PassKind::Activation, || activate(activation, input, pieces))?;
            Ok((output, Vec::new()))
        }
        OpKind::Rotary { heads, kv_heads, head_dim } => {
            let shape = [heads, kv_heads, head_dim].map(|size| size as i64);
            let angles = angles(at, input, shape[2]);
            let output = at.pass(PassKind::Rotary, || rotate(input, shape, &angles, 1.0))?;
            Ok((output, Vec::new()))
        }
        OpKind::Dropout => drop_out(at, input),
        OpKind::DropoutAdd { dropout } => {
            let residual = slot(at, inputs, 1)?;
            let (branch, extra) =
                if dropout { drop_out(at, input)? } else { (input.shallow_clone(), Vec::new()) };
            // Where the stack fuses both there is no pass of its own for the sum.
            let sum = if at.cursor.is_memory(PassKind::DropoutAdd) {
                at.pass(PassKind::DropoutAdd, || branch + residual)?
            } else {
                branch + residual
            };
            Ok((sum, extra))
        }
        OpKind::SelectRows => {
            let rows = selected(at, input);
            let output = at.pass(PassKind::Copy, || input.gather(0, &rows, false))?;
            Ok((output, Vec::new()))
        }
        _ => at.unsupported("this operator"),
    }
}

pub(super) fn backward(at: &mut At<'_, '_>, gradient: Tensor, kept: &Kept) -> Result<Vec<Tensor>> {
    match at.operator.op.kind {
        OpKind::Norm { norm, .. } => norm_backward(at, &gradient, kept, norm),
        OpKind::Activation(activation) => {
            let input = needed(at, kept.input.as_ref())?;
            let (pieces, kink) = (local_pieces(at), at.env().kink);
            let left = at.pass(PassKind::Activation, || {
                activation_gradient(activation, &gradient, input, (pieces, kink))
            })?;
            Ok(vec![left])
        }
        OpKind::Rotary { heads, kv_heads, head_dim } => {
            let shape = [heads, kv_heads, head_dim].map(|size| size as i64);
            let angles = angles(at, &gradient, shape[2]);
            let left = at.pass(PassKind::Rotary, || rotate(&gradient, shape, &angles, -1.0))?;
            Ok(vec![left])
        }
        OpKind::Dropout => Ok(vec![undrop(at, &gradient, kept)?]),
        OpKind::DropoutAdd { dropout } => {
            let branch =
                if dropout { undrop(at, &gradient, kept)? } else { gradient.shallow_clone() };
            Ok(vec![branch, gradient])
        }
        OpKind::SelectRows => {
            let shape = at.operator.inputs.first().map(|input| input.shape);
            let rows = shape.map_or(0, |shape| shape.rows as i64);
            let size = gradient.size();
            let chosen = selected(at, &gradient);
            let left = at.pass(PassKind::Copy, || {
                let options = (gradient.kind(), gradient.device());
                Tensor::zeros([rows, size[1], size[2]], options).scatter_add(0, &chosen, &gradient)
            })?;
            Ok(vec![left])
        }
        _ => at.unsupported("this operator"),
    }
}

/// Scale, and the mean and inverse deviation of each row, which are kept.
fn norm_forward(at: &mut At<'_, '_>, input: &Tensor, norm: Norm) -> Result<(Tensor, Vec<Tensor>)> {
    let weight = at.weight("weight")?;
    let width = weight.size()[0];
    if norm == Norm::Layernorm {
        let bias = bias_of(at)?;
        let (output, mean, rstd) = at.pass(PassKind::Norm, || {
            input.native_layer_norm([width], Some(&weight), bias.as_ref(), EPSILON)
        })?;
        return Ok((output, vec![mean, rstd]));
    }
    let wide = at.env().wide;
    at.pass(PassKind::Norm, || {
        let x = input.to_kind(wide);
        let square = x.square().mean_dim(-1i64, true, wide);
        let rstd = (square + EPSILON).rsqrt();
        let output = (x * &rstd).to_kind(input.kind()) * &weight;
        (output, vec![rstd])
    })
}

fn bias_of(at: &At<'_, '_>) -> Result<Option<Tensor>> {
    if at.operator.op.parameters().len() > 1 { at.weight("bias").map(Some) } else { Ok(None) }
}

fn norm_backward(
    at: &mut At<'_, '_>,
    gradient: &Tensor,
    kept: &Kept,
    norm: Norm,
) -> Result<Vec<Tensor>> {
    let input = needed(at, kept.input.as_ref())?;
    let weight = at.weight("weight")?;
    if norm == Norm::Layernorm {
        let bias = bias_of(at)?;
        let statistics = [needed(at, kept.extra.first())?, needed(at, kept.extra.get(1))?];
        let gradient = gradient.contiguous();
        let (left, scale, shift) = at.pass(PassKind::Norm, || {
            lmplan_c10d::layer_norm_backward(&gradient, input, statistics, &weight, bias.as_ref())
        })??;
        match &shift {
            Some(shift) => at.accumulate(&[("weight", &scale), ("bias", shift)], None)?,
            None => at.accumulate(&[("weight", &scale)], None)?,
        }
        return Ok(vec![left]);
    }
    let rstd = needed(at, kept.extra.first())?;
    let wide = at.env().wide;
    let (left, scale) = at.pass(PassKind::Norm, || {
        let normed = input.to_kind(wide) * rstd;
        let g = gradient.to_kind(wide);
        let scale = (&g * &normed).sum_dim_intlist(&[0i64, 1][..], false, wide);
        let g = g * weight.to_kind(wide);
        let mean = (&g * &normed).mean_dim(-1i64, true, wide);
        let left = (g - normed * mean) * rstd;
        (left.to_kind(input.kind()), scale)
    })?;
    at.accumulate(&[("weight", &scale)], None)?;
    Ok(vec![left])
}

/// Pieces of gated pairs in this rank's part of the columns.
fn local_pieces(at: &At<'_, '_>) -> i64 {
    let ways = if at.strategy() == Strategy::Feature { at.env().tensor.size() } else { 1 };
    at.env().gate_pieces / ways
}

/// The two factors of a gated activation: pieces of the first and of the second alternate.
fn factors(input: &Tensor, pieces: i64) -> [Tensor; 2] {
    let mut shape = input.size();
    let width = shape.pop().unwrap_or(0);
    shape.extend([pieces, 2, width / (2 * pieces)]);
    let paired = input.view(shape.as_slice());
    [paired.select(-2, 0), paired.select(-2, 1)]
}

fn merged(factor: &Tensor) -> Tensor {
    factor.flatten(-2, -1)
}

fn activate(activation: Activation, input: &Tensor, pieces: i64) -> Tensor {
    match activation {
        Activation::Gelu => input.gelu("none"),
        Activation::Relu => input.relu(),
        Activation::SquaredRelu => input.relu().square(),
        Activation::Tanh => input.tanh(),
        Activation::Swiglu => {
            let [gate, up] = factors(input, pieces);
            merged(&(gate.silu() * up))
        }
        Activation::Geglu => {
            let [gate, up] = factors(input, pieces);
            merged(&(gate.gelu("none") * up))
        }
    }
}

fn activation_gradient(
    activation: Activation,
    gradient: &Tensor,
    input: &Tensor,
    (pieces, kink): (i64, f64),
) -> Tensor {
    let gated = |outer: &dyn Fn(&Tensor) -> Tensor, inner: &dyn Fn(&Tensor, &Tensor) -> Tensor| {
        let [gate, up] = factors(input, pieces);
        let gradient = gradient.view(gate.size().as_slice());
        let dgate = inner(&gate, &(&gradient * &up));
        let dup = gradient * outer(&gate);
        Tensor::stack(&[dgate, dup], -2).view(input.size().as_slice())
    };
    match activation {
        Activation::Gelu => input.gelu_backward(gradient, "none"),
        Activation::Relu if kink == 0.0 => gradient * input.gt(0.0),
        Activation::Relu => gradient * input.gt_tensor(&(input.square().mean(None).sqrt() * kink)),
        Activation::SquaredRelu => gradient * input.relu() * 2.0,
        Activation::Tanh => gradient * (1.0 - input.tanh().square()),
        Activation::Swiglu => gated(&|gate| gate.silu(), &|gate, g| gate.silu_backward(g)),
        Activation::Geglu => {
            gated(&|gate| gate.gelu("none"), &|gate, g| gate.gelu_backward(g, "none"))
        }
    }
}

/// Dropout, with its mask. Its random numbers depend on the place alone, so that recomputation
/// draws them again.
fn drop_out(at: &mut At<'_, '_>, input: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
    let p = at.env().dropout.1;
    tch::manual_seed(at.work.seed + at.index as i64);
    let (output, mask) = at.pass(PassKind::DropoutAdd, || input.native_dropout(p, true))?;
    Ok((output, vec![mask]))
}

fn undrop(at: &mut At<'_, '_>, gradient: &Tensor, kept: &Kept) -> Result<Tensor> {
    let mask = needed(at, kept.extra.first())?;
    let scale = 1.0 / (1.0 - at.env().dropout.1);
    at.pass(PassKind::DropoutAdd, || Tensor::native_dropout_backward(gradient, mask, scale))
}

/// Cosines and sines by row, \[rows, 1, 1, width / 2\].
fn angles(at: &At<'_, '_>, input: &Tensor, width: i64) -> [Tensor; 2] {
    let options = (at.env().wide, input.device());
    let rows = embedding::positions(at, input.size()[0], input.device()).to_kind(options.0);
    let exponents = Tensor::arange(width / 2, options) * (-2.0 * ROTARY_BASE.ln() / width as f64);
    let angles = rows.unsqueeze(1) * exponents.exp().unsqueeze(0);
    [angles.cos(), angles.sin()].map(|table| table.to_kind(input.kind()).unsqueeze(1).unsqueeze(1))
}

/// Rotates queries and keys, not values. Halves of a head are the two coordinates.
fn rotate(
    input: &Tensor,
    [heads, kv_heads, width]: [i64; 3],
    [cos, sin]: &[Tensor; 2],
    direction: f64,
) -> Tensor {
    let size = input.size();
    let group = heads / kv_heads;
    let kv_heads = size[2] / ((group + 2) * width);
    let columns = input.view([size[0], size[1], kv_heads, group + 2, width]);
    let (cos, sin) = (cos.unsqueeze(1), sin.unsqueeze(1) * direction);
    let turned = columns.narrow(3, 0, group + 1);
    let half = width / 2;
    let (a, b) = (turned.narrow(4, 0, half), turned.narrow(4, half, half));
    let rotated = Tensor::cat(&[&a * &cos - &b * &sin, &b * &cos + &a * &sin], 4);
    let values = columns.narrow(3, group + 1, 1);
    Tensor::cat(&[rotated, values.shallow_clone()], 3).view(size.as_slice())
}

/// Which rows are chosen of every sequence, for `gather` and `scatter` over \[rows, sequences,
/// width\].
fn selected(at: &At<'_, '_>, like: &Tensor) -> Tensor {
    let (size, batch) = (like.size(), at.work.batch);
    let rows = at.operator.op.rows as i64;
    let chosen = match at.operator.op.name.as_str() {
        "mlm.select" => batch.masked.shallow_clone(),
        "classifier.select" => {
            let last = at.operator.inputs.first().map_or(0, |input| input.shape.rows as i64 - 1);
            Tensor::full([rows, size[1]], last, (Kind::Int64, like.device()))
        }
        _ => Tensor::zeros([rows, size[1]], (Kind::Int64, like.device())),
    };
    chosen.unsqueeze(-1).expand([rows, size[1], size[2]], false)
}
