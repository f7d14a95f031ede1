//! JSON Schemas of the files, generated from the types that read them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The JSON Schema (2020-12) of a file that holds a `T`.
///
/// Optional fields are left out of a file, never written as `null`, so `null` is no part of it.
pub fn schema<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    remove_null(&mut schema);
    schema
}

/// Turns "`X` or null" into "`X`", everywhere.
fn remove_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".into(), only);
                }
            }
            let reference = match fields.get("anyOf") {
                Some(Value::Array(cases)) => {
                    let mut rest = cases.iter().filter(|case| case["type"] != "null");
                    rest.next().and_then(|case| case.get("$ref")).cloned()
                }
                _ => None,
            };
            if let Some(reference) = reference {
                fields.shift_remove("anyOf");
                fields.insert("$ref".into(), reference);
            }
            fields.values_mut().for_each(remove_null);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_null),
        _ => {}
    }
}
