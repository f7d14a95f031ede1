//! Numbers as people read them: three significant digits, a unit, no exponent.

use crate::units::{Bytes, Seconds};

/// A number that a report can not show.
const UNKNOWN: &str = "n/a";

/// A duration: `13.8 s`, `2.50 ms`.
pub(super) fn seconds(value: f64) -> String {
    if value.is_finite() { Seconds::new(value).to_string() } else { UNKNOWN.to_owned() }
}

/// A difference of durations with its sign: `+1.20 s`.
pub(super) fn signed_seconds(value: f64) -> String {
    match value {
        v if !v.is_finite() => UNKNOWN.to_owned(),
        0.0 => "0 s".to_owned(),
        v if v < 0.0 => format!("-{}", Seconds::new(-v)),
        v => format!("+{}", Seconds::new(v)),
    }
}

/// A size: `61.2 GiB`.
pub(super) fn bytes(value: u64) -> String {
    Bytes::new(value).to_string()
}

/// The difference of two sizes with its sign: `-3.40 GiB`.
pub(super) fn signed_bytes(value: u64, reference: u64) -> String {
    match value.abs_diff(reference) {
        0 => "0 B".to_owned(),
        difference if value < reference => format!("-{}", Bytes::new(difference)),
        difference => format!("+{}", Bytes::new(difference)),
    }
}

/// A share of one as per cent: `8.4 %`, `0.02 %`, `100 %`.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    match value.abs() {
        v if !v.is_finite() => UNKNOWN.to_owned(),
        0.0 => "0 %".to_owned(),
        v if v >= 99.95 => format!("{value:.0} %"),
        v if v >= 0.095 => format!("{value:.1} %"),
        v if v >= 0.0095 => format!("{value:.2} %"),
        _ => "< 0.01 %".to_owned(),
    }
}

/// A ratio as signed per cent: `+3.1 %`.
pub(super) fn signed_percent(share: f64) -> String {
    let text = percent(share);
    if share > 0.0 && !text.starts_with('<') { format!("+{text}") } else { text }
}

/// A count with a comma every three digits: `16,384`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A rate or another large number: three significant digits, grouped: `18,200`, `4.21`.
pub(super) fn rate(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => UNKNOWN.to_owned(),
        v if v >= 1e18 => format!("{value:.2e}"),
        v if v >= 1000.0 => {
            let scale = 10f64.powi(v.log10().floor() as i32 - 2);
            let rounded = count(((v / scale).round() * scale).round() as u64);
            if value < 0.0 { format!("-{rounded}") } else { rounded }
        }
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Tokens: `300 billion`.
pub(super) fn tokens(value: u64) -> String {
    scaled(value as f64, &[(1e12, "trillion"), (1e9, "billion"), (1e6, "million")])
}

/// US dollars: `4.21 million USD`, `12,300 USD`.
pub(super) fn dollars(value: f64) -> String {
    format!("{} USD", scaled(value, &[(1e9, "billion"), (1e6, "million")]))
}

/// Days of training: `84.3 days`, or hours where it is less than two days.
pub(super) fn days(value: f64) -> String {
    match value {
        v if !v.is_finite() => UNKNOWN.to_owned(),
        v if v < 2.0 => format!("{} hours", rate(v * 24.0)),
        v => format!("{} days", rate(v)),
    }
}

fn scaled(value: f64, scales: &[(f64, &str)]) -> String {
    match scales.iter().find(|(factor, _)| value.abs() >= factor * 0.9995) {
        Some((factor, word)) => format!("{} {word}", rate(value / factor)),
        None => rate(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_people_read() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_048_576), "1,048,576");
        assert_eq!(rate(18_249.0), "18,200");
        assert_eq!(rate(4.213), "4.21");
        assert_eq!(tokens(300_000_000_000), "300 billion");
        assert_eq!(dollars(4_213_000.0), "4.21 million USD");
        assert_eq!(dollars(12_345.0), "12,300 USD");
        assert_eq!(days(1.5), "36.0 hours");
        assert_eq!(days(84.31), "84.3 days");
        assert_eq!(percent(0.0842), "8.4 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.000_2), "0.02 %");
        assert_eq!(signed_percent(-0.5), "-50.0 %");
        assert_eq!(signed_seconds(1.2), "+1.20 s");
        assert_eq!(signed_bytes(1 << 30, 3 << 30), "-2.00 GiB");
    }

    #[test]
    fn has_a_word_for_what_is_no_number() {
        for text in [seconds(f64::NAN), percent(f64::INFINITY), rate(f64::NAN), days(f64::NAN)] {
            assert_eq!(text, "n/a");
        }
    }
}
