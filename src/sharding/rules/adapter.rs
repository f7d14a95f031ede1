//! Low-rank adapters of a linear layer (Hu et al. 2021): Y += s·(X·A)·B, with A \[input, r\] and
//! B \[r, output\].
//!
//! They are split as the layer is. By strategy, on t ranks with R rows:
//!
//! | layer | A | X·A | B | summed once a step over the group |
//! |---|---|---|---|---|
//! | `replicated` | whole | R rows | whole | nothing |
//! | `sequence` | whole | R/t rows | whole | A, B |
//! | `column` | whole | R rows | columns | A |
//! | `column-gather` | whole | R/t rows, gathered | columns | A |
//! | `row` | rows | R rows, summed | whole | nothing |
//! | `row-scatter` | rows | sum scattered to R/t rows | whole | B |
//!
//! What is gathered, summed or scattered is X·A forward and its gradient backward: r columns, where
//! the layer itself moves its whole width. A column-parallel layer leaves that gradient as a term
//! of a sum, as it leaves its input's: no collective, and A's gradient is summed once a step. Under
//! sequence parallelism A's gradient is taken from the rows that a rank holds, so that the input is
//! not gathered a second time.
//!
//! The sum is scaled and added by passes of their own (PEFT, `lora/layer.py`: `result +
//! lora_B(lora_A(x)) * scaling`), without dropout, which is PEFT's default. Adapters are multiplied
//! in 16 bits under FP8 recipes.

use super::instructions::{accumulate, compute, memory};
use super::site::Site;
use crate::graph::{Adapter, Collective, GemmPass, Kernel, PassKind};
use crate::plan::Strategy;
use crate::sharding::{Instruction, OperatorGroup, ShardContext};
use crate::units::Bytes;

/// The adapters of one linear layer under one strategy, on one rank.
pub(super) struct Adapters<'a> {
    site: &'a Site<'a>,
    context: &'a ShardContext<'a>,
    strategy: Strategy,
    adapters: &'a [Adapter],
}

/// Sizes of one adapter on one rank.
#[derive(Clone, Copy)]
struct Local {
    /// Rows that A reads.
    rows_in: u64,
    /// Columns that A reads.
    input: u64,
    rank: u64,
    /// Rows that B writes.
    rows_out: u64,
    /// Columns that B writes.
    output: u64,
}

impl<'a> Adapters<'a> {
    pub(super) fn new(
        site: &'a Site<'a>,
        context: &'a ShardContext<'a>,
        strategy: Strategy,
    ) -> Self {
        Adapters { site, context, strategy, adapters: site.op.trained.adapters() }
    }

    pub(super) fn are_none(&self) -> bool {
        self.adapters.is_empty()
    }

    fn rows(&self) -> u64 {
        self.context.micro_batch * self.site.output.rows
    }

    fn local(&self, adapter: &Adapter) -> Local {
        let (t, rows) = (self.context.tensor, self.rows());
        let Adapter { rank, input, output, .. } = *adapter;
        let whole = Local { rows_in: rows, input, rank, rows_out: rows, output };
        match self.strategy {
            Strategy::Sequence => Local { rows_in: rows / t, rows_out: rows / t, ..whole },
            Strategy::Column => Local { output: output.div_ceil(t), ..whole },
            Strategy::ColumnGather => {
                Local { rows_in: rows / t, output: output.div_ceil(t), ..whole }
            }
            Strategy::Row => Local { input: input.div_ceil(t), ..whole },
            Strategy::RowScatter => Local { input: input.div_ceil(t), rows_out: rows / t, ..whole },
            _ => whole,
        }
    }

    fn locals(&self) -> impl Iterator<Item = Local> + '_ {
        self.adapters.iter().map(|adapter| self.local(adapter))
    }

    fn product(&self, pass: GemmPass, m: u64, n: u64, k: u64) -> Instruction {
        let element = self.context.element_bytes();
        let stack = self.context.stack;
        let accumulate = pass == GemmPass::WeightGradient && stack.fused_gradient_accumulation;
        let result_bytes = if accumulate { stack.gradient_bytes } else { element };
        let operand_bytes = element;
        compute(
            self.site.index,
            Kernel::Gemm { batch: 1, m, n, k, operand_bytes, result_bytes, accumulate, pass },
        )
    }

    /// A collective over the products X·A of all adapters, or over their gradients; none where there
    /// are none.
    fn thin(&self, collective: Option<Collective>) -> Option<Instruction> {
        if self.are_none() {
            return None;
        }
        let elements = self.rows() * self.site.op.trained.total_rank();
        Some(Instruction::Communicate {
            op: self.site.index,
            collective: collective?,
            group: OperatorGroup::Tensor,
            bytes: Bytes::new(elements * self.context.element_bytes()),
            overlap: None,
        })
    }

    /// Passes that read and write so many matrices of `elements`.
    fn pass(&self, elements: u64, read: u64, written: u64, launches: u64) -> Instruction {
        let bytes = elements * self.context.element_bytes();
        let kind = PassKind::DropoutAdd;
        memory(self.site.index, kind, read * bytes, written * bytes, launches)
    }

    /// After the layer's own product and collective.
    pub(super) fn forward(&self) -> Vec<Instruction> {
        let mut forward = Vec::new();
        let first = |l: Local| self.product(GemmPass::Forward, l.rows_in, l.rank, l.input);
        forward.extend(self.locals().map(first));
        forward.extend(self.thin(match self.strategy {
            Strategy::ColumnGather => Some(Collective::AllGather),
            Strategy::Row => Some(Collective::AllReduce),
            Strategy::RowScatter => Some(Collective::ReduceScatter),
            _ => None,
        }));
        for l in self.locals() {
            forward.push(self.product(GemmPass::Forward, l.rows_out, l.output, l.rank));
            // Scale, then add.
            forward.push(self.pass(l.rows_out * l.output, 3, 2, 2));
        }
        forward
    }

    /// After the layer's own input gradient: the adapters' part of it first, then the gradients of
    /// B and A.
    pub(super) fn backward(&self) -> Vec<Instruction> {
        let mut backward = Vec::new();
        for l in self.locals() {
            backward.push(self.pass(l.rows_out * l.output, 1, 1, 1));
            backward.push(self.product(GemmPass::InputGradient, l.rows_out, l.rank, l.output));
        }
        backward.extend(self.thin(match self.strategy {
            Strategy::ColumnGather => Some(Collective::ReduceScatter),
            Strategy::RowScatter => Some(Collective::AllGather),
            _ => None,
        }));
        for l in self.locals() {
            backward.push(self.product(GemmPass::InputGradient, l.rows_in, l.input, l.rank));
            backward.push(self.pass(l.rows_in * l.input, 2, 1, 1));
        }
        for l in self.locals() {
            backward.push(self.product(GemmPass::WeightGradient, l.rank, l.output, l.rows_out));
            backward.push(self.product(GemmPass::WeightGradient, l.input, l.rank, l.rows_in));
        }
        if !self.are_none() && !self.context.stack.fused_gradient_accumulation {
            let tensors = 2 * self.adapters.len() as u64;
            backward.push(accumulate(self.site.index, self.parameters(), tensors, self.context));
        }
        backward
    }

    /// Elements of A and B on the rank.
    pub(super) fn parameters(&self) -> u64 {
        self.locals().map(|l| l.rank * (l.input + l.output)).sum()
    }

    /// Those of them whose gradient is a sum over the group.
    pub(super) fn tensor_reduced(&self) -> u64 {
        let reduced = |l: Local| match self.strategy {
            Strategy::Sequence => l.rank * (l.input + l.output),
            Strategy::Column | Strategy::ColumnGather => l.rank * l.input,
            Strategy::RowScatter => l.rank * l.output,
            _ => 0,
        };
        self.locals().map(reduced).sum()
    }

    /// Bytes of X·A, which the gradient of B needs; that of A needs the layer's input.
    pub(super) fn saved(&self) -> u64 {
        self.locals().map(|l| l.rows_out * l.rank * self.context.element_bytes()).sum()
    }

    /// Bytes of what an adapter adds, forward or backward, and of the gradients of all where they are
    /// not accumulated in place.
    pub(super) fn workspace(&self) -> u64 {
        let element = self.context.element_bytes();
        let added = self.locals().map(|l| (l.rows_out * l.output).max(l.rows_in * l.input));
        let fused = self.context.stack.fused_gradient_accumulation;
        let gradients = if fused { 0 } else { self.parameters() };
        (added.max().unwrap_or(0) + gradients) * element
    }
}
