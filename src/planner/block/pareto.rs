//! Points of which less is better in every coordinate, and the removal of those that another one
//! beats.

use super::priced_block::Measure;

/// Coordinates of a point: all but the last are sums over parts, the last is a maximum.
pub(super) const DIMENSIONS: usize = 15;

/// What a partial choice has cost so far.
pub(super) type Coordinates = [u64; DIMENSIONS];

/// A partial choice: what it costs, and where in the arena it is written down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub cost: Coordinates,
    pub trace: u32,
}

/// The coordinates that decide between choices; each is monotone in what options report.
pub(super) fn coordinates(measure: &Measure) -> Coordinates {
    [
        measure.forward.time().picos(),
        measure.backward.time().picos(),
        measure.saved,
        measure.parameters,
        measure.core_saved,
        measure.rebuilt,
        measure.selective.time().picos(),
        measure.reduced_parameters,
        measure.forward.launches,
        measure.backward.launches,
        measure.selective.launches,
        measure.again.launches,
        measure.again.time().picos(),
        // Those that are trained have gradients and states beside.
        measure.parameters.saturating_sub(measure.frozen_parameters),
        measure.workspace,
    ]
}

/// Costs of two parts together.
pub(super) fn joined(a: &Coordinates, b: &Coordinates) -> Coordinates {
    let mut sum = *a;
    for (total, part) in sum.iter_mut().zip(b) {
        *total += part;
    }
    let last = DIMENSIONS - 1;
    sum[last] = a[last].max(b[last]);
    sum
}

/// Whether `a` is nowhere worse than `b`.
fn covers<const N: usize>(a: &[u64; N], b: &[u64; N]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b)
}

/// Keeps the items that no other covers, in ascending order; of equal ones the first.
pub(super) fn prune<T, const N: usize>(items: &mut Vec<T>, cost: impl Fn(&T) -> [u64; N]) {
    if items.len() < 2 {
        return;
    }
    // Sorted, an item can be covered only by an earlier one.
    items.sort_by_key(&cost);
    let mut kept: Vec<[u64; N]> = Vec::new();
    // What covered the last item is likely to cover the next.
    let mut likely = 0;
    items.retain(|item| {
        let candidate = cost(item);
        if kept.get(likely).is_some_and(|other| covers(other, &candidate)) {
            return false;
        }
        let by = kept.iter().position(|other| covers(other, &candidate));
        match by {
            Some(by) => likely = by,
            None => kept.push(candidate),
        }
        by.is_none()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_exactly_what_nothing_covers() {
        let mut items: Vec<[u64; 3]> = Vec::new();
        let mut state = 7u64;
        for _ in 0..400 {
            let mut next = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 60) % 9
            };
            items.push([next(), next(), next()]);
        }
        let mut expected: Vec<[u64; 3]> = items
            .iter()
            .filter(|a| !items.iter().any(|b| b != *a && covers(b, a)))
            .copied()
            .collect();
        expected.sort_unstable();
        expected.dedup();
        prune(&mut items, |item| *item);
        assert_eq!(items, expected);
    }
}
