//! Ranks: their axes, which of them talk, and where they stand.
//!
//! All of lmplan, and the programs that it exports to, number ranks alike: tensor-parallel ranks are
//! neighbours, then those that share a sequence, then replicas, then stages (Megatron-LM,
//! `parallel_state.py`, order `tp-cp-ep-dp-pp`). They fill one node after another. A further axis is a
//! row of [`Axis::ALL`].

mod nodes;
mod placement;

pub use nodes::{Nodes, Place};
pub use placement::GroupPlacement;

use crate::plan::Parallelism;
use std::ops::Range;

/// A way in which the work is split over ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// Parts of every operator.
    Tensor,
    /// Parts of every sequence.
    Context,
    /// Parts of the batch.
    Data,
    /// Stages of layers.
    Pipeline,
}

impl Axis {
    /// All axes, the innermost first: its neighbours have neighbouring numbers.
    pub const ALL: [Axis; 4] = [Axis::Tensor, Axis::Context, Axis::Data, Axis::Pipeline];
}

/// Ranks by their coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mesh {
    /// Ways of each axis, in the order of [`Axis::ALL`].
    ways: [u64; 4],
}

/// Where a rank is on each axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Coordinates {
    /// Among the tensor-parallel ranks.
    pub tensor: u64,
    /// Among those that share a sequence.
    pub context: u64,
    /// Among the replicas.
    pub data: u64,
    /// Stage.
    pub stage: u64,
}

impl Mesh {
    /// A mesh of t · c · d · p ranks; no ways is one.
    pub fn new(tensor: u64, context: u64, data: u64, pipeline: u64) -> Mesh {
        Mesh { ways: [tensor, context, data, pipeline].map(|ways| ways.max(1)) }
    }

    /// The mesh of a plan.
    pub fn of(p: &Parallelism) -> Mesh {
        Mesh::new(p.tensor, p.context, p.data, p.pipeline)
    }

    /// Ways of an axis.
    pub const fn ways(&self, axis: Axis) -> u64 {
        self.ways[axis as usize]
    }

    /// Ranks in all.
    pub fn ranks(&self) -> u64 {
        self.ways.iter().fold(1, |product, ways| product.saturating_mul(*ways))
    }

    /// Distance between neighbours of an axis, in ranks.
    pub fn stride(&self, axis: Axis) -> u64 {
        let inner = &self.ways[..axis as usize];
        inner.iter().fold(1, |product, ways| product.saturating_mul(*ways))
    }

    /// Ranks that hold the same parameters (d · c): gradients are summed over them.
    pub const fn replicas(&self) -> u64 {
        self.ways(Axis::Data).saturating_mul(self.ways(Axis::Context))
    }

    /// Where a rank is.
    pub fn coordinates(&self, rank: u64) -> Coordinates {
        let along = |axis: Axis| rank / self.stride(axis) % self.ways(axis);
        Coordinates {
            tensor: along(Axis::Tensor),
            context: along(Axis::Context),
            data: along(Axis::Data),
            stage: along(Axis::Pipeline),
        }
    }

    /// The rank that is there.
    pub fn rank(&self, at: Coordinates) -> u64 {
        let along = [at.tensor, at.context, at.data, at.stage];
        Axis::ALL.iter().zip(along).map(|(axis, at)| at * self.stride(*axis)).sum()
    }

    /// The ranks of a stage, which are neighbours.
    pub fn stage(&self, stage: u64) -> Range<u64> {
        let ranks = self.stride(Axis::Pipeline);
        stage * ranks..(stage + 1) * ranks
    }

    /// How the groups along an axis fall on nodes.
    pub fn placement(&self, axis: Axis, nodes: &Nodes) -> GroupPlacement {
        GroupPlacement::new(nodes, self.ways(axis), self.stride(axis))
    }

    /// How the groups of ranks that hold the same parameters fall on nodes.
    pub fn placement_of_replicas(&self, nodes: &Nodes) -> GroupPlacement {
        GroupPlacement::new(nodes, self.replicas(), self.stride(Axis::Context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_coordinates_are_the_same() {
        let mesh = Mesh::new(2, 3, 4, 5);
        assert_eq!(mesh.ranks(), 120);
        assert_eq!(mesh.replicas(), 12);
        assert_eq!(Axis::ALL.map(|axis| mesh.stride(axis)), [1, 2, 6, 24]);
        for rank in 0..mesh.ranks() {
            let at = mesh.coordinates(rank);
            assert_eq!(mesh.rank(at), rank);
            assert!(mesh.stage(at.stage).contains(&rank));
        }
        let at = Coordinates { tensor: 1, context: 2, data: 3, stage: 4 };
        assert_eq!(mesh.rank(at), 119);
    }

    #[test]
    fn no_ways_are_one_way() {
        assert_eq!(Mesh::new(0, 1, 0, 2).ranks(), 2);
    }
}
