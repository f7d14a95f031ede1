//! Printing for people: three significant digits. Files are written by `exact` instead.

use super::parse::Quantity;
use super::{Bytes, BytesPerSecond, Flops, FlopsPerSecond, PerDay, Seconds, UsDollars, Watts};
use std::fmt;

/// Prints `value` with three significant digits and no exponent.
fn significant(f: &mut fmt::Formatter<'_>, value: f64, unit: &str) -> fmt::Result {
    let digits = match value.abs() {
        0.0 => 0,
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    f.pad(&format!("{value:.digits$} {unit}"))
}

/// The largest of `scales` that leaves a mantissa of at least one, or the last.
fn scaled(f: &mut fmt::Formatter<'_>, value: f64, scales: &[(f64, &str)]) -> fmt::Result {
    let chosen = scales.iter().find(|(factor, _)| value.abs() >= *factor * 0.9995);
    let (factor, unit) = chosen.or(scales.last()).copied().unwrap_or((1.0, ""));
    significant(f, value / factor, unit)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SCALES: [(f64, &str); 5] = [
            (1_099_511_627_776.0, "TiB"),
            (1_073_741_824.0, "GiB"),
            (1_048_576.0, "MiB"),
            (1024.0, "KiB"),
            (1.0, "B"),
        ];
        scaled(f, self.as_f64(), &SCALES)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.get() == 0.0 {
            return f.pad("0 s");
        }
        const SCALES: [(f64, &str); 6] =
            [(172_800.0, "d"), (7200.0, "h"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")];
        let scales = &SCALES;
        let chosen = scales.iter().find(|(limit, _)| self.get().abs() >= *limit * 0.9995);
        match chosen.map(|(_, unit)| *unit) {
            Some("d") => significant(f, self.get() / 86_400.0, "d"),
            Some("h") => significant(f, self.get() / 3600.0, "h"),
            _ => scaled(f, self.get(), &scales[2..]),
        }
    }
}

/// Both as people read them, with as many digits as show that they differ.
pub fn apart<Q: Quantity + Copy + fmt::Display>(a: Q, b: Q) -> (String, String) {
    let plain = (a.to_string(), b.to_string());
    let [base_a, base_b] = [a.to_base(), b.to_base()];
    if base_a == base_b || plain.0 != plain.1 {
        return plain;
    }
    let unit = plain.0.rsplit(' ').next().unwrap_or_default().to_owned();
    let factor = Q::UNITS.iter().find(|(name, _)| *name == unit).map_or(1.0, |(_, factor)| *factor);
    let with = |base: f64, digits: usize| format!("{:.digits$} {unit}", base / factor);
    (1..=15)
        .map(|digits| (with(base_a, digits), with(base_b, digits)))
        .find(|(a, b)| a != b)
        .unwrap_or(plain)
}

/// A share of one as signed per cent: `+9.13 %`, with more digits where it would look like nothing.
pub fn signed_percent(share: f64) -> String {
    let value = 100.0 * share;
    match value.abs() {
        v if !v.is_finite() => "n/a".to_owned(),
        v if v < 1e-10 => "0 %".to_owned(),
        v if v >= 0.005 => format!("{value:+.2} %"),
        v => {
            let digits = (-v.log10().floor()).min(12.0) as usize;
            format!("{value:+.digits$} %")
        }
    }
}

macro_rules! si_display {
    ($name:ident, $suffix:literal, $lowest:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                const SCALES: &[(f64, &str)] = &[
                    (1e15, concat!("P", $suffix)),
                    (1e12, concat!("T", $suffix)),
                    (1e9, concat!("G", $suffix)),
                    (1e6, concat!("M", $suffix)),
                    (1e3, concat!("k", $suffix)),
                    (1.0, concat!("", $suffix)),
                ];
                let floor = SCALES.partition_point(|(factor, _)| *factor >= $lowest);
                scaled(f, self.get(), &SCALES[..floor])
            }
        }
    };
}

si_display!(BytesPerSecond, "B/s", 1.0);
si_display!(Flops, "FLOP", 1.0);
si_display!(FlopsPerSecond, "FLOP/s", 1e9);

impl fmt::Display for Watts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.get(), &[(1e6, "MW"), (1e3, "kW"), (1.0, "W")])
    }
}

impl fmt::Display for UsDollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cents, and of less than ten of them three digits.
        let digits = match self.get().abs() {
            0.0 => 2,
            small if small < 0.1 => (2.0 - small.log10().floor()).min(12.0) as usize,
            _ => 2,
        };
        f.pad(&format!("{:.digits$} USD", self.get()))
    }
}

impl fmt::Display for PerDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} /d", self.get()))
    }
}
