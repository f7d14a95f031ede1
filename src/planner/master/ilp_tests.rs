//! The integer program against branch and bound, to the picosecond.

use crate::planner::master::problem::{Entry, Master};
use crate::planner::master::{Limits, MasterAnswer};
use crate::solver::Backend;
use proptest::prelude::*;

/// Instances whose times are those of real iterations: seconds, with differences from picoseconds
/// to a tenth.
fn instance() -> impl Strategy<Value = Master> {
    let value = prop_oneof![0u64..20, 0u64..1_000_000, 0u64..100_000_000_000];
    (1usize..6, 1usize..4, 0u64..10_000_000_000_000).prop_flat_map(move |(stages, rows, base)| {
        let entry = (1u64..4, prop::collection::vec(value.clone(), rows)).prop_map(
            move |(layers, values)| Entry {
                layers,
                values: values.into_iter().map(|value| base / 4 + value).collect(),
            },
        );
        let stage = prop::collection::vec(entry, 1..5);
        (
            prop::collection::vec(stage, stages),
            prop::collection::vec(base / 8..base / 8 + 1_000_000, rows),
            1u64..16,
        )
            .prop_map(|(stages, constants, layers)| Master { stages, constants, layers })
    })
}

proptest! {
    #[test]
    fn the_program_equals_branch_and_bound(master in instance(), slack in 1u64..1_000_000) {
        let far = u64::MAX / 8;
        let truth = match master.solve(far, Limits::nodes(u64::MAX)) {
            MasterAnswer::Best(_, value) => Some(value),
            _ => None,
        };
        let backend = Backend::best();
        for cutoff in [far, truth.unwrap_or(far - slack) + slack] {
            let proof = master.prove(cutoff, backend, &|| false).expect("an answer");
            prop_assert!(proof.proven);
            prop_assert_eq!(proof.best.as_ref().map(|(_, value)| *value), truth);
            if let Some((chosen, value)) = proof.best {
                prop_assert_eq!(master.value(&chosen), value);
                prop_assert!(proof.bound <= value);
            }
            let (answer, _) = master
                .prove_among(&mut master.all(), cutoff, backend, &|| false)
                .expect("an answer");
            match answer {
                MasterAnswer::Best(_, value) => prop_assert_eq!(Some(value), truth),
                answer => prop_assert!(answer == MasterAnswer::NothingBelow && truth.is_none()),
            }
        }
        if let Some(truth) = truth {
            let proof = master.prove(truth, backend, &|| false).expect("an answer");
            prop_assert!(proof.proven && proof.best.is_none());
        }
    }
}
