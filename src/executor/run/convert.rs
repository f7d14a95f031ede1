//! Conversions between layouts, on tensors \[rows, sequences, width\].

use super::cursor::Cursor;
use super::ops::{Env, bytes_of};
use crate::executor::error::Result;
use crate::graph::{Collective, PassKind};
use crate::lower::Conversion;
use crate::sharding::{Layout, TensorShape};
use tch::Tensor;

/// Cuts a dimension into as many equal parts as there are ranks, one after the other in a new first
/// dimension; what is missing at the end is zero.
fn cut(tensor: &Tensor, dimension: i64, ways: i64) -> Tensor {
    let length = tensor.size()[dimension as usize];
    let part = (length + ways - 1) / ways;
    let missing = part * ways - length;
    let padded = if missing == 0 {
        tensor.shallow_clone()
    } else {
        let mut shape = tensor.size();
        shape[dimension as usize] = missing;
        let zeros = Tensor::zeros(shape, (tensor.kind(), tensor.device()));
        Tensor::cat(&[tensor, &zeros], dimension)
    };
    Tensor::stack(&padded.chunk(ways, dimension), 0)
}

/// Puts parts, one after the other in the first dimension, side by side in another.
fn join(parts: &Tensor, dimension: i64, length: i64) -> Tensor {
    let parts: Vec<Tensor> = parts.unbind(0);
    Tensor::cat(&parts, dimension).narrow(dimension, 0, length)
}

/// This rank's part of a dimension, as a view where it can be one.
fn own(tensor: &Tensor, dimension: i64, env: &Env) -> Tensor {
    let (ways, rank) = (env.tensor.size(), env.tensor.rank());
    let length = tensor.size()[dimension as usize];
    if length % ways == 0 {
        let part = length / ways;
        return tensor.narrow(dimension, rank * part, part);
    }
    cut(tensor, dimension, ways).select(0, rank)
}

/// Brings a tensor from one layout to another, as the conversion's instructions say.
pub(crate) fn convert(
    tensor: Tensor,
    conversion: &Conversion,
    shape: TensorShape,
    env: &Env,
    mut cursor: Cursor<'_>,
) -> Result<Tensor> {
    use Layout::{Feature, Replicated, Sequence};
    let ways = env.tensor.size();
    if ways == 1 || conversion.from == conversion.to {
        cursor.finish()?;
        return Ok(tensor);
    }
    let (rows, width) = (shape.rows as i64, shape.width as i64);
    let result = match (conversion.from, conversion.to) {
        (Replicated, Sequence) => own(&tensor, 0, env),
        (Replicated, Feature) => own(&tensor, 2, env),
        (from, to) => {
            let collective = match (from, to) {
                (Layout::Partial, Replicated) => Collective::AllReduce,
                (Layout::Partial, _) => Collective::ReduceScatter,
                (_, Replicated) => Collective::AllGather,
                _ => Collective::AllToAll,
            };
            let mut exchange = Exchange { env, cursor: &mut cursor, width, ways };
            match (from, to) {
                (Layout::Partial, Replicated) => exchange.run(collective, &tensor, None, None)?,
                (Layout::Partial, Feature) => exchange.run(collective, &tensor, Some(2), None)?,
                (Layout::Partial, _) => exchange.run(collective, &tensor, None, None)?,
                (Sequence, Replicated) => exchange.run(collective, &tensor, None, None)?,
                (Sequence, _) => exchange.run(collective, &tensor, Some(2), Some((0, rows)))?,
                (_, Replicated) => exchange.run(collective, &tensor, None, Some((2, width)))?,
                _ => exchange.run(collective, &tensor, Some(0), Some((2, width)))?,
            }
        }
    };
    cursor.finish()?;
    Ok(result)
}

struct Exchange<'e, 'c, 'l> {
    env: &'e Env,
    cursor: &'c mut Cursor<'l>,
    width: i64,
    ways: i64,
}

impl Exchange<'_, '_, '_> {
    /// A collective over the first dimension, with the dimension that is cut before it and the one
    /// that is joined, to a length, after it.
    fn run(
        &mut self,
        collective: Collective,
        tensor: &Tensor,
        before: Option<i64>,
        after: Option<(i64, i64)>,
    ) -> Result<Tensor> {
        let ranks = &self.env.tensor;
        let bytes = bytes_of(tensor);
        let size =
            if collective == Collective::AllGather { bytes * ranks.size() as u64 } else { bytes };
        // Columns that do not divide are made up.
        let slack = if self.width % self.ways == 0 {
            0
        } else {
            size / self.width.max(1) as u64 * self.ways as u64 + self.ways as u64 * 8
        };
        let exchange = self.cursor.collective(collective, size, slack)?;
        let copies = before.is_some() || after.is_some();
        let copy = if copies { Some(self.cursor.memory(PassKind::Copy)?) } else { None };
        let cursor = &*self.cursor;
        let input = match (before, copy) {
            (Some(dimension), Some(copy)) => {
                cursor.run(copy, || cut(tensor, dimension, self.ways).contiguous())
            }
            _ => tensor.contiguous(),
        };
        let output = cursor.run(exchange, || match collective {
            Collective::AllReduce => ranks.all_reduce(&input, false),
            Collective::AllGather => ranks.all_gather(&input),
            Collective::ReduceScatter => ranks.reduce_scatter(&input),
            _ => ranks.all_to_all(&input),
        })?;
        // What was cut before came with a dimension of its own, of which one part is left.
        let output = match (before, collective) {
            (Some(_), Collective::ReduceScatter) => output.squeeze_dim(0),
            _ => output,
        };
        Ok(match (after, copy) {
            (Some((dimension, length)), Some(copy)) => cursor.run(copy, || {
                let parts = if before.is_some() {
                    output
                } else {
                    let mut shape = tensor.size();
                    shape.insert(0, self.ways);
                    output.view(shape.as_slice())
                };
                join(&parts, dimension, length)
            }),
            _ => output,
        })
    }
}
