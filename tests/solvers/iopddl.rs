//! The public benchmark of intra-operator parallelism (ASPLOS 2025 contest) through our own ILP
//! builder: nodes with strategies, edges with cost matrices, memory at every time step.
#![allow(clippy::print_stdout, reason = "tests print the figures that they compare")]

use lmplan::solver::{AssignmentEdge, AssignmentIlp, Backend, Resource, SolverLimits, Status};
use serde_json::Value;
use std::collections::BTreeSet;

/// An instance as the builder takes it.
///
/// Resource rows are needed only where the set of live nodes is maximal: a time step whose live
/// nodes all live at another step is implied by it.
fn read(text: &str) -> Option<AssignmentIlp> {
    let value: Value = serde_json::from_str(text).ok()?;
    let problem = value.get("problem").unwrap_or(&value);
    let numbers = |value: &Value| -> Option<Vec<u64>> {
        value.as_array()?.iter().map(Value::as_u64).collect()
    };
    let nodes = &problem["nodes"];
    let intervals: Vec<Vec<u64>> =
        nodes["intervals"].as_array()?.iter().map(numbers).collect::<Option<_>>()?;
    let costs = nodes["costs"].as_array()?.iter().map(numbers).collect::<Option<Vec<_>>>()?;
    let costs = allow(costs);
    let usages = nodes["usages"].as_array()?.iter().map(numbers).collect::<Option<Vec<_>>>()?;
    let mut edges = Vec::new();
    let pairs = problem["edges"]["nodes"].as_array()?;
    for (pair, table) in pairs.iter().zip(problem["edges"]["costs"].as_array()?) {
        let (pair, flat) = (numbers(pair)?, numbers(table)?);
        let (from, to) = (pair[0] as usize, pair[1] as usize);
        let rows = flat.chunks(costs[to].len()).map(<[u64]>::to_vec).collect();
        edges.push(AssignmentEdge { from, to, costs: allow(rows) });
    }
    let limit = problem["usage_limit"].as_u64()?;
    let resources = maximal_live_sets(&intervals)
        .into_iter()
        .map(|live| Resource {
            nodes: live.into_iter().map(|n| (n, usages[n].clone())).collect(),
            edges: Vec::new(),
            limit,
        })
        .collect();
    Some(AssignmentIlp { costs, edges, resources })
}

/// Choices and pairs that cost 10^18 are not allowed.
fn allow(rows: Vec<Vec<u64>>) -> Vec<Vec<Option<u64>>> {
    let one = |cost: u64| (cost < 1_000_000_000_000_000_000).then_some(cost);
    rows.into_iter().map(|row| row.into_iter().map(one).collect()).collect()
}

/// Live sets of the time steps that no other contains; intervals are [begin, end).
fn maximal_live_sets(intervals: &[Vec<u64>]) -> Vec<BTreeSet<usize>> {
    let starts: BTreeSet<u64> = intervals.iter().filter(|i| i[0] < i[1]).map(|i| i[0]).collect();
    // A live set can be maximal only where something begins.
    let mut sets: Vec<BTreeSet<usize>> = starts
        .iter()
        .map(|time| {
            let alive = |i: &Vec<u64>| i[0] <= *time && *time < i[1];
            (0..intervals.len()).filter(|n| alive(&intervals[*n])).collect()
        })
        .collect();
    sets.dedup();
    let all = sets.clone();
    sets.retain(|set| !all.iter().any(|other| other.len() > set.len() && set.is_subset(other)));
    sets
}

#[test]
fn a_choice_that_is_not_allowed_is_not_made() {
    let nothing = Resource::default();
    let ilp = AssignmentIlp {
        costs: vec![vec![None, Some(7)], vec![Some(1), Some(3)]],
        edges: vec![AssignmentEdge {
            from: 0,
            to: 1,
            costs: vec![vec![Some(0), Some(0)], vec![Some(9), Some(2)]],
        }],
        resources: vec![nothing],
    };
    let solved = ilp.solve(Backend::Microlp, &SolverLimits::default()).expect("a solution");
    assert_eq!((solved.choice, solved.cost), (Some(vec![1, 1]), Some(12)));
    assert_eq!(ilp.cost(&[0, 0]), None);
    let none = AssignmentIlp { costs: vec![vec![None]], ..AssignmentIlp::default() };
    let solved = none.solve(Backend::Microlp, &SolverLimits::default()).expect("an answer");
    assert_eq!((solved.status, solved.choice), (Status::Infeasible, None));
}

#[test]
fn a_small_instance_is_read_and_solved() {
    let text = r#"{"problem": {"name": "tiny",
        "nodes": {"intervals": [[0, 2], [1, 3], [2, 4]],
                  "costs": [[5, 1], [2, 9], [4, 3]],
                  "usages": [[1, 6], [3, 1], [2, 5]]},
        "edges": {"nodes": [[0, 1], [1, 2]],
                  "costs": [[0, 7, 7, 0], [1, 2, 1000000000000000000, 0]]},
        "usage_limit": 8}}"#;
    let ilp = read(text).expect("an instance");
    assert_eq!(ilp.resources.len(), 2, "times 1 and 2 are maximal");
    let solved = ilp.solve(Backend::Microlp, &SolverLimits::default()).expect("a solution");
    assert_eq!(solved.status, Status::Optimal);
    // Node 0 may take its second choice (6 of 8) only where node 1 takes its second (1).
    let mut best = u64::MAX;
    for choice in 0..8usize {
        let [a, b, c] = [choice & 1, choice >> 1 & 1, choice >> 2];
        let edge = [[0, 7], [7, 0]][a][b] as u64;
        let Some(other) = [[Some(1), Some(2)], [None, Some(0)]][b][c] else { continue };
        let fits = [1, 6][a] + [3, 1][b] <= 8 && [3, 1][b] + [2, 5][c] <= 8;
        if fits {
            best = best.min([5, 1][a] + [2, 9][b] + [4, 3][c] + edge + other);
        }
    }
    assert_eq!(solved.cost, Some(best));
}

#[cfg(feature = "highs")]
#[test]
fn contest_instance_g_is_proven_optimal() {
    use std::io::Read;
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/iopddl/asplos-2025-iopddl-G.json.gz");
    let mut text = String::new();
    let file = std::fs::File::open(path).expect("the instance");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("text");
    let ilp = read(&text).expect("an instance");
    assert_eq!(ilp.costs.len(), 816);
    let start = std::time::Instant::now();
    let solved = ilp.solve(Backend::Highs, &SolverLimits::default()).expect("a solution");
    println!("instance G: {:?} {:?} in {:?}", solved.status, solved.cost, start.elapsed());
    assert_eq!((solved.status, solved.cost), (Status::Optimal, Some(217_039)));
}
