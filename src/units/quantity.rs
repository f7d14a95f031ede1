//! The quantities themselves and their arithmetic.

use super::exact::exact;
use super::parse::{Quantity, parse_quantity};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

/// Visits a string with a unit, and says what is missing from a bare number.
struct QuantityVisitor<Q>(std::marker::PhantomData<Q>);

impl<Q: Quantity> Visitor<'_> for QuantityVisitor<Q> {
    type Value = Q;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with its unit, such as `{}`", Q::KIND, Q::EXAMPLE)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Q, E> {
        parse_quantity(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Q, E> {
        Err(E::custom(bare_number::<Q>(&value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Q, E> {
        Err(E::custom(bare_number::<Q>(&value)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Q, E> {
        Err(E::custom(bare_number::<Q>(&value)))
    }
}

fn bare_number<Q: Quantity>(value: &dyn fmt::Display) -> String {
    format!("`{value}` has no unit: write {} with its unit, such as `{}`", Q::KIND, Q::EXAMPLE)
}

macro_rules! file_format {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(QuantityVisitor(std::marker::PhantomData))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&exact(*self))
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let units: Vec<String> = <$name as Quantity>::UNITS
                    .iter()
                    .map(|(unit, _)| unit.replace('/', "\\/"))
                    .collect();
                json_schema!({
                    "type": "string",
                    "title": <$name as Quantity>::KIND,
                    "format": stringify!($name),
                    "pattern": format!("^[0-9][0-9_]*(\\.[0-9]+)? ?({})$", units.join("|")),
                    "examples": [<$name as Quantity>::EXAMPLE],
                })
            }
        }

        impl std::str::FromStr for $name {
            type Err = super::ParseQuantityError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_quantity(text)
            }
        }
    };
}

macro_rules! float_quantity {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $example:literal, [$(($unit:literal, $factor:expr)),+ $(,)?]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Default)]
        pub struct $name(f64);

        impl $name {
            /// Nothing of it.
            pub const ZERO: $name = $name(0.0);

            /// From a number in the base unit.
            pub const fn new(value: f64) -> Self {
                $name(value)
            }

            /// The number in the base unit.
            pub const fn get(self) -> f64 {
                self.0
            }

            /// The larger of two.
            pub fn max(self, other: Self) -> Self {
                $name(self.0.max(other.0))
            }

            /// The smaller of two.
            pub fn min(self, other: Self) -> Self {
                $name(self.0.min(other.0))
            }

            /// Total order, for sorting.
            pub fn total_cmp(&self, other: &Self) -> Ordering {
                self.0.total_cmp(&other.0)
            }
        }

        impl Quantity for $name {
            const KIND: &'static str = $kind;
            const EXAMPLE: &'static str = $example;
            const UNITS: &'static [(&'static str, f64)] = &[$(($unit, $factor)),+];

            fn from_base(value: f64) -> Option<Self> {
                value.is_finite().then_some($name(value))
            }

            fn to_base(self) -> f64 {
                self.0
            }
        }

        impl Add for $name {
            type Output = $name;
            fn add(self, rhs: $name) -> $name {
                $name(self.0 + rhs.0)
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, rhs: $name) {
                self.0 += rhs.0;
            }
        }
        impl Sub for $name {
            type Output = $name;
            fn sub(self, rhs: $name) -> $name {
                $name(self.0 - rhs.0)
            }
        }
        impl Mul<f64> for $name {
            type Output = $name;
            fn mul(self, rhs: f64) -> $name {
                $name(self.0 * rhs)
            }
        }
        impl Div<f64> for $name {
            type Output = $name;
            fn div(self, rhs: f64) -> $name {
                $name(self.0 / rhs)
            }
        }
        impl Div<$name> for $name {
            type Output = f64;
            fn div(self, rhs: $name) -> f64 {
                self.0 / rhs.0
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = $name>>(iter: I) -> $name {
                $name(iter.map(|quantity| quantity.0).sum())
            }
        }
        file_format!($name);
    };
}

/// A size in bytes, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(u64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Bytes = Bytes(0);

    /// From a count of bytes.
    pub const fn new(count: u64) -> Self {
        Bytes(count)
    }

    /// The count of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The count of bytes as a float, for rates.
    pub const fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// In binary gibibytes.
    pub fn gib(self) -> f64 {
        self.0 as f64 / (1u64 << 30) as f64
    }

    /// `self - other`, or zero.
    pub const fn saturating_sub(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }

    /// `self / ways`, rounded up to a whole byte.
    pub const fn div_ceil(self, ways: u64) -> Bytes {
        Bytes(self.0.div_ceil(ways))
    }
}

impl Quantity for Bytes {
    const KIND: &'static str = "a size";
    const EXAMPLE: &'static str = "80 GiB";
    const UNITS: &'static [(&'static str, f64)] = &[
        ("B", 1.0),
        ("kB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("TB", 1e12),
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
        ("TiB", 1_099_511_627_776.0),
    ];

    fn from_base(value: f64) -> Option<Self> {
        (value.is_finite() && (0.0..1.8e19).contains(&value)).then(|| Bytes(value.round() as u64))
    }

    fn from_whole(number: u64, factor: f64) -> Option<Self> {
        number.checked_mul(factor as u64).map(Bytes)
    }

    fn to_base(self) -> f64 {
        self.0 as f64
    }

    fn whole_base(&self) -> Option<u64> {
        Some(self.0)
    }
}

impl Add for Bytes {
    type Output = Bytes;
    fn add(self, rhs: Bytes) -> Bytes {
        Bytes(self.0.saturating_add(rhs.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, rhs: Bytes) {
        *self = *self + rhs;
    }
}

impl Sub for Bytes {
    type Output = Bytes;
    fn sub(self, rhs: Bytes) -> Bytes {
        debug_assert!(self.0 >= rhs.0, "bytes went below zero: {} - {}", self.0, rhs.0);
        Bytes(self.0.saturating_sub(rhs.0))
    }
}

impl Mul<u64> for Bytes {
    type Output = Bytes;
    fn mul(self, rhs: u64) -> Bytes {
        Bytes(self.0.saturating_mul(rhs))
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Bytes>>(iter: I) -> Bytes {
        iter.fold(Bytes::ZERO, Add::add)
    }
}

file_format!(Bytes);

float_quantity!(
    /// A duration in seconds.
    Seconds, "a duration", "2.5 us",
    [("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9), ("min", 60.0), ("h", 3600.0), ("d", 86400.0)]
);
float_quantity!(
    /// A count of floating-point operations (a multiply-add counts as two).
    Flops, "a number of floating-point operations", "1.5 TFLOP",
    [("FLOP", 1.0), ("GFLOP", 1e9), ("TFLOP", 1e12), ("PFLOP", 1e15)]
);
float_quantity!(
    /// A rate of data, in bytes per second.
    BytesPerSecond, "a bandwidth", "300 GB/s",
    [
        ("B/s", 1.0), ("kB/s", 1e3), ("MB/s", 1e6), ("GB/s", 1e9), ("TB/s", 1e12),
        ("Mbit/s", 1e6 / 8.0), ("Gbit/s", 1e9 / 8.0), ("Tbit/s", 1e12 / 8.0)
    ]
);
float_quantity!(
    /// A rate of floating-point operations, per second.
    FlopsPerSecond, "a rate of floating-point operations", "312 TFLOP/s",
    [
        ("FLOP/s", 1.0), ("MFLOP/s", 1e6), ("GFLOP/s", 1e9), ("TFLOP/s", 1e12), ("PFLOP/s", 1e15)
    ]
);
float_quantity!(
    /// Electrical power.
    Watts, "a power", "400 W",
    [("W", 1.0), ("kW", 1e3), ("MW", 1e6)]
);
float_quantity!(
    /// Money, in US dollars.
    UsDollars, "an amount of money", "2.00 USD",
    [("USD", 1.0)]
);
float_quantity!(
    /// How often something happens, per day.
    PerDay, "a rate", "0.0005 /d",
    [("/d", 1.0), ("/h", 24.0), ("/y", 1.0 / 365.25)]
);

impl Div<BytesPerSecond> for Bytes {
    type Output = Seconds;
    fn div(self, rhs: BytesPerSecond) -> Seconds {
        Seconds(self.0 as f64 / rhs.0)
    }
}

impl Div<FlopsPerSecond> for Flops {
    type Output = Seconds;
    fn div(self, rhs: FlopsPerSecond) -> Seconds {
        Seconds(self.0 / rhs.0)
    }
}

impl Div<Seconds> for Flops {
    type Output = FlopsPerSecond;
    fn div(self, rhs: Seconds) -> FlopsPerSecond {
        FlopsPerSecond(self.0 / rhs.0)
    }
}
