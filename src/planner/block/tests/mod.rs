//! Small models by hand, a roofline for prices, and what must hold of every block.

mod exact;
mod known;
mod memory;
mod work;

use super::*;
use crate::graph::{Adapter, BlockKind, Collective, Edge, Kernel, Op, OpKind, Trained, Weight};
use crate::lower::blocks::{block_code, instructions, megatron_strategies};
use crate::sharding::Group;
use crate::spec::stack::{ScheduleKind, StackSpec};
use crate::spec::{Activation, LoraTarget, Norm, Precision};
use crate::units::{Bytes, Seconds, SimTime};
use petgraph::graph::{DiGraph, NodeIndex};

/// Megatron-LM's strategies with their prices.
pub(super) fn megatron_option(
    graph: &Graph,
    block: &Block,
    context: &ShardContext,
    boundary: Layout,
    cost: &dyn InstructionCost,
) -> Result<BlockOption, BlockError> {
    let strategies = megatron_strategies(graph, block, context, boundary)?;
    evaluate(graph, block, context, boundary, cost, &strategies)
}

/// Dimensions of a test model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dims {
    pub s: u64,
    pub h: u64,
    pub a: u64,
    pub k: u64,
    pub f: u64,
    pub v: u64,
}

pub(super) const GPT3_175B: Dims = Dims { s: 2048, h: 12288, a: 96, k: 96, f: 4 * 12288, v: 51200 };
pub(super) const LLAMA2_70B: Dims = Dims { s: 4096, h: 8192, a: 64, k: 8, f: 28672, v: 32000 };
pub(super) const SMALL: Dims = Dims { s: 64, h: 128, a: 8, k: 8, f: 512, v: 1024 };

/// Building of graphs by hand.
pub(super) struct Builder {
    dag: DiGraph<Op, Edge>,
    dims: Dims,
    start: usize,
}

impl Builder {
    fn op(
        &mut self,
        name: &str,
        kind: OpKind,
        rows: u64,
        width: u64,
        from: &[NodeIndex],
    ) -> NodeIndex {
        let attention_core = matches!(kind, OpKind::Attention { .. });
        let trained = Trained::All;
        let op = Op { name: name.to_owned(), kind, rows, width, attention_core, trained };
        let node = self.dag.add_node(op);
        for (slot, &producer) in from.iter().enumerate() {
            let Op { rows, width, .. } = self.dag[producer];
            self.dag.add_edge(producer, node, Edge { slot: slot as u8, rows, width });
        }
        node
    }

    fn linear(
        &mut self,
        name: &str,
        input: u64,
        output: u64,
        bias: bool,
        from: NodeIndex,
    ) -> NodeIndex {
        let rows = self.dag[from].rows;
        let kind = OpKind::Linear { input, output, bias, weight: Weight::Own };
        self.op(name, kind, rows, output, &[from])
    }

    fn norm(&mut self, name: &str, norm: Norm, from: NodeIndex) -> NodeIndex {
        let Op { rows, width, .. } = self.dag[from];
        self.op(name, OpKind::Norm { norm, bias: norm == Norm::Layernorm }, rows, width, &[from])
    }

    fn block(&mut self, kind: BlockKind, multiplicity: u64) -> Block {
        let ops = (self.start..self.dag.node_count()).map(NodeIndex::new).collect();
        self.start = self.dag.node_count();
        Block { kind, ops, multiplicity }
    }

    fn attention(&mut self, x: NodeIndex, causal: bool, rope: bool, bias: bool) -> NodeIndex {
        let Dims { s, h, a, k, .. } = self.dims;
        let d = h / a;
        let mut qkv = self.linear("attention.qkv", h, (a + 2 * k) * d, bias, x);
        if rope {
            let kind = OpKind::Rotary { heads: a, kv_heads: k, head_dim: d };
            qkv = self.op("attention.rotary", kind, s, (a + 2 * k) * d, &[qkv]);
        }
        let kind = OpKind::Attention {
            heads: a,
            kv_heads: k,
            head_dim: d,
            causal,
            dropout: bias,
            alibi: false,
        };
        let core = self.op("attention.core", kind, s, a * d, &[qkv]);
        self.linear("attention.output", a * d, h, bias, core)
    }

    fn ffn(&mut self, x: NodeIndex, activation: Activation, bias: bool) -> NodeIndex {
        let Dims { s, h, f, .. } = self.dims;
        let width = if activation.is_gated() { 2 * f } else { f };
        let up = self.linear("ffn.up", h, width, bias, x);
        let act = self.op("ffn.activation", OpKind::Activation(activation), s, f, &[up]);
        self.linear("ffn.down", f, h, bias, act)
    }

    fn add(
        &mut self,
        name: &str,
        branch: NodeIndex,
        residual: NodeIndex,
        dropout: bool,
    ) -> NodeIndex {
        let Op { rows, width, .. } = self.dag[residual];
        self.op(name, OpKind::DropoutAdd { dropout }, rows, width, &[branch, residual])
    }
}

/// Which test model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pre-norm, dropout, biases, learned positions, tied head.
    Gpt,
    /// Pre-norm, RMSNorm, rotary, SwiGLU, no biases.
    Llama,
    /// Post-norm, two losses.
    Bert,
}

/// Embedding, layer and head of a model.
pub(super) fn model(kind: Kind, dims: Dims) -> Graph {
    let Dims { s, h, v, .. } = dims;
    let mut b = Builder { dag: DiGraph::new(), dims, start: 0 };
    let mut x = b.op("token", OpKind::TokenEmbedding { vocab: v }, s, h, &[]);
    if kind != Kind::Llama {
        x = b.op("position", OpKind::PositionEmbedding { positions: s }, s, h, &[x]);
        if kind == Kind::Bert {
            x = b.op("type", OpKind::TokenTypeEmbedding { types: 2 }, s, h, &[x]);
            x = b.norm("norm", Norm::Layernorm, x);
        }
        x = b.op("dropout", OpKind::Dropout, s, h, &[x]);
    }
    let embedding = b.block(BlockKind::Embedding, 1);
    let x = match kind {
        Kind::Bert => {
            let branch = b.attention(x, false, false, true);
            let sum = b.add("attention.add", branch, x, true);
            let x = b.norm("attention.norm", Norm::Layernorm, sum);
            let branch = b.ffn(x, Activation::Gelu, true);
            let sum = b.add("ffn.add", branch, x, true);
            b.norm("ffn.norm", Norm::Layernorm, sum)
        }
        Kind::Gpt | Kind::Llama => {
            let gpt = kind == Kind::Gpt;
            let norm = if gpt { Norm::Layernorm } else { Norm::Rmsnorm };
            let activation = if gpt { Activation::Gelu } else { Activation::Swiglu };
            let y = b.norm("attention.norm", norm, x);
            let branch = b.attention(y, true, !gpt, gpt);
            let x = b.add("attention.add", branch, x, gpt);
            let y = b.norm("ffn.norm", norm, x);
            let branch = b.ffn(y, activation, gpt);
            b.add("ffn.add", branch, x, gpt)
        }
    };
    let layer = b.block(BlockKind::Layer, 2);
    if kind == Kind::Bert {
        bert_head(&mut b, x);
    } else {
        let norm = if kind == Kind::Gpt { Norm::Layernorm } else { Norm::Rmsnorm };
        let y = b.norm("norm", norm, x);
        let weight = if kind == Kind::Gpt { Weight::TokenEmbedding } else { Weight::Own };
        let kind = OpKind::Linear { input: h, output: v, bias: false, weight };
        let logits = b.op("logits", kind, s, v, &[y]);
        b.op("loss", OpKind::CrossEntropy { classes: v }, s, 1, &[logits]);
    }
    let head = b.block(BlockKind::Head, 1);
    Graph {
        dag: b.dag,
        blocks: vec![embedding, layer, head],
        sequence: vec![(0, 1), (1, 2), (2, 1)],
    }
}

/// The same with everything frozen, and adapters on queries, values and the ways in and out of the
/// feed-forward network.
pub(super) fn with_adapters(mut graph: Graph, rank: u64) -> Graph {
    for op in graph.dag.node_weights_mut() {
        let adapter = |target, input, output| Adapter { target, rank, input, output };
        let adapters = match (op.name.as_str(), &op.kind) {
            ("attention.qkv", &OpKind::Linear { input, output, .. }) => vec![
                adapter(LoraTarget::Query, input, output / 3),
                adapter(LoraTarget::Value, input, output / 3),
            ],
            ("ffn.up", &OpKind::Linear { input, output, .. }) => {
                vec![adapter(LoraTarget::Up, input, output)]
            }
            ("ffn.down", &OpKind::Linear { input, output, .. }) => {
                vec![adapter(LoraTarget::Down, input, output)]
            }
            _ => Vec::new(),
        };
        op.trained = Trained::Adapters(adapters);
    }
    graph
}

/// Masked tokens through transform and decoder, the first token through pooler and classifier.
fn bert_head(b: &mut Builder, x: NodeIndex) {
    let Dims { s, h, v, .. } = b.dims;
    let masked = b.op("mlm.select", OpKind::SelectRows, s / 4, h, &[x]);
    let y = b.linear("mlm.transform", h, h, true, masked);
    let y = b.op("mlm.activation", OpKind::Activation(Activation::Gelu), s / 4, h, &[y]);
    let y = b.norm("mlm.norm", Norm::Layernorm, y);
    let decoder =
        OpKind::Linear { input: h, output: v, bias: true, weight: Weight::TokenEmbedding };
    let logits = b.op("mlm.decoder", decoder, s / 4, v, &[y]);
    let mlm = b.op("mlm.loss", OpKind::CrossEntropy { classes: v }, s / 4, 1, &[logits]);
    let first = b.op("nsp.select", OpKind::SelectRows, 1, h, &[x]);
    let y = b.linear("nsp.pooler", h, h, true, first);
    let y = b.op("nsp.tanh", OpKind::Activation(Activation::Tanh), 1, h, &[y]);
    let y = b.linear("nsp.classifier", h, 2, true, y);
    let nsp = b.op("nsp.loss", OpKind::CrossEntropy { classes: 2 }, 1, 1, &[y]);
    b.op("loss", OpKind::LossSum, 1, 1, &[mlm, nsp]);
}

/// A stack that fuses all or nothing.
pub(super) fn stack(fused: bool, flash: bool) -> StackSpec {
    StackSpec {
        name: "test".to_owned(),
        flash_attention: flash,
        fused_softmax: fused,
        fused_bias_dropout_add: fused,
        fused_bias_activation: fused,
        fused_cross_entropy: fused,
        fused_gradient_accumulation: fused,
        gradient_bytes: 4,
        gradient_copy_bytes: 0,
        reduce_buffers: 0,
        recompute_stops_early: false,
        keeps_gathered_input: false,
        replicates_attention: false,
        keeps_activated_gate: false,
        keeps_stage_outputs: false,
        gradient_reduce_bytes: 4,
        overlap_gradient_reduce: true,
        overlap_parameter_gather: true,
        overlap_p2p: true,
        flash_attention_version: 2,
        vocabulary_multiple: 1,
        pass_efficiency: 1.0,
        library_efficiency: 1.0,
        step_overhead: Seconds::ZERO,
        overlap_tensor_parallel: Default::default(),
        overlap_contention: 0.0,
        p2p_scatter_gather: true,
        launch_overhead: Seconds::new(5e-6),
        cuda_graphs: false,
        bucket_elements: 40_000_000,
        context_memory: Bytes::ZERO,
        communicator_memory: Bytes::ZERO,
        fragmentation: 0.0,
        schedules: vec![ScheduleKind::OneFOneB],
        source: None,
    }
}

pub(super) fn context(stack: &StackSpec, tensor: u64, micro_batch: u64) -> ShardContext<'_> {
    ShardContext { tensor, context: 1, micro_batch, stack, precision: Precision::Fp16Mixed }
}

/// An A100 without finesse: 170 TFLOP/s, 1.5 TB/s, 4 us a kernel, rings over one link.
pub(super) struct Roofline {
    pub ranks: u64,
    /// Bytes per second of the link, per direction.
    pub link: f64,
    pub latency: f64,
}

pub(super) fn nvlink(ranks: u64) -> Roofline {
    Roofline { ranks, link: 230e9, latency: 8e-6 }
}

impl InstructionCost for Roofline {
    fn launch(&self) -> SimTime {
        SimTime::from_picos(6_000_000)
    }

    fn kernel(&self, kernel: &Kernel) -> SimTime {
        let bytes = match *kernel {
            Kernel::Gemm { batch, m, n, k, operand_bytes, result_bytes, .. } => {
                batch * ((m * k + k * n) * operand_bytes + m * n * result_bytes)
            }
            Kernel::FlashAttention { batch, heads, query_length, head_dim, .. } => {
                8 * batch * heads * query_length * head_dim
            }
            Kernel::Memory { read, written, .. } => (read + written).get(),
        };
        let busy = (kernel.flops().get() / 170e12).max(bytes as f64 / 1.5e12);
        SimTime::from_seconds(Seconds::new(busy + 4e-6 * kernel.launches() as f64))
    }

    fn collective(&self, collective: Collective, bytes: Bytes, group: Group) -> SimTime {
        assert_eq!(group, Group::Tensor);
        let share = (self.ranks - 1) as f64 / self.ranks as f64;
        let trips = if collective == Collective::AllReduce { 2.0 } else { 1.0 };
        let seconds = trips * (self.latency + share * bytes.as_f64() / self.link);
        SimTime::from_seconds(Seconds::new(seconds))
    }
}
