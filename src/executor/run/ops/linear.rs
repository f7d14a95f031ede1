//! Linear layers: Y = X·W, dX = dY·Wᵀ, dW = Xᵀ·dY.

use super::at::{At, Kept, needed, slot};
use crate::executor::error::Result;
use crate::graph::{Collective, GemmPass, Kernel, PassKind};
use crate::plan::Strategy;
use crate::sharding::Instruction;
use tch::Tensor;

/// A matrix of all rows of an activation.
fn matrix(activation: &Tensor) -> Tensor {
    let width = activation.size().last().copied().unwrap_or(1);
    activation.reshape([-1, width])
}

/// Rows of activation `like`, as an activation of another width.
fn activation(matrix: &Tensor, like: &Tensor) -> Tensor {
    let mut shape = like.size();
    if let (Some(last), Some(width)) = (shape.last_mut(), matrix.size().last()) {
        *last = *width;
    }
    matrix.view(shape.as_slice())
}

struct Weights {
    /// \[input, output\], as a view.
    matrix: Tensor,
    bias: Option<Tensor>,
    /// Stored as \[output, input\].
    tied: bool,
}

fn weights(at: &At<'_, '_>) -> Result<Weights> {
    let parameters = at.operator.op.parameters();
    let tied = parameters.first().is_some_and(|parameter| parameter.tied);
    let stored = at.weight("weight")?;
    let has_bias = parameters.iter().any(|parameter| parameter.name == "bias");
    let bias = if has_bias { Some(at.weight("bias")?) } else { None };
    Ok(Weights { matrix: if tied { stored.tr() } else { stored }, bias, tied })
}

fn sides(rows: &Tensor, weights: &Weights) -> (i64, i64, i64) {
    let size = weights.matrix.size();
    (rows.size()[0], size[0], size[1])
}

pub(super) fn forward(at: &mut At<'_, '_>, inputs: &[Tensor]) -> Result<Tensor> {
    let strategy = at.strategy();
    let weights = weights(at)?;
    let mut input = slot(at, inputs, 0)?.shallow_clone();
    if strategy == Strategy::ColumnGather {
        input = at.collective(Collective::AllGather, &input)?;
    }
    let bias_is_a_pass = at.operator.sharding.forward.iter().any(is_bias);
    let rows = matrix(&input);
    let (m, k, n) = sides(&rows, &weights);
    let product = at.cursor.gemm(GemmPass::Forward, [m, n, k])?;
    let mut output = at.cursor.run(product, || match &weights.bias {
        Some(bias) if !bias_is_a_pass => bias.addmm(&rows, &weights.matrix),
        _ => rows.matmul(&weights.matrix),
    });
    output = activation(&output, &input);
    match strategy {
        Strategy::Row => output = at.collective(Collective::AllReduce, &output)?,
        Strategy::RowScatter => output = at.collective(Collective::ReduceScatter, &output)?,
        _ => {}
    }
    match &weights.bias {
        Some(bias) if bias_is_a_pass => at.pass(PassKind::Bias, || output + bias),
        _ => Ok(output),
    }
}

pub(super) fn backward(at: &mut At<'_, '_>, gradient: &Tensor, kept: &Kept) -> Result<Vec<Tensor>> {
    let strategy = at.strategy();
    let weights = weights(at)?;
    let kept = needed(at, kept.input.as_ref())?;
    if weights.bias.is_some() {
        let rows = matrix(gradient);
        let bias = at.pass(PassKind::Bias, || rows.sum_dim_intlist(0i64, false, rows.kind()))?;
        at.accumulate(&[("bias", &bias)], None)?;
    }
    let mut gradient = gradient.shallow_clone();
    if strategy == Strategy::RowScatter {
        gradient = at.collective(Collective::AllGather, &gradient)?;
    }
    let mut kept = kept.shallow_clone();
    if strategy == Strategy::ColumnGather {
        kept = at.collective(Collective::AllGather, &kept)?;
    }
    let rows = matrix(&gradient);
    let (m, input, output) = sides(&rows, &weights);
    let product = at.cursor.gemm(GemmPass::InputGradient, [m, input, output])?;
    let left = at.cursor.run(product, || rows.matmul(&weights.matrix.tr()));
    let mut left = activation(&left, &gradient);
    if strategy == Strategy::ColumnGather {
        left = at.collective(Collective::ReduceScatter, &left)?;
    }
    let seen = matrix(&kept);
    let product = at.cursor.gemm(GemmPass::WeightGradient, [input, output, m])?;
    let weight = at.cursor.run(product, || {
        if weights.tied { rows.tr().matmul(&seen) } else { seen.tr().matmul(&rows) }
    });
    at.accumulate(&[("weight", &weight)], Some(product))?;
    Ok(vec![left])
}

fn is_bias(instruction: &Instruction) -> bool {
    matches!(
        instruction,
        Instruction::Compute { kernel: Kernel::Memory { pass: PassKind::Bias, .. }, .. }
    )
}
