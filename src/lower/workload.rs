//! A model as operators in blocks, under a software stack: what is trained, wherever it runs.

use crate::graph::{Block, BlockKind, Graph, GraphError};
use crate::sharding::ShardContext;
use crate::spec::{ModelSpec, StackSpec};
use thiserror::Error;

/// Why a model can not be planned on any cluster.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// The model has no graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The model's layers are not all alike.
    #[error(
        "layers of more than one kind in model `{0}` are not planned yet: all layers must be alike"
    )]
    MixedLayers(String),
}

/// A model under a software stack.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The model.
    pub model: ModelSpec,
    /// Its operators.
    pub graph: Graph,
    /// The software stack.
    pub stack: StackSpec,
    blocks: [Block; 3],
}

impl Workload {
    /// Builds the model's graph.
    ///
    /// # Errors
    /// A model without a graph or with layers of several kinds.
    pub fn new(model: ModelSpec, stack: StackSpec) -> Result<Workload, WorkloadError> {
        let graph = crate::graph::build(&model)?;
        let block = |kind: BlockKind| {
            let mut of_kind = graph.blocks.iter().filter(|block| block.kind == kind);
            match (of_kind.next(), of_kind.next()) {
                (Some(block), None) => Ok(block.clone()),
                _ => Err(WorkloadError::MixedLayers(model.name.clone())),
            }
        };
        let blocks =
            [block(BlockKind::Embedding)?, block(BlockKind::Layer)?, block(BlockKind::Head)?];
        Ok(Workload { model, graph, stack, blocks })
    }

    /// The embedding, the layer or the head.
    pub fn block(&self, kind: BlockKind) -> &Block {
        match kind {
            BlockKind::Embedding => &self.blocks[0],
            BlockKind::Layer => &self.blocks[1],
            BlockKind::Head => &self.blocks[2],
        }
    }

    /// Names of a block's operators, in their order.
    pub fn operators(&self, kind: BlockKind) -> impl Iterator<Item = &str> {
        self.block(kind).ops.iter().map(|node| self.graph.dag[*node].name.as_str())
    }

    /// Key-value heads that tensor-parallel ways divide as well as the heads: none where there are as
    /// many as these, or where the stack computes attention whole on every rank.
    pub fn split_kv_heads(&self) -> Option<u64> {
        let kv = self.model.kv_heads();
        (kv != self.model.num_heads && !self.stack.replicates_attention).then_some(kv)
    }

    /// Tensor-parallel ways that the stack runs attention with.
    ///
    /// # Errors
    /// The sentence that says which ways it has.
    pub fn check_heads(&self, tensor: u64) -> Result<(), String> {
        let heads = self.model.num_heads;
        let kv = self.split_kv_heads().unwrap_or(heads);
        let divides = |t: &u64| heads.is_multiple_of(*t) && kv.is_multiple_of(*t);
        if self.stack.replicates_attention || divides(&tensor) {
            return Ok(());
        }
        let possible: Vec<String> =
            (1..=heads.min(kv)).filter(divides).map(|t| t.to_string()).collect();
        let of_kv =
            if kv == heads { String::new() } else { format!(" and the {kv} key-value heads") };
        Err(format!(
            "stack `{}` splits attention by heads, and a divisor of the {heads} heads{of_kv} is \
             expected: {}",
            self.stack.name,
            possible.join(", ")
        ))
    }

    /// What operators are expanded for.
    pub fn shard_context(&self, tensor: u64, context: u64, micro_batch: u64) -> ShardContext<'_> {
        let precision = self.model.training.precision;
        ShardContext { tensor, context, micro_batch, stack: &self.stack, precision }
    }
}
