//! Whether numerics of `verify` cry wolf: random plans of small models of four families, each with
//! several weights and data, in fp32, fp16 and bf16; all of them are sound, so every failure is a
//! false alarm. Ranks are threads of this process.
//!
//!   scripts/build-torch.sh
//!   LIBTORCH=target/libtorch/torch cargo run --release --features torch \
//!       --example numerics_sweep -- ../sweep.csv 0 200
//!
//! runs plans 0 to 199, one family after the other, and adds a line for each run to the file; then
//! prints counts and worst errors of all that stands there. Plans are a function of their number, so
//! that a sweep can be run in pieces. A third number is that of seeds (3), a fourth one that of the
//! families that each plan is run in (1).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints what it does")]

use lmplan::executor::ranks::task::{Mode, Task};
use lmplan::executor::ranks::world::World;
use lmplan::executor::verify::numerics::{self, Found};
use lmplan::executor::worker;
use lmplan::graph::BlockKind;
use lmplan::plan::Strategy;
use lmplan::plan::{Batch, OptimizerSharding, Parallelism, Plan, RecomputeCounts, StagePlan};
use lmplan::planner::Engine;
use lmplan::planner::answer::{Answer, plan as search};
use lmplan::planner::job::Job;
use lmplan::planner::objective::Objective;
use lmplan::planner::predict::choice::Choice;
use lmplan::planner::request::Request;
use lmplan::planner::space::Pins;
use lmplan::spec::{self, Cluster, ModelSpec, Optimizer, Precision, ScheduleKind, StackSpec};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// A model of the catalogue for each family: GPT, BERT, grouped heads, ALiBi.
const FAMILIES: [&str; 4] = ["gpt2-124m", "bert-base", "llama2-70b", "bloom-176b"];

const PRECISIONS: [Precision; 3] = [Precision::Fp32, Precision::Fp16Mixed, Precision::Bf16Mixed];

/// Fewer than those of `verify`, over which errors in 16 bits are summed.
const STEPS: u64 = 2;

/// Strategies in the order in which they are drawn, on which the plan of a number depends.
const DRAWN: [Strategy; 10] = [
    Strategy::Replicated,
    Strategy::Sequence,
    Strategy::Column,
    Strategy::ColumnGather,
    Strategy::Row,
    Strategy::RowScatter,
    Strategy::Heads,
    Strategy::Feature,
    Strategy::Vocabulary,
    Strategy::VocabularyScatter,
];

/// A stream of choices (Steele et al. 2014, SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 8) as usize % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Up to four ranks mostly, eight at times.
const WAYS: [[u64; 3]; 16] = [
    [2, 1, 1],
    [1, 2, 1],
    [1, 1, 2],
    [2, 2, 1],
    [2, 1, 2],
    [1, 2, 2],
    [4, 1, 1],
    [1, 4, 1],
    [1, 1, 4],
    [2, 1, 1],
    [1, 2, 1],
    [2, 2, 1],
    [2, 1, 2],
    [1, 2, 2],
    [2, 2, 2],
    [1, 1, 3],
];

/// A plan and what of the model it asks for.
struct Drawn {
    plan: Plan,
    layers: u64,
    optimizer: Optimizer,
    fused: bool,
    sharding: usize,
}

fn draw(number: u64) -> Drawn {
    let mut draw = Draw(number.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ 0x14_057b);
    let [t, p, d] = draw.of(&WAYS);
    use ScheduleKind::{Gpipe, Interleaved, OneFOneB};
    let schedule = if p > 1 { draw.of(&[OneFOneB, Interleaved, Gpipe]) } else { OneFOneB };
    let v = if schedule == Interleaved { 2 } else { 1 };
    let each = v * draw.of(&[1, 1, 2]);
    let micro = draw.of(&[1, 2]);
    let many = if schedule == Interleaved { p * draw.of(&[1, 2]) } else { draw.of(&[1, 2, 3]) };
    use OptimizerSharding::{None, Zero1, Zero2, Zero3};
    let sharding = if d > 1 { draw.of(&[None, Zero1, Zero2, Zero3]) } else { None };
    let stages = (0..p).map(|q| {
        let mut counts = [0; 3];
        (0..each / v).for_each(|_| counts[draw.below(3)] += v);
        let [none, selective, full] = counts;
        let layers = format!("{}..{}", q * each, (q + 1) * each);
        let recompute = RecomputeCounts { none, selective, full };
        StagePlan { layers, devices: String::new(), recompute }
    });
    let stages = stages.collect();
    let parallelism = Parallelism {
        tensor: t,
        pipeline: p,
        data: d,
        context: 1,
        expert: 1,
        virtual_stages: v,
        sequence_parallel: t > 1 && draw.below(2) == 0,
    };
    let plan = Plan {
        model: String::new(),
        cluster: String::new(),
        stack: String::new(),
        parallelism,
        batch: Batch { global: micro * many * d, micro },
        lora: Option::None,
        schedule,
        optimizer_sharding: sharding,
        stages,
        operators: BTreeMap::new(),
    };
    let optimizer = draw.of(&[Optimizer::Adam, Optimizer::Lamb, Optimizer::Sgd]);
    let fused = draw.below(2) == 0;
    Drawn { plan, layers: p * each, optimizer, fused, sharding: draw.below(3) }
}

/// A model of the catalogue, made small.
fn model(name: &str, drawn: &Drawn) -> ModelSpec {
    let (mut model, _) = spec::load_model(name, Path::new(".")).expect("a model");
    model.num_layers = drawn.layers;
    model.hidden_size = 32;
    model.num_heads = 8;
    model.num_kv_heads = model.num_kv_heads.map(|_| 4);
    model.head_dim = Some(8);
    model.ffn_hidden_size = Some(64);
    model.vocab_size = 120;
    model.sequence_length = 16;
    model.max_position_embeddings = None;
    let masked = &mut model.training.max_predictions_per_sequence;
    *masked = masked.map(|_| 4);
    model.training.global_batch_size = drawn.plan.batch.global;
    model.training.optimizer = drawn.optimizer;
    model.training.precision = Precision::Fp32;
    model.published_parameters = None;
    model
}

fn job(model: &ModelSpec, stack: &StackSpec) -> Job {
    let (cluster, _) = Cluster::load("a100x64", Path::new(".")).expect("a cluster");
    Job::new(model.clone(), cluster, stack.clone()).expect("a job")
}

const BLOCKS: [(&str, BlockKind); 3] =
    [("embedding", BlockKind::Embedding), ("layer", BlockKind::Layer), ("head", BlockKind::Head)];

/// Shardings of the operators: Megatron's, the planner's for these ways, or drawn from all that the
/// operators have.
fn shard(drawn: &mut Drawn, job: &Job, number: u64) -> &'static str {
    if drawn.sharding == 0 || drawn.plan.parallelism.tensor == 1 {
        return "megatron";
    }
    if drawn.sharding == 1 {
        if let Some(operators) = planned(&drawn.plan, job) {
            drawn.plan.operators = operators;
            return "planner";
        }
        return "megatron";
    }
    let mut draw = Draw(number ^ 0xa5a5);
    for (block, kind) in BLOCKS {
        let mut chosen = BTreeMap::new();
        for node in &job.workload.block(kind).ops {
            let name = job.workload.graph.dag[*node].name.clone();
            let takes = |strategy: &Strategy| {
                let mut plan = drawn.plan.clone();
                let one = BTreeMap::from([(name.clone(), *strategy)]);
                plan.operators.insert(block.to_owned(), one);
                Choice::of_plan(job, &plan).is_ok()
            };
            let offered: Vec<Strategy> = DRAWN.into_iter().filter(takes).collect();
            chosen.insert(name, draw.of(&offered));
        }
        drawn.plan.operators.insert(block.to_owned(), chosen);
    }
    // The table is split alike at both of its places, or not at all.
    let split = draw.below(2) == 0;
    let table =
        [("embedding", "token", Strategy::Vocabulary), ("head", "lm_head", Strategy::Column)];
    for (block, operator, strategy) in
        table.into_iter().chain([("head", "mlm.decoder", Strategy::Column)])
    {
        let at = drawn.plan.operators.get_mut(block).and_then(|block| block.get_mut(operator));
        if let Some(at) = at {
            *at = if split { strategy } else { Strategy::Replicated };
        }
    }
    "drawn"
}

/// The shardings that the planner finds fastest for the ways of a plan.
fn planned(plan: &Plan, job: &Job) -> Option<BTreeMap<String, BTreeMap<String, Strategy>>> {
    let p = &plan.parallelism;
    let pins = Pins {
        tensor: Some(vec![p.tensor]),
        pipeline: Some(vec![p.pipeline]),
        data: Some(vec![p.data]),
        micro_batch: Some(vec![plan.batch.micro]),
        chunks: Some(vec![p.virtual_stages]),
        schedule: Some(vec![plan.schedule]),
        sequence_parallel: Some(p.sequence_parallel),
        sharding: Some(vec![plan.optimizer_sharding]),
        recompute: None,
        all_devices: false,
        asked: Vec::new(),
    };
    let names = [String::new(), String::new(), String::new()];
    let request =
        Request { objective: Objective::Time, top: 1, engine: Engine::Search, pins, names };
    match search(job, &request, &|| None, &mut |_| {}) {
        Answer::Planned(found) => Some(found.outcome.plan.operators),
        _ => None,
    }
}

/// Errors over what is allowed: loss, gradients, sums, updates; and where the worst gradient is, or
/// the worst update where that is further off.
fn ratios(found: &Found) -> ([f64; 4], String) {
    if let Some(one) = &found.in_32_bits {
        let all = [
            one.loss_max_error,
            one.gradient_max_error,
            one.kept.sum_max_error,
            one.kept.update_max_error,
        ];
        let all = all.map(|error| error / one.tolerance);
        return (all, worst(all, [&one.worst, &one.kept.update_worst]));
    }
    let Some(one) = &found.in_16_bits else { return ([f64::INFINITY; 4], String::new()) };
    let [loss, gradient] = [one.loss_ratio, one.worst_ratio].map(|ratio| ratio / one.factor);
    let kept = [one.kept.sum_max_error, one.kept.update_max_error];
    let [sums, updates] = kept.map(|error| error / one.tolerance);
    let all = [loss, gradient, sums, updates];
    (all, worst(all, [&one.worst, &one.kept.update_worst]))
}

fn worst([_, gradient, _, update]: [f64; 4], [of_gradients, of_updates]: [&String; 2]) -> String {
    if update > gradient.max(1.0) {
        format!("update of {of_updates}")
    } else {
        of_gradients.clone()
    }
}

/// One plan in one family, with all seeds and precisions: a line for each run.
fn sweep(number: u64, family: &str, seeds: u64) -> Result<String, String> {
    let mut drawn = draw(number);
    let model = model(family, &drawn);
    let (mut stack, _) = spec::load_stack("lmplan", Path::new(".")).expect("a stack");
    stack.flash_attention = drawn.fused;
    let job = job(&model, &stack);
    let sharding = shard(&mut drawn, &job, number);
    Choice::of_plan(&job, &drawn.plan).map_err(|error| error.to_string())?;
    let p = drawn.plan.parallelism;
    let what = format!(
        "t{} p{} d{} v{} {sharding} {:?} {:?}",
        p.tensor,
        p.pipeline,
        p.data,
        p.virtual_stages,
        drawn.plan.optimizer_sharding,
        drawn.optimizer
    );
    let mut lines = String::new();
    for seed in 0..seeds {
        for precision in PRECISIONS {
            let task = Task {
                steps: STEPS,
                patience_s: 30.0,
                seed,
                precisions: vec![precision],
                ..Task::new(Mode::Numerics, model.clone(), drawn.plan.clone(), stack.clone())
            };
            let found = numerics::run(&World::Threads(worker::run), &task, None);
            let found = found.map_err(|error| format!("{what}: {error}"))?;
            let ([loss, gradient, sums, updates], worst) = ratios(&found);
            let (precision, passed) = (precision.name(), found.passed());
            writeln!(
                lines,
                "{number},{family},{seed},{precision},{passed},{loss:.4},{gradient:.4},{sums:.4},\
                 {updates:.4},{worst},{what}"
            )
            .expect("memory");
        }
    }
    Ok(lines)
}

/// Runs of a family in a precision.
#[derive(Default)]
struct Group {
    false_alarms: usize,
    /// Of loss, gradients, sums and updates, over what is allowed.
    errors: Vec<[f64; 4]>,
}

/// Counts and the distribution of the largest error over what is allowed.
fn summary(text: &str) {
    let mut groups: BTreeMap<[String; 2], Group> = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |at: usize| cells[at].parse().unwrap_or(f64::INFINITY);
        let group = groups.entry([1, 3].map(|at| cells[at].to_owned())).or_default();
        group.false_alarms += usize::from(cells[4] != "true");
        group.errors.push([number(5), number(6), number(7), number(8)]);
    }
    println!(
        "error / allowed (median, 99 %, largest) of    loss            gradients       sums, updates (largest)"
    );
    for ([family, precision], Group { false_alarms, errors: mut all }) in groups {
        let runs = all.len();
        let mut column = |at: usize| {
            all.sort_by(|a, b| a[at].total_cmp(&b[at]));
            let last = all.len() - 1;
            [all[last / 2][at], all[last * 99 / 100][at], all[last][at]]
        };
        let [loss, gradients, sums, updates] = [0, 1, 2, 3].map(&mut column);
        let three = |[a, b, c]: [f64; 3]| format!("{a:.2} {b:.2} {c:.2}");
        println!(
            "{family:12} {precision:11} {runs:5} runs {false_alarms:3} false alarms  {:15} {:15} {:.2} {:.2}",
            three(loss),
            three(gradients),
            sums[2],
            updates[2]
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().expect("a file for the results");
    let number = |at: usize, other: u64| {
        arguments.get(at).map_or(other, |text| text.parse().expect("a number"))
    };
    let (first, count, seeds) = (number(1, 0), number(2, 200), number(3, 3));
    let families = number(4, 1) as usize;
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(path).expect("the file");
    for plan in first..first + count {
        let own = FAMILIES.into_iter().cycle().skip(plan as usize % FAMILIES.len());
        for family in own.take(families) {
            match sweep(plan, family, seeds) {
                Ok(lines) => file.write_all(lines.as_bytes()).expect("the file"),
                Err(error) => eprintln!("plan {plan} of {family} is not run: {error}"),
            }
        }
    }
    summary(&std::fs::read_to_string(path).expect("the file"));
}
