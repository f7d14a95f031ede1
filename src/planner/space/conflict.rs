//! Fixed parts of a plan that leave no combination at all: which, why, and the nearest that do.

use crate::planner::space::{Asked, Pins, Space, divisors};
use crate::spec::ScheduleKind;

/// Why a space is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Which parts can not be, and why.
    pub what: String,
    /// What can be, the nearest first.
    pub remedies: Vec<String>,
}

/// Releases one fixed part.
pub(crate) type Release = (&'static str, fn(&mut Pins));

/// How each part is released, those that cost least to release first.
pub(crate) const RELEASES: [Release; 9] = [
    ("recompute", |pins| pins.recompute = None),
    ("optimizer-sharding", |pins| pins.sharding = None),
    ("micro-batch", |pins| pins.micro_batch = None),
    ("sequence-parallel", |pins| pins.sequence_parallel = None),
    ("schedule", |pins| pins.schedule = None),
    ("virtual-stages", |pins| pins.chunks = None),
    ("dp", |pins| pins.data = None),
    ("pp", |pins| pins.pipeline = None),
    ("tp", |pins| pins.tensor = None),
];

/// Most values that are listed.
const LISTED: usize = 12;

/// What a space does not say of its job.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Name of the software stack.
    pub stack: &'a str,
    /// Whether any plan fits the memory with these parts fixed.
    pub fits: &'a dyn Fn(&Pins) -> bool,
}

/// Why `space` holds no candidate, if it holds none. What is named as possible fits the memory too.
pub fn conflict(space: &Space, known: Known<'_>) -> Option<Conflict> {
    if !is_empty(space, &space.pins) {
        return None;
    }
    // What can be released without any combination coming of it has no part in the conflict.
    let mut pins = space.pins.clone();
    let mut culprits = Vec::new();
    for (flag, release) in RELEASES {
        let Some(asked) = space.pins.asked.iter().find(|asked| asked.flag == flag) else {
            continue;
        };
        let mut without = pins.clone();
        release(&mut without);
        if is_empty(space, &without) {
            pins = without;
        } else {
            culprits.push(asked);
        }
    }
    culprits.reverse();
    let words: Vec<String> =
        culprits.iter().map(|asked| format!("--{} {}", asked.flag, asked.text)).collect();
    let what = match culprits.as_slice() {
        [] => "no combination divides the batch and the model".to_owned(),
        [one] => format!("`{}` can not be: {}", words[0], rule(space, one, known)),
        several => {
            format!("`{}` do not go together: {}", words.join(" "), together(space, several, known))
        }
    };
    let remedy = |asked: &&Asked| remedy(space, &pins, asked, culprits.len() == 1, known);
    let mut remedies: Vec<String> = culprits.iter().filter_map(remedy).collect();
    if remedies.is_empty() {
        remedies.push(without(space, &culprits, known));
    }
    Some(Conflict { what, remedies })
}

/// What to do where no change of one part alone gives a plan.
fn without(space: &Space, culprits: &[&Asked], known: Known<'_>) -> String {
    let names: Vec<String> = culprits.iter().map(|asked| format!("`--{}`", asked.flag)).collect();
    let names = names.join(" and ");
    let mut free = space.pins.clone();
    for (flag, release) in RELEASES {
        if culprits.iter().any(|asked| asked.flag == flag) {
            release(&mut free);
        }
    }
    if is_empty(space, &free) || (known.fits)(&free) {
        return format!("leave out {names}");
    }
    format!(
        "leave out {names}; no plan fits the memory then either, and a search without says what is \
         short"
    )
}

fn is_empty(space: &Space, pins: &Pins) -> bool {
    let space = Space { pins: pins.clone(), ..space.clone() };
    !space.ways().into_iter().any(|ways| space.count(ways) > 0)
}

/// What one part has to keep to.
fn rule(space: &Space, asked: &Asked, known: Known<'_>) -> String {
    match asked.flag {
        "tp" => {
            let [heads, inner, hidden] = [0, 1, 2]
                .map(|at| space.tensor_divides.get(at).map_or("-".to_owned(), u64::to_string));
            let kv = space.tensor_divides.get(3);
            let kv = kv.map_or(String::new(), |kv| format!("the {kv} key-value heads, "));
            let divide = format!(
                "tensor-parallel ways divide the {heads} heads, {kv}the inner width of {inner} and \
                 the hidden size of {hidden}"
            );
            ways_rule(divide, &space.tensor_divides, asked, space.devices)
        }
        "pp" => format!(
            "there are at most as many stages as layers, {}, and as devices, {}",
            space.num_layers, space.devices
        ),
        "dp" => {
            let divide = format!("replicas divide the global batch of {}", space.global_batch);
            ways_rule(divide, &[space.global_batch], asked, space.devices)
        }
        "micro-batch" => {
            format!("micro-batches divide the global batch of {}", space.global_batch)
        }
        "schedule" => format!("the stack `{}` has {}", known.stack, schedules(space)),
        _ => chunks_rule(space, known),
    }
}

/// Which of two rules given ways break: that they divide all of `numbers`, that there are as many
/// devices. Both, where several were given.
fn ways_rule(divide: String, numbers: &[u64], asked: &Asked, devices: u64) -> String {
    let given: Option<u64> = asked.text.parse().ok();
    let breaks = |ways: u64| numbers.iter().any(|number| !number.is_multiple_of(ways));
    match given.map(|ways| (breaks(ways), ways > devices)) {
        Some((true, false)) => divide,
        Some((false, true)) => format!("there are {devices} devices"),
        _ => format!("{divide}, and there are {devices} devices"),
    }
}

/// The schedules of the stack.
fn schedules(space: &Space) -> String {
    let name = |kind: &ScheduleKind| match kind {
        ScheduleKind::Gpipe => "`gpipe`",
        ScheduleKind::OneFOneB => "`1f1b`",
        ScheduleKind::Interleaved => "`interleaved-1f1b`",
    };
    space.schedules.iter().map(name).collect::<Vec<_>>().join(" and ")
}

/// What schedules and chunks have to keep to.
fn chunks_rule(space: &Space, known: Known<'_>) -> String {
    if !space.schedules.contains(&ScheduleKind::Interleaved) {
        return format!(
            "chunks need `interleaved-1f1b`, and the stack `{}` has {}",
            known.stack,
            schedules(space)
        );
    }
    format!(
        "under `interleaved-1f1b` the search takes stages x chunks that divide the {} layers, and \
         micro-batches of each replica that are a multiple of the stages, of which there are at least \
         two; the other schedules have one chunk a stage",
        space.num_layers
    )
}

/// Why parts that can each be can not be together.
fn together(space: &Space, culprits: &[&Asked], known: Known<'_>) -> String {
    let has = |flag: &str| culprits.iter().any(|asked| asked.flag == flag);
    if has("virtual-stages") || has("schedule") {
        return chunks_rule(space, known);
    }
    let ways: Vec<u64> = culprits
        .iter()
        .filter(|asked| ["tp", "pp", "dp"].contains(&asked.flag))
        .filter_map(|asked| asked.count)
        .collect();
    let used = ways.iter().try_fold(1u64, |product, ways| product.checked_mul(*ways));
    if used.is_none_or(|used| used > space.devices) {
        let product: Vec<String> = ways.iter().map(u64::to_string).collect();
        let used = used.map_or("too many".to_owned(), |used| used.to_string());
        return format!(
            "{} are {used} devices, and there are {}",
            product.join(" x "),
            space.devices
        );
    }
    if has("dp") && has("micro-batch") {
        return format!("replicas x micro-batch divide the global batch of {}", space.global_batch);
    }
    "no combination divides the batch and the model".to_owned()
}

/// The nearest value of one part with which a plan fits, the other parts as they are, or that it
/// has to be left out; nothing where neither gives a plan. `alone` is the only part in conflict.
fn remedy(
    space: &Space,
    pins: &Pins,
    asked: &Asked,
    alone: bool,
    known: Known<'_>,
) -> Option<String> {
    let flag = asked.flag;
    let good = |pins: &Pins| !is_empty(space, pins) && (known.fits)(pins);
    let with = |pins: &Pins, value: u64| {
        let mut pins = pins.clone();
        set(&mut pins, flag, value);
        good(&pins)
    };
    let (_, release) = RELEASES.iter().find(|(name, _)| *name == flag)?;
    let leave_out = || {
        let mut free = space.pins.clone();
        release(&mut free);
        good(&free).then(|| format!("leave out `--{flag}`"))
    };
    let Some(count) = asked.count else { return leave_out() };
    let mut near = values(space, flag);
    // Of two as near, the one by which the devices divide.
    let odd = |value: u64| !space.devices.is_multiple_of(value);
    near.sort_by_key(|value| (value.abs_diff(count), odd(*value), *value));
    if !alone {
        let nearest = near.iter().copied().find(|value| with(&space.pins, *value));
        let instead = |nearest| {
            format!("`--{flag} {nearest}` instead of `--{flag} {}`: a plan fits", asked.text)
        };
        return nearest.map(instead).or_else(leave_out);
    }
    let divides = |value: &u64| {
        let mut pins = pins.clone();
        set(&mut pins, flag, *value);
        !is_empty(space, &pins)
    };
    let mut allowed: Vec<u64> = near.iter().copied().filter(divides).collect();
    let fits = |fixed: &Pins| allowed.iter().copied().find(|value| with(fixed, *value));
    let Some(nearest) = fits(&space.pins).or_else(|| fits(pins)) else { return leave_out() };
    allowed.sort_unstable();
    Some(format!(
        "`--{flag} {nearest}` is the nearest that fits the memory; the numbers allow {}",
        listed(&allowed)
    ))
}

/// Values that a part may have at most.
fn values(space: &Space, flag: &str) -> Vec<u64> {
    match flag {
        "tp" => {
            let free = Space { pins: Pins::default(), ..space.clone() };
            free.tensor_ways()
        }
        "pp" => (1..=space.num_layers.min(space.devices)).collect(),
        "dp" | "micro-batch" => divisors(space.global_batch),
        "virtual-stages" => divisors(space.num_layers),
        _ => Vec::new(),
    }
}

fn set(pins: &mut Pins, flag: &str, value: u64) {
    let only = Some(vec![value]);
    match flag {
        "tp" => pins.tensor = only,
        "pp" => pins.pipeline = only,
        "dp" => pins.data = only,
        "micro-batch" => pins.micro_batch = only,
        "virtual-stages" => pins.chunks = only,
        _ => {}
    }
}

/// `1 to 4, 6, 8, ...`: runs of numbers by their ends, at most [`LISTED`] of them.
fn listed(values: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *value => *last = *value,
            _ => runs.push((*value, *value)),
        }
    }
    let word = |(first, last): &(u64, u64)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first} to {last}"),
    };
    let mut words: Vec<String> = runs.iter().take(LISTED).map(word).collect();
    if runs.len() > LISTED {
        words.push("...".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(asked: &[(&'static str, u64)]) -> Space {
        let mut space = Space {
            devices: 64,
            global_batch: 64,
            num_layers: 96,
            tensor_divides: vec![96, 49152, 12288],
            sequence_length: 2048,
            schedules: vec![ScheduleKind::OneFOneB, ScheduleKind::Gpipe, ScheduleKind::Interleaved],
            pins: Pins::default(),
        };
        for (flag, count) in asked {
            set(&mut space.pins, flag, *count);
            space.pins.asked.push(Asked { flag, text: count.to_string(), count: Some(*count) });
        }
        space
    }

    /// The conflict on devices of endless memory.
    fn on_endless(space: &Space) -> Option<Conflict> {
        conflict(space, Known { stack: "mine", fits: &|_| true })
    }

    #[test]
    fn what_can_be_is_no_conflict() {
        assert_eq!(on_endless(&space(&[])), None);
        assert_eq!(on_endless(&space(&[("tp", 8), ("pp", 8), ("dp", 1)])), None);
    }

    #[test]
    fn a_part_that_can_not_be_is_named_with_the_nearest_that_can() {
        for (flag, count, nearest) in
            [("tp", 128, 48), ("tp", 5, 4), ("pp", 65, 64), ("dp", 63, 64), ("micro-batch", 5, 4)]
        {
            let found = on_endless(&space(&[(flag, count)])).unwrap();
            assert!(found.what.starts_with(&format!("`--{flag} {count}` can not be")), "{found:?}");
            assert!(found.remedies[0].starts_with(&format!("`--{flag} {nearest}`")), "{found:?}");
        }
    }

    #[test]
    fn parts_that_do_not_go_together_are_named_alone() {
        let found =
            on_endless(&space(&[("tp", 8), ("pp", 8), ("dp", 8), ("micro-batch", 1)])).unwrap();
        assert!(found.what.contains("`--tp 8 --pp 8 --dp 8` do not go together"), "{found:?}");
        assert!(found.what.contains("512 devices, and there are 64"), "{found:?}");
        assert_eq!(found.remedies.len(), 3, "{found:?}");
        let found = on_endless(&space(&[("tp", 2), ("pp", 7), ("virtual-stages", 2)])).unwrap();
        assert!(found.what.contains("`--pp 7 --virtual-stages 2` do not go"), "{found:?}");
        assert_eq!(found.remedies[0], "`--pp 8` instead of `--pp 7`: a plan fits");
    }

    #[test]
    fn what_does_not_fit_is_no_way_out() {
        let space = space(&[("dp", 8), ("micro-batch", 16)]);
        let small = |pins: &Pins| pins.micro_batch.as_ref().is_none_or(|sizes| sizes[0] <= 2);
        let found = conflict(&space, Known { stack: "mine", fits: &small }).unwrap();
        assert_eq!(
            found.remedies,
            ["`--micro-batch 2` instead of `--micro-batch 16`: a plan fits"]
        );
        let free = |pins: &Pins| pins.micro_batch.is_none();
        let found = conflict(&space, Known { stack: "mine", fits: &free }).unwrap();
        assert_eq!(found.remedies, ["leave out `--micro-batch`"]);
        let found = conflict(&space, Known { stack: "mine", fits: &|_| false }).unwrap();
        assert!(found.remedies[0].contains("no plan fits the memory then either"), "{found:?}");
    }

    #[test]
    fn runs_are_listed_by_their_ends() {
        assert_eq!(listed(&[1, 2, 3, 4, 6, 8, 9]), "1 to 4, 6, 8, 9");
        assert!(listed(&(0..40).map(|n| n * 2).collect::<Vec<_>>()).ends_with(", ..."));
    }
}
