//! What one rank executes: the operators of its blocks under their shardings, with the conversions
//! of layout between them, in the order that the schedule demands.
//!
//! The instructions are those that the planner has priced, in the same objects. The simulator takes
//! their durations from the cost model; the executor runs them.

use super::ending::{Ending, Ends};
use super::schedule::{Pipeline, Step};
use crate::graph::{BlockKind, Op, OpKind, Parameter};
use crate::plan::{OptimizerSharding, Recompute, Strategy};
use crate::sharding::{Instruction, Layout, Sharding, TensorShape};

/// From one layout to another, and what that takes; nothing where they are the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// Layout before.
    pub from: Layout,
    /// Layout after.
    pub to: Layout,
    /// What runs.
    pub instructions: Vec<Instruction>,
}

/// An input of an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The operator of the block that makes it; nothing for the block's own input.
    pub from: Option<usize>,
    /// Its size, for one sequence.
    pub shape: TensorShape,
    /// Forward: to the layout in which it must arrive.
    pub arrive: Conversion,
    /// Backward: its gradient, to the layout in which the producer wants it.
    pub leave: Conversion,
}

/// An operator with its sharding.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// What it does.
    pub op: Op,
    /// How it is split, and what each rank runs for it.
    pub sharding: Sharding,
    /// Its inputs, by slot.
    pub inputs: Vec<Input>,
    /// Size of its output, for one sequence.
    pub output: TensorShape,
    /// Gradients that its output gets. Where there are several, their sum is the first instruction
    /// of the backward pass.
    pub consumers: u64,
    /// Whether full recomputation runs it again.
    pub repeated: bool,
    /// Where the output leaves the block: to the boundary layout forward, from it backward.
    pub end: Option<[Conversion; 2]>,
}

/// One block on one rank of a tensor-parallel group.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockCode {
    /// Its role.
    pub kind: BlockKind,
    /// Its operators, in order.
    pub operators: Vec<Operator>,
    /// Layout of the block's input and output.
    pub boundary: Layout,
    /// Size of the block's input, for one sequence, where it has one.
    pub input: Option<TensorShape>,
    /// The sum of the gradients of the block's input, where several operators read it.
    pub input_sum: Option<Instruction>,
}

/// A parameter tensor on a rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalParameter {
    /// Name within the operator.
    pub name: &'static str,
    /// Its dimensions, unsharded, as they are stored.
    pub shape: Vec<u64>,
    /// The dimension that is split over the tensor-parallel ranks, if one is. Parts are rounded up;
    /// what is beyond the end is zero.
    pub split: Option<usize>,
    /// Ranks over which it is split.
    pub ways: u64,
    /// Its gradient is a sum over the tensor-parallel ranks.
    pub reduced: bool,
    /// It is the token embedding's table, held for the head.
    pub tied: bool,
}

impl LocalParameter {
    /// Its dimensions on a rank.
    pub fn local_shape(&self) -> Vec<u64> {
        let mut shape = self.shape.clone();
        if let Some(dimension) = self.split {
            shape[dimension] = shape[dimension].div_ceil(self.ways);
        }
        shape
    }

    /// Its elements on a rank.
    pub fn local_elements(&self) -> u64 {
        self.local_shape().iter().product()
    }
}

impl Operator {
    /// The parameters that a rank of `ways` holds. A linear layer's weight is stored as
    /// \[input, output\], a tied one as the table that it is, \[vocabulary, width\].
    pub fn parameters(&self, ways: u64) -> Vec<LocalParameter> {
        let strategy = self.sharding.strategy;
        let rows_are_split = self.sharding.output.layout == Layout::Sequence;
        self.op
            .parameters()
            .into_iter()
            .map(|parameter| {
                let is_weight = parameter.name == "weight";
                let adapter = self.adapter_split(&parameter);
                let trained = parameter.trained;
                let mut shape = parameter.shape;
                if parameter.tied {
                    shape.reverse();
                }
                let (split, reduced) = match self.op.kind {
                    _ if adapter.is_some() => adapter.unwrap_or_default(),
                    OpKind::Linear { .. } => match (strategy, is_weight) {
                        (Strategy::Column | Strategy::ColumnGather, true) => {
                            (Some(usize::from(!parameter.tied)), false)
                        }
                        (Strategy::Column | Strategy::ColumnGather, false) => (Some(0), false),
                        (Strategy::Row | Strategy::RowScatter, true) => {
                            (Some(usize::from(parameter.tied)), false)
                        }
                        (Strategy::RowScatter, false) | (Strategy::Sequence, _) => (None, true),
                        _ => (None, false),
                    },
                    OpKind::TokenEmbedding { .. } if strategy.splits_vocabulary() => {
                        (Some(0), false)
                    }
                    _ => (None, rows_are_split),
                };
                let (name, tied) = (parameter.name, parameter.tied);
                let reduced = reduced && trained;
                LocalParameter { name, shape, split, ways, reduced, tied }
            })
            .collect()
    }
}

impl Operator {
    /// Which dimension of an adapter's matrix is split, and whether its gradient is a sum over the
    /// ranks; nothing for other parameters.
    fn adapter_split(&self, parameter: &Parameter) -> Option<(Option<usize>, bool)> {
        let strategy = self.sharding.strategy;
        if parameter.is_lora_a() {
            return Some(match strategy {
                Strategy::Row | Strategy::RowScatter => (Some(0), false),
                Strategy::Sequence | Strategy::Column | Strategy::ColumnGather => (None, true),
                _ => (None, false),
            });
        }
        if !parameter.is_lora_b() {
            return None;
        }
        Some(match strategy {
            Strategy::Column | Strategy::ColumnGather => (Some(1), false),
            Strategy::Sequence | Strategy::RowScatter => (None, true),
            _ => (None, false),
        })
    }
}

impl BlockCode {
    /// Forward pass of one micro-batch.
    pub fn forward(&self) -> Vec<Instruction> {
        Self::forward_of(self.operators.iter())
    }

    /// What full recomputation repeats of the forward pass.
    pub fn again(&self) -> Vec<Instruction> {
        Self::forward_of(self.operators.iter().filter(|operator| operator.repeated))
    }

    fn forward_of<'a>(operators: impl Iterator<Item = &'a Operator>) -> Vec<Instruction> {
        let mut forward = Vec::new();
        for operator in operators {
            for input in &operator.inputs {
                forward.extend_from_slice(&input.arrive.instructions);
            }
            forward.extend_from_slice(&operator.sharding.forward);
            if let Some([end, _]) = &operator.end {
                forward.extend_from_slice(&end.instructions);
            }
        }
        forward
    }

    /// Backward pass, without recomputation.
    pub fn backward(&self) -> Vec<Instruction> {
        let mut backward = Vec::new();
        for operator in self.operators.iter().rev() {
            if let Some([_, end]) = &operator.end {
                backward.extend_from_slice(&end.instructions);
            }
            // The input's gradient may be converted beside the product for the weights' gradient.
            let all = &operator.sharding.backward;
            let at = operator.sharding.early_conversion().map_or(all.len(), |(at, _)| at);
            backward.extend_from_slice(&all[..at]);
            for input in operator.inputs.iter().rev() {
                backward.extend_from_slice(&input.leave.instructions);
            }
            backward.extend_from_slice(&all[at..]);
        }
        backward.extend(self.input_sum.clone());
        backward
    }

    /// What selective recomputation repeats: the attention core, from the tensors that it starts
    /// from as they arrived.
    pub fn selective(&self) -> Vec<Instruction> {
        let in_core = |index: usize| self.operators[index].op.attention_core;
        let mut selective = Vec::new();
        for operator in self.operators.iter().filter(|operator| operator.op.attention_core) {
            for input in operator.inputs.iter().filter(|input| input.from.is_some_and(in_core)) {
                selective.extend_from_slice(&input.arrive.instructions);
            }
            selective.extend_from_slice(&operator.sharding.forward);
        }
        selective
    }
}

/// A block where it stands in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Which block.
    pub kind: BlockKind,
    /// Number of the layer in the model; zero for embedding and head.
    pub layer: u64,
    /// What its backward pass recomputes.
    pub recompute: Recompute,
}

/// One thing that a rank does. Everything in a program runs in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Takes the activation (or, backward, the gradient) that a pass starts from.
    Receive {
        /// The pass.
        step: Step,
        /// The stage that sends it.
        from: u64,
    },
    /// Runs a pass of a chunk over a micro-batch.
    Run(Step),
    /// Hands the result of a pass on.
    Send {
        /// The pass.
        step: Step,
        /// The stage that takes it.
        to: u64,
    },
    /// Sums gradients over the tensor-parallel ranks, where each saw some rows only.
    ReduceOverTensor,
    /// Sums the gradients of the token embedding's table and of the head that shares it.
    SumTied,
    /// Sums the gradients of a chunk over the replicas, each of which keeps its part where they are
    /// sharded.
    ReduceOverData {
        /// The chunk.
        chunk: u32,
    },
    /// Norm of all gradients, over all ranks.
    GradientNorm,
    /// Updates the parameters, or this rank's part of them.
    Optimizer,
    /// Collects the updated parts of the parameters.
    GatherParameters,
}

/// Everything that one rank does in an iteration. Ranks of one stage share it.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Shape of the pipeline.
    pub pipeline: Pipeline,
    /// The rank's stage.
    pub stage: u64,
    /// Replicas (d).
    pub replicas: u64,
    /// What is sharded over them.
    pub sharding: OptimizerSharding,
    /// Ranks that share each operator (t).
    pub tensor: u64,
    /// Ranks that share each sequence (c).
    pub context: u64,
    /// Sequences of a micro-batch (b).
    pub micro_batch: u64,
    /// Embedding, layer and head.
    pub blocks: [BlockCode; 3],
    /// Blocks of each chunk, in forward order.
    pub chunks: Vec<Vec<Placed>>,
    /// What it does, in order.
    pub actions: Vec<Action>,
}

impl Program {
    /// The code of a block.
    pub fn block(&self, kind: BlockKind) -> &BlockCode {
        match kind {
            BlockKind::Embedding => &self.blocks[0],
            BlockKind::Layer => &self.blocks[1],
            BlockKind::Head => &self.blocks[2],
        }
    }

    /// Whether the head shares the token embedding's table, and both train it.
    pub fn is_tied(&self) -> bool {
        let tied =
            |operator: &Operator| operator.op.parameters().iter().any(|p| p.tied && p.trained);
        self.block(BlockKind::Head).operators.iter().any(tied)
    }

    /// Whether the token embedding's table is split alike at both of its places; and, for one buffer
    /// to do for both, whether its gradient is a sum over tensor-parallel ranks alike.
    pub fn tables_agree(&self, one_buffer: bool) -> bool {
        let table = |kind: BlockKind| {
            self.block(kind).operators.iter().find_map(|at| {
                let is_embedding = matches!(at.op.kind, OpKind::TokenEmbedding { .. });
                let found = at.parameters(self.tensor).into_iter();
                found
                    .filter(|p| p.tied || is_embedding)
                    .map(|p| (p.split, one_buffer && p.reduced))
                    .next()
            })
        };
        let (embedding, head) = (table(BlockKind::Embedding), table(BlockKind::Head));
        head.is_none() || embedding == head
    }

    /// The order of things: passes as the schedule has them, with their transfers; then gradients
    /// reduced, measured and applied.
    pub fn actions(
        pipeline: Pipeline,
        stage: u64,
        replicas: u64,
        sharding: OptimizerSharding,
        tied: bool,
    ) -> Vec<Action> {
        let (p, v) = (pipeline.stages, pipeline.chunks);
        let mut actions = Vec::new();
        for step in pipeline.steps(stage) {
            let from = pipeline.giver(stage, step);
            actions.extend(from.map(|from| Action::Receive { step, from }));
            actions.push(Action::Run(step));
            let to = pipeline.taker(stage, step);
            actions.extend(to.map(|to| Action::Send { step, to }));
        }
        let ends = Ends { replicas, sharding, tied: tied && (stage == 0 || stage + 1 == p) };
        for ending in Ending::of(ends) {
            match ending {
                Ending::ReduceOverTensor => actions.push(Action::ReduceOverTensor),
                Ending::SumTied => actions.push(Action::SumTied),
                Ending::ReduceOverData => {
                    let chunks = (0..v as u32).rev();
                    actions.extend(chunks.map(|chunk| Action::ReduceOverData { chunk }));
                }
                Ending::GradientNorm => actions.push(Action::GradientNorm),
                Ending::Optimizer => actions.push(Action::Optimizer),
                Ending::GatherParameters => actions.push(Action::GatherParameters),
            }
        }
        actions
    }
}
