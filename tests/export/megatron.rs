//! What Megatron-LM makes of its command line: `megatron/training/arguments.py` and
//! `megatron/core/transformer/pipeline_parallel_layer_layout.py`, in our words.

use crate::table::table;
use lmplan::export::{ExportFile, Exported};
use lmplan::plan::{Batch, OptimizerSharding, Parallelism, Plan, RecomputeCounts, StagePlan};
use lmplan::spec::ScheduleKind;
use serde_json::Value;
use std::collections::BTreeMap;

/// Arguments with their values.
pub(crate) type Arguments = BTreeMap<String, Option<String>>;

pub(crate) fn file<'a>(exported: &'a Exported, name: &str) -> &'a ExportFile {
    exported.files.iter().find(|file| file.name == name).unwrap()
}

/// The words of the array in `args.sh`.
pub(crate) fn words(text: &str) -> Vec<String> {
    let body = text.split_once("MEGATRON_ARGS=(").unwrap().1.split_once("\n)").unwrap().0;
    let mut words = Vec::new();
    for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once(' ') {
            Some((name, value)) => {
                words.push(name.to_owned());
                words.push(value.trim_matches('\'').to_owned());
            }
            None => words.push(line.to_owned()),
        }
    }
    words
}

/// Parses as argparse does: every argument known, with the number and kind of values it takes.
pub(crate) fn parse(words: &[String]) -> Result<Arguments, String> {
    let table = table("megatron");
    let mut found = Arguments::new();
    let mut at = 0;
    while at < words.len() {
        let name = &words[at];
        at += 1;
        let kind = &table["arguments"][name.as_str()];
        if kind.is_null() {
            return Err(format!("unrecognized arguments: {name}"));
        }
        let value = if kind["kind"] == "switch" {
            None
        } else {
            let value = words.get(at).filter(|value| !value.starts_with("--"));
            let value = value.ok_or_else(|| format!("{name}: expected one argument"))?;
            at += 1;
            suits(name, kind, value)?;
            Some(value.clone())
        };
        if found.insert(name.clone(), value).is_some() {
            return Err(format!("{name} twice"));
        }
    }
    Ok(found)
}

fn suits(name: &str, kind: &Value, value: &str) -> Result<(), String> {
    let good = match kind["kind"].as_str().unwrap() {
        "int" => value.parse::<u64>().is_ok(),
        "float" => value.parse::<f64>().is_ok(),
        _ => kind["choices"].as_array().is_none_or(|choices| choices.iter().any(|c| c == value)),
    };
    if good { Ok(()) } else { Err(format!("{name}: invalid value {value}")) }
}

/// The layout's chunks: unrolls `(…)*n`, then `x*n`, and splits at `|`.
pub(crate) fn layout(text: &str) -> Vec<String> {
    let mut text = text.replace(',', "");
    while let Some(close) = text.find(")*") {
        let open = text[..close].rfind('(').unwrap();
        let digits: String = text[close + 2..].chars().take_while(char::is_ascii_digit).collect();
        let repeated = text[open + 1..close].repeat(digits.parse().unwrap());
        text.replace_range(open..close + 2 + digits.len(), &repeated);
    }
    while let Some(star) = text.find('*') {
        let digits: String = text[star + 1..].chars().take_while(char::is_ascii_digit).collect();
        let repeated = text[star - 1..star].repeat(digits.parse().unwrap());
        text.replace_range(star - 1..star + 1 + digits.len(), &repeated);
    }
    text.split('|').map(str::to_owned).collect()
}

/// `validate_args` and the constructors of the configurations, as far as they concern a plan.
pub(crate) fn validate(arguments: &Arguments, world: u64) -> Result<(), String> {
    let number = |name: &str| {
        arguments.get(name).and_then(|value| value.as_deref()).and_then(|v| v.parse::<u64>().ok())
    };
    let text = |name: &str| arguments.get(name).and_then(|value| value.as_deref());
    let has = |name: &str| arguments.contains_key(name);
    let need = |good: bool, said: &str| if good { Ok(()) } else { Err(said.to_owned()) };
    let (t, p) = (number("--tensor-model-parallel-size"), number("--pipeline-model-parallel-size"));
    let (t, p, c) = (t.unwrap(), p.unwrap(), number("--context-parallel-size").unwrap_or(1));
    need(world.is_multiple_of(t * p * c), "world size")?;
    let data = world / (t * p * c);
    let (micro, global) = (number("--micro-batch-size"), number("--global-batch-size"));
    let (micro, global) = (micro.unwrap(), global.unwrap());
    need(global.is_multiple_of(micro * data), "global batch")?;
    let layers = number("--num-layers").unwrap();
    let virtual_stages = number("--num-virtual-stages-per-pipeline-rank");
    let exclusive = [
        has("--num-layers-per-virtual-pipeline-stage"),
        virtual_stages.is_some(),
        has("--pipeline-model-parallel-layout"),
    ];
    need(exclusive.iter().filter(|on| **on).count() <= 1, "one way to give stages")?;
    let mut chunks = virtual_stages.unwrap_or(1);
    if let Some(given) = text("--pipeline-model-parallel-layout") {
        let stages = layout(given);
        need((stages.len() as u64).is_multiple_of(p), "length of the layout")?;
        chunks = stages.len() as u64 / p;
        let flat = stages.concat();
        need(flat.starts_with('E') && flat.ends_with('L'), "embedding first, loss last")?;
        need(flat.matches('E').count() == 1 && flat.matches('L').count() == 1, "each once")?;
        need(flat.matches('t').count() as u64 == layers, "number of layers")?;
        need(flat.chars().all(|c| "EtL".contains(c)), "letters")?;
    } else {
        need(layers.is_multiple_of(p * chunks), "layers by stages")?;
    }
    if chunks > 1 {
        let least = if has("--no-overlap-p2p-communication") { 3 } else { 2 };
        need(p >= least, "interleaving needs stages")?;
        need((global / (micro * data)).is_multiple_of(p), "micro-batches by stages")?;
    }
    need(!has("--sequence-parallel") || t > 1, "sequence parallel without tensor parallel")?;
    need(!has("--tp-comm-overlap") || has("--sequence-parallel"), "tp overlap")?;
    need(!has("--overlap-param-gather") || has("--overlap-grad-reduce"), "gather without reduce")?;
    let optimizer = has("--use-distributed-optimizer") || has("--use-megatron-fsdp");
    need(!has("--overlap-param-gather") || optimizer, "gather without distributed optimizer")?;
    let fsdp = text("--ckpt-format") == Some("fsdp_dtensor");
    need(!has("--use-megatron-fsdp") || fsdp, "checkpoint format of FSDP")?;
    need(!(has("--fp16") && has("--bf16")), "two precisions")?;
    let (method, count) = (has("--recompute-method"), has("--recompute-num-layers"));
    match text("--recompute-granularity") {
        Some("full") => need(method && count, "full recomputation needs a method"),
        _ => need(!method && !count, "a method without full recomputation"),
    }
}

/// The plan that the arguments describe, with names and without places and operators.
pub(crate) fn read(arguments: &Arguments, world: u64, names: [&str; 3]) -> Plan {
    let text = |name: &str| arguments.get(name).and_then(|value| value.as_deref());
    let number = |name: &str| text(name).map(|value| value.parse::<u64>().unwrap());
    let has = |name: &str| arguments.contains_key(name);
    let tensor = number("--tensor-model-parallel-size").unwrap();
    let pipeline = number("--pipeline-model-parallel-size").unwrap();
    let context = number("--context-parallel-size").unwrap();
    let layers = number("--num-layers").unwrap();
    let mut virtual_stages = number("--num-virtual-stages-per-pipeline-rank").unwrap_or(1);
    let counts: Vec<u64> = match text("--pipeline-model-parallel-layout") {
        Some(given) => {
            let stages = layout(given);
            virtual_stages = stages.len() as u64 / pipeline;
            stages.iter().map(|stage| stage.matches('t').count() as u64).collect()
        }
        None => {
            let chunks = pipeline * virtual_stages;
            vec![layers / chunks; chunks as usize]
        }
    };
    let recompute = |count: u64| match text("--recompute-granularity") {
        None => RecomputeCounts { none: count, selective: 0, full: 0 },
        Some("selective") => RecomputeCounts { none: 0, selective: count, full: 0 },
        Some(_) => {
            let rows = number("--recompute-num-layers").unwrap();
            let block = text("--recompute-method") == Some("block");
            let full = if block { rows.min(count) } else { count };
            RecomputeCounts { none: count - full, selective: 0, full }
        }
    };
    let mut next = 0;
    let stage = |q: u64| {
        let own: Vec<RecomputeCounts> =
            (0..virtual_stages).map(|k| recompute(counts[(k * pipeline + q) as usize])).collect();
        let sum = |part: fn(&RecomputeCounts) -> u64| own.iter().map(part).sum::<u64>();
        let recompute = RecomputeCounts {
            none: sum(|r| r.none),
            selective: sum(|r| r.selective),
            full: sum(|r| r.full),
        };
        let first = next;
        next += recompute.layers();
        StagePlan { layers: format!("{first}..{next}"), devices: String::new(), recompute }
    };
    let sharding = match (has("--use-megatron-fsdp"), has("--use-distributed-optimizer")) {
        (true, _) if text("--data-parallel-sharding-strategy") == Some("optim_grads") => {
            OptimizerSharding::Zero2
        }
        (true, _) => OptimizerSharding::Zero3,
        (false, true) => OptimizerSharding::Zero1,
        (false, false) => OptimizerSharding::None,
    };
    let [model, cluster, stack] = names.map(str::to_owned);
    Plan {
        model,
        cluster,
        stack,
        parallelism: Parallelism {
            tensor,
            pipeline,
            data: world / (tensor * pipeline * context),
            context,
            expert: 1,
            virtual_stages,
            sequence_parallel: has("--sequence-parallel"),
        },
        batch: Batch {
            global: number("--global-batch-size").unwrap(),
            micro: number("--micro-batch-size").unwrap(),
        },
        lora: None,
        schedule: if virtual_stages > 1 {
            ScheduleKind::Interleaved
        } else {
            ScheduleKind::OneFOneB
        },
        optimizer_sharding: sharding,
        stages: (0..pipeline).map(stage).collect(),
        operators: Default::default(),
    }
}

#[test]
fn wrong_command_lines_are_refused() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for wrong in [
        "--tensor-parallel 8",
        "--num-layers many",
        "--num-layers",
        "--num-layers --hidden-size 12",
        "--recompute-granularity some",
        "--sequence-parallel --sequence-parallel",
        "--sequence-parallel true",
    ] {
        assert!(parse(&words(wrong)).is_err(), "{wrong}");
    }
    assert_eq!(layout("Ettt|(tt|)*2,t*3|L"), ["Ettt", "tt", "tt", "ttt", "L"]);
    let base = "--num-layers 32 --tensor-model-parallel-size 1 --pipeline-model-parallel-size 2 \
                --micro-batch-size 1 --global-batch-size 8";
    assert_eq!(validate(&parse(&words(base)).unwrap(), 2), Ok(()));
    for more in [
        "--sequence-parallel",
        "--pipeline-model-parallel-layout Et*15|t*16L",
        "--pipeline-model-parallel-layout Et*16|t*16L --num-virtual-stages-per-pipeline-rank 2",
        "--recompute-granularity full",
        "--recompute-granularity selective --recompute-method block",
        "--overlap-param-gather --overlap-grad-reduce",
        "--use-megatron-fsdp",
    ] {
        let arguments = parse(&words(&format!("{base} {more}"))).unwrap();
        assert!(validate(&arguments, 2).is_err(), "{more}");
    }
}
