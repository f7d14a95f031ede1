//! DeepSpeed: `ds_config.json`.

use super::configuration::{Config, Program, one_line};
use super::exported::ExportFile;
use super::input::ExportInput;
use super::launch::beside;
use super::layout::{Chunk, chunks, is_even};
use super::losses::{Losses, NotExpressed};
use super::recompute::{Rule, rule};
use super::target::Target;
use crate::plan::OptimizerSharding;
use crate::spec::{Optimizer, Precision, ScheduleKind};
use serde_json::{Map, Value, json};

/// Learning rate that stands in the file; plans say nothing about it.
const LEARNING_RATE: f64 = 1e-4;

/// The configuration and what runs it.
pub(super) fn write(subject: &ExportInput<'_>, losses: &mut Losses) -> (Config, Program) {
    let plan = subject.plan;
    let p = &plan.parallelism;
    let chunks = chunks(subject);
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("train_batch_size", json!(plan.batch.global));
    put("train_micro_batch_size_per_gpu", json!(plan.batch.micro));
    put("gradient_accumulation_steps", json!(plan.num_micro_batches().unwrap_or(1)));
    put("gradient_clipping", json!(1.0));
    put("optimizer", optimizer(subject));
    match subject.model.training.precision {
        Precision::Fp16Mixed => put("fp16", json!({"enabled": true})),
        Precision::Bf16Mixed => put("bf16", json!({"enabled": true})),
        Precision::Fp8 => {
            put("bf16", json!({"enabled": true}));
            losses.say("model.training.precision", "products run in bfloat16, not in FP8");
        }
        Precision::Fp32 => {}
        Precision::Tf32 => {
            losses
                .say("model.training.precision", "TF32 is a setting of PyTorch, not of DeepSpeed");
        }
    }
    put("zero_optimization", zero(subject, losses));
    if p.tensor > 1 {
        put("tensor_parallel", json!({"autotp_size": p.tensor}));
    }
    if p.pipeline > 1 {
        put("pipeline", pipeline(subject, &chunks, losses));
    } else if rule(&chunks, false, losses) != Rule::Nothing {
        let said = "layers are recomputed where the model calls `deepspeed.checkpointing`";
        losses.say("stages.recompute", said);
        put("activation_checkpointing", json!({"partition_activations": false}));
    }
    ways(subject, losses);
    let body = format!("{:#}\n", Value::Object(fields));
    let setup = vec![format!("config={}", beside("ds_config.json"))];
    let command = "\"${TRAIN_SCRIPT:?the script that builds the model and calls \
                   deepspeed.initialize}\" --deepspeed --deepspeed_config \"$config\"";
    let program = Program { setup, command: command.to_owned() };
    (Config { name: "ds_config.json", body, has_comments: false }, program)
}

fn optimizer(subject: &ExportInput<'_>) -> Value {
    let name = match subject.model.training.optimizer {
        Optimizer::Adam => "AdamW",
        Optimizer::Lamb => "Lamb",
        Optimizer::Sgd => "SGD",
    };
    let mut parameters = json!({"lr": LEARNING_RATE});
    if name == "SGD" {
        parameters["momentum"] = json!(0.9);
    }
    json!({"type": name, "params": parameters})
}

fn zero(subject: &ExportInput<'_>, losses: &mut Losses) -> Value {
    let plan = subject.plan;
    let planned = match plan.optimizer_sharding {
        OptimizerSharding::None => 0,
        OptimizerSharding::Zero1 => 1,
        OptimizerSharding::Zero2 => 2,
        OptimizerSharding::Zero3 => 3,
    };
    let stage = if plan.parallelism.pipeline > 1 && planned > 1 {
        let said = format!(
            "ZeRO-{planned} does not go with pipeline stages; here ZeRO-1, which needs more memory"
        );
        losses.say("optimizer_sharding", said);
        1
    } else {
        planned
    };
    json!({
        "stage": stage,
        "overlap_comm": subject.stack.overlap_gradient_reduce,
        "reduce_bucket_size": subject.stack.bucket_elements,
        "contiguous_gradients": true,
    })
}

fn pipeline(subject: &ExportInput<'_>, chunks: &[Chunk], losses: &mut Losses) -> Value {
    let p = &subject.plan.parallelism;
    if p.virtual_stages > 1 {
        losses.say("parallelism.virtual_stages", "stages are not interleaved; here 1F1B");
    } else if subject.plan.schedule == ScheduleKind::Gpipe {
        losses.say("schedule", "there is no GPipe; 1F1B takes as long and keeps fewer activations");
    }
    if p.virtual_stages > 1 || is_even(chunks) {
        losses.say(
            "stages.layers",
            "layers are counted evenly by `partition: type:…`; give your layer's class name",
        );
    } else {
        let counts: Vec<String> = chunks
            .iter()
            .map(|chunk| (chunk.layers.end - chunk.layers.start).to_string())
            .collect();
        losses.say(
            "stages.layers",
            format!(
                "uneven stages ({} layers) are set in Python, by a `PipelineModule` with `parts` of \
                 its own; here they are spread evenly",
                counts.join(", ")
            ),
        );
    }
    let interval = match rule(chunks, false, losses) {
        Rule::Nothing => 0,
        Rule::AttentionCore => {
            let said = "the attention core is not recomputed on its own; here nothing is, which \
                        needs more memory: recompute it in the model";
            losses.say("stages.recompute", said);
            0
        }
        Rule::All | Rule::First(_) => 1,
    };
    json!({
        "stages": p.pipeline,
        "partition": "type:transformer",
        "activation_checkpoint_interval": interval,
    })
}

fn ways(subject: &ExportInput<'_>, losses: &mut Losses) {
    let p = &subject.plan.parallelism;
    if p.sequence_parallel {
        let said = "activations outside the tensor-parallel region are not sharded, which needs \
                    more memory";
        losses.say("parallelism.sequence_parallel", said);
    }
    if p.context > 1 {
        let said = format!(
            "sequences over {} ranks are set in Python (Ulysses), not in the configuration",
            p.context
        );
        losses.say("parallelism.context", said);
    }
    if p.tensor > 1 && p.pipeline > 1 {
        let said = "AutoTP does not go with pipeline stages: give `PipelineModule` layers that are \
                    already tensor-parallel, and a topology of pipe, data and model";
        losses.say("parallelism.tensor", said);
    }
    losses
        .say("model", "the model is built by your script; the configuration does not describe it");
    losses
        .say("model.training.learning_rate", "plans say nothing of it; `1e-4` stands in its place");
}

/// What JSON has no room for.
pub(super) fn notes(subject: &ExportInput<'_>, lost: &[NotExpressed]) -> ExportFile {
    let mut text = format!(
        "{} on {}, for {}\n\nNot expressed in ds_config.json:\n",
        one_line(&subject.plan.model),
        one_line(&subject.plan.cluster),
        Target::DeepSpeed.version()
    );
    for loss in lost {
        text.push_str(&format!("- {}: {}\n", loss.field, one_line(&loss.said)));
    }
    ExportFile { name: "not-expressed.txt".to_owned(), text }
}
