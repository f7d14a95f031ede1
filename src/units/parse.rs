//! Reading `80 GiB`, `312 TFLOP/s`, `5 us`; refusing a bare number.

use std::fmt;

/// What [`parse_quantity`] needs to know of a quantity.
pub trait Quantity: Sized {
    /// The kind of quantity, with its article: "a bandwidth".
    const KIND: &'static str;
    /// A valid value, for messages.
    const EXAMPLE: &'static str;
    /// Units accepted, with their factor to the base unit, which stands first.
    const UNITS: &'static [(&'static str, f64)];
    /// The quantity, or nothing where the value does not fit.
    fn from_base(value: f64) -> Option<Self>;
    /// `number * factor` without rounding, for the quantities that count whole units.
    fn from_whole(_number: u64, _factor: f64) -> Option<Self> {
        None
    }
    /// The value in the base unit.
    fn to_base(self) -> f64;
    /// The value in the base unit, for the quantities that count whole units.
    fn whole_base(&self) -> Option<u64> {
        None
    }
}

/// Why a text is not a quantity; says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseQuantityError(String);

impl fmt::Display for ParseQuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseQuantityError {}

/// Units that people write, and ours. `Gb` alone is left out: some mean bits by it, some bytes.
const HABITS: &[(&str, &str)] = &[
    ("µs", "us"),
    ("μs", "us"),
    ("sec", "s"),
    ("days", "d"),
    ("hours", "h"),
    ("TFLOPS", "TFLOP/s"),
    ("TFLOPs", "TFLOP/s"),
    ("TFLOP", "TFLOP/s"),
    ("PFLOPS", "PFLOP/s"),
    ("Gbps", "Gbit/s"),
    ("Gb/s", "Gbit/s"),
    ("GBps", "GB/s"),
    ("GB", "GB/s"),
    ("TB", "TB/s"),
    ("Gi", "GiB"),
    ("KB", "kB"),
    ("$", "USD"),
];

/// Reads a number and its unit, apart by one space or none.
///
/// # Errors
/// A missing or malformed number, a missing or unknown unit (with the units that are known), or a
/// value outside of the quantity's range.
pub(super) fn parse_quantity<Q: Quantity>(text: &str) -> Result<Q, ParseQuantityError> {
    let fail = |what: String| {
        Err(ParseQuantityError(format!(
            "{what}: write {} with its unit, such as `{}`",
            Q::KIND,
            Q::EXAMPLE
        )))
    };
    let text = text.trim();
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '+')))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim_start();
    if number.is_empty() {
        return fail(format!("`{text}` does not begin with a number"));
    }
    let Some(value) = parse_decimal(number) else {
        return fail(format!("`{number}` is not a plain decimal number"));
    };
    if unit.is_empty() {
        return fail(format!("`{text}` has no unit"));
    }
    let Some(&(_, factor)) = Q::UNITS.iter().find(|(name, _)| *name == unit) else {
        let known: Vec<&str> = Q::UNITS.iter().map(|(name, _)| *name).collect();
        let known_as = HABITS.iter().filter(|(habit, _)| *habit == unit);
        let meant = known_as.map(|(_, ours)| *ours).find(|ours| known.contains(ours));
        let hint = meant.map(|ours| format!("write `{number} {ours}`; ")).unwrap_or_default();
        return Err(ParseQuantityError(format!(
            "unknown unit `{unit}` in `{text}`: {hint}{} is given in {}",
            Q::KIND,
            known.join(", ")
        )));
    };
    if let Some(quantity) = whole(number).and_then(|count| Q::from_whole(count, factor)) {
        return Ok(quantity);
    }
    let base = scaled(number, value, factor);
    match Q::from_base(base) {
        Some(quantity) => Ok(quantity),
        None => fail(format!("`{text}` is out of range")),
    }
}

/// `value * factor`, correctly rounded where the factor is a power of ten (`5 us` is 5e-6, not
/// 5 * 0.000001) or an eighth of one (bits).
fn scaled(number: &str, value: f64, factor: f64) -> f64 {
    for (per, divisor) in [(factor, 1.0), (factor * 8.0, 8.0)] {
        let exponent = per.log10().round();
        if format!("1e{exponent}").parse() == Ok(per) {
            let digits = number.replace('_', "");
            return format!("{digits}e{exponent}").parse().unwrap_or(value * per) / divisor;
        }
    }
    value * factor
}

/// Digits alone, as an exact count.
fn whole(text: &str) -> Option<u64> {
    text.replace('_', "").parse().ok()
}

/// Digits with at most one point and `_` between digits; no sign, no exponent.
fn parse_decimal(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit() || b == b'_')
            && part.as_bytes()[0] != b'_'
            && !part.ends_with('_')
    };
    if !digits(whole) || !digits(fraction) || text.len() > 400 {
        return None;
    }
    text.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::units::*;

    #[test]
    fn reads_what_files_write() {
        assert_eq!("80 GiB".parse(), Ok(Bytes::new(80 << 30)));
        assert_eq!("200 Gbit/s".parse(), Ok(BytesPerSecond::new(25e9)));
        assert_eq!("312 TFLOP/s".parse(), Ok(FlopsPerSecond::new(312e12)));
        assert_eq!("5 us".parse(), Ok(Seconds::new(5e-6)));
        assert_eq!("2.5us".parse(), Ok(Seconds::new(2.5e-6)));
        assert_eq!("2.00 USD".parse(), Ok(UsDollars::new(2.0)));
    }

    #[test]
    fn refuses_what_is_ambiguous() {
        for (text, part) in [
            ("80", "has no unit"),
            ("80 Gb", "unknown unit `Gb`"),
            ("80 gib", "unknown unit `gib`"),
            ("-1 GiB", "not a plain decimal"),
            ("1e3 GiB", "unknown unit `e3 GiB`"),
            ("GiB", "does not begin with a number"),
            ("1.2.3 GiB", "not a plain decimal"),
            ("", "does not begin with a number"),
            ("99999999999999 TiB", "out of range"),
        ] {
            let error = text.parse::<Bytes>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn prints_what_differs_apart() {
        let gib = |gib: f64| Bytes::new((gib * 1_073_741_824.0) as u64);
        let (a, b) = apart(gib(19.14), gib(19.11));
        assert_eq!((a.as_str(), b.as_str()), ("19.14 GiB", "19.11 GiB"));
        let (a, b) = apart(Seconds::new(0.198_000_1), Seconds::new(0.198));
        assert_eq!((a.as_str(), b.as_str()), ("198.0001 ms", "198.0000 ms"));
        assert_eq!(apart(Seconds::ZERO, Seconds::ZERO).0, "0 s");
        for (share, text) in [
            (0.0913, "+9.13 %"),
            (-0.0913, "-9.13 %"),
            (0.0, "0 %"),
            (-0.0, "0 %"),
            (-4e-6, "-0.0004 %"),
            (f64::NAN, "n/a"),
        ] {
            assert_eq!(signed_percent(share), text);
        }
    }

    #[test]
    fn prints_three_digits() {
        assert_eq!(Bytes::new(80 << 30).to_string(), "80.0 GiB");
        assert_eq!(Seconds::new(13.754).to_string(), "13.8 s");
        assert_eq!(Seconds::new(2.5e-6).to_string(), "2.50 us");
        assert_eq!(Seconds::ZERO.to_string(), "0 s");
        assert_eq!(UsDollars::new(0.004_123).to_string(), "0.00412 USD");
        assert_eq!(UsDollars::new(0.0).to_string(), "0.00 USD");
        assert_eq!(Seconds::new(86_400.0 * 105.0).to_string(), "105 d");
        assert_eq!(FlopsPerSecond::new(312e12).to_string(), "312 TFLOP/s");
        assert_eq!(BytesPerSecond::new(25e9).to_string(), "25.0 GB/s");
    }
}
