//! softmax(QKᵀ/√d)·V over the heads of a rank: as one fused kernel (Dao et al. 2022), or as two
//! batched products (four backward) with the passes over the score matrix between them.
//!
//! Unfused attention does all of the work, causal or not, and keeps the softmax result, the
//! dropout mask and the dropped-out weights: a·s²·b·(2 + 1 + 2) bytes in 16 bits (Korthikanti et
//! al. 2022, §4.1). Fewer key-value than query heads are copied out for it.

use super::instructions::{compute, memory};
use super::sharded::{Sharding, input, same};
use super::site::Site;
use crate::graph::{Collective, GemmPass, Kernel, OpKind, PassKind};
use crate::plan::Strategy;
use crate::sharding::{Instruction, Layout, OperatorGroup, Overlap, ShardContext};
use crate::units::Bytes;

/// One rank's share of the attention.
struct Local<'a> {
    op: usize,
    context: &'a ShardContext<'a>,
    /// Query positions of a rank.
    length: u64,
    /// Key positions that they see: those of all context-parallel ranks.
    keys: u64,
    heads: u64,
    kv_heads: u64,
    head_dim: u64,
    causal: bool,
    dropout: bool,
}

pub(super) fn shardings(site: &Site, context: &ShardContext) -> Vec<Sharding> {
    let OpKind::Attention { heads, kv_heads, head_dim, causal, dropout, .. } = site.op.kind else {
        return Vec::new();
    };
    let (op, length) = (site.index, site.output.rows);
    let keys = length * context.context;
    let whole = Local { op, context, length, keys, heads, kv_heads, head_dim, causal, dropout };
    let mut all = vec![whole.shard(site, Strategy::Replicated, Layout::Replicated)];
    let t = context.tensor;
    if t > 1 && heads.is_multiple_of(t) && kv_heads.is_multiple_of(t) {
        let part = Local { heads: heads / t, kv_heads: kv_heads / t, ..whole };
        all.push(part.shard(site, Strategy::Heads, Layout::Feature));
    }
    all
}

impl Local<'_> {
    fn shard(&self, site: &Site, strategy: Strategy, layout: Layout) -> Sharding {
        let flash = self.context.stack.flash_attention;
        let gradients =
            site.input_bytes(0, layout, self.context) + site.output_bytes(layout, self.context);
        let element = self.context.element_bytes();
        let (saved, temporary) = if flash {
            // The query gradient is accumulated in 32 bits.
            (0, 4 * self.context.micro_batch * self.length * self.heads * self.head_dim)
        } else {
            let kept = if self.dropout { 2 * element + 1 } else { element };
            (self.scores() * kept, 2 * self.scores() * element)
        };
        Sharding {
            strategy,
            inputs: vec![input(layout, true)],
            output: same(layout),
            output_kept: flash,
            forward: self
                .exchanged(false, if flash { vec![self.flash(false)] } else { self.forward() }),
            backward: self
                .exchanged(true, if flash { vec![self.flash(true)] } else { self.backward() }),
            early_input_gradient: false,
            saved: Bytes::new(saved),
            parameters: 0,
            tied_parameters: 0,
            frozen_parameters: 0,
            tensor_reduced_parameters: 0,
            workspace: Bytes::new(gradients + temporary),
        }
    }

    /// Elements of the score matrices.
    fn scores(&self) -> u64 {
        self.context.micro_batch * self.heads * self.length * self.keys
    }

    /// The attention with the exchange of keys and values before it. They go round the ring of
    /// context-parallel ranks while each works on what it has (Liu et al. 2023); backward they go
    /// round again, with their gradients.
    fn exchanged(&self, backward: bool, attention: Vec<Instruction>) -> Vec<Instruction> {
        let ways = self.context.context;
        if ways == 1 {
            return attention;
        }
        let tensors = if backward { 4 } else { 2 };
        let elements =
            tensors * self.context.micro_batch * self.keys * self.kv_heads * self.head_dim;
        let mut list = vec![Instruction::Communicate {
            op: self.op,
            collective: Collective::AllGather,
            group: OperatorGroup::Context,
            bytes: Bytes::new(elements * self.context.element_bytes()),
            overlap: Some(Overlap::ring(ways)),
        }];
        list.extend(attention);
        list
    }

    fn flash(&self, backward: bool) -> Instruction {
        compute(
            self.op,
            Kernel::FlashAttention {
                backward,
                batch: self.context.micro_batch,
                heads: self.heads,
                kv_heads: self.kv_heads,
                query_length: self.length,
                key_length: self.keys,
                head_dim: self.head_dim,
                causal: self.causal,
                element_bytes: self.context.element_bytes(),
            },
        )
    }

    fn gemm(&self, m: u64, n: u64, k: u64, pass: GemmPass) -> Instruction {
        let element = self.context.element_bytes();
        let batch = self.context.micro_batch * self.heads;
        compute(
            self.op,
            Kernel::Gemm {
                batch,
                m,
                n,
                k,
                operand_bytes: element,
                result_bytes: element,
                accumulate: false,
                pass,
            },
        )
    }

    /// Keys and values copied to every query head of their group, or their gradients summed.
    fn expansion(&self, backward: bool) -> Option<Instruction> {
        let rows = 2 * self.context.micro_batch * self.keys * self.head_dim;
        let few = rows * self.kv_heads * self.context.element_bytes();
        let many = rows * self.heads * self.context.element_bytes();
        let (read, written) = if backward { (many, few) } else { (few, many) };
        (self.kv_heads != self.heads).then(|| memory(self.op, PassKind::Copy, read, written, 2))
    }

    fn forward(&self) -> Vec<Instruction> {
        let (s, keys, d) = (self.length, self.keys, self.head_dim);
        let (n, element) = (self.scores(), self.context.element_bytes());
        let mut forward: Vec<Instruction> = self.expansion(false).into_iter().collect();
        forward.push(self.gemm(s, keys, d, GemmPass::Forward));
        forward.push(if self.context.stack.fused_softmax {
            memory(self.op, PassKind::Softmax, n * element, n * element, 1)
        } else {
            // Masked, widened to 32 bits, softmax, narrowed: four kernels.
            memory(self.op, PassKind::Softmax, n * (2 * element + 8), n * (2 * element + 8), 4)
        });
        if self.dropout {
            forward.push(memory(self.op, PassKind::DropoutAdd, n * element, n * (element + 1), 1));
        }
        forward.push(self.gemm(s, d, keys, GemmPass::Forward));
        forward
    }

    fn backward(&self) -> Vec<Instruction> {
        let (s, keys, d) = (self.length, self.keys, self.head_dim);
        let (n, element) = (self.scores(), self.context.element_bytes());
        let product = |m, n, k| self.gemm(m, n, k, GemmPass::InputGradient);
        // Gradients of the values and of the attention weights.
        let mut backward = vec![product(keys, d, s), product(s, keys, d)];
        if self.dropout {
            backward.push(memory(self.op, PassKind::DropoutAdd, n * (element + 1), n * element, 1));
        }
        backward.push(if self.context.stack.fused_softmax {
            memory(self.op, PassKind::Softmax, 2 * n * element, n * element, 1)
        } else {
            memory(self.op, PassKind::Softmax, n * (3 * element + 8), n * (2 * element + 8), 4)
        });
        // Gradients of queries and keys.
        backward.push(product(s, d, keys));
        backward.push(product(keys, d, s));
        backward.extend(self.expansion(true));
        backward
    }
}
