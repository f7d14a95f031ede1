//! Numbers of the command line: counts, tokens, durations. A message says what was found and what
//! to write instead.

use crate::units::Seconds;
use std::ops::RangeInclusive;

/// Most sequences of a step, and the largest rank, as in files.
const MOST: u64 = 1_000_000_000;

/// Most tokens of a sequence, as in files.
const MOST_LENGTH: u64 = 100_000_000;

/// Reads a whole number of at least one: `1536`, `1_536`, `1e3` or `1.5K`.
///
/// # Errors
/// Anything else, and more than 1e9.
pub fn parse_count(text: &str) -> Result<u64, String> {
    within(text, 1..=MOST)
}

/// Whether the text is a number below zero.
pub(super) fn is_negative(text: &str) -> bool {
    text.trim().strip_prefix('-').is_some_and(|rest| scaled(rest).is_some_and(|n| n > 0.0))
}

/// Reads a whole number, as [`parse_count`] does, within `range`.
pub fn counts(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| within(text, range.clone())
}

fn within(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let (least, most) = (*range.start(), *range.end());
    let wrong = || {
        let digits = text.replace([',', ' ', '\'', '\u{a0}', '\u{202f}'], "");
        match digits.parse::<u64>() {
            Ok(digits) if digits > 0 => {
                format!("`{text}` has signs between its digits: write `{digits}`")
            }
            _ => {
                format!("`{text}` is not a whole number: write digits; `1.5K` and `1.5e3` are 1500")
            }
        }
    };
    if is_negative(text) {
        return Err(format!("`{text}` is less than {least}: write {least} or more"));
    }
    let value = scaled(text).ok_or_else(wrong)?;
    // Decimals are read in binary: 1.1 thousand is a whole number.
    if (value - value.round()).abs() > 1e-9 * value {
        let (below, above) = ((value.floor() as u64).max(least), (value.ceil() as u64).max(least));
        let nearest = match below == above {
            true => format!("`{below}`"),
            false => format!("`{below}` or `{above}`"),
        };
        return Err(format!("`{text}` is {value}, which is not a whole number: write {nearest}"));
    }
    let value = value.round();
    if value < least as f64 {
        return Err(format!("`{text}` is too few: write {least} or more"));
    }
    if value > most as f64 {
        return Err(format!("`{text}` is too many: write {most} or less"));
    }
    Ok(value as u64)
}

/// Reads a number of tokens of one sequence: digits alone, since `4K` would be 4,000 to some and
/// 4,096 to others.
///
/// # Errors
/// Anything else, and zero.
pub fn parse_length(text: &str) -> Result<u64, String> {
    if text.trim().ends_with(['K', 'k']) {
        return Err(format!(
            "`{text}` may mean thousands or multiples of 1024: write the digits, such as `4096`"
        ));
    }
    within(text, 1..=MOST_LENGTH)
}

/// Reads a count of tokens: digits, or a number with `K`, `M`, `B` or `T`.
///
/// # Errors
/// Anything else, zero, and more than 1e18.
pub fn parse_tokens(text: &str) -> Result<u64, String> {
    let wrong =
        || "write a number of tokens, such as `300B`, `1.4T` or `300_000_000_000`".to_owned();
    if is_negative(text) {
        return Err(format!("`{text}` is less than 1: {}", wrong()));
    }
    let tokens = scaled(text).ok_or_else(wrong)?;
    if !(1.0..=1e18).contains(&tokens) {
        return Err(format!("`{text}` is not between 1 and 1e18: {}", wrong()));
    }
    Ok(tokens.round() as u64)
}

/// A number of digits with at most a point, an exponent, and a letter for thousands and more.
fn scaled(text: &str) -> Option<f64> {
    let plain = text.trim().replace('_', "");
    let (number, factor) = match plain.chars().last()? {
        'K' | 'k' => (&plain[..plain.len() - 1], 1e3),
        'M' | 'm' => (&plain[..plain.len() - 1], 1e6),
        'B' | 'b' | 'G' | 'g' => (&plain[..plain.len() - 1], 1e9),
        'T' | 't' => (&plain[..plain.len() - 1], 1e12),
        _ => (plain.as_str(), 1.0),
    };
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+');
    if number.is_empty() || !number.chars().all(numeric) {
        return None;
    }
    number.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number * factor)
}

/// Reads a duration with its unit, or a bare number of seconds.
///
/// # Errors
/// Anything else, and zero.
pub fn parse_seconds(text: &str) -> Result<Seconds, String> {
    let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if bare { duration(&format!("{text} s"), "30s") } else { duration(text, "30s") }
}

/// Reads the duration of a training run or of a repair, with its unit.
///
/// # Errors
/// Anything else, and zero.
pub fn parse_long(text: &str) -> Result<Seconds, String> {
    duration(text, "30d")
}

fn duration(text: &str, example: &str) -> Result<Seconds, String> {
    let said = |error: crate::units::ParseQuantityError| {
        // The example of files is a latency.
        error.to_string().replace("`2.5 us`", &format!("`{example}`"))
    };
    let duration: Seconds = text.parse().map_err(said)?;
    if duration.get() > 0.0 {
        Ok(duration)
    } else {
        Err(format!("a duration of zero leaves no time: write one such as `{example}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        for (text, count) in [
            ("1536", 1536),
            ("1_536", 1536),
            ("1e3", 1000),
            ("1K", 1000),
            ("1.5K", 1500),
            ("1.1k", 1100),
        ] {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
        for (wrong, said) in [
            ("0", "is too few: write 1 or more"),
            ("-5", "is less than 1: write 1 or more"),
            ("-", "is not a whole number"),
            ("1.0005K", "write `1000` or `1001`"),
            ("0.5", "write `1`"),
            ("", "is not a whole number"),
            ("1,536", "has signs between its digits: write `1536`"),
            ("1.5", "is 1.5, which is not a whole number"),
            ("1e400", "is not a whole number"),
            ("1e15", "is too many: write 1000000000 or less"),
            ("abc", "is not a whole number"),
        ] {
            assert!(parse_count(wrong).unwrap_err().contains(said), "{wrong}");
        }
        assert_eq!(counts(1..=100)("100"), Ok(100));
        assert!(counts(1..=100)("101").unwrap_err().contains("write 100 or less"));
        assert_eq!(parse_length("4096"), Ok(4096));
        assert!(parse_length("1e9").unwrap_err().contains("write 100000000 or less"));
        assert!(parse_length("4K").unwrap_err().contains("multiples of 1024"));
    }

    #[test]
    fn tokens_are_read() {
        assert_eq!(parse_tokens("300B"), Ok(300_000_000_000));
        assert_eq!(parse_tokens("1.4T"), Ok(1_400_000_000_000));
        assert_eq!(parse_tokens("3e11"), Ok(300_000_000_000));
        assert_eq!(parse_tokens("1_000"), Ok(1000));
        assert!(parse_tokens("-1").unwrap_err().contains("less than 1"));
        for wrong in ["", "B", "-1", "0", "nan", "inf", "1e400", "300 B", "3é", "é"] {
            assert!(parse_tokens(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(parse_seconds("30"), Ok(Seconds::new(30.0)));
        assert_eq!(parse_seconds("30d"), Ok(Seconds::new(30.0 * 86_400.0)));
        for wrong in ["", "0", "0 s", "30 x", "-1 s"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
        assert!(parse_long("30").unwrap_err().ends_with("such as `30d`"));
        assert_eq!(parse_long("30d"), Ok(Seconds::new(30.0 * 86_400.0)));
    }
}
