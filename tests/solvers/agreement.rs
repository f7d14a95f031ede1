//! The ILP solvers: small programs with known answers, random ones against brute force and against
//! each other, and the planner's master problem under every backend of the build.

use lmplan::planner::master::problem::{Entry, Master};
use lmplan::planner::master::{Limits, MasterAnswer};
use lmplan::solver::{Backend, Problem, Sense, SolveError, SolverLimits, Status, Variable, solve};
use proptest::prelude::*;

fn backends() -> Vec<Backend> {
    [Backend::Microlp, Backend::Highs].into_iter().filter(|b| b.is_available()).collect()
}

fn knapsack(values: &[u8], weights: &[u8], capacity: u32) -> Problem {
    let mut problem = Problem::default();
    let x: Vec<usize> =
        values.iter().map(|v| problem.add(Variable::binary(-f64::from(*v)))).collect();
    let terms = x.iter().zip(weights).map(|(x, w)| (*x, f64::from(*w))).collect();
    problem.require(terms, Sense::AtMost, f64::from(capacity));
    problem
}

fn knapsack_by_hand(values: &[u8], weights: &[u8], capacity: u32) -> u32 {
    let all = 0u32..1 << values.len();
    let sum = |set: u32, of: &[u8]| -> u32 {
        of.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1).map(|(_, v)| u32::from(*v)).sum()
    };
    all.filter(|set| sum(*set, weights) <= capacity).map(|set| sum(set, values)).max().unwrap_or(0)
}

#[test]
fn known_programs() {
    for backend in backends() {
        // min x + 2y, x + y >= 3, x <= 2: x = 2, y = 1.
        let mut problem = Problem::default();
        let x = problem.add(Variable { cost: 1.0, lower: 0.0, upper: 2.0, integer: false });
        let y = problem.add(Variable::non_negative(2.0));
        problem.require(vec![(x, 1.0), (y, 1.0)], Sense::AtLeast, 3.0);
        let solution = solve(&problem, backend, &SolverLimits::default()).expect("solved");
        assert_eq!(solution.status, Status::Optimal, "{}", backend.name());
        assert!((solution.objective - 4.0).abs() < 1e-6);
        assert!((solution.bound - 4.0).abs() < 1e-6 && solution.gap < 1e-9);

        problem.require(vec![(x, 1.0)], Sense::AtLeast, 5.0);
        let none = solve(&problem, backend, &SolverLimits::default()).expect("answered");
        assert_eq!(none.status, Status::Infeasible, "{}", backend.name());
        assert!(none.values.is_empty());
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for backend in backends() {
        for wrong in [f64::NAN, f64::INFINITY] {
            let mut problem = Problem::default();
            let x = problem.add(Variable::non_negative(wrong));
            let error = solve(&problem, backend, &SolverLimits::default()).expect_err("a bad cost");
            assert!(matches!(error, SolveError::Malformed(_)));
            problem.variables[x].cost = 1.0;
            problem.require(vec![(x, wrong)], Sense::AtMost, 1.0);
            let error = solve(&problem, backend, &SolverLimits::default()).expect_err("a bad row");
            assert!(matches!(error, SolveError::Malformed(_)));
        }
    }
}

fn master() -> impl Strategy<Value = Master> {
    (1usize..6, 1usize..5).prop_flat_map(|(stages, rows)| {
        let entry = (1u64..5, prop::collection::vec(0u64..2_000_000, rows))
            .prop_map(|(layers, values)| Entry { layers, values });
        let stage = prop::collection::vec(entry, 1..6);
        let stages = prop::collection::vec(stage, stages);
        (stages, prop::collection::vec(0u64..500_000, rows), 2u64..16)
            .prop_map(|(stages, constants, layers)| Master { stages, constants, layers })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn knapsacks_equal_brute_force(
        items in prop::collection::vec((1u8..50, 1u8..50), 1..9),
        capacity in 0u32..200,
    ) {
        let (values, weights): (Vec<u8>, Vec<u8>) = items.into_iter().unzip();
        let truth = knapsack_by_hand(&values, &weights, capacity);
        for backend in backends() {
            let problem = knapsack(&values, &weights, capacity);
            let solution = solve(&problem, backend, &SolverLimits::default()).expect("solved");
            prop_assert_eq!(solution.status, Status::Optimal);
            prop_assert!((solution.objective + f64::from(truth)).abs() < 1e-6);
        }
    }

    /// The planner's own search of the master problem and every solver give the same optimum.
    #[test]
    fn solvers_agree_on_the_master_problem(master in master()) {
        let own = match master.solve(u64::MAX / 8, Limits::nodes(u64::MAX)) {
            MasterAnswer::Best(_, value) => Some(value),
            MasterAnswer::NothingBelow => None,
            answer => unreachable!("there is no limit: {answer:?}"),
        };
        for backend in backends() {
            let proof = master.prove(u64::MAX / 8, backend, &|| false).expect("solved");
            prop_assert!(proof.proven);
            let found = proof.best.map(|(_, value)| value);
            prop_assert_eq!(found, own, "{}", backend.name());
        }
    }
}
