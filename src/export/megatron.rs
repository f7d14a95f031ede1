//! Megatron-LM: arguments of `pretrain_gpt.py`.

use super::arguments::Arguments;
use super::configuration::{Config, Program};
use super::input::ExportInput;
use super::launch::beside;
use super::layout::{Chunk, chunks, is_even};
use super::losses::Losses;
use super::recompute::{Rule, rule};
use crate::plan::OptimizerSharding;
use crate::spec::{
    Activation, Family, ModelSpec, Norm, NormPlacement, Objective, Optimizer, Position, Precision,
    ScheduleKind, TensorOverlap,
};

/// The arguments and what runs them.
pub(super) fn write(subject: &ExportInput<'_>, losses: &mut Losses) -> (Config, Program) {
    let mut arguments = Arguments::default();
    let chunks = chunks(subject);
    architecture(subject.model, &mut arguments, losses);
    training(subject, &mut arguments, losses);
    parallelism(subject, &chunks, &mut arguments, losses);
    sharding(subject, &mut arguments);
    recomputation(&chunks, &mut arguments, losses);
    data(subject, &mut arguments, losses);
    let body = arguments.shell_array("MEGATRON_ARGS");
    let fsdp = is_fsdp(subject.plan.optimizer_sharding);
    let mut setup = vec![format!("source {}", beside("args.sh"))];
    if !fsdp {
        // Collectives of a tensor-parallel group are issued in the order of the products.
        setup.push("export CUDA_DEVICE_MAX_CONNECTIONS=1".to_owned());
    }
    let bert = subject.model.family == Family::Bert;
    let script = if bert { "pretrain_bert.py" } else { "pretrain_gpt.py" };
    setup.push("cd \"${MEGATRON_PATH:?the folder of Megatron-LM}\"".to_owned());
    let command = format!("{script} \"${{MEGATRON_ARGS[@]}}\"");
    (Config { name: "args.sh", body, has_comments: true }, Program { setup, command })
}

const fn is_fsdp(sharding: OptimizerSharding) -> bool {
    matches!(sharding, OptimizerSharding::Zero2 | OptimizerSharding::Zero3)
}

fn architecture(model: &ModelSpec, arguments: &mut Arguments, losses: &mut Losses) {
    arguments.value("--num-layers", model.num_layers);
    arguments.value("--hidden-size", model.hidden_size);
    arguments.value("--ffn-hidden-size", model.ffn());
    arguments.value("--num-attention-heads", model.num_heads);
    if model.kv_heads() != model.num_heads {
        arguments.switch("--group-query-attention", true);
        arguments.value("--num-query-groups", model.kv_heads());
    }
    if model.head_width().checked_mul(model.num_heads) != Some(model.hidden_size) {
        arguments.value("--kv-channels", model.head_width());
    }
    arguments.value("--seq-length", model.sequence_length);
    let learned = model.position_kind() == Position::Learned;
    let positions = if learned { model.positions() } else { model.sequence_length };
    arguments.value("--max-position-embeddings", positions);
    arguments.value("--position-embedding-type", position(model));
    let norm = if model.norm_kind() == Norm::Rmsnorm { "RMSNorm" } else { "LayerNorm" };
    arguments.value("--normalization", norm);
    arguments.switch("--swiglu", model.activation_kind() == Activation::Swiglu);
    arguments.switch("--squared-relu", model.activation_kind() == Activation::SquaredRelu);
    arguments.switch("--disable-bias-linear", !model.has_bias());
    arguments.switch("--add-qkv-bias", model.has_qkv_bias() && !model.has_bias());
    arguments.switch("--untie-embeddings-and-output-weights", !model.has_tied_embeddings());
    let (attention, hidden) = model.dropout();
    arguments.value("--attention-dropout", attention);
    arguments.value("--hidden-dropout", hidden);
    model_losses(model, losses);
}

/// How positions enter, in Megatron's words.
pub(super) fn position(model: &ModelSpec) -> &'static str {
    match model.position_kind() {
        Position::Learned => "learned_absolute",
        Position::Rope => "rope",
        Position::Alibi | Position::None => "none",
    }
}

/// What Megatron's transformer does not have.
pub(super) fn model_losses(model: &ModelSpec, losses: &mut Losses) {
    if model.position_kind() == Position::Alibi {
        losses.say("model.position", "there is no ALiBi; here positions do not enter");
    }
    match model.activation_kind() {
        Activation::Relu | Activation::Tanh => {
            losses.say("model.activation", "the activation is GELU here, of the same cost");
        }
        Activation::Geglu => {
            losses.say("model.activation", "there is no gated GELU; here half of `fc1` is missing");
        }
        _ => {}
    }
    if model.parallel_branches.is_some() {
        let said = "attention and feed-forward network stand one after the other";
        losses.say("model.parallel_branches", said);
    }
    if model.norm_position() == NormPlacement::Post {
        losses.say("model.norm_placement", "norms stand before the branches, with one in the head");
    }
    if model.has_embedding_norm() && model.family != Family::Bert {
        losses.say("model.embedding_norm", "there is no norm after the embeddings");
    }
    if model.has_qkv_bias() != model.has_bias() && model.has_bias() {
        losses.say("model.qkv_bias", "query, key and value projections have a bias");
    }
    if model.norm_kind() == Norm::Layernorm && !model.has_norm_bias() {
        losses.say("model.norm_bias", "layer norms have a bias");
    }
}

fn training(subject: &ExportInput<'_>, arguments: &mut Arguments, losses: &mut Losses) {
    let training = &subject.model.training;
    arguments.value("--micro-batch-size", subject.plan.batch.micro);
    arguments.value("--global-batch-size", subject.plan.batch.global);
    match training.precision {
        Precision::Fp16Mixed => arguments.switch("--fp16", true),
        Precision::Bf16Mixed => arguments.switch("--bf16", true),
        Precision::Fp8 => {
            arguments.switch("--bf16", true);
            arguments.value("--fp8-format", "hybrid");
        }
        Precision::Fp32 => {}
        Precision::Tf32 => {
            losses.say("model.training.precision", "TF32 is a setting of PyTorch, not of Megatron");
        }
    }
    let optimizer = if training.optimizer == Optimizer::Sgd { "sgd" } else { "adam" };
    arguments.value("--optimizer", optimizer);
    if training.optimizer == Optimizer::Lamb {
        losses.say("model.training.optimizer", "there is no LAMB; here it is Adam");
    }
    let said = "plans say nothing of it: add `--lr` and its schedule to the launch line";
    losses.say("model.training.learning_rate", said);
    let tokens = training.tokens.unwrap_or(0);
    let samples = tokens / subject.model.sequence_length.max(1);
    if samples > 0 {
        arguments.value("--train-samples", samples);
    }
    if subject.model.family == Family::Bert {
        let said = "`pretrain_bert.py` left Megatron-LM in 2026: take a release that has it";
        losses.say("model.family", said);
        let pairs = training.objective == Objective::MaskedLmNsp;
        arguments.switch("--bert-no-binary-head", !pairs);
    }
    let pretrained = matches!(
        training.objective,
        Objective::CausalLm | Objective::MaskedLm | Objective::MaskedLmNsp
    );
    if !pretrained {
        losses.say("model.training.objective", "the head is that of pre-training");
    }
}

fn parallelism(
    subject: &ExportInput<'_>,
    chunks: &[Chunk],
    arguments: &mut Arguments,
    losses: &mut Losses,
) {
    let plan = subject.plan;
    let p = &plan.parallelism;
    arguments.value("--tensor-model-parallel-size", p.tensor);
    arguments.value("--pipeline-model-parallel-size", p.pipeline);
    arguments.value("--context-parallel-size", p.context);
    arguments.switch("--sequence-parallel", p.sequence_parallel);
    if !is_even(chunks) {
        arguments.value("--pipeline-model-parallel-layout", layout(chunks));
    } else if p.virtual_stages > 1 {
        arguments.value("--num-virtual-stages-per-pipeline-rank", p.virtual_stages);
    }
    schedule_losses(subject, losses);
    if p.virtual_stages > 1 && !subject.stack.overlap_p2p {
        if p.pipeline > 2 {
            arguments.switch("--no-overlap-p2p-communication", true);
        } else {
            let said = "transfers of two interleaved stages run beside computation";
            losses.say("stack.overlap_p2p", said);
        }
    }
    let all = subject.stack.overlap_tensor_parallel == TensorOverlap::All;
    arguments.switch("--tp-comm-overlap", all && p.tensor > 1 && p.sequence_parallel);
}

/// Schedules that Megatron does not have.
pub(super) fn schedule_losses(subject: &ExportInput<'_>, losses: &mut Losses) {
    if subject.plan.schedule == ScheduleKind::Gpipe {
        let said = "there is no GPipe; 1F1B takes as long and keeps fewer activations";
        losses.say("schedule", said);
    }
}

/// The layout of uneven stages: `E` embedding, `t` a layer, `L` loss, `|` between chunks.
pub(super) fn layout(chunks: &[Chunk]) -> String {
    let last = chunks.len().saturating_sub(1);
    let stage = |(index, chunk): (usize, &Chunk)| {
        let mut text = String::new();
        if index == 0 {
            text.push('E');
        }
        match chunk.layers.end - chunk.layers.start {
            0 => {}
            1 => text.push('t'),
            count => text.push_str(&format!("t*{count}")),
        }
        if index == last {
            text.push('L');
        }
        text
    };
    chunks.iter().enumerate().map(stage).collect::<Vec<_>>().join("|")
}

fn sharding(subject: &ExportInput<'_>, arguments: &mut Arguments) {
    let sharding = subject.plan.optimizer_sharding;
    arguments.switch("--use-distributed-optimizer", sharding != OptimizerSharding::None);
    if is_fsdp(sharding) {
        arguments.switch("--use-megatron-fsdp", true);
        let full = sharding == OptimizerSharding::Zero3;
        let strategy = if full { "optim_grads_params" } else { "optim_grads" };
        arguments.value("--data-parallel-sharding-strategy", strategy);
        arguments.value("--ckpt-format", "fsdp_dtensor");
    }
    let replicas = subject.plan.parallelism.data * subject.plan.parallelism.context;
    let reduce = replicas > 1 && subject.stack.overlap_gradient_reduce;
    arguments.switch("--overlap-grad-reduce", reduce);
    let gather = reduce && subject.stack.overlap_parameter_gather;
    arguments.switch("--overlap-param-gather", gather && sharding != OptimizerSharding::None);
    let half = subject.stack.gradient_reduce_bytes == 2;
    let mixed = subject.model.training.precision.is_mixed();
    arguments.switch("--accumulate-allreduce-grads-in-fp32", !half && mixed);
}

fn recomputation(chunks: &[Chunk], arguments: &mut Arguments, losses: &mut Losses) {
    let (granularity, method, layers) = match rule(chunks, true, losses) {
        Rule::Nothing => return,
        Rule::AttentionCore => ("selective", None, None),
        Rule::All => ("full", Some("uniform"), Some(1)),
        Rule::First(layers) => ("full", Some("block"), Some(layers)),
    };
    arguments.value("--recompute-granularity", granularity);
    if let Some(method) = method {
        arguments.value("--recompute-method", method);
    }
    if let Some(layers) = layers {
        arguments.value("--recompute-num-layers", layers);
    }
}

fn data(subject: &ExportInput<'_>, arguments: &mut Arguments, losses: &mut Losses) {
    let model = subject.model;
    let multiple = subject.stack.vocabulary_multiple.max(1);
    arguments.value("--make-vocab-size-divisible-by", multiple);
    let step = multiple.saturating_mul(subject.plan.parallelism.tensor);
    let padded = model.vocab_size.div_ceil(step).saturating_mul(step);
    if padded != model.vocab_size {
        let said = format!("the vocabulary of {} is padded to {padded} rows", model.vocab_size);
        losses.say("model.vocab_size", said);
    }
    arguments.value("--tokenizer-type", "NullTokenizer");
    arguments.value("--vocab-size", model.vocab_size);
    arguments.switch("--mock-data", true);
}
