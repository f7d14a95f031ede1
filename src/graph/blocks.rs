//! Finds the blocks of a graph by its structure alone: names and layer numbers play no part.
//!
//! 1. A *cut* is an operator that lies on every path from the graph's inputs to its outputs, so
//!    that its one output tensor separates what is before from what is after. Cuts are the
//!    operators that dominate the output and post-dominate the input (both say the same). A
//!    *segment* is what lies after one cut up to and with the next.
//! 2. Segments are typed by [`super::structure`]: equal but for the names.
//! 3. A segment is *residual* if its exit reads its entry, directly or through sums. Layers begin with residual
//!    segments; the shortest repeating unit of types from there is a layer (a pre-norm layer is
//!    two segments, the attention and the feed-forward half; a post-norm layer is four, its norms
//!    being cuts). Different units one after the other give several runs. Residual segments
//!    outside of any run form a layer that occurs once.
//! 4. What precedes the first layer is the embedding, what follows the last one is the head.

use super::error::GraphError;
use super::op::{Block, BlockKind, Edge, Graph, Op, OpKind};
use super::structure::{self, Segment};
use petgraph::Direction;
use petgraph::algo::dominators;
use petgraph::graph::{DiGraph, NodeIndex};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

impl Graph {
    /// Finds the blocks of an operator graph.
    ///
    /// # Errors
    /// [`GraphError::Structure`] where the graph has a cycle or nothing that looks like a layer.
    pub fn from_dag(dag: DiGraph<Op, Edge>) -> Result<Graph, GraphError> {
        let order = topological(&dag).ok_or(GraphError::Structure("it has a cycle"))?;
        let segments = segments(&dag, &order);
        let types = structure::types(&dag, &segments);
        let residual: Vec<bool> = segments.iter().map(|segment| segment.residual).collect();
        let stretches = stretches(&types, &residual)
            .ok_or(GraphError::Structure("no operator adds the residual stream"))?;
        let mut graph = Graph { dag, blocks: Vec::new(), sequence: Vec::new() };
        let mut known: Vec<(BlockKind, &[usize])> = Vec::new();
        for Stretch { kind, start, period, repeats } in stretches {
            let unit = &types[start..start + period];
            let index = known.iter().position(|&(k, u)| k == kind && u == unit);
            let index = index.unwrap_or_else(|| {
                let ops = segments[start..start + period].iter();
                let ops = ops.flat_map(|segment| segment.ops.iter().copied()).collect();
                known.push((kind, unit));
                graph.blocks.push(Block { kind, ops, multiplicity: 0 });
                known.len() - 1
            });
            graph.blocks[index].multiplicity += repeats as u64;
            graph.sequence.push((index, repeats as u64));
        }
        Ok(graph)
    }

    /// Every occurrence of every block in the order of the model: the block's index and the
    /// operators of that occurrence in topological order. Together they are the whole graph.
    pub fn occurrences(&self) -> Vec<(usize, Vec<NodeIndex>)> {
        let mut order = topological(&self.dag).unwrap_or_default().into_iter();
        let mut occurrences = Vec::new();
        for &(block, repetitions) in &self.sequence {
            let size = self.blocks[block].ops.len();
            for _ in 0..repetitions {
                occurrences.push((block, order.by_ref().take(size).collect()));
            }
        }
        occurrences
    }
}

/// The operators in topological order, smallest index first among those that are ready; nothing
/// where there is a cycle.
fn topological(dag: &DiGraph<Op, Edge>) -> Option<Vec<NodeIndex>> {
    let mut missing = vec![0usize; dag.node_count()];
    for edge in dag.raw_edges() {
        missing[edge.target().index()] += 1;
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..missing.len()).filter(|&node| missing[node] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(missing.len());
    while let Some(Reverse(node)) = ready.pop() {
        let node = NodeIndex::new(node);
        order.push(node);
        for next in dag.neighbors(node) {
            missing[next.index()] -= 1;
            if missing[next.index()] == 0 {
                ready.push(Reverse(next.index()));
            }
        }
    }
    (order.len() == missing.len()).then_some(order)
}

/// Which operators are cuts, by index.
///
/// A virtual source before all inputs and a virtual sink after all outputs make the graph
/// two-terminal. The dominators of the sink are then the operators on every path from source to
/// sink, and so are the post-dominators of the source: one computation gives both.
fn cuts(dag: &DiGraph<Op, Edge>) -> Vec<bool> {
    let nodes = dag.node_count();
    let mut terminal = DiGraph::<(), ()>::with_capacity(nodes + 2, dag.edge_count() + 4);
    for _ in 0..nodes + 2 {
        terminal.add_node(());
    }
    let (source, sink) = (NodeIndex::new(nodes), NodeIndex::new(nodes + 1));
    let (mut has_input, mut has_output) = (vec![false; nodes], vec![false; nodes]);
    for edge in dag.raw_edges() {
        terminal.add_edge(edge.source(), edge.target(), ());
        has_input[edge.target().index()] = true;
        has_output[edge.source().index()] = true;
    }
    for node in 0..nodes {
        if !has_input[node] {
            terminal.add_edge(source, NodeIndex::new(node), ());
        }
        if !has_output[node] {
            terminal.add_edge(NodeIndex::new(node), sink, ());
        }
    }
    let mut is_cut = vec![false; nodes];
    let dominators = dominators::simple_fast(&terminal, source);
    for node in dominators.strict_dominators(sink).into_iter().flatten() {
        if node.index() < nodes {
            is_cut[node.index()] = true;
        }
    }
    is_cut
}

/// The segments, in order. Every operator comes after all operators of earlier segments in any
/// topological order, since all its paths lead through the cuts before it.
fn segments(dag: &DiGraph<Op, Edge>, order: &[NodeIndex]) -> Vec<Segment> {
    let is_cut = cuts(dag);
    let mut segments = Vec::new();
    let mut entry = None;
    let mut ops = Vec::new();
    for &node in order {
        ops.push(node);
        if is_cut[node.index()] {
            let residual = ops.len() > 1 && entry.is_some_and(|entry| adds(dag, node, entry));
            segments.push(Segment { entry, ops: std::mem::take(&mut ops), residual });
            entry = Some(node);
        }
    }
    if !ops.is_empty() {
        segments.push(Segment { entry, ops, residual: false });
    }
    segments
}

/// Whether `exit` reads `entry`, or the sum of it and a branch, or the sum of that and a further one.
fn adds(dag: &DiGraph<Op, Edge>, exit: NodeIndex, entry: NodeIndex) -> bool {
    let mut sum = exit;
    loop {
        if dag.contains_edge(entry, sum) {
            return true;
        }
        let mut inputs = dag.neighbors_directed(sum, Direction::Incoming);
        let Some(next) = inputs.find(|node| matches!(dag[*node].kind, OpKind::DropoutAdd { .. }))
        else {
            return false;
        };
        sum = next;
    }
}

/// A stretch of segments: `repeats` units of `period` segments.
#[derive(Debug, PartialEq)]
struct Stretch {
    kind: BlockKind,
    start: usize,
    period: usize,
    repeats: usize,
}

/// Splits the sequence of segment types into embedding, runs of layers, and head; nothing where
/// there is no residual segment.
fn stretches(types: &[usize], residual: &[bool]) -> Option<Vec<Stretch>> {
    let first = residual.iter().position(|&is_residual| is_residual)?;
    let mut found = Vec::new();
    let mut push = |kind, start: usize, period: usize, repeats| {
        if period > 0 {
            found.push(Stretch { kind, start, period, repeats });
        }
    };
    push(BlockKind::Embedding, 0, first, 1);
    // Segments from `single` to `next` are in no run yet.
    let (mut single, mut next) = (first, first);
    while next < types.len() {
        let run = if residual[next] { repetition(&types[next..]) } else { None };
        if let Some((period, repeats)) = run {
            push(BlockKind::Layer, single, next - single, 1);
            push(BlockKind::Layer, next, period, repeats);
            next += period * repeats;
            single = next;
        } else {
            next += 1;
        }
    }
    let head = single + single_layer(&types[single..], &residual[single..]);
    push(BlockKind::Layer, single, head - single, 1);
    push(BlockKind::Head, head, types.len() - head, 1);
    Some(found)
}

/// The unit that, repeated from the beginning of `types`, covers the most of it, as its length and
/// number of repetitions; the shortest of equals. Nothing where nothing repeats.
fn repetition(types: &[usize]) -> Option<(usize, usize)> {
    let mut best: Option<(usize, usize)> = None;
    for (period, &common) in common_prefixes(types).iter().enumerate().skip(1) {
        let repeats = common / period + 1;
        if repeats > 1 && best.is_none_or(|(p, r)| repeats * period > r * p) {
            best = Some((period, repeats));
        }
    }
    best
}

/// For each position, the length of the longest prefix of `types` that occurs there (the Z
/// function, in linear time).
fn common_prefixes(types: &[usize]) -> Vec<usize> {
    let mut lengths = vec![0; types.len()];
    let (mut left, mut right) = (0, 0);
    for position in 1..types.len() {
        let mut length = 0;
        if position < right {
            length = lengths[position - left].min(right - position);
        }
        while position + length < types.len() && types[length] == types[position + length] {
            length += 1;
        }
        if position + length > right {
            (left, right) = (position, position + length);
        }
        lengths[position] = length;
    }
    lengths
}

/// How many of the segments after the last run form a layer that occurs once: up to the last
/// residual segment, and what follows it as it follows the first one (the norm of a post-norm
/// model with one layer).
fn single_layer(types: &[usize], residual: &[bool]) -> usize {
    let position = |mut flags: std::slice::Iter<'_, bool>| flags.position(|&flag| flag);
    let Some(first) = position(residual.iter()) else { return 0 };
    let last = residual.iter().rposition(|&flag| flag).unwrap_or(first);
    let Some(tail) = position(residual[first + 1..].iter()) else { return last + 1 };
    let after_first = &types[first + 1..first + 1 + tail];
    let end = last + 1 + tail;
    if types.get(last + 1..end) == Some(after_first) { end } else { last + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BlockKind::{Embedding, Head, Layer};

    fn stretch(kind: BlockKind, start: usize, period: usize, repeats: usize) -> Stretch {
        Stretch { kind, start, period, repeats }
    }

    /// The doc of [`cuts`] claims that dominators of the output and post-dominators of the input
    /// are the same operators: here the second are computed on the reversed graph.
    #[test]
    fn cuts_are_post_dominators_too() {
        // A chain 0-1-4-5 with a branch 1-2-4, 1-3-4 and a head that forks without joining.
        let edges = [(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (1, 4), (4, 5), (5, 6), (5, 7)];
        let mut dag = DiGraph::new();
        let kind = crate::graph::OpKind::Dropout;
        let trained = crate::graph::Trained::All;
        let op =
            Op { name: String::new(), kind, rows: 1, width: 1, attention_core: false, trained };
        for _ in 0..8 {
            dag.add_node(op.clone());
        }
        let edge = Edge { slot: 0, rows: 1, width: 1 };
        for (from, to) in edges {
            dag.add_edge(NodeIndex::new(from), NodeIndex::new(to), edge.clone());
        }
        let cut_indices: Vec<usize> = cuts(&dag)
            .iter()
            .enumerate()
            .filter_map(|(index, &cut)| cut.then_some(index))
            .collect();
        assert_eq!(cut_indices, [0, 1, 4, 5]);
        let sink = dag.add_node(op);
        dag.add_edge(NodeIndex::new(6), sink, edge.clone());
        dag.add_edge(NodeIndex::new(7), sink, edge);
        let reversed = petgraph::visit::Reversed(&dag);
        let post = dominators::simple_fast(reversed, sink);
        let mut post: Vec<usize> = post
            .dominators(NodeIndex::new(0))
            .into_iter()
            .flatten()
            .map(|node| node.index())
            .filter(|&node| node != sink.index())
            .collect();
        post.sort_unstable();
        assert_eq!(post, cut_indices);
    }

    /// Types as letters; capitals are residual.
    fn split(letters: &str) -> Option<Vec<Stretch>> {
        let types: Vec<usize> = letters.bytes().map(usize::from).collect();
        let residual: Vec<bool> = letters.bytes().map(|b| b.is_ascii_uppercase()).collect();
        stretches(&types, &residual)
    }

    #[test]
    fn a_layer_is_the_shortest_repeating_unit() {
        let pre = vec![stretch(Embedding, 0, 2, 1), stretch(Layer, 2, 2, 4)];
        assert_eq!(split("epAMAMAMAM"), Some(pre));
        let post =
            vec![stretch(Embedding, 0, 2, 1), stretch(Layer, 2, 4, 2), stretch(Head, 10, 1, 1)];
        assert_eq!(split("enAnMnAnMnh"), Some(post), "starts at the residual half");
    }

    #[test]
    fn runs_of_different_layers_stand_apart() {
        let runs = vec![
            stretch(Embedding, 0, 1, 1),
            stretch(Layer, 1, 2, 3),
            stretch(Layer, 7, 2, 2),
            stretch(Head, 11, 1, 1),
        ];
        assert_eq!(split("eAMAMAMAXAXh"), Some(runs));
        let first_differs =
            vec![stretch(Embedding, 0, 1, 1), stretch(Layer, 1, 2, 1), stretch(Layer, 3, 2, 3)];
        assert_eq!(split("eAXAMAMAM"), Some(first_differs));
        let alternating = vec![stretch(Embedding, 0, 1, 1), stretch(Layer, 1, 4, 3)];
        assert_eq!(split("eAMAXAMAXAMAX"), Some(alternating));
    }

    #[test]
    fn one_layer_is_a_layer() {
        let pre =
            vec![stretch(Embedding, 0, 1, 1), stretch(Layer, 1, 2, 1), stretch(Head, 3, 2, 1)];
        assert_eq!(split("eAMnh"), Some(pre));
        let post =
            vec![stretch(Embedding, 0, 1, 1), stretch(Layer, 1, 4, 1), stretch(Head, 5, 1, 1)];
        assert_eq!(split("eAnMnh"), Some(post));
        assert_eq!(split("eh"), None);
    }
}
