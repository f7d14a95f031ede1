//! Reports: what a search or a prediction found, for people and for other tools.
//!
//! A report only reads results. The same input gives the same bytes: there is no clock, no
//! randomness, no path of the machine in it, and the duration of a search is left out of the files.
//! [`render()`] makes the files in memory, [`write()`] puts them into a folder, whole or not at all;
//! [`text()`] and [`csv()`] are what a terminal shows.

mod accuracy;
pub mod capacity;
mod certificate;
mod chart;
mod compare;
mod csv;
mod file;
mod html;
mod input;
mod json;
mod markdown;
mod number;
mod reason;
mod render;
mod summary;
mod table;
mod text;
mod trace;
#[cfg(feature = "torch")]
mod verified;
mod write;

pub use accuracy::Accuracy;
pub use csv::csv;
pub use file::{RenderError, ReportFile};
pub use input::{Origin, ReportInput, ScalingPoint};
pub use render::render;
pub use text::{TextOptions, text, wrap};
pub use trace::trace;
#[cfg(feature = "torch")]
pub use verified::verified;
pub use write::{WriteError, add, write, write_verification};
