//! A rank's iteration: the actions of its program, in order.

use super::data::{MicroBatch, StepData, seed_of};
use super::fault;
use super::ops::Work;
use super::passes::BlockPass;
use super::rank::{Iteration, Rank};
use super::record::Beside;
use super::state::{BlockState, Held, Table};
use super::update;
use crate::executor::error::{ExecutorError, Result};
use crate::graph::BlockKind;
use crate::lower::{Action, Pass, Step};
use crate::mesh::{Coordinates, Mesh};
use crate::sharding::Layout;
use lmplan_c10d::Envelope;
use std::rc::Rc;
use tch::Tensor;

impl Rank {
    /// Runs the program once.
    ///
    /// # Errors
    /// What libtorch or another rank reports; instructions that are not those that were priced.
    pub fn iteration(&mut self) -> Result<Iteration> {
        let step = self.steps + 1;
        self.recorder.begin();
        let data = self.kept_data.take();
        let data = data.unwrap_or_else(|| StepData::new(self.data, step, self.env.device));
        let mut result = Iteration::default();
        let mut loss: Option<Tensor> = None;
        for state in self.blocks.iter_mut().flatten() {
            let _ = state.gradients.zero_();
            state.sums.iter_mut().for_each(|sums| drop(sums.zero_()));
        }
        for action in self.program.actions.clone() {
            let start = self.recorder.now();
            fault::before(self, &action);
            match action {
                Action::Receive { step, from } => self.receive(step, from)?,
                Action::Run(step) if step.pass == Pass::Backward => self.backward(step, &data)?,
                Action::Run(step) => {
                    let share = self.forward(step, &data)?;
                    loss =
                        share.map(|share| loss.iter().fold(share, |sum, loss| sum + loss)).or(loss);
                }
                Action::Send { step, to } => self.send(step, to)?,
                Action::ReduceOverTensor => update::reduce_over_tensor(self)?,
                Action::SumTied => update::sum_tied(self)?,
                Action::ReduceOverData { chunk } => update::reduce_over_data(self, chunk)?,
                Action::GradientNorm => result.gradient_norm = update::gradient_norm(self)?,
                Action::Optimizer => {
                    result.skipped = !result.gradient_norm.is_finite();
                    if !result.skipped {
                        update::optimizer(self, step, result.gradient_norm)?;
                    }
                }
                Action::GatherParameters => update::gather_parameters(self)?,
            }
            fault::after(self, &action);
            self.recorder.ran(&action, start);
        }
        for sending in std::mem::take(&mut self.sending) {
            sending.wait()?;
        }
        if let Some(world) = self.groups.world.real() {
            world.settle()?;
        }
        // Read once all is done: the host would wait for the device in the middle of the step.
        result.loss = loss.map_or(0.0, |loss| loss.double_value(&[]));
        self.recorder.end();
        self.kept_data = self.recorder.is_on().then_some(data);
        self.steps = step;
        Ok(result)
    }

    fn peer(&self, stage: u64) -> usize {
        let program = &self.program;
        let mesh = Mesh::new(program.tensor, 1, program.replicas, program.pipeline.stages);
        mesh.rank(Coordinates { stage, ..self.seat }) as usize
    }

    /// A number for a message, which both sides know.
    fn tag(&self, step: Step, sent: bool) -> usize {
        let pipeline = &self.program.pipeline;
        let own = pipeline.virtual_stage(self.program.stage, step.chunk);
        let taker = match (sent, step.pass) {
            (true, Pass::Forward) => own + 1,
            (true, Pass::Backward) => own.saturating_sub(1),
            (false, _) => own,
        };
        let virtual_stages = pipeline.stages * pipeline.chunks;
        let pass = step.pass as u64 * virtual_stages + taker;
        (pass * self.program.pipeline.micro_batches + u64::from(step.micro_batch)) as usize
    }

    /// Messages of forward and of backward passes have lanes of their own.
    fn envelope(&self, step: Step, sent: bool, stage: u64) -> Envelope {
        let (peer, tag) = (self.peer(stage), self.tag(step, sent));
        Envelope { peer, tag, lane: step.pass as usize }
    }

    fn receive(&mut self, step: Step, from: u64) -> Result<()> {
        let shape = self.program.block(BlockKind::Layer).input;
        let shape = shape.ok_or_else(|| ExecutorError::Program("layers without input".into()))?;
        let is_split = self.program.block(BlockKind::Layer).boundary == Layout::Sequence;
        let ways = if is_split { self.env.tensor.size() } else { 1 };
        let size = [shape.rows as i64 / ways, self.env.micro_batch, shape.width as i64];
        let from = self.envelope(step, false, from);
        let like = Tensor::empty([0], (self.env.kind, self.env.device));
        let tensor = self
            .recorder
            .beside(Beside::Receive, || self.groups.world.receive(&size, &like, from))?;
        self.inbox.insert(step, tensor);
        Ok(())
    }

    fn send(&mut self, step: Step, to: u64) -> Result<()> {
        let tensor = self.outbox.remove(&step);
        let tensor = tensor.ok_or_else(|| ExecutorError::Program("nothing to send".into()))?;
        let to = self.envelope(step, true, to);
        let sending = self.recorder.beside(Beside::Send, || self.groups.world.send(&tensor, to))?;
        self.sending.push(sending);
        Ok(())
    }

    fn micro_batch(&self, step: Step, data: &StepData) -> Rc<MicroBatch> {
        let m = self.program.pipeline.micro_batches;
        let index = self.seat.data * m + u64::from(step.micro_batch);
        let b = self.env.micro_batch;
        data.micro_batch(index as i64 * b, b)
    }

    fn seed(&self, step: Step, layer: u64) -> i64 {
        let m = self.program.pipeline.micro_batches;
        let index = self.seat.data * m + u64::from(step.micro_batch);
        seed_of(&["dropout"], (self.steps * 1_000_003 + index) * 10_007 + layer)
    }

    /// Runs a forward pass: this rank's share of the loss, where the head is in it.
    fn forward(&mut self, step: Step, data: &StepData) -> Result<Option<Tensor>> {
        let batch = self.micro_batch(step, data);
        let key = (step.chunk, step.micro_batch);
        let mut stream = self.inbox.remove(&step);
        let mut all = Vec::new();
        let mut loss = None;
        for state in &self.blocks[step.chunk as usize] {
            let gathered = self.gathered(state)?;
            let table = self.table_for(state);
            let table = table.as_ref();
            let flat = &state.flat;
            let held = Held { flat, weights: &gathered, gradients: None, sums: None, table };
            let seed = self.seed(step, state.placed.layer);
            let work = Work { env: &self.env, held: &held, batch: &batch, seed };
            let code = self.program.block(state.placed.kind);
            let pass = BlockPass { code, work, recorder: &self.recorder };
            let (output, saved) = pass.forward(stream.take(), state.placed.recompute)?;
            all.push(saved);
            if state.placed.kind == BlockKind::Head {
                loss = Some(self.share_of_loss(&output));
            } else {
                stream = Some(output);
            }
        }
        self.saved.insert(key, all);
        if let Some(output) = stream {
            self.outbox.insert(step, output);
        }
        Ok(loss)
    }

    fn backward(&mut self, step: Step, data: &StepData) -> Result<()> {
        let batch = self.micro_batch(step, data);
        let mut saved = self.saved.remove(&(step.chunk, step.micro_batch)).unwrap_or_default();
        let mut gradient = self.inbox.remove(&step);
        let chunk = step.chunk as usize;
        for index in (0..self.blocks[chunk].len()).rev() {
            let state = &self.blocks[chunk][index];
            let arriving = match gradient.take() {
                Some(gradient) => gradient,
                None => self.first_gradient(),
            };
            let gathered = self.gathered(state)?;
            let is_split = state.gradients.size()[0] < state.flat.elements;
            // A block's gradients are whole while it runs.
            let whole = is_split
                .then(|| Tensor::zeros([state.flat.elements], (self.env.wide, self.env.device)));
            let gradients = whole.as_ref().unwrap_or(&state.gradients);
            let table = self.table_for(state);
            let table = table.as_ref();
            let (gradients, sums) = (Some(gradients), state.sums.as_ref());
            let held = Held { flat: &state.flat, weights: &gathered, gradients, sums, table };
            let seed = self.seed(step, state.placed.layer);
            let work = Work { env: &self.env, held: &held, batch: &batch, seed };
            let code = self.program.block(state.placed.kind);
            let pass = BlockPass { code, work, recorder: &self.recorder };
            let saved = saved.pop().unwrap_or_default();
            gradient = pass.backward(arriving, saved, state.placed.recompute)?;
            if let Some(whole) = whole {
                let part = self.recorder.beside(Beside::ReduceOverData, || {
                    self.groups.data.reduce_scatter_within(whole)
                })?;
                let _ = self.blocks[chunk][index].gradients.g_add_(&part);
            }
        }
        if let Some(gradient) = gradient {
            self.outbox.insert(step, gradient);
        }
        Ok(())
    }

    /// The token embedding's table, where a block shares it.
    fn table_for(&self, state: &BlockState) -> Option<Table> {
        let shares = self.shared_table && state.placed.kind == BlockKind::Head;
        self.blocks.first()?.first().filter(|_| shares)?.table()
    }

    /// All parameters of a block, collected where this rank holds a part.
    fn gathered(&self, state: &BlockState) -> Result<Tensor> {
        match (&state.weights, &state.own_weights) {
            (Some(weights), _) => Ok(weights.shallow_clone()),
            (None, Some(own)) => {
                self.recorder.beside(Beside::GatherParameters, || self.groups.data.all_gather(own))
            }
            (None, None) => Err(ExecutorError::Program("a block without parameters".into())),
        }
    }
}
