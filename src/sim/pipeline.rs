//! The pipeline as a system of dependent steps in virtual time.
//!
//! Every stage runs its steps in a fixed order; a step also waits for the activation or gradient
//! that it needs. Which steps depend on which does not depend on how long they take, so the time
//! of an iteration is the longest path through a fixed graph: a maximum of linear forms in the
//! durations. [`Structure`] is that graph, [`Structure::run`] evaluates it in one pass, and
//! [`Structure::critical_path`] gives the linear form that decided ([`PathRow`]). A path is a path
//! whatever the durations are, so a row bounds *every* plan of the same shape from below; the
//! planner uses this as a cut.

use crate::lower::{CHUNK_KINDS, Links, Pass, Pipeline, StageTimes, Step};
use crate::units::SimTime;

const NONE: u32 = u32::MAX;

/// One step, with what it waits for. Indices are into the topological order.
#[derive(Debug, Clone, Copy)]
struct Node {
    stage: u32,
    /// Index of its duration: (stage * chunks + chunk) * 4 + kind.
    duration: u32,
    /// Previous step of the stage.
    previous: u32,
    /// Step whose result it needs.
    needs: u32,
    /// Hop over which that result comes; `NONE` within the stage.
    hop: u32,
    /// Hop over which its own result leaves; `NONE` at the ends.
    sends: u32,
    micro_batch: u32,
}

/// The dependency graph of a pipeline's steps, in topological order.
#[derive(Debug, Clone)]
pub struct Structure {
    pipeline: Pipeline,
    nodes: Vec<Node>,
    /// Last step of each stage.
    last: Vec<u32>,
    /// Last backward of each (stage, chunk).
    last_backward: Vec<u32>,
}

/// Times of one evaluation.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// End of each step, in topological order.
    ends: Vec<SimTime>,
    /// End of the gradient reduction of each (stage, chunk).
    reduced: Vec<SimTime>,
    /// When each stage has its gradients.
    pub stage_ends: Vec<SimTime>,
    /// When the optimizer may start.
    pub optimizer_start: SimTime,
    /// End of the iteration.
    pub end: SimTime,
}

/// How often a path passes through each duration: a lower bound, linear in the durations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRow {
    /// Passes by (stage * chunks + chunk), then kind.
    pub passes: Vec<[u32; CHUNK_KINDS]>,
    /// Passes of each hop.
    pub hops: Vec<u32>,
    /// Whether it goes through the tied embedding's reduction.
    pub tied: bool,
    /// The stage whose optimizer step ends it.
    pub optimizer_stage: u32,
}

impl Structure {
    /// Builds the graph. Nothing of it depends on durations.
    ///
    /// Returns `None` where the order of steps can not be run (a dependency cycle), which no
    /// schedule offered has.
    pub fn new(pipeline: Pipeline) -> Option<Structure> {
        Builder::new(pipeline).build()
    }

    /// The shape that it was built for.
    pub const fn pipeline(&self) -> Pipeline {
        self.pipeline
    }

    /// Steps of all stages together.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no steps.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Evaluates the pipeline with the given durations into `run`, whose buffers are reused.
    pub fn run(&self, stages: &[StageTimes], links: &Links, run: &mut Run) {
        let durations = self.durations(stages);
        let transfer = |hop: u32| match hop {
            NONE => SimTime::ZERO,
            hop => links.hops[hop as usize],
        };
        run.ends.clear();
        run.ends.reserve(self.nodes.len());
        for node in &self.nodes {
            let mut start = SimTime::ZERO;
            if node.previous != NONE {
                start = run.ends[node.previous as usize];
            }
            if node.needs != NONE {
                let lag = if links.blocking { SimTime::ZERO } else { transfer(node.hop) };
                start = start.max(run.ends[node.needs as usize] + lag);
            }
            let sending = if links.blocking { transfer(node.sends) } else { SimTime::ZERO };
            run.ends.push(start + durations[node.duration as usize] + sending);
        }
        self.finish(stages, links, run);
    }

    /// The end of the iteration ([`crate::lower::ending`]): gradients reduced over replicas, summed
    /// where they are tied and measured, each for all stages that wait for it; then what stages do
    /// by themselves.
    fn finish(&self, stages: &[StageTimes], links: &Links, run: &mut Run) {
        let chunks = self.pipeline.chunks as usize;
        run.reduced.clear();
        run.reduced.resize(self.last_backward.len(), SimTime::ZERO);
        run.stage_ends.clear();
        for (q, stage) in stages.iter().enumerate() {
            let mut stream = SimTime::ZERO;
            for k in (0..chunks).rev() {
                let ready = run.ends[self.last_backward[q * chunks + k] as usize];
                stream = stream.max(ready) + stage.chunks[k].reduce_tail;
                run.reduced[q * chunks + k] = stream;
            }
            run.stage_ends.push(stream.max(run.ends[self.last[q] as usize]));
        }
        let mut all = run.stage_ends.iter().copied().max().unwrap_or_default();
        if let (Some(first), Some(last)) = (run.stage_ends.first(), run.stage_ends.last()) {
            all = all.max((*first).max(*last) + links.tied_reduce);
        }
        run.optimizer_start = all + links.gradient_norm;
        let optimizer = stages.iter().map(|stage| stage.optimizer).max().unwrap_or_default();
        run.end = run.optimizer_start + optimizer;
    }

    /// Durations by (stage * chunks + chunk) * 4 + kind.
    fn durations(&self, stages: &[StageTimes]) -> Vec<SimTime> {
        let chunks = stages.iter().flat_map(|stage| &stage.chunks);
        chunks.flat_map(|chunk| chunk.durations().into_iter().take(4)).collect()
    }

    /// The longest path of `run`, as a row.
    pub fn critical_path(&self, stages: &[StageTimes], links: &Links, run: &Run) -> PathRow {
        let p = self.pipeline.stages as usize;
        let chunks = self.pipeline.chunks as usize;
        let latest_optimizer = (0..p).max_by_key(|q| (stages[*q].optimizer, std::cmp::Reverse(*q)));
        let mut row = PathRow {
            passes: vec![[0; CHUNK_KINDS]; p * chunks],
            hops: vec![0; p],
            tied: false,
            optimizer_stage: latest_optimizer.unwrap_or(0) as u32,
        };
        let all = run.optimizer_start.saturating_sub(links.gradient_norm);
        let ends = &run.stage_ends;
        let stage = (0..p).find(|q| ends[*q] == all).unwrap_or_else(|| {
            row.tied = true;
            if ends[0] >= ends[p - 1] { 0 } else { p - 1 }
        });
        let mut node = self.enter_stage_end(stage, run, &mut row);
        while node != NONE {
            node = self.step_back(node, links, run, &mut row);
        }
        row
    }

    /// Walks back from the end of a stage to the step that decided it.
    fn enter_stage_end(&self, stage: usize, run: &Run, row: &mut PathRow) -> u32 {
        let chunks = self.pipeline.chunks as usize;
        let slot = |k: usize| stage * chunks + k;
        if run.reduced[slot(0)] < run.stage_ends[stage] {
            return self.last[stage];
        }
        for k in 0..chunks {
            row.passes[slot(k)][4] += 1;
            let ready = run.ends[self.last_backward[slot(k)] as usize];
            if k + 1 == chunks || ready >= run.reduced[slot(k + 1)] {
                return self.last_backward[slot(k)];
            }
        }
        self.last[stage]
    }

    /// Counts a step into `row` and returns the step that decided its start.
    fn step_back(&self, index: u32, links: &Links, run: &Run, row: &mut PathRow) -> u32 {
        let node = &self.nodes[index as usize];
        row.passes[node.duration as usize / 4][node.duration as usize % 4] += 1;
        if node.sends != NONE && links.blocking {
            row.hops[node.sends as usize] += 1;
        }
        if node.needs == NONE {
            return node.previous;
        }
        let crosses = node.hop != NONE && !links.blocking;
        let lag = if crosses { links.hops[node.hop as usize] } else { SimTime::ZERO };
        let arrival = run.ends[node.needs as usize] + lag;
        let free = match node.previous {
            NONE => SimTime::ZERO,
            previous => run.ends[previous as usize],
        };
        if free > arrival {
            return node.previous;
        }
        if crosses {
            row.hops[node.hop as usize] += 1;
        }
        node.needs
    }

    /// Every step with its start and end: (stage, step, start, end), in topological order.
    pub fn spans<'a>(
        &'a self,
        stages: &'a [StageTimes],
        links: &'a Links,
        run: &'a Run,
    ) -> impl Iterator<Item = (u64, Step, SimTime, SimTime)> + 'a {
        let durations = self.durations(stages);
        let chunks = self.pipeline.chunks as u32;
        self.nodes.iter().zip(&run.ends).map(move |(node, end)| {
            let sent = match node.sends {
                NONE => SimTime::ZERO,
                hop if links.blocking => links.hops[hop as usize],
                _ => SimTime::ZERO,
            };
            let step = Step {
                pass: if node.duration % 4 >= 2 { Pass::Backward } else { Pass::Forward },
                chunk: node.duration / 4 % chunks,
                micro_batch: node.micro_batch,
            };
            let end = end.saturating_sub(sent);
            let start = end.saturating_sub(durations[node.duration as usize]);
            (u64::from(node.stage), step, start, end)
        })
    }

    /// End of the gradient reduction of a chunk.
    pub fn reduced(&self, run: &Run, stage: u64, chunk: u64) -> SimTime {
        run.reduced[(stage * self.pipeline.chunks + chunk) as usize]
    }
}

impl PathRow {
    /// The part of the path that stage `q` contributes with the given durations, its outgoing hop
    /// and its optimizer step left out.
    pub fn stage_value(&self, q: usize, times: &StageTimes) -> SimTime {
        let chunks = times.chunks.len();
        let slots = &self.passes[q * chunks..(q + 1) * chunks];
        let mut value = SimTime::ZERO;
        for (chunk, counts) in times.chunks.iter().zip(slots) {
            for (duration, count) in chunk.durations().into_iter().zip(counts) {
                value += duration * u64::from(*count);
            }
        }
        if q as u32 == self.optimizer_stage { value + times.optimizer } else { value }
    }

    /// The part of the path outside of the stages.
    pub fn link_value(&self, links: &Links) -> SimTime {
        let hops: SimTime =
            self.hops.iter().zip(&links.hops).map(|(count, hop)| *hop * u64::from(*count)).sum();
        let tied = if self.tied { links.tied_reduce } else { SimTime::ZERO };
        hops + tied + links.gradient_norm
    }
}

/// Orders the steps topologically.
struct Builder {
    pipeline: Pipeline,
    steps: Vec<Vec<Step>>,
    /// Index in the topological order of each forward and backward, by (virtual stage, micro-batch).
    placed: [Vec<u32>; 2],
    next: Vec<usize>,
    previous: Vec<u32>,
    nodes: Vec<Node>,
    last_backward: Vec<u32>,
}

impl Builder {
    fn new(pipeline: Pipeline) -> Builder {
        let p = pipeline.stages as usize;
        let slots = p * (pipeline.chunks * pipeline.micro_batches) as usize;
        Builder {
            pipeline,
            steps: (0..pipeline.stages).map(|q| pipeline.steps(q)).collect(),
            placed: [vec![NONE; slots], vec![NONE; slots]],
            next: vec![0; p],
            previous: vec![NONE; p],
            nodes: Vec::with_capacity(2 * slots),
            last_backward: vec![NONE; p * pipeline.chunks as usize],
        }
    }

    fn build(mut self) -> Option<Structure> {
        let p = self.pipeline.stages as usize;
        let total: usize = self.steps.iter().map(Vec::len).sum();
        // Sweeping down for forwards and up for backwards places many steps per visit.
        while self.nodes.len() < total {
            let before = self.nodes.len();
            for q in (0..p).chain((0..p).rev()) {
                self.advance(q);
            }
            if self.nodes.len() == before {
                return None;
            }
        }
        Some(Structure {
            pipeline: self.pipeline,
            nodes: self.nodes,
            last: self.previous,
            last_backward: self.last_backward,
        })
    }

    /// Places the steps of stage `q` up to the first whose input is not there yet.
    fn advance(&mut self, q: usize) {
        while let Some(step) = self.steps[q].get(self.next[q]).copied() {
            let Some((needs, hop)) = self.needs(q, step) else { return };
            let pipeline = self.pipeline;
            let (p, v) = (pipeline.stages as usize, pipeline.chunks as usize);
            let virtual_stage = pipeline.virtual_stage(q as u64, step.chunk) as usize;
            let ends = pipeline.taker(q as u64, step).is_none();
            let outgoing = pipeline.hop(q as u64, step.pass);
            let last = u64::from(step.micro_batch) == pipeline.micro_batches - 1;
            let special = match step.pass {
                Pass::Forward => step.micro_batch == 0,
                Pass::Backward => last,
            };
            let kind = 2 * step.pass as u32 + u32::from(special);
            let slot = q * v + step.chunk as usize;
            let index = self.nodes.len() as u32;
            self.nodes.push(Node {
                stage: q as u32,
                duration: slot as u32 * 4 + kind,
                previous: self.previous[q],
                needs,
                hop,
                sends: if ends || p == 1 { NONE } else { outgoing as u32 },
                micro_batch: step.micro_batch,
            });
            if step.pass == Pass::Backward && last {
                self.last_backward[slot] = index;
            }
            let m = self.pipeline.micro_batches as usize;
            self.placed[step.pass as usize][virtual_stage * m + step.micro_batch as usize] = index;
            self.previous[q] = index;
            self.next[q] += 1;
        }
    }

    /// The step that `step` needs and the hop between; nothing where it is not placed yet.
    fn needs(&self, q: usize, step: Step) -> Option<(u32, u32)> {
        let p = self.pipeline.stages as usize;
        let virtual_stages = p * self.pipeline.chunks as usize;
        let m = self.pipeline.micro_batches as usize;
        let virtual_stage = step.chunk as usize * p + q;
        let at =
            |pass: Pass, s: usize| self.placed[pass as usize][s * m + step.micro_batch as usize];
        let (needs, hop) = match step.pass {
            Pass::Forward if virtual_stage == 0 => return Some((NONE, NONE)),
            Pass::Forward => (at(Pass::Forward, virtual_stage - 1), (q + p - 1) % p),
            // It starts from the loss.
            Pass::Backward if virtual_stage == virtual_stages - 1 => {
                (at(Pass::Forward, virtual_stage), usize::MAX)
            }
            Pass::Backward => (at(Pass::Backward, virtual_stage + 1), q),
        };
        let hop = if hop == usize::MAX || p == 1 { NONE } else { hop as u32 };
        (needs != NONE).then_some((needs, hop))
    }
}
