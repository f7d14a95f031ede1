//! Whether a certificate covers its space and excludes what it says.

use super::finding::Check;
use super::input::CheckInput;
use super::space::{Key, Ways, enumerate, key};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const CODE: &str = "certificate";

/// A group's rows: the bound of the whole, or its candidates with theirs.
#[derive(Default)]
struct Covered {
    whole: Option<u64>,
    candidates: BTreeMap<Key, u64>,
}

/// Checks coverage, bounds and the claimed optimum.
pub(super) fn check(subject: &CheckInput<'_>, certificate: &Value, check: &mut Check) {
    if certificate["schema"] != "lmplan.certificate/1" {
        check.error(CODE, "the schema is not `lmplan.certificate/1`".to_owned());
        return;
    }
    let plan = serde_json::to_value(subject.plan).unwrap_or_default();
    if certificate["plan"] != plan {
        check.error(CODE, "it is about another plan".to_owned());
    }
    let Some(best) = certificate["iteration_time_ps"].as_u64() else {
        check.error(CODE, "`iteration_time_ps` is missing".to_owned());
        return;
    };
    if let Some(claimed) =
        subject.results.and_then(|r| r["prediction"]["iteration_time_s"].as_f64())
        && (claimed * 1e12 - best as f64).abs() > 1.0 + claimed * 1e3
    {
        check.error(CODE, format!("it certifies {best} ps, the results say {claimed} s"));
    }
    let Some(covered) = rows(certificate, check) else { return };
    let space = enumerate(subject, &certificate["space"]["pins"]);
    coverage(certificate, &space, &covered, check);
    optimum(subject, certificate, best, &covered, check);
    programs(certificate, best, check);
}

/// The rows, each candidate at most once.
fn rows(certificate: &Value, check: &mut Check) -> Option<BTreeMap<Ways, Covered>> {
    let mut covered: BTreeMap<Ways, Covered> = BTreeMap::new();
    let ways = |row: &Value| Some((row[0].as_u64()?, row[1].as_u64()?, row[2].as_u64()?));
    let mut malformed = |name: &str| {
        check.error(CODE, format!("`{name}` is malformed"));
    };
    let Some(groups) = certificate["excluded_groups"].as_array() else {
        malformed("excluded_groups");
        return None;
    };
    for row in groups {
        let (Some(ways), Some(bound)) = (ways(row), row[3].as_u64()) else {
            malformed("excluded_groups");
            return None;
        };
        if covered.entry(ways).or_default().whole.replace(bound).is_some() {
            malformed("excluded_groups (a group stands twice)");
            return None;
        }
    }
    for name in ["excluded_candidates", "solved_candidates", "open_candidates"] {
        let Some(list) = certificate[name].as_array() else {
            malformed(name);
            return None;
        };
        for row in list {
            let (Some(ways), Some(bound)) = (ways(&row[0]), row[1].as_u64()) else {
                malformed(name);
                return None;
            };
            let group = covered.entry(ways).or_default();
            if group.candidates.insert(key(&row[0]), bound).is_some() {
                malformed(&format!("{name} (a candidate stands twice)"));
                return None;
            }
        }
    }
    Some(covered)
}

/// Every candidate of the space is covered once, and nothing else is.
fn coverage(
    certificate: &Value,
    space: &[(Ways, BTreeSet<Key>)],
    covered: &BTreeMap<Ways, Covered>,
    check: &mut Check,
) {
    let total: u64 = space.iter().map(|(_, keys)| keys.len() as u64).sum();
    if certificate["space"]["candidates"].as_u64() != Some(total) {
        let claimed = &certificate["space"]["candidates"];
        check.error(CODE, format!("the space has {total} candidates, {claimed} are claimed"));
    }
    let mut missing = 0;
    for (ways, keys) in space {
        let group = covered.get(ways);
        match group {
            Some(Covered { whole: Some(_), candidates }) if candidates.is_empty() => {}
            Some(Covered { whole: None, candidates }) => {
                missing += keys.iter().filter(|key| !candidates.contains_key(*key)).count();
                let strange = candidates.keys().filter(|key| !keys.contains(*key)).count();
                if strange > 0 {
                    check.error(CODE, format!("{strange} rows of {ways:?} are not in the space"));
                }
            }
            Some(_) => check.error(CODE, format!("{ways:?} is excluded and opened")),
            None => missing += keys.len(),
        }
    }
    if missing > 0 {
        check.error(CODE, format!("{missing} candidates are not covered"));
    }
    let known: BTreeSet<&Ways> = space.iter().map(|(ways, _)| ways).collect();
    let strange = covered.keys().filter(|ways| !known.contains(ways)).count();
    if strange > 0 {
        check.error(CODE, format!("{strange} groups are not in the space"));
    }
    if check.holds() {
        check.note(CODE, format!("all {total} candidates of the space are covered once"));
    }
}

/// Nothing is bounded below the optimum, and the plan's own candidate is among the solved.
fn optimum(
    subject: &CheckInput<'_>,
    certificate: &Value,
    best: u64,
    covered: &BTreeMap<Ways, Covered>,
    check: &mut Check,
) {
    let plan = subject.plan;
    let p = &plan.parallelism;
    let own = key(&serde_json::json!([
        p.tensor,
        p.pipeline,
        p.data,
        plan.batch.micro,
        p.virtual_stages,
        plan.schedule,
        p.sequence_parallel,
        plan.optimizer_sharding
    ]));
    let ways = (p.tensor, p.pipeline, p.data);
    let found = covered.get(&ways).and_then(|group| group.candidates.get(&own));
    if found != Some(&best) {
        check.error(CODE, "the plan's own candidate is not solved with the plan's time".to_owned());
    }
    if certificate["status"] != "optimal" {
        check.warning(CODE, format!("it claims no optimum: status {}", certificate["status"]));
        return;
    }
    // Scores are monotone in the time for a number of devices; only the plain ones are compared.
    let devices = |ways: &Ways| u128::from(ways.0 * ways.1 * ways.2);
    let score = |ways: &Ways, time: u64| match certificate["objective"]["kind"].as_str() {
        Some("cost") => u128::from(time) * devices(ways),
        Some("devices") => (devices(ways) << 64) | u128::from(time),
        _ => u128::from(time),
    };
    let deadline = certificate["objective"]["deadline"].as_u64();
    let limit = score(&ways, best);
    let below = covered.iter().flat_map(|(ways, group)| {
        group.whole.iter().chain(group.candidates.values()).map(move |time| (ways, *time))
    });
    let below = below
        .filter(|(ways, time)| score(ways, *time) < limit && deadline.is_none_or(|d| *time <= d))
        .count();
    if below > 0 {
        check.error(CODE, format!("{below} rows are bounded below the claimed optimum"));
    }
    floor(subject, covered, check);
    if check.holds() {
        check.note(CODE, "no row is below the optimum that it certifies".to_owned());
    }
}

/// The plan's integer programs: those of its blocks and of its stages, each with the optimum that
/// the search found, that of the stages being the plan's time.
fn programs(certificate: &Value, best: u64, check: &mut Check) {
    let Some(programs) = certificate["programs"].as_array() else {
        check.error(CODE, "`programs` is malformed".to_owned());
        return;
    };
    let mut proven = 0;
    for program in programs {
        let name = program["name"].as_str().unwrap_or("?");
        let (search, bound) = (program["search_ps"].as_u64(), program["bound_ps"].as_u64());
        if program["status"] != "optimal" {
            check.warning(CODE, format!("the program `{name}` is not proven"));
            continue;
        }
        let objective = program["objective_ps"].as_u64();
        let (Some(objective), Some(bound), Some(search)) = (objective, bound, search) else {
            check.error(CODE, format!("the program `{name}` is malformed"));
            continue;
        };
        // Solvers work to about 1e-9 of their numbers in floating point, and to 1e-6 of a bound.
        if objective < search || objective - search > search / 1_000_000_000 + 1 {
            check.error(
                CODE,
                format!("the program `{name}` has {objective} ps, the search has {search}"),
            );
        }
        if bound > objective || objective - bound > objective / 1_000_000 + 1 {
            check
                .error(CODE, format!("the program `{name}` has {objective} ps, its bound {bound}"));
        }
        if name == "stages" && search != best {
            check.error(CODE, format!("the program `stages` is of a plan of {search} ps"));
        }
        proven += 1;
    }
    let names: BTreeSet<&str> = programs.iter().filter_map(|p| p["name"].as_str()).collect();
    let missing: Vec<&str> = ["embedding", "layer", "head", "stages"]
        .into_iter()
        .filter(|name| !names.contains(name))
        .collect();
    if certificate["status"] == "optimal" && !missing.is_empty() {
        check.error(CODE, format!("programs are missing: {}", missing.join(", ")));
    }
    if check.holds() {
        check.note(CODE, format!("{proven} integer programs have the optimum of the search"));
    }
}

/// No time that was solved is shorter than the devices' peak allows.
fn floor(subject: &CheckInput<'_>, covered: &BTreeMap<Ways, Covered>, check: &mut Check) {
    let flops = subject.graph.model_flops(subject.plan.batch.global).get();
    let ways = &subject.plan.parallelism;
    let used = (ways.tensor * ways.pipeline * ways.data) as f64;
    // Half, because fused causal attention skips half of the attention's share.
    let floor = flops / (used * subject.peak_flops) * 0.5e12;
    let own = covered.get(&(ways.tensor, ways.pipeline, ways.data));
    let fast = own.into_iter().flat_map(|group| group.candidates.values());
    let fast = fast.filter(|time| (**time as f64) < floor).count();
    if fast > 0 {
        check.error(CODE, format!("{fast} rows are faster than the devices' peak allows"));
    }
}
