//! Quantities that carry their unit in the type.
//!
//! A bare `f64` never crosses a module boundary when it has a unit. Only the divisions that mean
//! something are defined: `Bytes / BytesPerSecond = Seconds`, `Flops / FlopsPerSecond = Seconds`.
//! Simulated time is an integer ([`SimTime`], picoseconds), so sums are associative and two runs
//! give the same bits.

mod display;
mod exact;
mod parse;
mod quantity;
pub mod statistics;
mod time;

pub use display::{apart, signed_percent};
pub use parse::{ParseQuantityError, Quantity};
pub use quantity::{
    Bytes, BytesPerSecond, Flops, FlopsPerSecond, PerDay, Seconds, UsDollars, Watts,
};
pub use time::SimTime;
