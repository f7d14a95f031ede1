//! Measured collectives inside a node, and times between them.

use crate::graph::Collective;
use crate::spec::{DeviceSpec, MeasuredRow};
use std::collections::BTreeMap;

/// Measured collectives of one device, by collective and number of ranks.
#[derive(Debug, Clone, Default)]
pub(super) struct CollectiveTable {
    /// By bytes, rising: bytes and seconds.
    times: BTreeMap<(&'static str, u64), Vec<(f64, f64)>>,
}

/// Collectives that tables hold, with their names there.
const NAMES: [(Collective, &str); 4] = [
    (Collective::AllReduce, "all_reduce"),
    (Collective::ReduceScatter, "reduce_scatter"),
    (Collective::AllGather, "all_gather"),
    (Collective::AllToAll, "all_to_all"),
];

/// The name of messages from one device to another in tables.
pub const MESSAGE: &str = "message";

/// The name of a collective in tables, where they hold it.
pub fn table_name(collective: Collective) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == collective).map(|(_, name)| *name)
}

impl CollectiveTable {
    /// The table of a device; empty where it has none.
    pub(super) fn of(device: &DeviceSpec) -> CollectiveTable {
        let mut table = CollectiveTable::default();
        let Some(measured) = &device.measured else { return table };
        for name in NAMES.into_iter().map(|(_, name)| name).chain([MESSAGE]) {
            for row in measured.collectives.get(name).into_iter().flatten() {
                let MeasuredRow { sizes: [bytes, ranks, _], time } = *row;
                let rows = table.times.entry((name, ranks)).or_default();
                rows.push((bytes.max(1) as f64, time.get()));
            }
        }
        table.times.values_mut().for_each(smooth);
        table
    }

    /// Seconds of a collective of `bytes` over `ranks` of one node: between measured sizes a
    /// straight line in the logarithms of both, below the smallest the time of that, beyond the
    /// largest its rate. None where nothing like it was measured.
    pub(super) fn seconds(&self, collective: Collective, bytes: f64, ranks: u64) -> Option<f64> {
        Self::between(self.times.get(&(table_name(collective)?, ranks))?, bytes)
    }

    /// Seconds of a message of `bytes` from one device to another, likewise.
    pub(super) fn message(&self, bytes: f64) -> Option<f64> {
        Self::between(self.times.get(&(MESSAGE, 2))?, bytes)
    }

    fn between(rows: &[(f64, f64)], bytes: f64) -> Option<f64> {
        let (first, last) = (rows.first()?, rows.last()?);
        let above = rows.partition_point(|(size, _)| *size <= bytes);
        if above == 0 {
            return Some(first.1);
        }
        let Some(upper) = rows.get(above) else { return Some(last.1 * bytes / last.0) };
        let lower = rows[above - 1];
        let share = (bytes / lower.0).ln() / (upper.0 / lower.0).ln();
        Some(lower.1 * (upper.1 / lower.1).powf(share))
    }
}

/// Sorts rows and takes out what can only be noise, from the largest size down: a smaller collective
/// takes no longer than a larger one, nor less than its part of it.
fn smooth(rows: &mut Vec<(f64, f64)>) {
    rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    rows.dedup_by(|next, kept| next.0 == kept.0);
    for index in (1..rows.len()).rev() {
        let (larger, longer) = rows[index];
        let (bytes, seconds) = rows[index - 1];
        rows[index - 1].1 = seconds.min(longer).max(longer * bytes / larger);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::MeasuredTable;
    use crate::units::Seconds;
    use proptest::prelude::*;

    fn table(rows: &[(u64, f64)]) -> CollectiveTable {
        let text = include_str!("../../hardware/devices/a100-80gb-sxm.yaml");
        let mut device: DeviceSpec = serde_saphyr::from_str(text).unwrap();
        let row = |(bytes, seconds): &(u64, f64)| MeasuredRow {
            sizes: [*bytes, 2, 1],
            time: Seconds::new(*seconds),
        };
        let collectives =
            BTreeMap::from([("all_reduce".to_owned(), rows.iter().map(row).collect())]);
        device.measured =
            Some(MeasuredTable { element_bytes: 4, collectives, ..MeasuredTable::default() });
        CollectiveTable::of(&device)
    }

    #[test]
    fn between_rows_the_logarithms_are_a_line() {
        let table = table(&[(1 << 10, 1e-3), (1 << 20, 4e-3)]);
        let at = |bytes: f64| table.seconds(Collective::AllReduce, bytes, 2).unwrap();
        assert!((at(f64::from(1 << 15)) - 2e-3).abs() < 1e-12);
        assert!((at(8.0) - 1e-3).abs() < 1e-12);
        assert!((at(f64::from(1 << 21)) - 8e-3).abs() < 1e-12);
        assert_eq!(table.seconds(Collective::AllReduce, 1e6, 4), None);
        assert_eq!(table.seconds(Collective::AllGather, 1e6, 2), None);
    }

    proptest! {
        #[test]
        fn larger_takes_longer_but_not_for_each_byte(
            rows in prop::collection::vec((1u64..1 << 30, 1e-6..1.0), 1..12),
            sizes in prop::collection::vec(1.0..2e9, 2..8),
        ) {
            let table = table(&rows);
            let mut sizes: Vec<f64> = sizes;
            sizes.sort_by(f64::total_cmp);
            let times: Vec<f64> =
                sizes.iter().map(|b| table.seconds(Collective::AllReduce, *b, 2).unwrap()).collect();
            for (size, time) in sizes.windows(2).zip(times.windows(2)) {
                prop_assert!(time[1] >= time[0] * (1.0 - 1e-9));
                prop_assert!(time[1] / size[1] <= time[0] / size[0] * (1.0 + 1e-9));
            }
        }
    }
}
