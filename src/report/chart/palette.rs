//! Colours. Every role has one colour for light and one for dark surroundings; the light one is
//! written into the marks, and a style sheet inside the SVG replaces it where the reader prefers
//! dark. Hues are those of Okabe and Ito (2008), which colour-blind readers can tell apart; they
//! also differ in lightness, for print.

use std::fmt::Write;

/// A role of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// Behind everything.
    Surface,
    /// Behind the marks of a plot.
    Plot,
    /// Titles and values.
    Text,
    /// Axis labels and notes.
    Muted,
    /// Grid lines.
    Grid,
    /// Axis lines.
    Axis,
    /// Text on dark fills.
    OnDark,
    /// Text on light fills.
    OnLight,
    /// Blue.
    Blue,
    /// Orange.
    Orange,
    /// Bluish green.
    Green,
    /// Sky blue.
    Sky,
    /// Reddish purple.
    Purple,
    /// Yellow.
    Yellow,
    /// Vermilion.
    Vermilion,
    /// Grey.
    Grey,
    /// Light grey, for the many.
    Faint,
}

/// Role, colour on light, colour on dark. The light colours are all different.
const COLOURS: [(Ink, u32, u32); 17] = [
    (Ink::Surface, 0xFF_FFFF, 0x16_1A1F),
    (Ink::Plot, 0xF6_F8FA, 0x1E_242B),
    (Ink::Text, 0x1B_1F24, 0xE6_EAF0),
    (Ink::Muted, 0x57_606A, 0xA3_ADBA),
    (Ink::Grid, 0xDD_E2E8, 0x33_3B45),
    (Ink::Axis, 0x8C_959F, 0x6B_7683),
    (Ink::OnDark, 0xFF_FFFE, 0xFF_FFFE),
    (Ink::OnLight, 0x00_0001, 0x00_0001),
    (Ink::Blue, 0x00_72B2, 0x2E_86C1),
    (Ink::Orange, 0xE6_9F00, 0xE6_9F01),
    (Ink::Green, 0x00_9E73, 0x12_A87E),
    (Ink::Sky, 0x56_B4E9, 0x6F_C3F2),
    (Ink::Purple, 0xCC_79A7, 0xD6_8DB5),
    (Ink::Yellow, 0xF0_E442, 0xF0_E443),
    (Ink::Vermilion, 0xD5_5E00, 0xEE_7420),
    (Ink::Grey, 0x7A_828C, 0x8B_94A0),
    (Ink::Faint, 0xA9_B4C0, 0x63_6F7D),
];

impl Ink {
    /// Red, green and blue on light surroundings.
    pub(super) fn rgb(self) -> (u8, u8, u8) {
        let code = COLOURS.iter().find(|(ink, ..)| *ink == self).map_or(0, |(_, light, _)| *light);
        ((code >> 16) as u8, (code >> 8) as u8, code as u8)
    }

    /// The ink for text on a fill of this ink.
    pub(super) fn contrast(self) -> Ink {
        match self {
            Ink::Blue => Ink::OnDark,
            _ => Ink::OnLight,
        }
    }
}

/// The style sheet that turns the light colours into the dark ones on dark screens; the same for
/// all charts, so that it may stand once on a page that holds several.
pub(in crate::report) fn style_sheet() -> String {
    let mut css = String::with_capacity(2048);
    css.push_str(".lmplan-chart text{font-family:system-ui,'Segoe UI','DejaVu Sans',sans-serif}");
    css.push_str("@media screen and (prefers-color-scheme:dark){");
    for (_, light, dark) in COLOURS.iter().filter(|(_, light, dark)| light != dark) {
        let _ = write!(
            css,
            ".lmplan-chart [fill=\"#{light:06X}\"]{{fill:#{dark:06X}}}\
             .lmplan-chart [stroke=\"#{light:06X}\"]{{stroke:#{dark:06X}}}"
        );
    }
    css.push('}');
    css
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn light_colours_are_all_different() {
        let light: BTreeSet<u32> = COLOURS.iter().map(|(_, light, _)| *light).collect();
        assert_eq!(light.len(), COLOURS.len());
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(code: u32) -> f64 {
        let channel = |shift: u32| {
            let value = f64::from((code >> shift) as u8) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
    }

    fn contrast(a: u32, b: u32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_is_readable_on_both_surroundings() {
        let colour = |ink: Ink| COLOURS.iter().find(|(role, ..)| *role == ink).unwrap();
        let (_, light, dark) = colour(Ink::Surface);
        for ink in [Ink::Text, Ink::Muted] {
            let (_, on_light, on_dark) = colour(ink);
            assert!(contrast(*on_light, *light) >= 4.5, "{ink:?} on light");
            assert!(contrast(*on_dark, *dark) >= 4.5, "{ink:?} on dark");
        }
    }

    #[test]
    fn text_is_readable_on_fills() {
        for (ink, light, dark) in COLOURS.iter().filter(|(ink, ..)| (*ink as u8) >= 8) {
            let text = ink.contrast().rgb();
            let code = (u32::from(text.0) << 16) | (u32::from(text.1) << 8) | u32::from(text.2);
            assert!(contrast(code, *light) >= 3.0, "{ink:?} on light");
            assert!(contrast(code, *dark) >= 3.0, "{ink:?} on dark");
        }
    }
}
