//! What a quantity is written as reads back as the same bits.

use lmplan::units::*;
use proptest::prelude::*;

fn written<T: serde::Serialize>(quantity: T) -> String {
    serde_json::to_value(quantity).unwrap().as_str().unwrap().to_owned()
}

macro_rules! reads_back {
    ($($name:ident: $quantity:ident),+ $(,)?) => {
        proptest! {
            $(
                #[test]
                fn $name(exponent in -18.0..24.0_f64, scale in 0.1..10.0_f64, whole in 0..1_000_000_u64) {
                    for value in [scale * 10_f64.powf(exponent), whole as f64, whole as f64 / 1000.0] {
                        let quantity = $quantity::new(value);
                        let text = written(quantity);
                        prop_assert_eq!(text.parse::<$quantity>(), Ok(quantity), "{}", text);
                    }
                }
            )+
        }
    };
}

reads_back! {
    seconds: Seconds,
    flops: Flops,
    bandwidths: BytesPerSecond,
    rates: FlopsPerSecond,
    powers: Watts,
    money: UsDollars,
    frequencies: PerDay,
}

proptest! {
    #[test]
    fn sizes(count in any::<u64>(), small in 0..4096_u64, shift in 0..40_u32) {
        for count in [count, small, small << shift, small * 1_000_000_000] {
            let text = written(Bytes::new(count));
            prop_assert_eq!(text.parse::<Bytes>(), Ok(Bytes::new(count)), "{}", text);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        let _ = text.parse::<Bytes>();
        let _ = text.parse::<Seconds>();
    }
}

#[test]
fn the_extremes_read_back() {
    for value in [f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.0, 1.0 / 3.0] {
        let text = written(Seconds::new(value));
        assert_eq!(text.parse::<Seconds>(), Ok(Seconds::new(value)), "{text}");
    }
    assert_eq!(written(Bytes::new(80 << 30)), "80 GiB");
    assert_eq!(written(Bytes::new(u64::MAX)), "18446744073709551615 B");
}
