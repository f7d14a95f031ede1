//! Rows of measured runs become the models, stacks and plans that they describe.

use lmplan::plan::OptimizerSharding;
use lmplan::report::Accuracy;
use lmplan::spec::{Activation, NormPlacement, Optimizer, Precision, ScheduleKind};
use lmplan::validate::compared_memory::compare_memory;
use lmplan::validate::interval::Intervals;
use lmplan::validate::plan::{global_batch, plans, ways};
use lmplan::validate::{
    Compared, MEMORY, MeasuredRun, Skip, TRAINING, compare, read_runs, summarise,
};
use lmplan::validate::{model, stack};

fn runs() -> Vec<MeasuredRun> {
    read_runs("training.csv", TRAINING).expect("the table reads")
}

fn row(id: &str) -> MeasuredRun {
    runs().into_iter().find(|row| row.id == id).expect(id)
}

fn one(row: &MeasuredRun) -> Compared {
    compare(vec![row.clone()]).remove(0)
}

/// The first plan that a row may mean.
fn plan(row: &MeasuredRun) -> (lmplan::plan::Plan, lmplan::spec::ModelSpec) {
    let ways = ways(row).expect("ways");
    let (batch, _) = global_batch(row, ways).expect("batch");
    let model = model::model(row, batch).expect("model");
    let (plans, _) = plans(row, &model, ways, true).expect("plans");
    (plans[0].clone(), model)
}

#[test]
fn interleaved_pipelines_with_selective_recomputation_are_mapped() {
    let row = row("korth22-175B-selective");
    let found = one(&row).outcome.unwrap();
    assert_eq!(found.plan, "t8 p8 d1 c1 v3 b1");
    let stack = stack::stack(&row).unwrap();
    assert!(!stack.flash_attention);
    let ways = ways(&row).unwrap();
    let model = model::model(&row, 64).unwrap();
    let (plans, assumed) = plans(&row, &model, ways, stack.flash_attention).unwrap();
    assert!(plans.len() == 1 && assumed.is_empty());
    assert!(plans[0].parallelism.sequence_parallel);
    assert_eq!(plans[0].schedule, ScheduleKind::Interleaved);
    assert!(plans[0].stages.iter().all(|stage| stage.recompute.selective == 12));
}

#[test]
fn what_a_row_leaves_open_is_tried_and_said() {
    let found = one(&row("nar21-t1-76.1B")).outcome.unwrap();
    assert!(found.fits);
    assert!(found.assumed.iter().any(|what| what.starts_with("micro-batch")), "{found:?}");
    assert!(found.assumed.iter().any(|what| what.starts_with("interleaving")), "{found:?}");
}

#[test]
fn bert_is_pretrained_with_lamb_over_accumulated_steps() {
    let (plan, model) = plan(&row("bert-pytorch-a07d-a100-80-g1-s128-fp16"));
    assert_eq!(model.training.optimizer, Optimizer::Lamb);
    assert_eq!(model.training.max_predictions_per_sequence, Some(20));
    assert_eq!(model.training.precision, Precision::Fp16Mixed);
    assert_eq!(plan.num_micro_batches(), Some(32));
    let binned = one(&row("bert-pytorch-a07d-a100-80-g1-s512-fp16"));
    assert_eq!(binned.outcome, Err(Skip::Binned));
    // Not binned, though its notes speak of rows that are; Megatron's BERT, not Google's.
    let (_, model) = plan_of_megatron_bert();
    assert_eq!(model.norm_placement, Some(NormPlacement::Pre));
    assert_eq!(model.training.max_predictions_per_sequence, None);
}

fn plan_of_megatron_bert() -> (lmplan::plan::Plan, lmplan::spec::ModelSpec) {
    plan(&row("nemolaunch-bert-lddl-base-20b"))
}

#[test]
fn fully_sharded_data_parallelism_is_mapped() {
    let default = row("mpt-h100_80gb-30b-s2048-g256");
    let (plan, model) = plan(&default);
    assert_eq!(plan.optimizer_sharding, OptimizerSharding::Zero3);
    assert_eq!(plan.stages[0].recompute.full, model.num_layers);
    assert_eq!(stack::stack(&default).unwrap().gradient_reduce_bytes, 4);
    let pure = row("mpt-a100_40gb-125m-s512-g8");
    assert_eq!(stack::stack(&pure).unwrap().gradient_reduce_bytes, 2);
}

#[test]
fn embedding_and_head_take_the_place_of_layers_at_the_ends() {
    let (plan, model) = plan(&row("bloom-176B-h14336-t4p12d8-mb4-gb2048-a64"));
    let layers: Vec<u64> = plan.stages.iter().map(|s| s.recompute.layers()).collect();
    assert_eq!((layers[0], layers[1], layers[11]), (5, 6, 5));
    assert_eq!(layers.iter().sum::<u64>(), 70);
    assert_eq!(model.embedding_norm, Some(true));
}

#[test]
fn models_are_what_their_makers_say() {
    let id = "dgxc-v25.02-nemotron4-15b-bf16-g128-gb512";
    let (_, nemotron) = plan(&row(id));
    assert_eq!(nemotron.activation, Some(Activation::SquaredRelu));
    assert_eq!((nemotron.tied_embeddings, nemotron.bias), (Some(false), Some(false)));
    assert_eq!(nemotron.attention_dropout, Some(0.0));
    let parameters = lmplan::graph::build(&nemotron).unwrap().parameters() as f64;
    assert!((parameters / 15.6e9 - 1.0).abs() < 0.02, "{parameters}");
    let (_, small) = plan(&row("nanotron-1.34B-n16"));
    assert_eq!(small.tied_embeddings, Some(true));
}

#[test]
fn rows_are_skipped_for_a_stated_reason() {
    let whole = row("korth22-22B-full");
    let skip = |change: fn(&mut MeasuredRun)| {
        let mut changed = whole.clone();
        change(&mut changed);
        one(&changed).outcome.unwrap_err()
    };
    assert!(matches!(skip(|r| r.arch = "moe-mla".into()), Skip::Architecture(_)));
    assert!(matches!(skip(|r| r.schedule = "ZB-1p".into()), Skip::Schedule(_)));
    assert!(matches!(skip(|r| r.precision = "NVFP4".into()), Skip::Precision(_)));
    assert_eq!(skip(|r| r.tp = None), Skip::NotGiven("tensor-parallel ways"));
    assert!(matches!(skip(|r| r.dp = Some(3)), Skip::Refused(_)));
    assert!(matches!(skip(|r| r.hardware = "abacus".into()), Skip::Device(_)));
    assert!(matches!(skip(|r| r.framework = "abacus".into()), Skip::Refused(_)));
    assert_eq!(skip(|r| r.zero_stage = "3 + CPU optimizer offload".into()), Skip::Offload);
}

#[test]
fn the_comparison_is_consistent() {
    let memory = compare_memory(read_runs("memory.csv", MEMORY).expect("the table reads"));
    let runs = compare(runs());
    let summary = summarise(&runs);
    assert_eq!(summary.rows, runs.len());
    let reasons = runs.iter().filter(|run| run.outcome.is_err()).count();
    assert_eq!(summary.skipped, reasons);
    assert!(summary.skipped * 3 < summary.rows, "{summary:?}");
    assert!(summary.median_abs_error < 0.15 && summary.spearman > 0.95, "{summary:?}");
    let intervals = Intervals::new(&runs);
    assert!(intervals.coverage() > 0.5);
    for run in &runs {
        let Ok(p) = &run.outcome else { continue };
        assert!(p.seconds.is_finite() && p.seconds > 0.0, "{}", run.row.id);
        let parts: f64 = p.breakdown.parts().iter().map(|(_, seconds)| seconds).sum();
        assert!((parts / p.seconds - 1.0).abs() < 1e-6, "{}", run.row.id);
        let peak = &p.peak;
        assert!(peak.allocated <= peak.reserved && peak.reserved <= peak.device);
        let (low, high) = intervals.of(run);
        assert!(0.0 <= low && low <= high, "{}", run.row.id);
    }
    let json = Accuracy { runs: &runs, memory: &memory }.json();
    assert_eq!(json["schema"], "lmplan.validate/1");
    assert_eq!(json["rows"].as_array().map(Vec::len), Some(runs.len()));
    for key in ["rows", "skipped", "median_abs_error", "mean_abs_error", "p90_abs_error", "bias"]
        .into_iter()
        .chain(["spearman", "regret_mean", "regret_max"])
    {
        assert!(json["summary"][key].is_number(), "{key}");
    }
}
