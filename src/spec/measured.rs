//! One measurement, as a line of a table.

use crate::units::Seconds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sizes and time of a measured kernel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String")]
pub struct MeasuredRow {
    /// Sizes.
    pub sizes: [u64; 3],
    /// Time.
    pub time: Seconds,
}

impl From<MeasuredRow> for String {
    fn from(row: MeasuredRow) -> String {
        let [a, b, c] = row.sizes;
        format!("{a} {b} {c}: {:.4} us", row.time.get() * 1e6)
    }
}

impl TryFrom<String> for MeasuredRow {
    type Error = String;

    fn try_from(text: String) -> Result<MeasuredRow, String> {
        let wrong = || format!("`{text}` is not three sizes and a time, as `256 1024 512: 3.5 ms`");
        let (sizes, time) = text.split_once(':').ok_or_else(wrong)?;
        let sizes: Vec<u64> =
            sizes.split_whitespace().map_while(|size| size.parse().ok()).collect();
        let sizes: [u64; 3] = sizes.try_into().map_err(|_| wrong())?;
        let time: Seconds = time.trim().parse().map_err(|_| wrong())?;
        if time.get() > 0.0 { Ok(MeasuredRow { sizes, time }) } else { Err(wrong()) }
    }
}
