//! The software stack of a row.

use super::row::MeasuredRun;
use super::skip::Skip;
use crate::spec::{StackSpec, TensorOverlap, load_stack};

/// Framework by a word of its name, and the stack that describes it. The first that fits counts.
const FRAMEWORKS: [(&str, &str); 28] = [
    ("composer", "llm-foundry"),
    ("torchtitan", "torchtitan"),
    ("nanotron", "nanotron"),
    ("maxtext", "xla"),
    ("paxml", "xla"),
    ("pax/", "xla"),
    ("alpa (jax", "xla"),
    ("megatron-deepspeed", "megatron-deepspeed"),
    ("mlperf", "nemo"),
    ("nemo/megatron-core", "nemo"),
    ("megatron-bridge", "nemo"),
    ("nemo-megatron", "nemo-megatron"),
    ("te 2.", "megatron-core"),
    ("megatron-core", "megatron-core"),
    ("zero bubble", "zero-bubble"),
    ("megatron-lm 2020", "megatron-2020"),
    ("megatron-lm", "megatron-2021"),
    ("pytorch ngc", "torch-ddp"),
    ("paddle", "paddle"),
    ("tensorflow", "tensorflow"),
    ("hf trainer", "torch-eager"),
    ("torch.compile", "torch-compiled"),
    ("llm.c", "llm-c"),
    ("deepspeed", "deepspeed"),
    ("libai", "libai"),
    ("automodel", "fsdp"),
    ("nemo", "nemo"),
    ("pytorch", "flash-attention"),
];

/// Name of the stack of a row.
pub fn name(row: &MeasuredRun) -> Option<&'static str> {
    if row.framework.contains("flash-attention") {
        return Some("flash-attention");
    }
    let framework = row.framework.to_lowercase();
    FRAMEWORKS.iter().find(|(word, _)| framework.contains(word)).map(|(_, stack)| *stack)
}

/// The stack of a row: its framework's, with what the row says of itself.
///
/// # Errors
/// A framework without a stack.
pub fn stack(row: &MeasuredRun) -> Result<StackSpec, Skip> {
    let name =
        name(row).ok_or_else(|| Skip::Refused(format!("no stack for `{}`", row.framework)))?;
    let (mut stack, _) = load_stack(name, crate::spec::catalog::built_in()).map_err(|error| {
        Skip::Refused(error.to_string().lines().next().unwrap_or("").to_owned())
    })?;
    if row.flash_attention.starts_with('n') {
        stack.flash_attention = false;
    } else if row.flash_attention.starts_with('y') || row.flash_attention.starts_with("FA") {
        stack.flash_attention = true;
    }
    if row.framework.starts_with("PAX/praxis") && row.flash_attention == "unknown" {
        // XLA of that time had no fused attention.
        stack.flash_attention = false;
    }
    if let Some(version) = row.flash_attention.strip_prefix("FA") {
        stack.flash_attention_version = version.parse().unwrap_or(stack.flash_attention_version);
    }
    if row.mentions("no grad-reduce/param-gather overlap") {
        stack.overlap_gradient_reduce = false;
        stack.overlap_parameter_gather = false;
    }
    if ["tp-comm-overlap", "TP comm overlap on", "TP_COMM_OVERLAP=True"]
        .iter()
        .any(|flag| row.mentions(flag))
    {
        stack.overlap_tensor_parallel = TensorOverlap::All;
    }
    if name == "megatron-deepspeed" && row.precision.contains("fp32 grad accumulation") {
        // DeepSpeed's `BF16_Optimizer` sums 16-bit gradients in 32 bits beside them.
        stack.gradient_copy_bytes = 4;
    }
    if row.mentions("=PURE") || row.mentions("grads reduced in bf16") {
        stack.gradient_reduce_bytes = 2;
    }
    if row.mentions("cuda_graph_impl") && !row.mentions("cuda_graph_impl=none") {
        stack.cuda_graphs = true;
    }
    Ok(stack)
}
