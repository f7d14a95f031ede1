//! Discrete-event simulation of Programs, and the results that reports read.

pub mod prediction;
pub mod timeline;

pub use prediction::{Breakdown, Prediction, StagePrediction};
pub use timeline::{MemorySample, Span, SpanKind, Timeline};
