//! The graph for other tools: DOT for Graphviz, JSON for scripts. The same graph gives the same
//! bytes.

use super::op::{BlockKind, Graph, Op, OpKind, Weight};
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use serde_json::{Value, json};
use std::fmt::Write;

/// How much of a repeated block is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Each distinct block once, with how often it occurs.
    DistinctBlocks,
    /// Every operator of every layer.
    Whole,
}

/// The graph in Graphviz's DOT, a cluster for each block.
pub fn to_dot(graph: &Graph, detail: Detail) -> String {
    let clusters = match detail {
        Detail::Whole => graph.occurrences(),
        Detail::DistinctBlocks => graph
            .blocks
            .iter()
            .enumerate()
            .map(|(index, block)| (index, block.ops.clone()))
            .collect(),
    };
    let mut dot = String::from("digraph model {\n  rankdir=TB;\n  node [shape=box];\n");
    let mut shown = vec![false; graph.dag.node_count()];
    for (number, (block, ops)) in clusters.iter().enumerate() {
        let times = match (detail, graph.blocks[*block].multiplicity) {
            (Detail::DistinctBlocks, times) if times > 1 => format!(" × {times}"),
            _ => String::new(),
        };
        let title = format!("{}{times}", block_kind(graph.blocks[*block].kind));
        let _ = writeln!(dot, "  subgraph cluster_{number} {{\n    label=\"{title}\";");
        for &node in ops {
            shown[node.index()] = true;
            let op = &graph.dag[node];
            let (name, kind) = (escaped(&op.name), op.kind.name());
            let label = format!("{name}\\n{kind} [{}, {}]", op.rows, op.width);
            let _ = writeln!(dot, "    n{} [label=\"{label}\"];", node.index());
        }
        dot.push_str("  }\n");
    }
    for edge in graph.dag.edge_references() {
        let (from, to) = (edge.source().index(), edge.target().index());
        if shown[from] && shown[to] {
            let tensor = edge.weight();
            let _ =
                writeln!(dot, "  n{from} -> n{to} [label=\"{} × {}\"];", tensor.rows, tensor.width);
        }
    }
    if detail == Detail::DistinctBlocks {
        skipped_edges(graph, &shown, &mut dot);
    }
    dot.push_str("}\n");
    dot
}

/// Dashed edges where the repetitions of a block are left out: from the end of its one drawn
/// occurrence to what follows the last one.
fn skipped_edges(graph: &Graph, shown: &[bool], dot: &mut String) {
    for pair in graph.sequence.windows(2) {
        let ends = (graph.blocks[pair[0].0].ops.last(), graph.blocks[pair[1].0].ops.first());
        let (Some(&from), Some(&to)) = ends else { continue };
        if shown[to.index()] && !graph.dag.contains_edge(from, to) {
            let _ = writeln!(dot, "  n{} -> n{} [style=dashed];", from.index(), to.index());
        }
    }
}

/// The graph as JSON (`lmplan.graph/1`): operators with shapes, attributes, parameters and
/// operations, the tensors between them, and the blocks they form. Sizes are for one sequence.
pub fn to_json(graph: &Graph) -> Value {
    let mut place = vec![(0, 0); graph.dag.node_count()];
    for (occurrence, (block, ops)) in graph.occurrences().into_iter().enumerate() {
        for node in ops {
            place[node.index()] = (block, occurrence);
        }
    }
    let ops = graph.dag.node_indices().map(|node| op_json(graph, node, place[node.index()]));
    let edges = graph.dag.edge_references().map(|edge| {
        json!({
            "from": edge.source().index(),
            "to": edge.target().index(),
            "slot": edge.weight().slot,
            "rows": edge.weight().rows,
            "width": edge.weight().width,
        })
    });
    let blocks = graph.blocks.iter().map(|block| {
        json!({
            "kind": block_kind(block.kind),
            "multiplicity": block.multiplicity,
            "parameters": graph.block_parameters(block),
            "forward_flops_per_sequence": graph.block_forward_flops(block).get(),
            "ops": block.ops.iter().map(|node| node.index()).collect::<Vec<_>>(),
        })
    });
    let sequence = graph
        .sequence
        .iter()
        .map(|(block, repetitions)| json!({ "block": block, "repetitions": repetitions }));
    json!({
        "schema": "lmplan.graph/1",
        "parameters": graph.parameters(),
        "trained_parameters": graph.trained_parameters(),
        "model_flops_per_sequence": graph.model_flops(1).get(),
        "blocks": blocks.collect::<Vec<_>>(),
        "sequence": sequence.collect::<Vec<_>>(),
        "ops": ops.collect::<Vec<_>>(),
        "edges": edges.collect::<Vec<_>>(),
    })
}

fn op_json(graph: &Graph, node: NodeIndex, (block, occurrence): (usize, usize)) -> Value {
    let op: &Op = &graph.dag[node];
    let parameters = op.parameters().into_iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "shape": parameter.shape,
            "tied": parameter.tied,
            "trained": parameter.trained,
        })
    });
    json!({
        "id": node.index(),
        "name": op.name,
        "kind": op.kind.name(),
        "block": block,
        "occurrence": occurrence,
        "rows": op.rows,
        "width": op.width,
        "attributes": attributes(&op.kind),
        "parameters": parameters.collect::<Vec<_>>(),
        "forward_flops_per_sequence": op.forward_flops().get(),
    })
}

fn attributes(kind: &OpKind) -> Value {
    match *kind {
        OpKind::TokenEmbedding { vocab } => json!({ "vocab": vocab }),
        OpKind::PositionEmbedding { positions } => json!({ "positions": positions }),
        OpKind::TokenTypeEmbedding { types } => json!({ "types": types }),
        OpKind::Norm { norm, bias } => json!({ "norm": norm, "bias": bias }),
        OpKind::Linear { input, output, bias, weight } => json!({
            "input": input,
            "output": output,
            "bias": bias,
            "tied_to_token_embedding": weight == Weight::TokenEmbedding,
        }),
        OpKind::Rotary { heads, kv_heads, head_dim } => {
            json!({ "heads": heads, "kv_heads": kv_heads, "head_dim": head_dim })
        }
        OpKind::Attention { heads, kv_heads, head_dim, causal, dropout, alibi } => json!({
            "heads": heads,
            "kv_heads": kv_heads,
            "head_dim": head_dim,
            "causal": causal,
            "dropout": dropout,
            "alibi": alibi,
        }),
        OpKind::Activation(activation) => json!({ "activation": activation }),
        OpKind::DropoutAdd { dropout } => json!({ "dropout": dropout }),
        OpKind::CrossEntropy { classes } => json!({ "classes": classes }),
        OpKind::Dropout | OpKind::SelectRows | OpKind::LossSum => json!({}),
    }
}

impl OpKind {
    /// The kind's name in files.
    pub const fn name(&self) -> &'static str {
        match self {
            OpKind::TokenEmbedding { .. } => "token_embedding",
            OpKind::PositionEmbedding { .. } => "position_embedding",
            OpKind::TokenTypeEmbedding { .. } => "token_type_embedding",
            OpKind::Norm { .. } => "norm",
            OpKind::Linear { .. } => "linear",
            OpKind::Rotary { .. } => "rotary",
            OpKind::Attention { .. } => "attention",
            OpKind::Activation(_) => "activation",
            OpKind::DropoutAdd { .. } => "dropout_add",
            OpKind::Dropout => "dropout",
            OpKind::SelectRows => "select_rows",
            OpKind::CrossEntropy { .. } => "cross_entropy",
            OpKind::LossSum => "loss_sum",
        }
    }
}

fn block_kind(kind: BlockKind) -> &'static str {
    match kind {
        BlockKind::Embedding => "embedding",
        BlockKind::Layer => "layer",
        BlockKind::Head => "head",
    }
}

/// A text within a DOT string.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
