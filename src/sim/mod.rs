//! Discrete-event simulation of Programs, and the results that reports read.

pub mod pipeline;
pub mod prediction;
pub mod timeline;

#[cfg(test)]
mod pipeline_tests;

pub use prediction::{Breakdown, Prediction, StagePrediction};
pub use timeline::{MemorySample, Span, SpanKind, Timeline};
