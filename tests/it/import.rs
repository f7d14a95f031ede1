//! Hugging Face configurations become models with the parameters that are published for them.

use lmplan::graph::{GraphError, build};
use lmplan::import::{Imported, Options, hugging_face};
use lmplan::spec::read::decode;
use lmplan::spec::{Objective, Source, SpecError, load_model, parse};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn config(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hugging-face");
    folder.join(format!("{name}.json"))
}

fn import_text(text: &str) -> Result<Imported, SpecError> {
    let source = Source { name: "config.json".into(), text: text.into() };
    hugging_face(&source, &Options::default())
}

fn import(name: &str) -> Imported {
    let text = std::fs::read_to_string(config(name)).unwrap();
    import_text(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Counts of the released checkpoints, as their publishers or `num_parameters()` state them.
const PUBLISHED: [(&str, u64); 22] = [
    ("bert-base", 110_106_428),
    ("bert-base-masked-lm", 109_514_298),
    ("bert-large", 336_226_108),
    ("roberta-large", 355_412_057),
    ("gpt2", 124_439_808),
    ("gpt2-xl", 1_557_611_200),
    ("gpt-neox-20b", 20_554_567_680),
    ("opt-1.3b", 1_315_758_080),
    ("opt-6.7b", 6_658_473_984),
    ("bloom", 176_247_271_424),
    ("falcon-7b", 6_921_720_704),
    ("falcon-40b", 41_303_293_952),
    ("llama-7b", 6_738_415_616),
    ("llama-2-70b", 68_976_648_192),
    ("llama-3-8b", 8_030_261_248),
    ("llama-3.1-405b", 405_853_388_800),
    ("mistral-7b", 7_241_732_096),
    ("qwen2.5-0.5b", 494_032_768),
    ("qwen2.5-7b", 7_615_616_512),
    ("qwen2.5-72b", 72_706_203_648),
    // Published as 175 billion: 12·L·h² + 13·L·h and the tables.
    ("opt-175b", 12 * 96 * 12_288 * 12_288 + 13 * 96 * 12_288 + (50_272 + 2_050 + 2) * 12_288),
    // 8,190,735,360 with the norms of queries and keys, which the import says it leaves out.
    ("qwen3-8b", 8_190_735_360 - 2 * 128 * 36),
];

#[test]
fn parameters_are_the_published_ones() {
    for (name, published) in PUBLISHED {
        let graph = build(&import(name).model).unwrap();
        assert_eq!(graph.parameters(), published, "{name}");
    }
}

#[test]
fn what_is_imported_reads_back() {
    for (name, _) in PUBLISHED {
        let model = import(name).model;
        let text = serde_yaml::to_string(&model).unwrap();
        let again = parse(&Source { name: name.into(), text }).unwrap();
        assert_eq!(model, again, "{name}");
    }
}

/// The same architecture as the file of the catalogue, but for training, name and source.
#[test]
fn imports_are_what_the_catalogue_holds() {
    let empty = tempfile::tempdir().unwrap();
    for (config, name) in [
        ("bert-large", "bert-large"),
        ("gpt2-xl", "gpt2-1.5b"),
        ("bloom", "bloom-176b"),
        ("llama-2-70b", "llama2-70b"),
        ("llama-3.1-405b", "llama3-405b"),
        ("mixtral-8x7b", "mixtral-8x7b"),
    ] {
        let (mut known, _) = load_model(name, empty.path()).unwrap();
        let mut model = import(config).model;
        model.name.clone_from(&known.name);
        model.training = known.training.clone();
        model.source.clone_from(&known.source);
        known.published_parameters = None;
        if name == "bloom-176b" {
            // Without dropout there is none after the embeddings either.
            assert_eq!(model.embedding_dropout_rate(), 0.0);
        }
        assert_eq!(model, known, "{config}");
    }
}

#[test]
fn mixtures_of_experts_are_described_and_said_to_be_unplanned() {
    let imported = import("mixtral-8x7b");
    assert!(imported.not_expressed.iter().any(|said| said.contains("not planned yet")));
    assert!(matches!(build(&imported.model), Err(GraphError::MixtureOfExperts { .. })));
    let moe = imported.model.moe.unwrap();
    assert_eq!((moe.num_experts, moe.experts_per_token), (8, 2));
}

#[test]
fn what_a_model_file_can_not_say_is_said() {
    for (name, said) in [
        ("mistral-7b", "`sliding_window` 4096: attention is planned over the whole sequence"),
        ("gpt-neox-20b", "`rotary_pct` 0.25: the rotation is planned over the whole width"),
        ("qwen3-8b", "norms of queries and keys, 9216 parameters, are left out"),
    ] {
        let imported = import(name);
        assert!(imported.not_expressed.iter().any(|line| line.starts_with(said)), "{imported:?}");
    }
    for name in ["gpt2", "llama-3-8b", "qwen2.5-7b", "bert-base", "bloom"] {
        assert!(import(name).not_expressed.is_empty(), "{name}");
    }
}

#[test]
fn every_field_of_the_file_is_accounted_for() {
    for (name, _) in PUBLISHED {
        let text = std::fs::read_to_string(config(name)).unwrap();
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let imported = import(name);
        for (field, _) in file.as_object().unwrap() {
            let read = imported.read.iter().filter(|f| &f.field == field).count();
            let ignored = imported.ignored.iter().filter(|f| &f.field == field).count();
            assert_eq!(read + ignored, 1, "{name}: {field}");
        }
    }
}

#[test]
fn the_original_length_of_a_stretched_rotation_is_taken() {
    assert_eq!(import("llama-3.1-405b").model.sequence_length, 8192);
    assert_eq!(import("roberta-large").model.sequence_length, 512);
    assert_eq!(import("falcon-7b").model.sequence_length, 2048);
}

#[test]
fn the_caller_decides_what_it_gives() {
    let text = std::fs::read_to_string(config("llama-3-8b")).unwrap();
    let options = Options {
        name: Some("mine".into()),
        sequence_length: Some(4096),
        global_batch: Some(64),
        objective: Some(Objective::Classification),
        tokens: Some(1_000_000),
        ..Options::default()
    };
    let source = Source { name: "config.json".into(), text };
    let model = hugging_face(&source, &options).unwrap().model;
    assert_eq!((model.name.as_str(), model.sequence_length), ("mine", 4096));
    assert_eq!(model.training.global_batch_size, 64);
    assert_eq!(model.training.objective, Objective::Classification);
    assert_eq!(model.training.tokens, Some(1_000_000));
}

#[test]
fn errors_say_file_field_found_and_expected() {
    let gpt2 = std::fs::read_to_string(config("gpt2")).unwrap();
    for (from, to, said) in [
        ("\"gpt2\"", "\"gtp2\"", vec!["config.json:12:17", "`gtp2`", "did you mean `gpt2`?"]),
        ("\"gpt2\"", "\"mamba\"", vec!["`mamba`, a kind of model that is not read", "`llama`"]),
        ("\"gpt2\"", "7", vec!["`model_type` is the number `7`, not a text"]),
        ("\"model_type\": \"gpt2\",", "", vec!["`model_type` is missing", "it is one of `bert`"]),
        (
            "\"n_layer\": 12,",
            "",
            vec!["config.json", "`n_layer` (or `num_hidden_layers`) is missing: num_layers"],
        ),
        ("\"n_layer\": 12", "\"n_layer\": \"12\"", vec!["`n_layer` is the text `12`", "number"]),
        (
            "\"n_layer\": 12",
            "\"n_layer\": 12.5",
            vec!["`n_layer` is the number `12.5`, not a whole"],
        ),
        ("\"n_layer\": 12", "\"n_layer\": -1", vec!["the number `-1`"]),
        ("\"n_layer\": 12", "\"n_layer\": 0", vec!["config.json:", "`num_layers` is 0"]),
        (
            "\"n_layer\": 12",
            "\"n_layer\": 99999999999999999999",
            vec!["not a whole number, such as `12`"],
        ),
        ("\"n_head\": 12", "\"n_head\": 7", vec!["config.json:15", "7 heads do not divide"]),
        ("0.1,\n  \"bos", "1.5,\n  \"bos", vec!["`attn_pdrop`", "not a probability"]),
        ("\"gelu_new\"", "\"gelu_old\"", vec!["`activation_function`", "one of `gelu`"]),
        ("\"n_layer\": 12", "\"n_layer\": [12]", vec!["`n_layer` is a list"]),
    ] {
        assert!(gpt2.contains(from), "{from}");
        let error = import_text(&gpt2.replacen(from, to, 1)).unwrap_err().to_string();
        for part in said {
            assert!(error.contains(part), "{from} -> {to}: {error}");
        }
    }
}

#[test]
fn several_errors_come_together() {
    let error = import_text(r#"{"model_type": "llama", "hidden_size": "x", "vocab_size": []}"#);
    assert!(error.unwrap_err().diagnostics.len() >= 5);
}

#[test]
fn no_text_is_answered_with_a_panic() {
    let deep = format!("{{\"a\":{}}}", "[".repeat(100_000));
    for text in ["", "{", "{}", "[]", "null", "\"", "{\"model_type\": null}", "\u{0}", &deep] {
        assert!(import_text(text).is_err(), "{text:.20}");
    }
    assert!(decode(vec![0xff, 0xfe], "config.json".into()).is_err());
}

const NAMES: [&str; 14] = [
    "bert-base",
    "roberta-large",
    "gpt2",
    "gpt-neox-20b",
    "opt-6.7b",
    "bloom",
    "falcon-7b",
    "falcon-40b",
    "llama-3.1-405b",
    "mistral-7b",
    "mixtral-8x7b",
    "qwen2.5-7b",
    "qwen3-8b",
    "llama-7b",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn changed_values_never_panic(
        name in prop::sample::select(NAMES.to_vec()),
        at in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![
            "0", "1", "-1", "18446744073709551615", "18446744073709551616", "1e300", "0.5", "null", "true",
            "\"\"", "\"x\"", "[]", "{}", "[[[]]]", "7", "1000000007", "\"\\u0000\"", "\"../..\"",
        ]),
    ) {
        let text = std::fs::read_to_string(config(name)).unwrap();
        let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let fields = file.as_object_mut().unwrap();
        let key = fields.keys().nth(at.index(fields.len())).unwrap().clone();
        fields.insert(key, serde_json::from_str(value).unwrap());
        match import_text(&serde_json::to_string_pretty(&file).unwrap()) {
            Ok(imported) => { let _ = build(&imported.model); }
            Err(error) => prop_assert!(error.to_string().starts_with("error[")),
        }
    }

    #[test]
    fn changed_bytes_never_panic(
        name in prop::sample::select(NAMES.to_vec()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6),
    ) {
        let mut bytes = std::fs::read(config(name)).unwrap();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        if let Ok(source) = decode(bytes, "config.json".into()) {
            let _ = hugging_face(&source, &Options::default());
        }
    }
}

fn lmplan(folder: &Path) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::cargo_bin("lmplan").unwrap();
    command.current_dir(folder);
    command
}

#[test]
fn the_command_writes_a_model_that_is_searched() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(config("falcon-7b"), folder.path().join("config.json")).unwrap();
    let line = ["import", "hf", ".", "-o", "falcon.yaml", "--global-batch", "16"];
    let output = lmplan(folder.path()).args(line).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    for part in [
        "parameters 6921720704",
        "hidden_size 4544 -> hidden_size",
        "use_cache: for text generation",
        "sequences of 2048 tokens",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let line = ["search", "--model", "./falcon.yaml", "--cluster", "a100x8", "-o", "report"];
    lmplan(folder.path()).args(line).arg("--quiet").assert().success();
    lmplan(folder.path()).args(["check", "report"]).assert().success();
}

#[test]
fn the_command_prints_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = config("qwen3-8b");
    let print = |more: &[&str]| {
        let output =
            lmplan(folder.path()).args(["import", "hf"]).arg(&path).args(more).output().unwrap();
        assert!(output.status.success(), "{more:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let yaml = print(&[]);
    assert!(yaml.starts_with("# Not expressed: norms of queries and keys"), "{yaml}");
    assert!(parse::<lmplan::spec::ModelSpec>(&Source { name: "m".into(), text: yaml }).is_ok());
    let json: serde_json::Value = serde_json::from_str(&print(&["--format", "json"])).unwrap();
    assert_eq!(json["schema"], "lmplan.import/1");
    assert_eq!(json["parameters"], 8_190_726_144_u64);
    assert_eq!(json["model"]["num_layers"], 36);
    assert_eq!(json["not_expressed"].as_array().unwrap().len(), 1);
    assert!(print(&["--format", "csv"]).starts_with("outcome,field,value,becomes\n"));
    assert!(print(&["--format", "markdown"]).contains("| read | hidden_size | 4096 |"));
}

#[test]
fn the_command_ends_with_three_on_bad_input_and_eight_on_a_bad_target() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.json"), "{").unwrap();
    for file in ["broken.json", "none.json", "."] {
        let assert = lmplan(folder.path()).args(["import", "hf", file]).assert().code(3).stdout("");
        let said = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        assert!(said.starts_with("error["), "{said}");
    }
    lmplan(folder.path())
        .args(["import", "hf"])
        .arg(config("gpt2"))
        .args(["-o", "no/such/folder/model.yaml"])
        .assert()
        .code(8);
    lmplan(folder.path()).args(["import", "hf"]).assert().code(2);
}
