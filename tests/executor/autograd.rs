//! The hand-written backward passes against autograd. The forward pass of the reference is written
//! here once more, from the graph, in other ATen operators where there are others.

use crate::common::{choice, job, single, small};
use lmplan::executor::run::data::{MicroBatch, StepData};
use lmplan::executor::run::rank::Rank;
use lmplan::executor::run::setup::{self, RunOptions, data_shape};
use lmplan::graph::{BlockKind, OpKind};
use lmplan::planner::job::Job;
use lmplan::spec::{Activation, ModelSpec, Norm, Objective, ParallelBranches, Position};
use petgraph::graph::NodeIndex;
use petgraph::visit::{EdgeRef, Topo};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

/// Parameters by (block, layer, operator, name), as leaves of a tape.
type Leaves = BTreeMap<(BlockKind, u64, String, &'static str), Tensor>;

fn leaves(rank: &Rank) -> Leaves {
    let mut leaves = BTreeMap::new();
    for state in rank.blocks.iter().flatten() {
        for range in &state.flat.ranges {
            if range.parameter.tied {
                continue;
            }
            let weights = state.weights.as_ref().unwrap();
            let value = weights.narrow(0, range.start, range.length).view(range.shape().as_slice());
            let key = (
                state.placed.kind,
                state.placed.layer,
                range.operator_name.clone(),
                range.parameter.name,
            );
            leaves.insert(key, value.copy().set_requires_grad(true));
        }
    }
    leaves
}

struct Reference<'a> {
    job: &'a Job,
    leaves: &'a Leaves,
    batch: &'a MicroBatch,
    gate_pieces: i64,
}

impl Reference<'_> {
    fn weight(&self, at: (BlockKind, u64), op: &str, name: &'static str) -> Tensor {
        self.leaves[&(at.0, at.1, op.to_owned(), name)].shallow_clone()
    }

    fn find(&self, at: (BlockKind, u64), op: &str, name: &'static str) -> Option<Tensor> {
        self.leaves.get(&(at.0, at.1, op.to_owned(), name)).map(Tensor::shallow_clone)
    }

    /// Where an operator stands: its block, and its layer.
    fn place(&self) -> BTreeMap<NodeIndex, (BlockKind, u64)> {
        let graph = &self.job.workload.graph;
        let mut place = BTreeMap::new();
        let mut layer = 0;
        let mut topo = Topo::new(&graph.dag);
        let ends = |kind: BlockKind| self.job.workload.block(kind).ops.clone();
        let (first, last) = (ends(BlockKind::Embedding), ends(BlockKind::Head));
        let mut inside: Vec<NodeIndex> = Vec::new();
        while let Some(node) = topo.next(&graph.dag) {
            if first.contains(&node) {
                place.insert(node, (BlockKind::Embedding, 0));
            } else if last.contains(&node) {
                place.insert(node, (BlockKind::Head, 0));
            } else {
                inside.push(node);
            }
        }
        inside.sort();
        for node in inside {
            place.insert(node, (BlockKind::Layer, layer));
            let is_last = match self.job.workload.model.norm_position() {
                lmplan::spec::NormPlacement::Pre => graph.dag[node].name == "mlp.add",
                lmplan::spec::NormPlacement::Post => graph.dag[node].name == "mlp.norm",
            };
            layer += u64::from(is_last);
        }
        place
    }

    fn loss(&self) -> Tensor {
        let dag = &self.job.workload.graph.dag;
        let place = self.place();
        let mut values: BTreeMap<NodeIndex, Tensor> = BTreeMap::new();
        let mut topo = Topo::new(dag);
        let mut last = Tensor::from(0.0);
        while let Some(node) = topo.next(dag) {
            let mut edges: Vec<_> =
                dag.edges_directed(node, petgraph::Direction::Incoming).collect();
            edges.sort_by_key(|edge| edge.weight().slot);
            let inputs: Vec<Tensor> =
                edges.iter().map(|edge| values[&edge.source()].shallow_clone()).collect();
            last = self.value(node, place[&node], &inputs);
            values.insert(node, last.shallow_clone());
        }
        last.mean(Kind::Double)
    }

    fn value(&self, node: NodeIndex, at: (BlockKind, u64), inputs: &[Tensor]) -> Tensor {
        let op = &self.job.workload.graph.dag[node];
        let name = op.name.as_str();
        let batch = self.batch;
        match &op.kind {
            OpKind::TokenEmbedding { .. } => self
                .weight(at, name, "weight")
                .index_select(0, &batch.tokens.flatten(0, 1))
                .view([batch.tokens.size()[0], batch.tokens.size()[1], -1]),
            OpKind::PositionEmbedding { .. } => {
                let rows = inputs[0].size()[0];
                &inputs[0] + self.weight(at, name, "weight").narrow(0, 0, rows).unsqueeze(1)
            }
            OpKind::TokenTypeEmbedding { .. } => {
                let one_hot = batch.types.one_hot(2).to_kind(Kind::Double);
                &inputs[0] + one_hot.matmul(&self.weight(at, name, "weight"))
            }
            OpKind::Norm { norm, .. } => self.norm(&inputs[0], at, name, *norm),
            OpKind::Linear { .. } => {
                let weight = match self.find(at, name, "weight") {
                    Some(weight) => weight,
                    None => self.weight((BlockKind::Embedding, 0), "token", "weight").tr(),
                };
                let product = inputs[0].matmul(&weight);
                match self.find(at, name, "bias") {
                    Some(bias) => product + bias,
                    None => product,
                }
            }
            OpKind::Rotary { heads, kv_heads, head_dim } => {
                rotary(&inputs[0], [*heads as i64, *kv_heads as i64, *head_dim as i64])
            }
            OpKind::Attention { heads, kv_heads, head_dim, causal, alibi, .. } => {
                let shape = [*heads as i64, *kv_heads as i64, *head_dim as i64];
                attention(&inputs[0], shape, *causal, *alibi)
            }
            OpKind::Activation(activation) => self.activation(&inputs[0], *activation),
            OpKind::DropoutAdd { .. } => &inputs[0] + &inputs[1],
            OpKind::Dropout => inputs[0].shallow_clone(),
            OpKind::SelectRows => {
                let width = inputs[0].size()[2];
                let sequences = inputs[0].size()[1];
                let rows = match name {
                    "mlm.select" => batch.masked.shallow_clone(),
                    "classifier.select" => Tensor::full(
                        [1, sequences],
                        inputs[0].size()[0] - 1,
                        (Kind::Int64, Device::Cpu),
                    ),
                    _ => Tensor::zeros([1, sequences], (Kind::Int64, Device::Cpu)),
                };
                inputs[0].take_along_dim(&rows.unsqueeze(-1).repeat([1, 1, width]), 0)
            }
            OpKind::CrossEntropy { classes } => {
                let targets = batch.targets(name, op.rows, *classes);
                let logits = if inputs[0].size()[2] as u64 == *classes {
                    inputs[0].shallow_clone()
                } else {
                    inputs[0].permute([2, 1, 0])
                };
                let logits = logits.reshape([-1, *classes as i64]);
                let losses = logits.cross_entropy_loss::<Tensor>(
                    &targets.flatten(0, 1),
                    None,
                    tch::Reduction::None,
                    -100,
                    0.0,
                );
                losses.view([op.rows as i64, -1])
            }
            OpKind::LossSum => inputs.iter().map(|l| l.mean(Kind::Double)).sum(),
        }
    }

    fn norm(&self, input: &Tensor, at: (BlockKind, u64), name: &str, norm: Norm) -> Tensor {
        let weight = self.weight(at, name, "weight");
        let centred = match norm {
            Norm::Layernorm => input - input.mean_dim(-1i64, true, Kind::Double),
            Norm::Rmsnorm => input.shallow_clone(),
        };
        let variance = (&centred * &centred).mean_dim(-1i64, true, Kind::Double);
        let normed = centred / (variance + 1e-5).sqrt() * weight;
        match self.find(at, name, "bias") {
            Some(bias) => normed + bias,
            None => normed,
        }
    }

    fn activation(&self, input: &Tensor, activation: Activation) -> Tensor {
        let gaussian = |x: &Tensor| x * 0.5 * (1.0 + (x / 2f64.sqrt()).erf());
        let gated = |outer: &dyn Fn(&Tensor) -> Tensor| {
            let size = input.size();
            let width = size[2] / 2;
            let pieces = input.view([size[0], size[1], self.gate_pieces, 2, -1]);
            (outer(&pieces.select(3, 0)) * pieces.select(3, 1)).reshape([size[0], size[1], width])
        };
        match activation {
            Activation::Gelu => gaussian(input),
            Activation::Relu => input.clamp_min(0.0),
            Activation::SquaredRelu => input.clamp_min(0.0).pow_tensor_scalar(2),
            Activation::Tanh => input.tanh(),
            Activation::Swiglu => gated(&|x| x * x.sigmoid()),
            Activation::Geglu => gated(&|x| gaussian(x)),
        }
    }
}

/// Query, key and value by head, \[sequences, heads, rows, width\], as many of each.
fn heads(input: &Tensor, [heads, kv, width]: [i64; 3]) -> [Tensor; 3] {
    let size = input.size();
    let group = heads / kv;
    let columns = input.view([size[0], size[1], kv, group + 2, width]);
    let query = columns.slice(3, 0, group, 1).reshape([size[0], size[1], heads, width]);
    let repeated = |index: i64| columns.select(3, index).repeat_interleave_self_int(group, 2, None);
    [query, repeated(group), repeated(group + 1)].map(|part| part.permute([1, 2, 0, 3]))
}

fn attention(input: &Tensor, shape: [i64; 3], causal: bool, alibi: bool) -> Tensor {
    let [query, key, value] = heads(input, shape);
    let rows = query.size()[2];
    let scores = query.matmul(&key.transpose(2, 3)) / (shape[2] as f64).sqrt();
    let hidden = if causal { f64::NEG_INFINITY } else { 0.0 };
    let mut scores = scores + Tensor::full([rows, rows], hidden, DOUBLE).triu(1);
    if alibi {
        let place = Tensor::arange(rows, DOUBLE);
        let distance = (place.unsqueeze(1) - place.unsqueeze(0)).abs();
        let slopes = Tensor::from_slice(&published_slopes(shape[0])).view([-1, 1, 1]);
        scores -= slopes * distance;
    }
    let output = scores.softmax(-1, Kind::Double).matmul(&value);
    output.permute([2, 0, 1, 3]).reshape([rows, input.size()[1], -1])
}

/// Slopes of ALiBi as the paper names them for 8 heads, and by its rule for 4, 6 and 12.
fn published_slopes(heads: i64) -> Vec<f64> {
    let exponents: &[f64] = match heads {
        4 => &[2.0, 4.0, 6.0, 8.0],
        6 => &[2.0, 4.0, 6.0, 8.0, 1.0, 3.0],
        8 => &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
        12 => &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.5, 1.5, 2.5, 3.5],
        _ => unreachable!("{heads} heads"),
    };
    exponents.iter().map(|exponent| 2f64.powf(-exponent)).collect()
}

/// Complex multiplication of pairs (x[i], x[i + width / 2]).
fn rotary(input: &Tensor, [heads, kv, width]: [i64; 3]) -> Tensor {
    let size = input.size();
    let (group, half) = (heads / kv, width / 2);
    let columns = input.view([size[0], size[1], kv, group + 2, width]);
    let index = Tensor::arange(half, DOUBLE);
    let angle = Tensor::arange(size[0], DOUBLE).unsqueeze(1)
        * (Tensor::from(10_000.0).pow(&(index * (-2.0 / width as f64))));
    let (cos, sin) = (angle.cos(), angle.sin());
    let view = |table: Tensor| table.view([size[0], 1, 1, 1, half]);
    let (cos, sin) = (view(cos), view(sin));
    let x = columns.slice(3, 0, group + 1, 1);
    let (re, im) = (x.slice(4, 0, half, 1), x.slice(4, half, width, 1));
    let turned = Tensor::cat(&[&re * &cos - &im * &sin, &re * &sin + &im * &cos], 4);
    Tensor::cat(&[turned, columns.slice(3, group + 1, group + 2, 1)], 3).reshape(size.as_slice())
}

/// Runs a model both ways and compares loss and every gradient.
fn compare(model: ModelSpec, fused: bool, micro: u64, recompute: [u64; 3], what: &str) {
    let global = model.training.global_batch_size;
    let job = job(model, fused);
    let mut choice = choice(&job, &single(global, micro));
    choice.mapping.stages = vec![recompute];
    let options = RunOptions::comparable(2, true);
    let mut rank = setup::alone(&job.workload, &choice.mapping, &options).unwrap();
    let leaves = leaves(&rank);
    let data = StepData::new(data_shape(&job.workload.model), 1, Device::Cpu);
    let batch = data.micro_batch(0, global as i64);
    let reference = Reference { job: &job, leaves: &leaves, batch: &batch, gate_pieces: 2 };
    let loss = reference.loss();
    loss.backward();
    let iteration = rank.iteration().unwrap();
    let expected = loss.double_value(&[]);
    assert!((iteration.loss / expected - 1.0).abs() < 1e-12, "{what}: {iteration:?} {expected}");
    let mut compared = 0;
    for state in rank.blocks.iter().flatten() {
        for range in &state.flat.ranges {
            let (kind, name) = (state.placed.kind, range.operator_name.clone());
            let key = if range.parameter.tied {
                (BlockKind::Embedding, 0, "token".to_owned(), "weight")
            } else {
                (kind, state.placed.layer, name, range.parameter.name)
            };
            let expected = leaves[&key].grad();
            let own = state.gradients.narrow(0, range.start, range.length);
            let error = (own.view(range.shape().as_slice()) - &expected).abs().max();
            // What vanishes by symmetry is noise on both sides.
            let largest = expected.abs().max().double_value(&[]).max(1e-6);
            let error = error.double_value(&[]) / largest;
            assert!(error < 1e-10, "{what}: gradient of {key:?} is off by {error:e}");
            compared += 1;
        }
    }
    assert!(compared >= leaves.len(), "{what}: {compared} of {}", leaves.len());
}

#[test]
fn every_gradient_of_every_family_is_autograds() {
    for name in ["gpt2-124m", "bert-base", "llama2-70b"] {
        for fused in [true, false] {
            compare(small(name), fused, 4, [2, 0, 0], name);
        }
    }
}

#[test]
fn micro_batches_and_recomputation_change_nothing() {
    for name in ["gpt2-124m", "bert-base"] {
        for fused in [true, false] {
            for recompute in [[2, 0, 0], [0, 2, 0], [0, 0, 2], [1, 0, 1]] {
                compare(small(name), fused, 1, recompute, &format!("{name} {recompute:?}"));
            }
        }
    }
}

#[test]
fn branches_beside_each_other_have_their_gradients() {
    for branches in [ParallelBranches::OneNorm, ParallelBranches::TwoNorms] {
        for (fused, recompute) in [(true, [2, 0, 0]), (false, [0, 2, 0]), (true, [0, 0, 2])] {
            let mut model = small("gpt2-124m");
            model.parallel_branches = Some(branches);
            model.position = Some(Position::Rope);
            compare(model, fused, 2, recompute, &format!("{branches:?} {recompute:?}"));
        }
    }
}

#[test]
fn scores_lowered_by_distance_have_their_gradients() {
    for (name, heads) in [("gpt2-124m", 4), ("gpt2-124m", 12), ("bert-base", 6), ("bert-base", 8)] {
        for (fused, recompute) in [(true, [2, 0, 0]), (false, [0, 2, 0]), (true, [0, 0, 2])] {
            let mut model = small(name);
            model.position = Some(Position::Alibi);
            (model.num_heads, model.hidden_size) = (heads, 8 * heads);
            compare(model, fused, 2, recompute, &format!("{name} {heads} {fused} {recompute:?}"));
        }
    }
}

#[test]
fn every_activation_has_its_gradient() {
    use Activation::{Geglu, Gelu, Relu, SquaredRelu, Swiglu, Tanh};
    for activation in [Gelu, Relu, SquaredRelu, Swiglu, Geglu, Tanh] {
        let mut model = small("gpt2-124m");
        model.activation = Some(activation);
        compare(model, true, 2, [2, 0, 0], &format!("{activation:?}"));
    }
}

#[test]
fn every_objective_has_its_gradient() {
    use Objective::{
        CausalLm, Classification, MaskedLm, MaskedLmNsp, QuestionAnswering, TokenClassification,
    };
    for (name, objective) in [
        ("bert-base", MaskedLm),
        ("bert-base", MaskedLmNsp),
        ("bert-base", Classification),
        ("bert-base", TokenClassification),
        ("bert-base", QuestionAnswering),
        ("gpt2-124m", Classification),
        ("gpt2-124m", CausalLm),
    ] {
        let mut model = small(name);
        model.training.objective = objective;
        model.training.num_labels = Some(3);
        compare(model, true, 2, [2, 0, 0], &format!("{name} {objective:?}"));
    }
}
