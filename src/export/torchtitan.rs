//! torchtitan: a Python function that returns a `Trainer.Config`.

use super::configuration::{Config, Program};
use super::input::ExportInput;
use super::layout::{Chunk, chunks};
use super::losses::Losses;
use super::python::{Assignments, identifier, quoted};
use super::recompute::{Rule, rule};
use crate::plan::OptimizerSharding;
use crate::spec::{ModelSpec, Precision, ScheduleKind};

/// Models that torchtitan has a configuration for: layers, hidden size, heads, vocabulary.
const KNOWN: [(&str, [u64; 4]); 3] = [
    ("llama3_8b", [32, 4096, 32, 128_256]),
    ("llama3_70b", [80, 8192, 64, 128_256]),
    ("llama3_405b", [126, 16_384, 128, 128_256]),
];

/// The function and what runs it.
pub(super) fn write(subject: &ExportInput<'_>, losses: &mut Losses) -> (Config, Program) {
    let chunks = chunks(subject);
    let mut lines = Assignments::default();
    training(subject, &mut lines, losses);
    parallelism(subject, &chunks, &mut lines, losses);
    let recompute = match rule(&chunks, false, losses) {
        Rule::Nothing => "None",
        Rule::AttentionCore => {
            let said = "torchtitan's selective recomputation repeats what is cheap to repeat, \
                        operator by operator, not the attention core alone";
            losses.say("stages.recompute", said);
            "SelectiveAC.Config()"
        }
        Rule::All | Rule::First(_) => "FullAC.Config()",
    };
    lines.raw("config.activation_checkpoint", recompute);
    let plan = subject.plan;
    let name = format!("{}_on_{}", identifier(&plan.model), identifier(&plan.cluster));
    let base = base(subject.model);
    let import = match base {
        Some(base) => format!("from torchtitan.models.llama3.config_registry import {base}\n"),
        None => {
            let said = "torchtitan has no configuration of this model: write one, and name its \
                        function as `base`";
            losses.say("model", said);
            "from my_models import base\n".to_owned()
        }
    };
    let classes = match recompute {
        "None" => String::new(),
        call => {
            let class = call.split('.').next().unwrap_or_default();
            format!("from torchtitan.distributed.activation_checkpoint import {class}\n")
        }
    };
    let body = format!(
        "{classes}{import}from torchtitan.trainer import Trainer\n\n\n\
         def {name}() -> Trainer.Config:\n    config = {}()\n{}    return config\n",
        base.unwrap_or("base"),
        lines.lines()
    );
    let setup = vec!["export PYTHONPATH=\"$here${PYTHONPATH:+:$PYTHONPATH}\"".to_owned()];
    let command = format!("-m torchtitan.train --module lmplan_config --config {name}");
    (Config { name: "lmplan_config.py", body, has_comments: true }, Program { setup, command })
}

fn base(model: &ModelSpec) -> Option<&'static str> {
    let sizes = [model.num_layers, model.hidden_size, model.num_heads, model.vocab_size];
    KNOWN.iter().find(|(_, known)| *known == sizes).map(|(name, _)| *name)
}

fn training(subject: &ExportInput<'_>, lines: &mut Assignments, losses: &mut Losses) {
    let (model, batch) = (subject.model, &subject.plan.batch);
    let length = model.sequence_length;
    lines.number("config.training.max_context_length", length);
    let tokens = batch.micro.saturating_mul(length);
    lines.number("config.training.num_tokens_per_microbatch_per_dp_rank", tokens);
    let step = batch.global.saturating_mul(length);
    lines.number("config.training.num_tokens_per_train_step", step);
    if let Some(tokens) = model.training.tokens {
        lines.number("config.training.steps", tokens.div_ceil(step.max(1)).max(1));
    }
    match model.training.precision {
        Precision::Bf16Mixed => {
            lines.text("config.training.mixed_precision_param", "bfloat16");
        }
        Precision::Fp32 | Precision::Tf32 => {
            lines.text("config.training.mixed_precision_param", "float32");
        }
        Precision::Fp16Mixed | Precision::Fp8 => {
            lines.text("config.training.mixed_precision_param", "bfloat16");
            let planned = model.training.precision.name();
            let said = format!(
                "`{planned}` is no setting of the trainer (FP8 is a converter of the model); here \
                 bfloat16"
            );
            losses.say("model.training.precision", said);
        }
    }
    if subject.plan.parallelism.pipeline > 1 {
        // Not supported with pipeline stages.
        lines.flag("config.training.disable_cuda_graphs", true);
    }
}

fn parallelism(
    subject: &ExportInput<'_>,
    chunks: &[Chunk],
    lines: &mut Assignments,
    losses: &mut Losses,
) {
    let plan = subject.plan;
    let p = &plan.parallelism;
    let mut degree = |name: &str, value: u64| {
        lines.number(&format!("config.parallelism.{name}"), value);
    };
    degree("tensor_parallel_degree", p.tensor);
    degree("pipeline_parallel_degree", p.pipeline);
    degree("context_parallel_degree", p.context);
    let sharded = plan.optimizer_sharding != OptimizerSharding::None;
    degree("data_parallel_replicate_degree", if sharded { 1 } else { p.data });
    degree("data_parallel_shard_degree", if sharded { p.data } else { 1 });
    if sharded {
        let always = plan.optimizer_sharding == OptimizerSharding::Zero3;
        let policy = if always { "always" } else { "never" };
        lines.text("config.parallelism.fsdp_reshard_after_forward", policy);
    }
    if plan.optimizer_sharding == OptimizerSharding::Zero1 {
        let said = "FSDP shards gradients and parameters as well; parameters are kept from forward \
                    to backward pass, which is nearest";
        losses.say("optimizer_sharding", said);
    }
    lines.flag("config.parallelism.enable_sequence_parallel", p.sequence_parallel);
    if p.pipeline > 1 {
        let schedule = match plan.schedule {
            ScheduleKind::Gpipe => "GPipe",
            ScheduleKind::OneFOneB => "1F1B",
            ScheduleKind::Interleaved => "Interleaved1F1B",
        };
        lines.text("config.parallelism.pipeline_parallel_schedule", schedule);
        let micro_batches = plan.num_micro_batches().unwrap_or(1);
        lines.number("config.parallelism.num_pp_microbatches", micro_batches);
        lines.raw("config.parallelism.module_fqns_per_model_part", &modules(chunks));
    }
}

/// The modules of each chunk, in the order of the model.
fn modules(chunks: &[Chunk]) -> String {
    let last = chunks.len().saturating_sub(1);
    let mut text = "[\n".to_owned();
    for (index, chunk) in chunks.iter().enumerate() {
        let mut names: Vec<String> = Vec::new();
        if index == 0 {
            names.push(quoted("tok_embeddings"));
        }
        names.extend(chunk.layers.clone().map(|layer| quoted(&format!("layers.{layer}"))));
        if index == last {
            names.extend([quoted("norm"), quoted("lm_head")]);
        }
        text.push_str(&format!("        [{}],\n", names.join(", ")));
    }
    text + "    ]"
}
