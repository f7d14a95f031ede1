//! Where the head ends: a rank's share of the loss, and the gradient that the backward pass begins
//! with.

use super::rank::Rank;
use crate::graph::{BlockKind, OpKind};
use crate::sharding::Layout;
use tch::{Kind, Tensor};

impl Rank {
    /// The rows of a sequence over which the last operator's loss is a mean.
    fn loss_rows(&self) -> f64 {
        let head = self.program.block(BlockKind::Head);
        head.operators.last().map_or(1.0, |last| last.op.rows as f64)
    }

    fn is_sum_of_losses(&self) -> bool {
        let head = self.program.block(BlockKind::Head);
        head.operators.last().is_some_and(|last| last.op.kind == OpKind::LossSum)
    }

    /// Whether the rows of the last operator's loss are split over the tensor-parallel ranks.
    fn loss_is_split(&self) -> bool {
        let head = self.program.block(BlockKind::Head);
        head.operators.last().is_some_and(|last| last.sharding.output.layout == Layout::Sequence)
    }

    /// This rank's part of a micro-batch's part of the mean over the step. Where all
    /// tensor-parallel ranks have the same loss, each gives a part of it.
    pub(crate) fn share_of_loss(&self, output: &Tensor) -> Tensor {
        let ranks = if self.loss_is_split() { 1 } else { self.env.tensor.size() };
        output.sum(Kind::Double) / ranks as f64 / self.loss_rows() / self.env.global_batch as f64
    }

    /// The gradient with which the backward pass of the head begins.
    pub(crate) fn first_gradient(&self) -> Tensor {
        let split = self.loss_is_split();
        let ways = if split { self.env.tensor.size() } else { 1 };
        let options = (self.env.wide, self.env.device);
        let share = self.env.loss_scale / self.env.global_batch as f64;
        if self.is_sum_of_losses() {
            return Tensor::full([1, 1], share, options);
        }
        let rows = self.loss_rows();
        Tensor::full([rows as i64 / ways, self.env.micro_batch], share / rows, options)
    }
}
