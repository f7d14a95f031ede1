//! Why a row is not predicted.

use serde::{Serialize, Serializer};
use std::fmt;

/// A reason to leave a row out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// A kind of model that is not simulated.
    Architecture(String),
    /// A pipeline schedule that is not simulated.
    Schedule(String),
    /// A numeric recipe that is not simulated.
    Precision(String),
    /// States that leave the device.
    Offload,
    /// Only some of the weights are trained.
    Adapters,
    /// A device that is not in the catalogue.
    Device(String),
    /// Sequences sorted into bins by length: their real lengths, and so the work, are not given.
    Binned,
    /// A part of the configuration that the source does not give.
    NotGiven(&'static str),
    /// Nothing was measured that could be compared.
    NotMeasured,
    /// The simulator refuses the configuration.
    Refused(String),
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skip::Architecture(what) => write!(f, "models of kind `{what}` are not simulated"),
            Skip::Schedule(what) => write!(f, "the schedule `{what}` is not simulated"),
            Skip::Precision(what) => write!(f, "the recipe `{what}` is not simulated"),
            Skip::Offload => f.write_str("states on the host are not simulated"),
            Skip::Adapters => f.write_str("adapters (LoRA) are not simulated"),
            Skip::Device(what) => write!(f, "no device of the catalogue is a `{what}`"),
            Skip::Binned => {
                f.write_str("sequences are binned by length; their real lengths are not given")
            }
            Skip::NotGiven(what) => write!(f, "the source does not give the {what}"),
            Skip::NotMeasured => f.write_str("no time or rate was measured"),
            Skip::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

impl Serialize for Skip {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
