//! When two segments are the same: operators alike and alike connected, whatever their names.
//!
//! A hash in the manner of Weisfeiler and Lehman (1968) first: every operator's label is refined
//! by those before it, then by those after it (on an acyclic graph one sweep each way carries
//! labels as far as they reach). Where hashes agree, an isomorphism confirms it, so that types
//! never rest on a hash.

use super::adapter::Trained;
use super::op::{Edge, Op, OpKind};
use petgraph::Direction;
use petgraph::algo::is_isomorphic_matching;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Operators between two cuts.
pub(super) struct Segment {
    /// The cut before it, if any: its output is the segment's only input.
    pub(super) entry: Option<NodeIndex>,
    /// The operators in topological order; the last one is the cut that ends the segment.
    pub(super) ops: Vec<NodeIndex>,
    /// Whether its exit reads its entry, directly or through sums.
    pub(super) residual: bool,
}

/// What counts of an operator: everything but its name. The entry of a segment counts as a place
/// only, whatever operator stands there.
#[derive(PartialEq, Eq, Hash)]
struct Label<'a>(Option<(&'a OpKind, u64, u64, bool, &'a Trained)>);

/// A segment by itself, with its entry as node 0 where it has one.
type Shape<'a> = DiGraph<Label<'a>, &'a Edge>;

/// The type of each segment, numbered by first occurrence.
pub(super) fn types(dag: &DiGraph<Op, Edge>, segments: &[Segment]) -> Vec<usize> {
    let mut known: Vec<Shape<'_>> = Vec::new();
    let mut by_hash: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut position = vec![usize::MAX; dag.node_count()];
    let mut types = Vec::with_capacity(segments.len());
    for segment in segments {
        let shape = shape(dag, segment, &mut position);
        let candidates = by_hash.entry(hash(&shape)).or_default();
        let same = candidates.iter().copied().find(|&t| isomorphic(&known[t], &shape));
        types.push(same.unwrap_or_else(|| {
            candidates.push(known.len());
            known.push(shape);
            known.len() - 1
        }));
    }
    types
}

fn shape<'a>(dag: &'a DiGraph<Op, Edge>, segment: &Segment, position: &mut [usize]) -> Shape<'a> {
    let mut shape = DiGraph::with_capacity(segment.ops.len() + 1, segment.ops.len() * 2);
    if let Some(entry) = segment.entry {
        position[entry.index()] = shape.add_node(Label(None)).index();
    }
    for &node in &segment.ops {
        let op = &dag[node];
        let label = Label(Some((&op.kind, op.rows, op.width, op.attention_core, &op.trained)));
        position[node.index()] = shape.add_node(label).index();
        for edge in dag.edges_directed(node, Direction::Incoming) {
            let from = NodeIndex::new(position[edge.source().index()]);
            shape.add_edge(from, NodeIndex::new(position[node.index()]), edge.weight());
        }
    }
    shape
}

/// Nodes of a shape stand in topological order, so that one sweep each way is enough.
fn hash(shape: &Shape<'_>) -> u64 {
    let mut labels: Vec<u64> = shape.node_weights().map(digest).collect();
    for node in shape.node_indices() {
        labels[node.index()] = refine(shape, &labels, node, Direction::Incoming);
    }
    for node in shape.node_indices().rev() {
        labels[node.index()] = refine(shape, &labels, node, Direction::Outgoing);
    }
    labels.sort_unstable();
    digest(&labels)
}

/// The label of a node with those of its neighbours on one side, in an order that does not depend
/// on how they are numbered.
fn refine(shape: &Shape<'_>, labels: &[u64], node: NodeIndex, side: Direction) -> u64 {
    let mut around: Vec<(u64, u64)> = shape
        .edges_directed(node, side)
        .map(|edge| {
            let other = if side == Direction::Incoming { edge.source() } else { edge.target() };
            (digest(edge.weight()), labels[other.index()])
        })
        .collect();
    around.sort_unstable();
    digest(&(labels[node.index()], around))
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn isomorphic(a: &Shape<'_>, b: &Shape<'_>) -> bool {
    is_isomorphic_matching(a, b, |x, y| x == y, |x, y| x == y)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of four operators between an entry and a sum: two branches from the entry, wired
    /// to the sum by the given slots.
    fn diamond(slots: [u8; 2], widths: [u64; 2]) -> Vec<(u64, usize, usize, u8)> {
        vec![(widths[0], 0, 1, 0), (widths[1], 0, 2, 0), (8, 1, 3, slots[0]), (8, 2, 3, slots[1])]
    }

    fn types_of(parts: &[Vec<(u64, usize, usize, u8)>]) -> Vec<usize> {
        let mut dag = DiGraph::new();
        let op = |name: String, width| Op {
            name,
            kind: OpKind::Dropout,
            rows: 1,
            width,
            attention_core: false,
            trained: Trained::All,
        };
        let mut segments = Vec::new();
        let mut entry = dag.add_node(op("entry".into(), 8));
        for part in parts {
            let nodes: Vec<NodeIndex> = std::iter::once(entry)
                .chain([part[0].0, part[1].0, 8].map(|width| {
                    let name = format!("op{}", dag.node_count());
                    dag.add_node(op(name, width))
                }))
                .collect();
            for &(width, from, to, slot) in part {
                dag.add_edge(nodes[from], nodes[to], Edge { slot, rows: 1, width });
            }
            segments.push(Segment {
                entry: Some(entry),
                ops: nodes[1..].to_vec(),
                residual: false,
            });
            entry = nodes[3];
        }
        types(&dag, &segments)
    }

    #[test]
    fn order_does_not_matter_but_wiring_does() {
        let straight = diamond([0, 1], [4, 16]);
        let renumbered = diamond([1, 0], [16, 4]);
        let crossed = diamond([1, 0], [4, 16]);
        let types = types_of(&[straight.clone(), renumbered, crossed, straight]);
        assert_eq!(types, [0, 0, 1, 0]);
    }
}
