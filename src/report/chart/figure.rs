//! A chart with its title and description, and the width that all of them share.

use super::axis;
use super::canvas::{self, Canvas, Drawing};

/// Width of all charts, in pixels.
pub(super) const WIDTH: f64 = 960.0;
/// Left edge of the plots, in pixels.
pub(super) const LEFT: f64 = 64.0;
/// Right edge of the plots, in pixels.
pub(super) const RIGHT: f64 = WIDTH - 24.0;

/// A chart of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::report) struct Chart {
    /// File name without extension.
    pub(in crate::report) name: &'static str,
    /// Title.
    pub(in crate::report) title: String,
    /// What it shows, in a sentence or two.
    pub(in crate::report) description: String,
    /// The picture.
    pub(in crate::report) drawing: Drawing,
}

impl Chart {
    /// Draws `content` below the title on a canvas of `size`, width and height in pixels.
    pub(super) fn new(
        name: &'static str,
        size: (f64, f64),
        title: String,
        description: String,
        content: impl FnOnce(&mut Canvas<'_>),
    ) -> Self {
        let drawing = canvas::draw(name, size, &title, &description, |canvas| {
            axis::title(canvas, &title);
            content(canvas);
        });
        Chart { name, title, description, drawing }
    }
}
