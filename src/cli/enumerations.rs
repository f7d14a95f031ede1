//! Values of flags that are words of an enumeration.

use crate::spec;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// Parses the words of an enumeration, as files write them.
pub fn named<T>() -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words::<T>())
        .try_map(|word| serde_json::from_value::<T>(serde_json::Value::String(word)))
}

/// The words of an enumeration, as files write them.
pub fn words<T: JsonSchema>() -> Vec<String> {
    let schema = spec::schema::schema::<T>();
    let cases = schema["oneOf"].as_array().into_iter().flatten();
    cases.filter_map(|case| case["const"].as_str().map(String::from)).collect()
}
