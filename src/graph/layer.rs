//! One transformer layer: pre-norm, post-norm, or with its branches beside each other.

use super::builder::Builder;
use super::op::{OpKind, Weight};
use crate::spec::{NormPlacement, ParallelBranches, Position};
use petgraph::graph::NodeIndex;

/// Adds a layer that reads the residual stream; returns the stream after it.
///
/// Pre-norm (Radford et al. 2019): x + Attention(Norm(x)), then x + MLP(Norm(x)).
/// Post-norm (Vaswani et al. 2017): Norm(x + Attention(x)), then Norm(x + MLP(x)).
/// Parallel (Wang and Komatsuzaki 2021): x + Attention(Norm(x)) + MLP(Norm(x)), with one norm or
/// two. The sums are taken one after the other, as in the other kinds.
pub(super) fn add(builder: &mut Builder<'_>, stream: NodeIndex) -> NodeIndex {
    let placement = builder.model.norm_position();
    let pre = placement == NormPlacement::Pre;
    let normed = pre.then(|| builder.add_stream("attention.norm", builder.norm(), stream));
    let branch = attention(builder, normed.unwrap_or(stream));
    let mut sum = residual(builder, "attention.add", branch, stream);
    if !pre {
        sum = builder.add_stream("attention.norm", builder.norm(), sum);
    }
    let input = match (builder.model.parallel_branches, normed) {
        (Some(ParallelBranches::OneNorm), Some(normed)) => normed,
        (Some(_), _) if pre => builder.add_stream("mlp.norm", builder.norm(), stream),
        _ if pre => builder.add_stream("mlp.norm", builder.norm(), sum),
        _ => sum,
    };
    let branch = feed_forward(builder, input);
    let sum = residual(builder, "mlp.add", branch, sum);
    if pre { sum } else { builder.add_stream("mlp.norm", builder.norm(), sum) }
}

/// The sum of a branch and the residual stream.
fn residual(
    builder: &mut Builder<'_>,
    name: &str,
    branch: NodeIndex,
    stream: NodeIndex,
) -> NodeIndex {
    let dropout = builder.model.dropout().1 > 0.0;
    let (rows, hidden) = (builder.sequence, builder.hidden);
    builder.add(name, OpKind::DropoutAdd { dropout }, rows, hidden, &[branch, stream])
}

/// Fused query-key-value projection, rotation where there is one, attention, output projection.
fn attention(builder: &mut Builder<'_>, input: NodeIndex) -> NodeIndex {
    let model = builder.model;
    let (heads, kv_heads, head_dim) = (builder.heads, builder.kv_heads, builder.head_dim);
    let (rows, projected) = (builder.sequence, (heads + 2 * kv_heads) * head_dim);
    let mut node = builder.add(
        "attention.qkv",
        OpKind::Linear {
            input: builder.hidden,
            output: projected,
            bias: model.has_qkv_bias(),
            weight: Weight::Own,
        },
        rows,
        projected,
        &[input],
    );
    if model.position_kind() == Position::Rope {
        let rotary = OpKind::Rotary { heads, kv_heads, head_dim };
        node = builder.add("attention.rotary", rotary, rows, projected, &[node]);
    }
    let core = OpKind::Attention {
        heads,
        kv_heads,
        head_dim,
        causal: model.is_causal(),
        dropout: model.dropout().0 > 0.0,
        alibi: model.position_kind() == Position::Alibi,
    };
    let width = heads * head_dim;
    let core = builder.add("attention.core", core, rows, width, &[node]);
    linear(builder, "attention.proj", width, builder.hidden, core)
}

/// Two linear layers with an activation between them; the first gives both factors of a gated one.
fn feed_forward(builder: &mut Builder<'_>, input: NodeIndex) -> NodeIndex {
    let activation = builder.model.activation_kind();
    let (rows, ffn) = (builder.sequence, builder.ffn);
    let inner = if activation.is_gated() { 2 * ffn } else { ffn };
    let fc1 = linear(builder, "mlp.fc1", builder.hidden, inner, input);
    let act = builder.add("mlp.act", OpKind::Activation(activation), rows, ffn, &[fc1]);
    linear(builder, "mlp.fc2", ffn, builder.hidden, act)
}

fn linear(
    builder: &mut Builder<'_>,
    name: &str,
    input: u64,
    output: u64,
    from: NodeIndex,
) -> NodeIndex {
    let bias = builder.model.has_bias();
    let kind = OpKind::Linear { input, output, bias, weight: Weight::Own };
    builder.add(name, kind, builder.sequence, output, &[from])
}
