//! The master problem against all selections listed.

use crate::planner::master::problem::{Entry, Master};
use crate::planner::master::{Limits, MasterAnswer};
use proptest::prelude::*;

fn brute_force(master: &Master) -> Option<u64> {
    let mut best = None;
    let mut chosen = vec![0; master.stages.len()];
    loop {
        let layers: u64 =
            chosen.iter().zip(&master.stages).map(|(k, s): (&usize, _)| s[*k].layers).sum();
        if layers == master.layers {
            let value = master.value(&chosen);
            best = Some(best.map_or(value, |b: u64| b.min(value)));
        }
        let mut q = 0;
        loop {
            if q == chosen.len() {
                return best;
            }
            chosen[q] += 1;
            if chosen[q] < master.stages[q].len() {
                break;
            }
            chosen[q] = 0;
            q += 1;
        }
    }
}

fn instance() -> impl Strategy<Value = Master> {
    (1usize..7, 1usize..4).prop_flat_map(|(stages, rows)| {
        let entry = (1u64..4, prop::collection::vec(0u64..40, rows))
            .prop_map(|(layers, values)| Entry { layers, values });
        let stage = prop::collection::vec(entry, 1..4);
        (prop::collection::vec(stage, stages), prop::collection::vec(0u64..20, rows), 1u64..18)
            .prop_map(|(stages, constants, layers)| Master { stages, constants, layers })
    })
}

proptest! {
    #[test]
    fn equals_brute_force(master in instance(), slack in 0u64..30) {
        let truth = brute_force(&master);
        match master.solve(u64::MAX / 8, Limits::nodes(u64::MAX)) {
            MasterAnswer::Best(chosen, value) => {
                prop_assert_eq!(Some(value), truth);
                prop_assert_eq!(master.value(&chosen), value);
            }
            answer => prop_assert!(truth.is_none() && answer == MasterAnswer::NothingBelow),
        }
        if let Some(truth) = truth {
            prop_assert!(!master.is_excluded(truth + 1));
            prop_assert_eq!(master.solve(truth, Limits::nodes(u64::MAX)), MasterAnswer::NothingBelow);
            let below = master.solve(truth + 1 + slack, Limits::nodes(u64::MAX));
            prop_assert!(matches!(below, MasterAnswer::Best(_, value) if value == truth));
        }
    }

    /// What is content with any selection gives one below the cutoff wherever there is one.
    #[test]
    fn any_selection_below_the_cutoff_will_do(master in instance(), cutoff in 1u64..200) {
        let truth = brute_force(&master);
        let limits = Limits { enough: 1, ..Limits::nodes(u64::MAX) };
        match master.solve(cutoff, limits) {
            MasterAnswer::Best(chosen, value) => {
                prop_assert_eq!(master.value(&chosen), value);
                prop_assert_eq!(Some(value), truth);
                prop_assert!(value < cutoff);
            }
            MasterAnswer::Good(chosen, value) => {
                prop_assert_eq!(master.value(&chosen), value);
                prop_assert!(value < cutoff);
            }
            answer => {
                prop_assert_eq!(answer, MasterAnswer::NothingBelow);
                prop_assert!(truth.is_none_or(|truth| truth >= cutoff));
            }
        }
    }

    /// Where a mean of the rows closes an instance, nothing is below the cutoff but what it has met.
    #[test]
    fn a_mean_bounds_every_selection(master in instance(), cutoff in 1u64..200) {
        let truth = brute_force(&master);
        let alive = master.all();
        let mean = master.clone().add_mean(&alive, cutoff);
        if let Some((chosen, value)) = &mean.best {
            prop_assert_eq!(master.value(chosen), *value);
            prop_assert!(*value < cutoff);
        }
        if !mean.open {
            let met = mean.best.map_or(cutoff, |(_, value)| value);
            prop_assert!(truth.is_none_or(|truth| truth >= met));
        }
    }

    /// Rows that come one by one, with the columns that earlier ones have left and a cutoff that
    /// falls, give the selection that all of them at once give.
    #[test]
    fn rows_may_come_one_by_one(master in instance(), fall in prop::collection::vec(0u64..12, 4)) {
        let stages = master.stages.iter().map(|stage| {
            let entry = |e: &Entry| Entry { layers: e.layers, values: Vec::new() };
            stage.iter().map(entry).collect()
        });
        let mut growing =
            Master { stages: stages.collect(), constants: Vec::new(), layers: master.layers };
        let mut alive = growing.all();
        let mut cutoff = 150;
        for (r, constant) in master.constants.iter().enumerate() {
            growing.add_row(*constant, |q, k| master.stages[q][k].values[r]);
            let answer = growing.solve_among(&mut alive, cutoff, Limits::nodes(u64::MAX));
            prop_assert_eq!(answer, growing.solve(cutoff, Limits::nodes(u64::MAX)));
            cutoff -= fall[r];
        }
        prop_assert_eq!(growing, master);
    }
}

#[test]
fn a_limit_is_reported() {
    let entry = |layers| Entry { layers, values: vec![layers] };
    let master =
        Master { stages: vec![vec![entry(1), entry(2)]; 6], constants: vec![0], layers: 9 };
    assert_eq!(master.solve(100, Limits::nodes(2)), MasterAnswer::Undecided(None));
}

/// Two rows, each of which a selection can keep low at the other's cost: alone neither excludes what
/// their mean does.
#[test]
fn a_mean_of_rows_excludes_what_none_does() {
    let entry = |a: u64, b: u64| Entry { layers: 1, values: vec![a, b] };
    let stage = vec![entry(1000, 0), entry(0, 1000)];
    let master = Master { stages: vec![stage; 7], constants: vec![0, 0], layers: 7 };
    assert!(master.is_excluded(3450));
    assert!(!master.is_excluded(4001));
    assert_eq!(master.solve(4000, Limits::nodes(u64::MAX)), MasterAnswer::NothingBelow);
    assert!(matches!(master.solve(4001, Limits::nodes(u64::MAX)), MasterAnswer::Best(_, 4000)));
}
