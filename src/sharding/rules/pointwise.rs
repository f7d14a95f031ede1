//! Norms, activations, dropout, residual sums, rotary positions and row selection: passes over
//! memory, counted as bytes moved.

use super::instructions::{accumulate, memory};
use super::sharded::{Sharding, input, same};
use super::site::Site;
use crate::graph::{OpKind, PassKind};
use crate::plan::Strategy;
use crate::sharding::{Instruction, Layout, ShardContext, local_elements};
use crate::units::Bytes;

pub(super) fn shardings(site: &Site, context: &ShardContext) -> Vec<Sharding> {
    let t = context.tensor;
    let mut all = vec![shard(site, context, Strategy::Replicated, Layout::Replicated)];
    if t == 1 {
        return all;
    }
    if site.rows_divide(context) && site.op.kind != OpKind::SelectRows {
        all.push(shard(site, context, Strategy::Sequence, Layout::Sequence));
    }
    let by_width = match site.op.kind {
        OpKind::Activation(_) => site.output.width.is_multiple_of(t).then_some(Strategy::Feature),
        OpKind::Rotary { heads, kv_heads, .. } => {
            (heads.is_multiple_of(t) && kv_heads.is_multiple_of(t)).then_some(Strategy::Heads)
        }
        _ => None,
    };
    all.extend(by_width.map(|strategy| shard(site, context, strategy, Layout::Feature)));
    all
}

/// Passes of one operator on one rank, with what it keeps.
struct Passes {
    forward: Vec<Instruction>,
    backward: Vec<Instruction>,
    /// Whether the first input is kept.
    keeps_input: bool,
    /// Bytes kept beside it: masks, an activated gate.
    beside: u64,
}

fn shard(site: &Site, context: &ShardContext, strategy: Strategy, layout: Layout) -> Sharding {
    let passes = passes(site, context, layout);
    let parameters: u64 = site.op.parameters().iter().map(|p| p.elements()).sum();
    let frozen = if site.op.trained.is_frozen() { parameters } else { 0 };
    let reads: u64 =
        (0..site.inputs.len()).map(|slot| site.input_bytes(slot, layout, context)).sum();
    Sharding {
        strategy,
        inputs: (0..site.inputs.len())
            .map(|slot| input(layout, slot == 0 && passes.keeps_input))
            .collect(),
        output: same(layout),
        output_kept: false,
        forward: passes.forward,
        backward: passes.backward,
        early_input_gradient: false,
        saved: Bytes::new(passes.beside),
        parameters,
        tied_parameters: 0,
        frozen_parameters: frozen,
        // Each rank saw its own rows only.
        tensor_reduced_parameters: if layout == Layout::Sequence { parameters - frozen } else { 0 },
        workspace: Bytes::new(reads + site.output_bytes(layout, context)),
    }
}

fn passes(site: &Site, context: &ShardContext, layout: Layout) -> Passes {
    let op = site.index;
    let out = site.output_bytes(layout, context);
    let inp = site.input_bytes(0, layout, context);
    let elements = local_elements(site.output, layout, context);
    match site.op.kind {
        OpKind::Norm { .. } => norm(site, context, out),
        OpKind::Activation(activation) => Passes {
            forward: vec![memory(op, PassKind::Activation, inp, out, 1)],
            backward: vec![memory(op, PassKind::Activation, out + inp, inp, 1)],
            keeps_input: true,
            beside: if activation.is_gated() && context.stack.keeps_activated_gate {
                out
            } else {
                0
            },
        },
        OpKind::Rotary { .. } => Passes {
            forward: vec![memory(op, PassKind::Rotary, inp, out, 1)],
            backward: vec![memory(op, PassKind::Rotary, out, inp, 1)],
            keeps_input: false,
            beside: 0,
        },
        OpKind::DropoutAdd { dropout } => {
            let fused = context.stack.fused_bias_dropout_add;
            dropout_add(op, out, if dropout { elements } else { 0 }, fused)
        }
        OpKind::Dropout => Passes {
            forward: vec![memory(op, PassKind::DropoutAdd, out, out + elements, 1)],
            backward: vec![memory(op, PassKind::DropoutAdd, out + elements, out, 1)],
            keeps_input: false,
            beside: elements,
        },
        // Backward fills the gradient of all rows with zeros, then scatters the chosen ones.
        _ => Passes {
            forward: vec![memory(op, PassKind::Copy, out, out, 1)],
            backward: vec![memory(op, PassKind::Copy, out, inp + out, 2)],
            keeps_input: false,
            beside: 0,
        },
    }
}

/// Backward is two kernels, as in PyTorch: one for the input's gradient and one for the
/// parameters', each reading input and output gradient. Frozen, the first is left.
fn norm(site: &Site, context: &ShardContext, bytes: u64) -> Passes {
    let parameters = site.op.parameters();
    let elements: u64 = parameters.iter().map(|p| p.elements()).sum();
    let backward = if site.op.trained.is_frozen() {
        vec![memory(site.index, PassKind::Norm, 2 * bytes, bytes, 1)]
    } else {
        vec![
            memory(site.index, PassKind::Norm, 4 * bytes, bytes, 2),
            accumulate(site.index, elements, parameters.len() as u64, context),
        ]
    };
    Passes {
        forward: vec![memory(site.index, PassKind::Norm, bytes, bytes, 1)],
        backward,
        keeps_input: true,
        beside: 0,
    }
}

/// `mask` is its bytes, one an element; zero without dropout. Backward, the residual's gradient is
/// the output's, without a pass; so is the branch's without dropout.
fn dropout_add(op: usize, bytes: u64, mask: u64, fused: bool) -> Passes {
    let pass = |read, written| memory(op, PassKind::DropoutAdd, read, written, 1);
    let forward = match (mask > 0, fused) {
        (false, _) => vec![pass(2 * bytes, bytes)],
        (true, true) => vec![pass(2 * bytes, bytes + mask)],
        (true, false) => vec![pass(bytes, bytes + mask), pass(2 * bytes, bytes)],
    };
    let backward = if mask > 0 { vec![pass(bytes + mask, bytes)] } else { Vec::new() };
    Passes { forward, backward, keeps_input: false, beside: mask }
}
