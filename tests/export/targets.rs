//! Every exported file against the fields of its target.

use crate::megatron::{file, layout, parse, validate, words};
use crate::plans::{GPT, Names, TARGETS, any_plan, exported, job, shorthand, whole};
use crate::python::assignments;
use crate::table::{table, unsuited};
use lmplan::export::Target;
use lmplan::plan::Plan;
use lmplan::planner::job::Job;
use proptest::prelude::*;
use serde_json::Value;

fn check(job: &Job, plan: &Plan) {
    for target in TARGETS {
        let exported = exported(job, plan, target);
        let text = &exported.files[0].text;
        match target {
            Target::Megatron => {
                let arguments = parse(&words(text)).unwrap();
                assert_eq!(validate(&arguments, plan.devices()), Ok(()));
            }
            Target::DeepSpeed => deepspeed(text, plan),
            Target::Torchtitan => torchtitan(text, job, plan),
            Target::Bridge => bridge(text, job, plan),
        }
        if target != Target::DeepSpeed {
            for loss in &exported.not_expressed {
                assert!(text.contains(&format!("# not expressed: {}: ", loss.field)), "{text}");
            }
        }
        ranks(&file(&exported, "ranks.csv").text, job, plan);
    }
}

fn deepspeed(text: &str, plan: &Plan) {
    let table = table("deepspeed");
    let config: Value = serde_json::from_str(text).unwrap();
    for (name, value) in config.as_object().unwrap() {
        let section = &table["sections"][name.as_str()];
        if let Some(fields) = value.as_object() {
            for (field, value) in fields {
                let kind = &section[field.as_str()];
                assert!(!kind.is_null(), "{name}.{field} is no field");
                assert_eq!(unsuited(kind, value), None, "{name}.{field}");
            }
        } else {
            let kind = &table["sections"]["top"][name.as_str()];
            assert!(!kind.is_null(), "{name} is no field");
            assert_eq!(unsuited(kind, value), None, "{name}");
        }
    }
    let number = |name: &str| config[name].as_u64().unwrap();
    let product = number("train_micro_batch_size_per_gpu")
        * number("gradient_accumulation_steps")
        * plan.parallelism.data;
    assert_eq!(number("train_batch_size"), product);
    if plan.parallelism.pipeline > 1 {
        assert_eq!(config["pipeline"]["stages"], plan.parallelism.pipeline);
        assert!(config["zero_optimization"]["stage"].as_u64().unwrap() < 2);
    }
    assert!(!(config.get("fp16").is_some() && config.get("bf16").is_some()));
}

fn torchtitan(text: &str, job: &Job, plan: &Plan) {
    let table = table("torchtitan");
    let p = &plan.parallelism;
    let mut degrees = 1;
    let mut parts = 0;
    for (section, field, value) in assignments(text, "config") {
        if section.is_empty() {
            assert!(
                table["trainer"].as_array().unwrap().contains(&field.as_str().into()),
                "{field}"
            );
            continue;
        }
        let kind = &table["sections"][&section][&field];
        assert!(!kind.is_null(), "{section}.{field} is no field");
        let value = value.unwrap();
        assert_eq!(unsuited(kind, &value), None, "{section}.{field}");
        if field.ends_with("_degree") {
            degrees *= value.as_u64().unwrap();
        }
        if field == "pipeline_parallel_schedule" {
            assert!(table["schedules"].as_array().unwrap().contains(&value), "{value}");
        }
        if field == "module_fqns_per_model_part" {
            let chunks = value.as_array().unwrap();
            parts = chunks.len() as u64;
            let flat: Vec<&Value> = chunks.iter().flat_map(|c| c.as_array().unwrap()).collect();
            let mut expected = vec!["tok_embeddings".to_owned()];
            expected
                .extend((0..job.workload.model.num_layers).map(|layer| format!("layers.{layer}")));
            expected.extend(["norm".to_owned(), "lm_head".to_owned()]);
            assert_eq!(flat, expected.iter().collect::<Vec<_>>());
        }
    }
    assert_eq!(degrees, plan.devices());
    assert_eq!(parts, if p.pipeline > 1 { p.pipeline * p.virtual_stages } else { 0 });
    if let Some(rest) = text.split_once("config_registry import ") {
        let name = rest.1.lines().next().unwrap();
        assert!(table["llama3"].as_array().unwrap().contains(&name.into()), "{name}");
    }
}

fn bridge(text: &str, job: &Job, plan: &Plan) {
    let table = table("bridge");
    for (section, field, value) in assignments(text, "cfg") {
        if section.is_empty() || section == "mixed_precision" {
            if let Err(call) = value.as_ref().map_err(String::as_str)
                && let Some(rest) = call.strip_prefix("get_mixed_precision_config(\"")
            {
                let name = rest.trim_end_matches("\")");
                assert!(table["precisions"].as_array().unwrap().contains(&name.into()), "{name}");
            }
            continue;
        }
        let kind = &table["sections"][&section][&field];
        assert!(!kind.is_null(), "{section}.{field} is no field");
        match value {
            Ok(Value::Null) => {}
            Ok(value) => assert_eq!(unsuited(kind, &value), None, "{section}.{field}"),
            Err(expression) => {
                let good = ["F.silu", "F.gelu", "F.relu", "torch."];
                assert!(good.iter().any(|start| expression.starts_with(start)), "{expression}");
            }
        }
        if field == "pipeline_model_parallel_layout" && text.contains("layout = \"") {
            let given = text.split_once("layout = \"").unwrap().1.split_once('"').unwrap().0;
            let flat = layout(given).concat();
            assert_eq!(flat.matches('t').count() as u64, job.workload.model.num_layers);
            let chunks = plan.parallelism.pipeline * plan.parallelism.virtual_stages;
            assert_eq!(layout(given).len() as u64, chunks);
        }
    }
}

/// Every rank once, every place of the grid once, every layer on the ranks of one stage.
fn ranks(text: &str, job: &Job, plan: &Plan) {
    let p = &plan.parallelism;
    let mut places = std::collections::BTreeSet::new();
    let mut layers = std::collections::BTreeMap::new();
    for (index, line) in text.lines().skip(1).enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let numbers: Vec<u64> = cells[..7].iter().map(|cell| cell.parse().unwrap()).collect();
        assert_eq!(numbers[0], index as u64);
        let per_node = job.machine.cluster.nodes[0].devices_per_node;
        assert_eq!(numbers[1] * per_node + numbers[2], numbers[0]);
        assert!(numbers[3] < p.pipeline && numbers[4] < p.data);
        assert!(numbers[5] < p.context && numbers[6] < p.tensor);
        assert!(places.insert(numbers[3..7].to_vec()));
        for range in cells[7].split(';') {
            let (first, end) = range.split_once("..").unwrap();
            for layer in first.parse::<u64>().unwrap()..end.parse().unwrap() {
                let stage = layers.entry(layer).or_insert(numbers[3]);
                assert_eq!(*stage, numbers[3], "layer {layer}");
            }
        }
    }
    assert_eq!(places.len() as u64, plan.devices());
    assert_eq!(layers.len() as u64, job.workload.model.num_layers);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn drawn_plans_are_accepted_by_every_target(plan in any_plan()) {
        let job = job(GPT, 64);
        if lmplan::planner::predict::choice::Choice::of_plan(&job, &plan).is_ok() {
            check(&job, &whole(&job, &plan));
        }
    }
}

#[test]
fn models_of_every_kind_are_accepted_by_every_target() {
    for (name, ways, batch) in [
        ("gpt2-1.5b", [1, 4, 8, 1], [64, 1]),
        ("bert-large", [2, 2, 8, 1], [256, 4]),
        ("llama3-8b", [2, 2, 4, 2], [64, 1]),
        ("llama3-70b", [8, 5, 1, 1], [40, 1]),
        ("llama3-405b", [8, 8, 1, 1], [64, 1]),
        ("opt-6.7b", [4, 1, 16, 1], [64, 2]),
        ("bloom-176b", [4, 7, 2, 1], [56, 1]),
        ("mpt-7b", [1, 1, 64, 1], [64, 1]),
    ] {
        let names: Names = [name, "a100x64", "megatron-core"];
        let job = job(names, batch[0]);
        check(&job, &whole(&job, &shorthand(names, ways, batch, 1)));
    }
}
