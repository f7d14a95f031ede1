//! Linear layers: Y = X·W, dX = dY·Wᵀ, dW = Xᵀ·dY.
//!
//! `column` and `row` are those of Shoeybi et al. 2019, §3; `column-gather` and `row-scatter` are
//! their forms under sequence parallelism (Korthikanti et al. 2022, §4.2.2): the input arrives and
//! is kept sequence-sharded and is gathered again in the backward pass. `sequence` keeps the
//! weights whole and splits rows, so that weight gradients are sums over the group.
//!
//! Frozen weights have no gradient: the product dW falls away, and so does keeping X for it, unless
//! adapters ([`super::adapter`]) need it for theirs.

use super::adapter::Adapters;
use super::instructions::{accumulate, compute, memory};
use super::sharded::{InputPort, Port, Sharding, same};
use super::site::{Site, VOCABULARY_MULTIPLE};
use crate::graph::{Collective, GemmPass, Kernel, OpKind, PassKind, Weight};
use crate::plan::Strategy;
use crate::sharding::{Beside, Instruction, Layout, OperatorGroup, Overlap, ShardContext};
use crate::spec::TensorOverlap;
use crate::units::Bytes;

struct Linear<'a> {
    site: &'a Site<'a>,
    context: &'a ShardContext<'a>,
    input: u64,
    output: u64,
    bias: bool,
    tied: bool,
    frozen: bool,
}

pub(super) fn shardings(site: &Site, context: &ShardContext) -> Vec<Sharding> {
    let OpKind::Linear { input, output, bias, weight } = site.op.kind else {
        return Vec::new();
    };
    let tied = weight == Weight::TokenEmbedding;
    let frozen = site.op.trained.is_frozen();
    let linear = Linear { site, context, input, output, bias, tied, frozen };
    let t = context.tensor;
    let mut strategies = vec![Strategy::Replicated];
    if t > 1 {
        let rows = site.rows_divide(context);
        if rows {
            strategies.push(Strategy::Sequence);
        }
        // Logits may be padded: Megatron-LM rounds the vocabulary up.
        let logits = matches!(site.consumer, Some(OpKind::CrossEntropy { .. }));
        if output.is_multiple_of(t) || (logits && output >= VOCABULARY_MULTIPLE * t) {
            strategies.push(Strategy::Column);
            if rows {
                strategies.push(Strategy::ColumnGather);
            }
        }
        if input.is_multiple_of(t) {
            strategies.push(Strategy::Row);
            if rows {
                strategies.push(Strategy::RowScatter);
            }
        }
    }
    strategies.into_iter().map(|strategy| linear.shard(strategy)).collect()
}

/// Local shapes of a strategy.
struct Local {
    rows: u64,
    input: u64,
    output: u64,
    arrives: Layout,
    leaves: Layout,
}

impl Linear<'_> {
    fn local(&self, strategy: Strategy) -> Local {
        use Layout::{Feature, Replicated, Sequence};
        let t = self.context.tensor;
        let rows = self.context.micro_batch * self.site.output.rows;
        let whole = Local {
            rows,
            input: self.input,
            output: self.output,
            arrives: Replicated,
            leaves: Replicated,
        };
        let columns = self.output.div_ceil(t);
        match strategy {
            Strategy::Sequence => {
                Local { rows: rows / t, arrives: Sequence, leaves: Sequence, ..whole }
            }
            Strategy::Column => Local { output: columns, leaves: Feature, ..whole },
            Strategy::ColumnGather => {
                Local { output: columns, arrives: Sequence, leaves: Feature, ..whole }
            }
            Strategy::Row => Local { input: self.input / t, arrives: Feature, ..whole },
            Strategy::RowScatter => {
                Local { input: self.input / t, arrives: Feature, leaves: Sequence, ..whole }
            }
            _ => whole,
        }
    }

    /// Columns of the product: those of logits are padded, so that rows are aligned.
    fn columns(&self, local: &Local) -> u64 {
        let multiple = self.context.stack.vocabulary_multiple.max(1);
        let logits = matches!(self.site.consumer, Some(OpKind::CrossEntropy { .. }));
        if logits && local.output > multiple {
            local.output.next_multiple_of(multiple)
        } else {
            local.output
        }
    }

    fn gemm(&self, pass: GemmPass, local: &Local) -> Instruction {
        let output = self.columns(local);
        let element = self.context.element_bytes();
        let fused = self.context.stack.fused_gradient_accumulation;
        let ((m, n, k), result_bytes, accumulate) = match pass {
            GemmPass::Forward => ((local.rows, output, local.input), element, false),
            GemmPass::InputGradient => ((local.rows, local.input, output), element, false),
            GemmPass::WeightGradient => {
                let bytes = if fused { self.context.stack.gradient_bytes } else { element };
                ((local.input, output, local.rows), bytes, fused)
            }
        };
        let operand_bytes = if self.narrow() { 1 } else { element };
        let kernel =
            Kernel::Gemm { batch: 1, m, n, k, operand_bytes, result_bytes, accumulate, pass };
        compute(self.site.index, kernel)
    }

    /// Whether operands are multiplied in 8 bits: not those of the logits, which Transformer Engine
    /// and Megatron-LM leave in 16 bits.
    fn narrow(&self) -> bool {
        let logits = matches!(self.site.consumer, Some(OpKind::CrossEntropy { .. }));
        self.context.operand_bytes() == 1 && !logits
    }

    /// The pass that narrows an operand of `elements` to 8 bits, as it is and transposed for the
    /// products of the backward pass (Micikevicius et al. 2022; Transformer Engine, `cast_transpose`).
    fn cast(&self, elements: u64) -> Option<Instruction> {
        let element = self.context.element_bytes();
        self.narrow()
            .then(|| memory(self.site.index, PassKind::Copy, elements * element, 2 * elements, 1))
    }

    fn communicate(
        &self,
        collective: Collective,
        width: u64,
        overlap: Option<Overlap>,
    ) -> Instruction {
        let elements = self.context.micro_batch * self.site.output.rows * width;
        // What is gathered is gathered as the product reads it; sums are taken in 16 bits.
        let narrow = collective == Collective::AllGather && self.narrow();
        let element = if narrow { 1 } else { self.context.element_bytes() };
        Instruction::Communicate {
            op: self.site.index,
            collective,
            group: OperatorGroup::Tensor,
            bytes: Bytes::new(elements * element),
            overlap,
        }
    }

    /// A collective that the neighbouring product needs, or that needs that product.
    fn in_parts(&self, beside: Beside) -> Option<Overlap> {
        let all = self.context.stack.overlap_tensor_parallel == TensorOverlap::All;
        all.then(|| Overlap::in_parts(beside, self.context.tensor))
    }

    /// A collective of the backward pass that the next product does not need.
    fn beside_next(&self) -> Option<Overlap> {
        let none = self.context.stack.overlap_tensor_parallel == TensorOverlap::None;
        (!none).then(|| Overlap::whole(Beside::Next))
    }

    /// Whether the bias is a pass of its own: it is in the product's epilogue, or in the next
    /// operator's pass where the stack fuses it there. After a sum over ranks it can not be in the
    /// epilogue. Megatron-LM hands the bias of the layers before activations and residual sums on
    /// to the next operator, so there it is a pass where nothing is fused.
    fn bias_is_a_pass(&self, strategy: Strategy) -> bool {
        let stack = self.context.stack;
        self.bias
            && match self.site.consumer {
                Some(OpKind::Activation(_)) => !stack.fused_bias_activation,
                Some(OpKind::DropoutAdd { .. }) => !stack.fused_bias_dropout_add,
                _ => strategy.splits_rows(),
            }
    }

    /// Elements of the input as it arrives on the rank.
    fn arriving(&self, local: &Local) -> u64 {
        let rows = self.context.micro_batch * self.site.output.rows;
        if local.arrives == Layout::Sequence {
            rows / self.context.tensor * local.input
        } else {
            local.rows * local.input
        }
    }

    fn adapters(&self, strategy: Strategy) -> Adapters<'_> {
        Adapters::new(self.site, self.context, strategy)
    }

    fn forward(&self, strategy: Strategy, local: &Local) -> Vec<Instruction> {
        let mut forward = Vec::new();
        forward.extend(self.cast(self.arriving(local)));
        if strategy == Strategy::ColumnGather {
            let overlap = self.in_parts(Beside::Next);
            forward.push(self.communicate(Collective::AllGather, self.input, overlap));
        }
        forward.push(self.gemm(GemmPass::Forward, local));
        match strategy {
            Strategy::Row => {
                forward.push(self.communicate(Collective::AllReduce, self.output, None))
            }
            Strategy::RowScatter => {
                let overlap = self.in_parts(Beside::Previous);
                forward.push(self.communicate(Collective::ReduceScatter, self.output, overlap));
            }
            _ => {}
        }
        forward.extend(self.adapters(strategy).forward());
        if self.bias_is_a_pass(strategy) {
            let bytes = self.site.output_bytes(local.leaves, self.context);
            forward.push(memory(self.site.index, PassKind::Bias, bytes, bytes, 1));
        }
        forward
    }

    fn backward(&self, strategy: Strategy, local: &Local) -> Vec<Instruction> {
        let op = self.site.index;
        let mut backward = Vec::new();
        backward.extend(self.cast(local.rows * local.output));
        if self.bias && !self.frozen {
            let bytes = self.site.output_bytes(local.leaves, self.context);
            let bias = self.bias_elements(local);
            backward.push(memory(
                op,
                PassKind::Bias,
                bytes,
                bias * self.context.element_bytes(),
                1,
            ));
            backward.push(accumulate(op, bias, 1, self.context));
        }
        if strategy == Strategy::RowScatter {
            let overlap = self.in_parts(Beside::Next);
            backward.push(self.communicate(Collective::AllGather, self.output, overlap));
        }
        // The input is gathered again beside the product for its gradient, and that gradient is
        // scattered beside the product for the weights'.
        let gather = strategy == Strategy::ColumnGather;
        if gather && !self.frozen && !self.context.stack.keeps_gathered_input {
            let overlap = self.beside_next();
            backward.push(self.communicate(Collective::AllGather, self.input, overlap));
        }
        backward.push(self.gemm(GemmPass::InputGradient, local));
        let adapters = self.adapters(strategy);
        if gather {
            let nothing_follows = self.frozen && adapters.are_none();
            let overlap = if nothing_follows { None } else { self.beside_next() };
            backward.push(self.communicate(Collective::ReduceScatter, self.input, overlap));
        }
        if self.frozen {
            backward.extend(adapters.backward());
            return backward;
        }
        backward.push(self.gemm(GemmPass::WeightGradient, local));
        if !self.context.stack.fused_gradient_accumulation {
            backward.push(accumulate(op, local.input * local.output, 1, self.context));
        }
        backward
    }

    fn bias_elements(&self, local: &Local) -> u64 {
        if self.bias { local.output } else { 0 }
    }

    fn shard(&self, strategy: Strategy) -> Sharding {
        let local = self.local(strategy);
        let weight = local.input * local.output;
        let bias = self.bias_elements(&local);
        let gradient = match strategy {
            Strategy::Column => Layout::Partial,
            _ => local.arrives,
        };
        // What was gathered is kept in place of what arrived, where it is not gathered again.
        let keeps_gathered = strategy == Strategy::ColumnGather
            && self.context.stack.keeps_gathered_input
            && !self.frozen;
        let adapters = self.adapters(strategy);
        let kept = if self.frozen { !adapters.are_none() } else { !keeps_gathered };
        let arrives = InputPort { port: Port { layout: local.arrives, gradient }, kept };
        let own_reduced = match strategy {
            Strategy::Sequence => weight + bias,
            Strategy::RowScatter => bias,
            _ => 0,
        };
        let gathered = local.rows * local.input * self.context.element_bytes();
        Sharding {
            strategy,
            inputs: vec![arrives],
            output: same(local.leaves),
            output_kept: false,
            forward: self.forward(strategy, &local),
            backward: self.backward(strategy, &local),
            early_input_gradient: strategy == Strategy::Column && self.beside_next().is_some(),
            saved: Bytes::new(if keeps_gathered { gathered } else { adapters.saved() }),
            parameters: weight + bias + adapters.parameters(),
            tied_parameters: if self.tied { weight } else { 0 },
            frozen_parameters: if self.frozen { weight + bias } else { 0 },
            tensor_reduced_parameters: if self.frozen {
                adapters.tensor_reduced()
            } else {
                own_reduced
            },
            workspace: self.workspace(strategy, &local),
        }
    }

    /// Backward: both gradients, the gathered input or output gradient, and the weight gradient
    /// where it is not accumulated in place; of frozen weights, input and output gradient and what
    /// adapters add.
    fn workspace(&self, strategy: Strategy, local: &Local) -> Bytes {
        let element = self.context.element_bytes();
        let gradients = local.rows * (local.input + local.output) * element;
        if self.frozen {
            return Bytes::new(gradients + self.adapters(strategy).workspace());
        }
        let gathered =
            if strategy == Strategy::ColumnGather { local.rows * local.input * element } else { 0 };
        let weight = if self.context.stack.fused_gradient_accumulation {
            0
        } else {
            local.input * local.output * element
        };
        Bytes::new(gradients + gathered + weight)
    }
}
