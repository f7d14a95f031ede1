//! Forward and backward pass of one block over one micro-batch.

use super::convert::convert;
use super::cursor::Cursor;
use super::ops::{self, At, Kept, Work};
use super::record::{Part, Pass, Place, Recorder};
use crate::executor::error::{ExecutorError, Result};
use crate::graph::PassKind;
use crate::lower::{BlockCode, Conversion, Operator};
use crate::plan::Recompute;
use crate::sharding::{Instruction, TensorShape};
use tch::Tensor;

/// What a block keeps between its passes over one micro-batch.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// Its input, where all is recomputed.
    input: Option<Tensor>,
    /// By operator; empty where all is recomputed.
    kept: Vec<Kept>,
}

/// A block on its way through a pass.
pub(crate) struct BlockPass<'a> {
    pub(crate) code: &'a BlockCode,
    pub(crate) work: Work<'a>,
    pub(crate) recorder: &'a Recorder,
}

impl BlockPass<'_> {
    fn place(&self, pass: Pass, operator: usize, part: Part) -> Place {
        Place { block: self.code.kind, pass, operator: operator as u16, part }
    }

    fn cursor<'c>(&'c self, list: &'c [Instruction], place: Place) -> Cursor<'c> {
        let name = self.code.operators.get(usize::from(place.operator));
        Cursor::new(list, place, name.map_or("", |at| at.op.name.as_str()), self.recorder)
    }

    fn convert(
        &self,
        tensor: Tensor,
        conversion: &Conversion,
        shape: TensorShape,
        place: Place,
    ) -> Result<Tensor> {
        let cursor = self.cursor(&conversion.instructions, place);
        convert(tensor, conversion, shape, self.work.env, cursor)
    }

    /// Runs the block forward: its output, where it has one, the last operator's else; and what its
    /// backward pass needs.
    pub(crate) fn forward(
        &self,
        input: Option<Tensor>,
        recompute: Recompute,
    ) -> Result<(Tensor, Saved)> {
        let (output, mut kept) = self.run(input.as_ref(), Pass::Forward)?;
        let mut saved = Saved::default();
        match recompute {
            Recompute::Full => saved.input = input,
            Recompute::Selective => {
                for (at, kept) in self.code.operators.iter().zip(&mut kept) {
                    if at.op.attention_core {
                        // The output is kept by its reader, and made again for the core itself.
                        (kept.output, kept.extra) = (None, Vec::new());
                    }
                }
                saved.kept = kept;
            }
            Recompute::None => saved.kept = kept,
        }
        Ok((output, saved))
    }

    fn run(&self, input: Option<&Tensor>, pass: Pass) -> Result<(Tensor, Vec<Kept>)> {
        let operators = &self.code.operators;
        let mut outputs: Vec<Option<Tensor>> = Vec::with_capacity(operators.len());
        let mut readers: Vec<usize> = operators
            .iter()
            .enumerate()
            .map(|(i, _)| {
                let reads = |at: &Operator| at.inputs.iter().filter(|r| r.from == Some(i)).count();
                operators.iter().map(reads).sum()
            })
            .collect();
        let mut kept = Vec::with_capacity(operators.len());
        let mut last = None;
        for (index, operator) in operators.iter().enumerate() {
            let mut inputs = Vec::with_capacity(operator.inputs.len());
            for (slot, read) in operator.inputs.iter().enumerate() {
                let tensor = match read.from {
                    None => input.map(Tensor::shallow_clone),
                    Some(from) => {
                        readers[from] -= 1;
                        if readers[from] == 0 {
                            outputs[from].take()
                        } else {
                            outputs[from].as_ref().map(Tensor::shallow_clone)
                        }
                    }
                };
                let tensor = tensor.ok_or_else(|| missing(operator, "an input"))?;
                let place = self.place(pass, index, Part::Input(slot as u8));
                inputs.push(self.convert(tensor, &read.arrive, read.shape, place)?);
            }
            let (output, keeps) = self.operator(index, inputs, pass)?;
            kept.push(keeps);
            let is_read = readers[index] > 0;
            if let Some([end, _]) = &operator.end {
                let place = self.place(pass, index, Part::End);
                let leaving = output.shallow_clone();
                last = Some(self.convert(leaving, end, operator.output, place)?);
            } else if !is_read {
                last = Some(output.shallow_clone());
            }
            outputs.push(is_read.then_some(output));
        }
        let last =
            last.ok_or_else(|| ExecutorError::Program("a block without operators".into()))?;
        Ok((last, kept))
    }

    fn operator(&self, index: usize, inputs: Vec<Tensor>, pass: Pass) -> Result<(Tensor, Kept)> {
        let operator = &self.code.operators[index];
        let place = self.place(pass, index, Part::Body);
        let mut cursor = self.cursor(&operator.sharding.forward, place);
        let at = At { work: &self.work, operator, index, cursor: &mut cursor };
        let result = ops::forward(at, inputs)?;
        cursor.finish()?;
        Ok(result)
    }

    /// Runs the block backward, recomputation first: the gradient of its input, where it has one.
    pub(crate) fn backward(
        &self,
        gradient: Tensor,
        saved: Saved,
        recompute: Recompute,
    ) -> Result<Option<Tensor>> {
        let mut kept = saved.kept;
        match recompute {
            Recompute::None => {}
            Recompute::Full => kept = self.run(saved.input.as_ref(), Pass::Recompute)?.1,
            Recompute::Selective => self.rebuild_core(&mut kept)?,
        }
        let operators = &self.code.operators;
        let mut pending: Vec<Vec<Tensor>> = operators.iter().map(|_| Vec::new()).collect();
        let mut entering: Vec<Tensor> = Vec::new();
        let mut gradient = Some(gradient);
        for (index, operator) in operators.iter().enumerate().rev() {
            let mut gradients = std::mem::take(&mut pending[index]);
            if let Some([_, end]) = &operator.end {
                let arrived = gradient.take().ok_or_else(|| missing(operator, "a gradient"))?;
                let place = self.place(Pass::Backward, index, Part::End);
                gradients.push(self.convert(arrived, end, operator.output, place)?);
            } else if gradients.is_empty() {
                gradients.extend(gradient.take());
            }
            let keeps = kept.pop().unwrap_or_default();
            let lefts = self.operator_back(index, gradients, &keeps)?;
            drop(keeps);
            if lefts.len() < operator.inputs.len() {
                return Err(missing(operator, "a gradient of an input"));
            }
            for (slot, (read, left)) in operator.inputs.iter().zip(lefts).enumerate().rev() {
                let place = self.place(Pass::Backward, index, Part::Input(slot as u8));
                let left = self.convert(left, &read.leave, read.shape, place)?;
                match read.from {
                    Some(from) => pending[from].push(left),
                    None => entering.push(left),
                }
            }
        }
        self.sum_entering(entering)
    }

    fn operator_back(
        &self,
        index: usize,
        gradients: Vec<Tensor>,
        kept: &Kept,
    ) -> Result<Vec<Tensor>> {
        let operator = &self.code.operators[index];
        let place = self.place(Pass::Backward, index, Part::Body);
        let mut cursor = self.cursor(&operator.sharding.backward, place);
        let several = gradients.len() > 1;
        let sum = if several { Some(cursor.memory(PassKind::DropoutAdd)?) } else { None };
        let gradient = match sum {
            Some(slot) => cursor.run(slot, || add_up(gradients)),
            None => add_up(gradients),
        };
        let gradient = gradient.ok_or_else(|| missing(operator, "a gradient"))?;
        let at = At { work: &self.work, operator, index, cursor: &mut cursor };
        let lefts = ops::backward(at, gradient, kept)?;
        cursor.finish()?;
        Ok(lefts)
    }

    fn sum_entering(&self, entering: Vec<Tensor>) -> Result<Option<Tensor>> {
        let place = self.place(Pass::Backward, 0, Part::InputSum);
        let mut cursor = self.cursor(self.code.input_sum.as_slice(), place);
        let several = entering.len() > 1;
        let sum = if several { Some(cursor.memory(PassKind::DropoutAdd)?) } else { None };
        let result = match sum {
            Some(slot) => cursor.run(slot, || add_up(entering)),
            None => add_up(entering),
        };
        cursor.finish()?;
        Ok(result)
    }

    /// Runs the attention core again, from the inputs that it has kept.
    fn rebuild_core(&self, kept: &mut [Kept]) -> Result<()> {
        for (index, operator) in self.code.operators.iter().enumerate() {
            if operator.op.attention_core {
                let input = kept[index].input.as_ref().map(Tensor::shallow_clone);
                let input = input.ok_or_else(|| missing(operator, "its kept input"))?;
                kept[index] = self.operator(index, vec![input], Pass::Recompute)?.1;
            }
        }
        Ok(())
    }
}

fn add_up(tensors: Vec<Tensor>) -> Option<Tensor> {
    tensors.into_iter().reduce(|a, b| a + b)
}

fn missing(operator: &Operator, what: &str) -> ExecutorError {
    ExecutorError::Mismatch {
        operator: operator.op.name.clone(),
        what: format!("{what} is missing"),
    }
}
