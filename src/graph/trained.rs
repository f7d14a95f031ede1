//! Which parameters are trained: all of them, or adapters beside frozen weights (Hu et al. 2021).
//!
//! Under LoRA everything that was pre-trained is frozen: embeddings, norms, biases, linear layers
//! and the language-model head. The adapters are trained, and so is a layer that fine-tuning puts
//! on top and that has no pre-trained weights: `classifier`, `span` (as PEFT does for these tasks,
//! `modules_to_save`).
//!
//! A linear layer keeps its adapters to itself: they read its input, add to its output, and are
//! split over ranks as it is. So blocks, layouts and strategies are those of full training.
//!
//! Gradients flow through all layers down to the embedding. PyTorch would stop at the first adapter,
//! one input gradient earlier; with recomputation PEFT lets the embedding's output require a gradient
//! all the same (`enable_input_require_grads`), so that is what is planned.

use super::adapter::{Adapter, Trained};
use super::error::GraphError;
use super::op::{Edge, Op, OpKind, Parameter};
use crate::spec::{LoraSpec, LoraTarget, ModelSpec};
use petgraph::graph::DiGraph;

/// Layers that fine-tuning initialises, and so trains, whatever is frozen.
const NEW_LAYERS: [&str; 2] = ["classifier", "span"];

impl Adapter {
    /// A and B, unsharded.
    pub fn parameters(&self) -> [Parameter; 2] {
        let [a, b] = match self.target {
            LoraTarget::Query => ["query.lora_a", "query.lora_b"],
            LoraTarget::Key => ["key.lora_a", "key.lora_b"],
            LoraTarget::Value => ["value.lora_a", "value.lora_b"],
            LoraTarget::Output => ["output.lora_a", "output.lora_b"],
            LoraTarget::Gate => ["gate.lora_a", "gate.lora_b"],
            LoraTarget::Up => ["up.lora_a", "up.lora_b"],
            LoraTarget::Down => ["down.lora_a", "down.lora_b"],
        };
        let parameter = |name, shape: [u64; 2]| Parameter {
            name,
            shape: shape.to_vec(),
            tied: false,
            trained: true,
        };
        [parameter(a, [self.input, self.rank]), parameter(b, [self.rank, self.output])]
    }
}

impl Parameter {
    /// Whether it is the A of an adapter, \[input, rank\].
    pub fn is_lora_a(&self) -> bool {
        self.name.ends_with(".lora_a")
    }

    /// Whether it is the B of an adapter, \[rank, output\].
    pub fn is_lora_b(&self) -> bool {
        self.name.ends_with(".lora_b")
    }
}

/// Refuses adapters that a model can not have.
///
/// # Errors
/// A rank of zero or beyond the hidden size or `limit`, no targets, a gate where there is none.
pub(super) fn check(model: &ModelSpec, limit: u64) -> Result<(), GraphError> {
    let Some(lora) = &model.training.lora else { return Ok(()) };
    let limit = limit.min(model.hidden_size);
    if !(1..=limit).contains(&lora.rank) {
        let (model, field) = (model.name.clone(), "lora.rank");
        return Err(GraphError::Size { model, field, value: lora.rank, limit });
    }
    let refuse = |reason: &str| {
        Err(GraphError::Lora { model: model.name.clone(), reason: reason.to_owned() })
    };
    if lora.targets.is_empty() {
        return refuse("no targets are named, so that nothing would be trained");
    }
    if lora.has(LoraTarget::Gate) && !model.activation_kind().is_gated() {
        return refuse("`gate` is a target, but its feed-forward network has no gate");
    }
    Ok(())
}

/// Freezes what was pre-trained and adds the adapters, where the model is trained by LoRA.
pub(super) fn freeze(dag: &mut DiGraph<Op, Edge>, model: &ModelSpec) {
    let Some(lora) = &model.training.lora else { return };
    for op in dag.node_weights_mut() {
        if !NEW_LAYERS.contains(&op.name.as_str()) {
            op.trained = Trained::Adapters(adapters(op, lora, model));
        }
    }
}

/// The adapters of an operator. Queries, keys and values are columns of one linear layer here, gate
/// and input of the feed-forward network those of another; each has adapters of its own.
fn adapters(op: &Op, lora: &LoraSpec, model: &ModelSpec) -> Vec<Adapter> {
    let OpKind::Linear { input, output, .. } = op.kind else { return Vec::new() };
    let width = model.head_width();
    let (queries, keys) = (model.num_heads * width, model.kv_heads() * width);
    let parts: &[(LoraTarget, u64)] = match op.name.as_str() {
        "attention.qkv" => {
            &[(LoraTarget::Query, queries), (LoraTarget::Key, keys), (LoraTarget::Value, keys)]
        }
        "attention.proj" => &[(LoraTarget::Output, output)],
        "mlp.fc1" if model.activation_kind().is_gated() => {
            &[(LoraTarget::Gate, output / 2), (LoraTarget::Up, output / 2)]
        }
        "mlp.fc1" => &[(LoraTarget::Up, output)],
        "mlp.fc2" => &[(LoraTarget::Down, output)],
        _ => &[],
    };
    let parts = parts.iter().filter(|(target, _)| lora.has(*target));
    parts.map(|&(target, output)| Adapter { target, rank: lora.rank, input, output }).collect()
}
