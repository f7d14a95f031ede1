//! A drawing in pixels over plotters' SVG backend: the backend has whole coordinates, so it draws
//! on a finer raster that the view box scales down.

use super::palette::{Ink, style_sheet};
use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBAColor, RGBColor, ShapeStyle, TextStyle};
use std::fmt::Write;

/// Raster points of a pixel.
const RASTER: f64 = 4.0;
/// plotters divides font sizes by this when it writes them.
const FONT_FACTOR: f64 = 1.24;
/// Width of a character of the usual sans-serif fonts, in em, on the safe side.
const CHARACTER_EM: f64 = 0.62;

/// Where a text stands relative to its point, horizontally.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    /// The text begins there.
    Start,
    /// The text is centred there.
    Middle,
    /// The text ends there.
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lettering {
    size: f64,
    ink: Ink,
    bold: bool,
    anchor: Anchor,
}

impl Lettering {
    /// Plain text of a size in pixels that begins at its point.
    pub(super) fn new(size: f64, ink: Ink) -> Self {
        Lettering { size, ink, bold: false, anchor: Anchor::Start }
    }

    /// The same in bold.
    pub(super) fn bold(self) -> Self {
        Lettering { bold: true, ..self }
    }

    /// The same at another anchor.
    pub(super) fn at(self, anchor: Anchor) -> Self {
        Lettering { anchor, ..self }
    }
}

/// Room that `text` takes at most at a font size, in pixels.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * CHARACTER_EM * size
}

/// A drawing under construction.
pub(super) struct Canvas<'a> {
    backend: SVGBackend<'a>,
    /// Width in pixels.
    pub(super) width: f64,
    /// Height in pixels.
    pub(super) height: f64,
}

impl Canvas<'_> {
    /// A filled rectangle.
    pub(super) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, ink: Ink) {
        let (from, to) = (raster(x, y), raster(x + width, y + height));
        // Marks that round to nothing stay visible as a hairline.
        let to = (to.0.max(from.0 + 1), to.1.max(from.1 + 1));
        drawn(self.backend.draw_rect(from, to, &fill(ink, 1.0), true));
    }

    /// A straight line of a width in pixels.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        let style = stroke(ink, width);
        drawn(self.backend.draw_line(raster(from.0, from.1), raster(to.0, to.1), &style));
    }

    /// A dashed straight line.
    pub(super) fn dashes(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        let (dash, gap) = (7.0, 4.0);
        let mut start = 0.0;
        while start < length {
            let end = (start + dash).min(length);
            let point = |at: f64| (from.0 + dx * at / length, from.1 + dy * at / length);
            self.line(point(start), point(end), ink, width);
            start += dash + gap;
        }
    }

    /// A line through points.
    pub(super) fn path(&mut self, points: &[(f64, f64)], ink: Ink, width: f64) {
        let points: Vec<_> = points.iter().map(|(x, y)| raster(*x, *y)).collect();
        drawn(self.backend.draw_path(points, &stroke(ink, width)));
    }

    /// A filled polygon.
    pub(super) fn polygon(&mut self, points: &[(f64, f64)], ink: Ink, opacity: f64) {
        let points: Vec<_> = points.iter().map(|(x, y)| raster(*x, *y)).collect();
        drawn(self.backend.fill_polygon(points, &fill(ink, opacity)));
    }

    /// A filled circle.
    pub(super) fn circle(&mut self, x: f64, y: f64, radius: f64, ink: Ink, opacity: f64) {
        let radius = (radius * RASTER).round().max(1.0) as u32;
        drawn(self.backend.draw_circle(raster(x, y), radius, &fill(ink, opacity), true));
    }

    /// A text whose middle line is at `y`.
    pub(super) fn text(&mut self, x: f64, y: f64, text: &str, look: Lettering) {
        let weight = if look.bold { FontStyle::Bold } else { FontStyle::Normal };
        let anchor = match look.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let ink = colour(look.ink);
        let font = ("sans-serif", look.size * RASTER * FONT_FACTOR, weight).into_font();
        let style = TextStyle::from(font).color(&ink).pos(Pos::new(anchor, VPos::Center));
        drawn(self.backend.draw_text(&printable(text), &style, raster(x, y)));
    }
}

/// Only drawing to a file can fail; these drawings are made in memory.
fn drawn<E>(result: Result<(), E>) {
    debug_assert!(result.is_ok(), "drawing in memory can not fail");
}

fn raster(x: f64, y: f64) -> (i32, i32) {
    let whole = |value: f64| {
        if value.is_finite() { (value * RASTER).round().clamp(-1e6, 1e6) as i32 } else { 0 }
    };
    (whole(x), whole(y))
}

fn colour(ink: Ink) -> RGBColor {
    let (red, green, blue) = ink.rgb();
    RGBColor(red, green, blue)
}

fn fill(ink: Ink, opacity: f64) -> ShapeStyle {
    let color: RGBAColor = colour(ink).mix(opacity);
    ShapeStyle { color, filled: true, stroke_width: 0 }
}

fn stroke(ink: Ink, width: f64) -> ShapeStyle {
    let stroke_width = (width * RASTER).round().max(1.0) as u32;
    ShapeStyle { color: colour(ink).to_rgba(), filled: false, stroke_width }
}

/// Without the control characters that XML forbids.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') { ' ' } else { c })
        .collect()
}

/// Escapes for an element's text.
fn escape(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A finished drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::report) struct Drawing {
    /// The `<svg>` element without its style sheet.
    body: String,
    /// Where the style sheet goes.
    style_at: usize,
}

impl Drawing {
    /// As a file of its own.
    pub(in crate::report) fn file(&self) -> String {
        let (head, tail) = self.body.split_at(self.style_at);
        format!("{head}<style>{}</style>\n{tail}", style_sheet())
    }

    /// For a page that holds the style sheet itself.
    pub(in crate::report) fn inline(&self) -> &str {
        &self.body
    }
}

/// Draws on a canvas of the given size in pixels. `name` makes the ids of the title and description
/// unique on a page.
pub(super) fn draw(
    name: &str,
    (width, height): (f64, f64),
    title: &str,
    description: &str,
    content: impl FnOnce(&mut Canvas<'_>),
) -> Drawing {
    let mut raw = String::with_capacity(64 << 10);
    let (columns, rows) = raster(width, height);
    let size = (columns.max(1) as u32, rows.max(1) as u32);
    {
        let mut canvas = Canvas { backend: SVGBackend::with_string(&mut raw, size), width, height };
        canvas.rect(0.0, 0.0, width, height, Ink::Surface);
        content(&mut canvas);
        drawn(canvas.backend.present());
    }
    let marks = raw.split_once('\n').map_or("", |(_, rest)| rest);
    let mut body = String::with_capacity(raw.len() + 1024);
    let _ = writeln!(
        body,
        "<svg class=\"lmplan-chart\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {} \
         {}\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"{name}-title \
         {name}-desc\">\n<title id=\"{name}-title\">{}</title>\n<desc id=\"{name}-desc\">{}</desc>",
        size.0,
        size.1,
        escape(title),
        escape(description)
    );
    let style_at = body.len();
    tidy(marks, &mut body);
    Drawing { body, style_at }
}

/// Leaves out the attributes that say what holds anyway.
fn tidy(marks: &str, out: &mut String) {
    const DEFAULTS: [&str; 3] =
        [" opacity=\"1\"", " stroke=\"none\"", " font-family=\"sans-serif\""];
    for line in marks.lines() {
        let mut rest = line;
        while let Some((at, text)) = DEFAULTS
            .iter()
            .filter_map(|text| rest.find(text).map(|at| (at, *text)))
            .min_by_key(|(at, _)| *at)
        {
            out.push_str(&rest[..at]);
            rest = &rest[at + text.len()..];
        }
        out.push_str(rest);
        out.push('\n');
    }
}
