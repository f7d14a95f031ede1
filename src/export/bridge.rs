//! Megatron-Bridge: a Python function that returns a `ConfigContainer`.

use super::adapters;
use super::configuration::{Config, Program};
use super::input::ExportInput;
use super::layout::{Chunk, chunks, is_even};
use super::losses::Losses;
use super::megatron::{layout, model_losses, position, schedule_losses};
use super::python::{Assignments, identifier};
use super::recompute::{Rule, rule};
use crate::plan::OptimizerSharding;
use crate::spec::{Activation, Family, ModelSpec, Norm, Objective, Optimizer, Precision};

const IMPORTS: &str = "\
import torch
import torch.nn.functional as F
from megatron.bridge.models.gpt_provider import GPTModelProvider
from megatron.bridge.recipes.common import _pretrain_common
from megatron.bridge.training.config import ConfigContainer
from megatron.bridge.training.gpt_step import forward_step
from megatron.bridge.training.mixed_precision import get_mixed_precision_config
";
const PRETRAINING_IMPORTS: &str = "from megatron.bridge.training.pretrain import pretrain\n";
const TUNING_IMPORTS: &str = "\
from megatron.bridge.peft.canonical_lora import CanonicalLoRA
from megatron.bridge.training.finetune import finetune
";

/// The function and what runs it.
pub(super) fn write(subject: &ExportInput<'_>, losses: &mut Losses) -> (Config, Program) {
    let chunks = chunks(subject);
    let mut lines = Assignments::default();
    lines.raw("cfg", "_pretrain_common()");
    lines.raw("cfg.model", "GPTModelProvider()");
    architecture(subject.model, &mut lines);
    model_losses(subject.model, losses);
    parallelism(subject, &chunks, &mut lines, losses);
    recomputation(&chunks, &mut lines, losses);
    training(subject, &mut lines, losses);
    sharding(subject, &mut lines);
    let plan = subject.plan;
    let name = format!(
        "{}_pretrain_{}gpu_{}_config",
        identifier(&plan.model),
        plan.devices(),
        identifier(&plan.cluster)
    );
    adapters::bridge(subject, &mut lines, losses);
    let tunes = subject.model.training.lora.is_some();
    let (imports, train) =
        if tunes { (TUNING_IMPORTS, "finetune") } else { (PRETRAINING_IMPORTS, "pretrain") };
    let body = format!(
        "{IMPORTS}{imports}\n\ndef {name}() -> ConfigContainer:\n{}    return cfg\n\n\n\
         if __name__ == \"__main__\":\n    {train}(config={name}(), forward_step_func=forward_step)\n",
        lines.lines()
    );
    let command = super::launch::beside("lmplan_recipe.py");
    let program = Program { setup: Vec::new(), command };
    (Config { name: "lmplan_recipe.py", body, has_comments: true }, program)
}

fn architecture(model: &ModelSpec, lines: &mut Assignments) {
    lines.number("cfg.model.num_layers", model.num_layers);
    lines.number("cfg.model.hidden_size", model.hidden_size);
    lines.number("cfg.model.ffn_hidden_size", model.ffn());
    lines.number("cfg.model.num_attention_heads", model.num_heads);
    lines.number("cfg.model.num_query_groups", model.kv_heads());
    lines.number("cfg.model.kv_channels", model.head_width());
    lines.number("cfg.model.seq_length", model.sequence_length);
    lines.number("cfg.dataset.seq_length", model.sequence_length);
    if position(model) != "none" {
        lines.text("cfg.model.position_embedding_type", position(model));
    }
    let norm = if model.norm_kind() == Norm::Rmsnorm { "RMSNorm" } else { "LayerNorm" };
    lines.text("cfg.model.normalization", norm);
    let activation = match model.activation_kind() {
        Activation::Swiglu => "F.silu",
        Activation::Relu => "F.relu",
        _ => "F.gelu",
    };
    lines.raw("cfg.model.activation_func", activation);
    lines.flag("cfg.model.gated_linear_unit", model.activation_kind().is_gated());
    lines.flag("cfg.model.add_bias_linear", model.has_bias());
    lines.flag("cfg.model.add_qkv_bias", model.has_qkv_bias());
    lines.flag("cfg.model.share_embeddings_and_output_weights", model.has_tied_embeddings());
    let (attention, hidden) = model.dropout();
    lines.number("cfg.model.attention_dropout", format!("{attention:?}"));
    lines.number("cfg.model.hidden_dropout", format!("{hidden:?}"));
    lines.number("cfg.model.vocab_size", model.vocab_size);
    lines.flag("cfg.model.should_pad_vocab", true);
}

fn parallelism(
    subject: &ExportInput<'_>,
    chunks: &[Chunk],
    lines: &mut Assignments,
    losses: &mut Losses,
) {
    let p = &subject.plan.parallelism;
    lines.number("cfg.model.tensor_model_parallel_size", p.tensor);
    lines.number("cfg.model.pipeline_model_parallel_size", p.pipeline);
    lines.number("cfg.model.context_parallel_size", p.context);
    lines.flag("cfg.model.sequence_parallel", p.sequence_parallel);
    let virtual_stages =
        if p.virtual_stages > 1 { p.virtual_stages.to_string() } else { "None".to_owned() };
    lines.raw("cfg.model.virtual_pipeline_model_parallel_size", &virtual_stages);
    if is_even(chunks) {
        lines.raw("cfg.model.pipeline_model_parallel_layout", "None");
    } else {
        lines.text("cfg.model.pipeline_model_parallel_layout", &layout(chunks));
    }
    lines.raw("cfg.model.pipeline_dtype", dtype(subject.model.training.precision));
    schedule_losses(subject, losses);
}

const fn dtype(precision: Precision) -> &'static str {
    match precision {
        Precision::Fp16Mixed => "torch.float16",
        Precision::Bf16Mixed | Precision::Fp8 => "torch.bfloat16",
        Precision::Fp32 | Precision::Tf32 => "torch.float32",
    }
}

fn recomputation(chunks: &[Chunk], lines: &mut Assignments, losses: &mut Losses) {
    let (granularity, method, layers) = match rule(chunks, true, losses) {
        Rule::Nothing => ("None".to_owned(), "None", "None".to_owned()),
        Rule::AttentionCore => ("\"selective\"".to_owned(), "None", "None".to_owned()),
        Rule::All => ("\"full\"".to_owned(), "\"uniform\"", "1".to_owned()),
        Rule::First(layers) => ("\"full\"".to_owned(), "\"block\"", layers.to_string()),
    };
    lines.raw("cfg.model.recompute_granularity", &granularity);
    lines.raw("cfg.model.recompute_method", method);
    lines.raw("cfg.model.recompute_num_layers", &layers);
}

fn training(subject: &ExportInput<'_>, lines: &mut Assignments, losses: &mut Losses) {
    let model = subject.model;
    let batch = &subject.plan.batch;
    lines.number("cfg.train.global_batch_size", batch.global);
    lines.number("cfg.train.micro_batch_size", batch.micro);
    if let Some(tokens) = model.training.tokens {
        let step = batch.global.saturating_mul(model.sequence_length).max(1);
        lines.number("cfg.train.train_iters", tokens.div_ceil(step).max(1));
    }
    let precision = match model.training.precision {
        Precision::Fp16Mixed => Some("fp16_mixed"),
        Precision::Bf16Mixed => Some("bf16_mixed"),
        Precision::Fp8 => Some("bf16_with_fp8_delayed_scaling_mixed"),
        Precision::Fp32 => None,
        Precision::Tf32 => {
            losses.say("model.training.precision", "TF32 is a setting of PyTorch");
            None
        }
    };
    match precision {
        Some(name) => {
            let call = format!("get_mixed_precision_config(\"{name}\")");
            lines.raw("cfg.mixed_precision", &call);
            let wide = subject.stack.gradient_reduce_bytes != 2;
            lines.flag("cfg.mixed_precision.grad_reduce_in_fp32", wide);
        }
        None => lines.raw("cfg.mixed_precision", "None"),
    }
    let sgd = model.training.optimizer == Optimizer::Sgd;
    lines.text("cfg.optimizer.optimizer", if sgd { "sgd" } else { "adam" });
    if model.training.optimizer == Optimizer::Lamb {
        losses.say("model.training.optimizer", "there is no LAMB; here it is Adam");
    }
    lines.text("cfg.tokenizer.tokenizer_type", "NullTokenizer");
    lines.number("cfg.tokenizer.vocab_size", model.vocab_size);
    if model.family == Family::Bert || model.training.objective != Objective::CausalLm {
        losses.say("model.family", "models are pre-trained as causal decoders");
    }
}

fn sharding(subject: &ExportInput<'_>, lines: &mut Assignments) {
    let plan = subject.plan;
    let sharding = plan.optimizer_sharding;
    let strategy = match sharding {
        OptimizerSharding::None | OptimizerSharding::Zero1 => "no_shard",
        OptimizerSharding::Zero2 => "optim_grads",
        OptimizerSharding::Zero3 => "optim_grads_params",
    };
    let fsdp = strategy != "no_shard";
    lines.flag("cfg.ddp.use_distributed_optimizer", sharding != OptimizerSharding::None);
    lines.flag("cfg.ddp.use_megatron_fsdp", fsdp);
    lines.flag("cfg.dist.use_megatron_fsdp", fsdp);
    lines.text("cfg.ddp.data_parallel_sharding_strategy", strategy);
    if fsdp {
        lines.text("cfg.checkpoint.ckpt_format", "fsdp_dtensor");
    }
    let replicas = plan.parallelism.data * plan.parallelism.context;
    let reduce = replicas > 1 && subject.stack.overlap_gradient_reduce;
    lines.flag("cfg.ddp.overlap_grad_reduce", reduce);
    let gather =
        reduce && subject.stack.overlap_parameter_gather && sharding != OptimizerSharding::None;
    lines.flag("cfg.ddp.overlap_param_gather", gather);
}
