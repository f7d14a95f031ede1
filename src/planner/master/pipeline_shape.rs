//! What candidates with the same pipeline share, whatever their stages take.

use crate::lower::{ChunkTimes, InFlight, Links, Pipeline, StageTimes};
use crate::sim::pipeline::{PathRow, Run, Structure};
use crate::units::SimTime;

/// What depends on the shape of a pipeline only.
#[derive(Debug)]
pub struct PipelineShape {
    /// Dependencies of its steps.
    pub structure: Structure,
    /// In-flight micro-batches by stage.
    pub in_flight: Vec<Vec<InFlight>>,
    /// Paths that tend to decide, to start from.
    pub rows: Vec<PathRow>,
}

impl PipelineShape {
    /// Builds both; nothing where the order of steps can not be run.
    pub fn new(pipeline: Pipeline, blocking: bool) -> Option<PipelineShape> {
        let structure = Structure::new(pipeline)?;
        let in_flight = (0..pipeline.stages).map(|q| pipeline.in_flight(q)).collect();
        let rows = typical_paths(&structure, blocking);
        Some(PipelineShape { structure, in_flight, rows })
    }
}

/// Steps up to which each stage is made the slow one: it takes so many evaluations.
const EACH_SLOW: usize = 200_000;

/// Critical paths of made-up durations: all stages alike, and one stage slower than the others,
/// with transfers that matter. A path bounds every plan whatever it was found with; these spare
/// most simulations.
fn typical_paths(structure: &Structure, blocking: bool) -> Vec<PathRow> {
    let p = structure.pipeline().stages as usize;
    let stage = |scale: u64| {
        let time = |units: u64| SimTime::from_picos(units * scale);
        let chunk = ChunkTimes {
            forward: time(100),
            first_forward: time(100),
            backward: time(200),
            last_backward: time(200),
            reduce_tail: time(10),
        };
        let chunks = vec![chunk; structure.pipeline().chunks as usize];
        StageTimes { chunks, optimizer: SimTime::from_picos(10) }
    };
    let hops = if p > 1 { SimTime::from_picos(50) } else { SimTime::ZERO };
    let links = Links {
        hops: vec![hops; p],
        blocking,
        tied_reduce: SimTime::ZERO,
        gradient_norm: SimTime::from_picos(1),
    };
    let mut slow: Vec<Option<usize>> = vec![None, Some(p - 1), Some(0), Some(p / 2)];
    slow.truncate(if p == 1 { 1 } else { 4 });
    if p > 1 && p * structure.len() <= EACH_SLOW {
        slow.extend((1..p - 1).map(Some));
    }
    let mut rows: Vec<PathRow> = Vec::new();
    let mut run = Run::default();
    for slow in slow {
        let times: Vec<StageTimes> =
            (0..p).map(|q| stage(if slow == Some(q) { 40 } else { 10 })).collect();
        structure.run(&times, &links, &mut run);
        let row = structure.critical_path(&times, &links, &run);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows
}
