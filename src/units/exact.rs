//! Writing quantities to files: every text reads back as the same bits.

use super::parse::{Quantity, parse_quantity};

/// The shortest text that [`parse_quantity`] reads back as exactly `quantity`.
///
/// Of the units that leave a number of at least one, the one with the fewest digits; between equals
/// the larger unit. Sizes are whole in the unit they are written in. Bits per second are
/// read and never written.
pub(super) fn exact<Q: Quantity + Copy + PartialEq>(quantity: Q) -> String {
    let base = quantity.to_base();
    if base == 0.0 {
        return format!("0 {}", Q::UNITS[0].0);
    }
    Q::UNITS
        .iter()
        .filter(|(unit, _)| !unit.contains("bit"))
        .filter_map(|&(unit, factor)| {
            let number = shortest(quantity, unit, factor)?;
            Some(((base < factor, digits(&number)), factor, format!("{number} {unit}")))
        })
        .min_by(|left, right| left.0.cmp(&right.0).then(right.1.total_cmp(&left.1)))
        .map_or_else(|| format!("{base} {}", Q::UNITS[0].0), |(_, _, text)| text)
}

fn digits(number: &str) -> usize {
    number.bytes().filter(u8::is_ascii_digit).count()
}

/// The shortest decimal in `unit` that reads back as `quantity`, if there is one.
fn shortest<Q: Quantity + Copy + PartialEq>(
    quantity: Q,
    unit: &str,
    factor: f64,
) -> Option<String> {
    let same = |number: &String| parse_quantity::<Q>(&format!("{number} {unit}")) == Ok(quantity);
    if let Some(count) = quantity.whole_base() {
        let scale = factor as u64;
        return count.is_multiple_of(scale).then(|| (count / scale).to_string()).filter(same);
    }
    let value = quantity.to_base() / factor;
    if !value.is_finite() || value < 0.0 {
        return None;
    }
    // The rounding of a division may leave the shortest text one unit away from the quotient's
    // own, so each number of decimals is tried.
    let own = format!("{value}");
    let decimals = own.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    (0..=decimals.min(17)).map(|digits| format!("{value:.digits$}")).chain([own]).find(same)
}

#[cfg(test)]
mod tests {
    use super::exact;
    use crate::units::*;

    #[test]
    fn writes_what_people_would_write() {
        assert_eq!(exact(Bytes::new(80 << 30)), "80 GiB");
        assert_eq!(exact(Bytes::new(80_000_000_000)), "80 GB");
        assert_eq!(exact(Bytes::new((1 << 30) + 1)), "1073741825 B");
        assert_eq!(exact(Bytes::new(u64::MAX)), "18446744073709551615 B");
        assert_eq!(exact(Bytes::ZERO), "0 B");
        assert_eq!(exact(Seconds::new(2.5e-6)), "2.5 us");
        assert_eq!(exact(Seconds::new(5e-6)), "5 us");
        assert_eq!(exact(Seconds::new(86_400.0)), "1 d");
        assert_eq!(exact(BytesPerSecond::new(25e9)), "25 GB/s");
        assert_eq!(exact(BytesPerSecond::new(2.039e12)), "2.039 TB/s");
        assert_eq!(exact(FlopsPerSecond::new(312e12)), "312 TFLOP/s");
        assert_eq!(exact(FlopsPerSecond::new(989.4e12)), "989.4 TFLOP/s");
        assert_eq!(exact(UsDollars::new(2.0)), "2 USD");
        assert_eq!(exact(PerDay::new(0.0005)), "0.0005 /d");
    }
}
