//! Fine-tuning by low-rank adapters: counts against published ones, what frozen weights save, and
//! the commands.

use assert_cmd::Command;
use lmplan::graph::{BlockKind, Graph, GraphError, SavedOptions, build};
use lmplan::spec::{LoraSpec, LoraTarget, ModelSpec, Objective};
use predicates::str::contains;
use serde_json::Value;
use std::path::Path;

const FP16: SavedOptions = SavedOptions { element_bytes: 2, fused_attention: true };

fn model(name: &str) -> ModelSpec {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/{name}.yaml"));
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn adapted(name: &str, rank: u64, targets: &[LoraTarget]) -> (Graph, Graph) {
    let mut spec = model(name);
    let full = build(&spec).unwrap();
    spec.training.lora = Some(LoraSpec { rank, targets: targets.to_vec() });
    (full, build(&spec).unwrap())
}

const QV: [LoraTarget; 2] = [LoraTarget::Query, LoraTarget::Value];

/// Hu et al. 2021, tables 4 and 12 (GPT-3 175B, 4.7M and 37.7M), table 3 and appendix D (GPT-2
/// medium 0.35M), and table 5 (18 million within the budget of r = 8 on one or r = 4 on two types of
/// projection).
#[test]
fn trained_parameters_are_those_of_the_paper() {
    let trained =
        |name, rank, targets: &[LoraTarget]| adapted(name, rank, targets).1.trained_parameters();
    let all = [LoraTarget::Query, LoraTarget::Key, LoraTarget::Value, LoraTarget::Output];
    assert_eq!(trained("gpt3-175b", 1, &QV), 4_718_592);
    assert_eq!(trained("gpt3-175b", 4, &QV), 18_874_368);
    assert_eq!(trained("gpt3-175b", 8, &[LoraTarget::Query]), 18_874_368);
    assert_eq!(trained("gpt3-175b", 2, &all), 18_874_368);
    assert_eq!(trained("gpt3-175b", 8, &QV), 37_748_736);
    assert_eq!(trained("gpt2-355m", 4, &QV), 393_216);
}

/// Grouped heads: keys and values are narrower than queries. Llama 3 8B, by hand: 32 layers, h 4096,
/// keys and values 1024, f 14336.
#[test]
fn every_projection_has_its_own_widths() {
    let (full, lora) = adapted("llama3-8b", 16, &LoraTarget::ALL);
    let (h, kv, f) = (4096, 1024, 14336);
    let widths = (h + h) + 2 * (h + kv) + (h + h) + 3 * (h + f);
    assert_eq!(lora.trained_parameters(), 32 * 16 * widths);
    assert_eq!(lora.frozen_parameters(), full.parameters());
    assert_eq!(full.trained_parameters(), full.parameters());
    assert_eq!(full.frozen_parameters(), 0);
}

/// Without weight gradients, two of three products of every linear layer are left; attention, which has
/// no weights, is as it was.
#[test]
fn a_step_has_two_thirds_of_the_operations() {
    for name in ["gpt3-175b", "llama2-70b", "llama3-8b"] {
        let (full, lora) = adapted(name, 1, &QV);
        let ratio = lora.model_flops(8).get() / full.model_flops(8).get();
        assert!((0.666..0.75).contains(&ratio), "{name}: {ratio}");
        let (_, larger) =
            adapted(name, 64, &[LoraTarget::Query, LoraTarget::Value, LoraTarget::Down]);
        assert!(larger.model_flops(8).get() > lora.model_flops(8).get());
    }
}

/// The input of a frozen linear layer is kept where an adapter or a nonlinear operator needs it.
#[test]
fn frozen_layers_keep_nothing_for_their_own_weights() {
    let saved = |graph: &Graph| {
        let layer = graph.blocks.iter().find(|b| b.kind == BlockKind::Layer).unwrap();
        graph.saved_bytes(layer, FP16, false).get()
    };
    let (full, lora) = adapted("llama3-8b", 16, &QV);
    let (s, h, f) = (8192, 4096, 14336);
    assert_eq!(model("llama3-8b").sequence_length, s);
    // Two products of rank 16 come in. The input of `fc1` (h) and that of `fc2` (f) fall away;
    // that of the output projection is also the attention's output, which attention keeps.
    assert_eq!(saved(&full) - saved(&lora) + 2 * s * 2 * 16, 2 * s * (h + f));
    let (_, all) = adapted("llama3-8b", 16, &LoraTarget::ALL);
    assert_eq!(saved(&all) - saved(&full), 2 * s * 7 * 16);
}

/// A layer that fine-tuning puts on top has no pre-trained weights: it is trained (PEFT does so for
/// these tasks), and the pooler, which was pre-trained, is not.
#[test]
fn new_heads_are_trained_with_the_adapters() {
    let mut spec = model("bert-base");
    spec.training.max_predictions_per_sequence = None;
    spec.training.lora = Some(LoraSpec { rank: 8, targets: QV.to_vec() });
    let adapters = 12 * 2 * 8 * (768 + 768);
    for (objective, head) in [
        (Objective::Classification, 2 * 768 + 2),
        (Objective::TokenClassification, 2 * 768 + 2),
        (Objective::QuestionAnswering, 2 * 768 + 2),
        (Objective::MaskedLm, 0),
    ] {
        spec.training.objective = objective;
        assert_eq!(build(&spec).unwrap().trained_parameters(), adapters + head, "{objective:?}");
    }
}

#[test]
fn adapters_that_can_not_be_are_refused() {
    let refused = |rank, targets: &[LoraTarget]| {
        let mut spec = model("gpt2-124m");
        spec.training.lora = Some(LoraSpec { rank, targets: targets.to_vec() });
        build(&spec).unwrap_err()
    };
    assert!(matches!(refused(0, &QV), GraphError::Size { .. }));
    assert!(matches!(refused(u64::MAX, &QV), GraphError::Size { .. }));
    assert!(matches!(refused(4, &[]), GraphError::Lora { .. }));
    assert!(matches!(refused(4, &[LoraTarget::Gate]), GraphError::Lora { .. }));
}

fn lmplan(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("lmplan"));
    command.current_dir(folder).env("COLUMNS", "100").args(arguments).arg("--quiet");
    command
}

const JOB: [&str; 6] = ["--model", "llama3-8b", "--cluster", "h100x8", "--global-batch", "64"];
const LORA: [&str; 4] = ["--lora-rank", "16", "--lora-targets", "query,value"];

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = lmplan(folder, arguments).args(["--format", "json"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// The same plan needs less time and memory where it trains adapters, on every stage.
#[test]
fn adapters_cost_less_than_everything_under_the_same_plan() {
    let folder = tempfile::tempdir().unwrap();
    for (name, ways, sharding) in [
        ("a", "{tensor: 2, pipeline: 2, data: 2, sequence_parallel: true}", "zero1"),
        ("b", "{tensor: 1, pipeline: 1, data: 8}", "zero3"),
        ("c", "{tensor: 4, pipeline: 2, data: 1}", "none"),
        ("d", "{tensor: 1, pipeline: 2, data: 4}", "zero2"),
    ] {
        let plan = format!(
            "model: llama3-8b\ncluster: h100x8\nstack: megatron-core\nparallelism: {ways}\n\
             batch: {{global: 64, micro: 1}}\nschedule: 1f1b\noptimizer_sharding: {sharding}\n"
        );
        std::fs::write(folder.path().join(name), plan).unwrap();
        let simulate = |more: &[&str]| {
            let all = [&["simulate", "--plan", name, "--no-report"], &JOB[..], more].concat();
            json(folder.path(), &all)["prediction"].clone()
        };
        let (full, lora) = (simulate(&[]), simulate(&LORA));
        let number = |of: &Value, key: &str| of[key].as_f64().unwrap();
        let ratio = number(&lora, "iteration_time_s") / number(&full, "iteration_time_s");
        assert!((0.6..0.95).contains(&ratio), "{name}: {ratio}");
        assert_eq!(lora["trained_parameters"], 6_815_744);
        assert!(full["trained_parameters"].is_null());
        let stages =
            full["stages"].as_array().unwrap().iter().zip(lora["stages"].as_array().unwrap());
        for (full, lora) in stages {
            for key in ["gradients_bytes", "optimizer_bytes"] {
                assert!(number(lora, key) * 50.0 < number(full, key), "{name} {key}");
            }
            let more = number(lora, "parameters_bytes") - number(full, "parameters_bytes");
            assert!((0.0..=2.0 * 6_815_744.0 * 2.0).contains(&more), "{name}: {more}");
            for key in ["activations_bytes", "peak_memory_bytes", "forward_s", "backward_s"] {
                // Forward, adapters come on top.
                let room = if key == "forward_s" { 1.15 } else { 1.0 };
                assert!(number(lora, key) <= number(full, key) * room, "{name} {key}");
            }
        }
    }
}

/// Search, check, explain and diff read what the plan was made for from the plan.
#[test]
fn a_plan_says_what_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let search = ["search", "--examples", "52K", "--epochs", "3", "-o", "out"];
    let all = [&search[..], &JOB, &LORA].concat();
    let found = json(folder.path(), &all);
    assert_eq!(found["plan"]["lora"]["rank"], 16);
    assert_eq!(found["search"]["status"], "optimal");
    lmplan(folder.path(), &["check", "out"]).assert().success();
    let given = json(
        folder.path(),
        &[&["simulate", "--plan", "out/plan.yaml", "--no-report"], &JOB[..]].concat(),
    );
    assert_eq!(given["prediction"]["iteration_time_s"], found["prediction"]["iteration_time_s"]);
    lmplan(folder.path(), &["explain", "out"]).assert().success();
    for (target, said) in [
        ("megatron", "would train everything"),
        ("torchtitan", "would train everything"),
        ("deepspeed", "such as by PEFT"),
        ("bridge", "pretrained_checkpoint"),
    ] {
        let exported = lmplan(folder.path(), &["export", target, "out"]).output().unwrap();
        let all = [exported.stdout, exported.stderr].concat();
        let text = String::from_utf8_lossy(&all).into_owned();
        let markdown = lmplan(folder.path(), &["export", target, "out", "--format", "markdown"])
            .output()
            .unwrap();
        let markdown = String::from_utf8_lossy(&markdown.stdout).into_owned();
        assert!(text.contains(said) || markdown.contains(said), "{target}: {text} {markdown}");
        if target == "bridge" {
            let call =
                "CanonicalLoRA(target_modules=[\"linear_q\", \"linear_k\", \"linear_v\"], dim=16)";
            assert!(text.contains(call) && text.contains("finetune(config="), "{text}");
            assert!(text.contains("here also key"), "{text}");
        }
    }
    // Verification has no libtorch here, or no adapters: something is missing either way.
    lmplan(folder.path(), &["verify", "out/plan.yaml"]).assert().code(7);
}

#[test]
fn the_output_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let search = ["search", "--examples", "52K", "--epochs", "3", "--no-report"];
    let all = [&search[..], &JOB, &LORA].concat();
    let output = lmplan(folder.path(), &all).assert().success().get_output().stdout.clone();
    insta::assert_snapshot!("fine_tuning_search", String::from_utf8(output).unwrap());
}

/// Adapters that leave memory for a plan where full training has none.
#[test]
fn what_does_not_fit_in_full_fits_with_adapters() {
    let folder = tempfile::tempdir().unwrap();
    let job = [
        "search",
        "--model",
        "llama2-70b",
        "--cluster",
        "h100x8",
        "--global-batch",
        "64",
        "--no-report",
    ];
    lmplan(folder.path(), &job).assert().code(4);
    lmplan(folder.path(), &[&job[..], &LORA].concat()).assert().success();
}

#[test]
fn fine_tuning_objectives_have_reviews() {
    let folder = tempfile::tempdir().unwrap();
    for objective in ["classification", "token-classification", "question-answering"] {
        let mut spec = model("bert-large");
        spec.training.objective = serde_json::from_value(objective.into()).unwrap();
        spec.training.max_predictions_per_sequence = None;
        std::fs::write(folder.path().join("own.yaml"), serde_json::to_string(&spec).unwrap())
            .unwrap();
        let job = [
            "capacity",
            "--model",
            "./own.yaml",
            "--cluster",
            "a100x8",
            "--devices",
            "8",
            "--global-batch",
            "32",
            "--examples",
            "88K",
            "--epochs",
            "2",
            "--no-report",
        ];
        let review = json(folder.path(), &job);
        let length = model("bert-large").sequence_length;
        assert_eq!(review["tokens"], 88_000 * 2 * length, "{objective}");
        json(folder.path(), &[&job[..], &["--lora-rank", "8"]].concat());
    }
}

#[test]
fn wrong_arguments_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let job = ["search", "--model", "llama3-8b", "--cluster", "h100x8", "--no-report"];
    for (more, said) in [
        (vec!["--lora-rank", "0"], "`0` is too few: write 1 or more"),
        (vec!["--lora-rank", "4", "--lora-targets", "querry"], "query"),
        (vec!["--lora-targets", "query"], "--lora-rank"),
        (vec!["--epochs", "3"], "--examples 52K"),
        (vec!["--examples", "0"], "number of examples"),
        (vec!["--examples", "5", "--tokens", "5"], "both say how much is trained on"),
        (vec!["--tokens", "1e18", "--epochs", "2"], "more than 1e18"),
    ] {
        lmplan(folder.path(), &[&job[..], &more].concat()).assert().code(2).stderr(contains(said));
    }
    let tall = ["--lora-rank", "5000"];
    lmplan(folder.path(), &[&job[..], &tall].concat())
        .assert()
        .code(3)
        .stderr(contains("is not low"));
}

#[test]
fn wrong_files_are_answered_with_place_and_help() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |base: &str, lora: &str, said: &[&str]| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/{base}.yaml"));
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.replace("training: {", &format!("training: {{lora: {lora}, "));
        std::fs::write(folder.path().join("own.yaml"), text).unwrap();
        let job = ["search", "--model", "./own.yaml", "--cluster", "h100x8", "--no-report"];
        let mut assert = lmplan(folder.path(), &job).assert().code(3);
        for part in said.iter().chain(&["own.yaml:"]) {
            assert = assert.stderr(contains(*part));
        }
    };
    refuse("llama3-8b", "{rank: 0}", &["`rank` is 0, and has to be at least 1"]);
    refuse("llama3-8b", "{rank: 9000}", &["a rank of 9 000 is not low"]);
    refuse("llama3-8b", "{rank: 8, targets: []}", &["nothing would be trained"]);
    refuse("llama3-8b", "{rank: 8, targets: [query, query]}", &["`query` is named twice"]);
    refuse("llama3-8b", "{rank: 8, targets: [valu]}", &["did you mean `value`?"]);
    refuse("llama3-8b", "{rnak: 8}", &["did you mean `rank`?"]);
    refuse("gpt3-13b", "{rank: 8, targets: [gate]}", &["has no gate", "`up` and `down`"]);
    refuse("mixtral-8x7b", "{rank: 8, targets: [down]}", &["experts are not planned yet"]);
}
