//! Lists of arguments and fields, read from the targets' sources.

use serde_json::Value;
use std::path::Path;

/// One of `tests/data/targets/`.
pub(crate) fn table(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/targets");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Why a JSON value does not suit the kind of a field.
pub(crate) fn unsuited(kind: &Value, value: &Value) -> Option<String> {
    let good = match kind["kind"].as_str().unwrap() {
        "int" => value.is_u64(),
        "float" => value.is_number(),
        "bool" => value.is_boolean(),
        "str" => value.is_string(),
        "list" => value.is_array(),
        "object" => value.is_object(),
        "choice" => kind["choices"].as_array().unwrap().contains(value),
        _ => true,
    };
    (!good).then(|| format!("{value} is no {kind}"))
}

#[test]
fn kinds_are_told_apart() {
    use serde_json::json;
    let int = json!({"kind": "int"});
    assert!(unsuited(&int, &json!(3)).is_none());
    for wrong in [json!("3"), json!(3.5), json!(true), json!(null), json!(-1)] {
        assert!(unsuited(&int, &wrong).is_some(), "{wrong}");
    }
    let choice = json!({"kind": "choice", "choices": ["full", "selective"]});
    assert!(unsuited(&choice, &json!("full")).is_none());
    assert!(unsuited(&choice, &json!("none")).is_some());
}

#[test]
fn the_lists_are_those_of_the_versions_that_are_written_for() {
    use lmplan::export::Target;
    for (name, target, least) in [
        ("megatron", Target::Megatron, 800),
        ("deepspeed", Target::DeepSpeed, 0),
        ("torchtitan", Target::Torchtitan, 0),
        ("bridge", Target::Bridge, 0),
    ] {
        let table = table(name);
        let commit = table["commit"].as_str().unwrap();
        let stated = target.version().split(' ').nth(1).unwrap();
        assert!(commit.starts_with(stated), "{name}: {commit}");
        let arguments = table["arguments"].as_object().map_or(0, serde_json::Map::len);
        assert!(arguments >= least, "{name}: {arguments}");
    }
}
