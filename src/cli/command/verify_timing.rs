//! The timed modes of `verify`.

use super::calibrate_run::here;
use super::verify_args::{VerifyArgs, VerifyMode};
use crate::cli::Failure;
use crate::cost::at_pace;
use crate::executor::caught::caught;
use crate::executor::gpu;
use crate::executor::ranks::world::World;
use crate::executor::run::gauge::Gauge;
use crate::executor::verify::report::{MachinePace, Timing, Verified};
use crate::executor::verify::{roles, whole};
use crate::plan::Plan;
use crate::planner::job::Job;
use crate::planner::predict::choice::Choice;
use crate::planner::predict::predict;
use crate::spec::machine::Machine;
use crate::spec::{self, Cluster, DeviceSpec, LinkKind, ModelSpec, Pace, Precision, StackSpec};
use crate::units::Bytes;
use std::path::Path;
use tch::Device;

/// A plan with what it names.
pub(super) struct Given {
    pub(super) name: String,
    pub(super) plan: Plan,
    pub(super) model: ModelSpec,
    pub(super) cluster: Cluster,
    pub(super) stack: StackSpec,
}

/// Without being asked, `verify` times no more than this takes, by the prediction.
const PATIENCE_S: f64 = 20.0;

pub(super) fn run(
    args: &VerifyArgs,
    given: &Given,
    (cuda, world): (bool, &World),
    say: &dyn Fn(&str),
    verified: &mut Verified,
) -> Result<(), Failure> {
    if args.mode == VerifyMode::Numerics {
        verified.mode.push("numerics");
        return Ok(());
    }
    if args.mode == VerifyMode::Auto {
        verified.mode.push("numerics");
    }
    let (name, device) = device(args, cuda, say, verified)?;
    let mut model = given.model.clone();
    if !cuda && model.training.precision.is_mixed() {
        verified.notes.push(format!(
            "times are those of fp32, in which {name} was measured, not of {}",
            model.training.precision.name()
        ));
        model.training.precision = Precision::Fp32;
    }
    let timed = Timed { given, model, device, cuda };
    let (job, choice) = timed.planned(&timed.device)?;
    let predicted = predict(&job, &choice)
        .ok_or_else(|| Failure::BadInput("the plan's schedule can not be run".to_owned()))?;
    let ranks = given.plan.devices();
    let there = world.size().unwrap_or_else(|| devices_there(cuda));
    let seconds = predicted.time.seconds().get();
    let repeats = args.steps;
    let fits = ranks <= there && seconds * (repeats + 1) as f64 <= PATIENCE_S;
    let as_a_whole = match args.mode {
        VerifyMode::Whole => true,
        VerifyMode::Auto => fits,
        _ => false,
    };
    if as_a_whole {
        if ranks > there {
            return Err(Failure::Missing(format!(
                "the plan needs {ranks} devices, {there} are here; `--mode roles` times what one \
                 rank does"
            )));
        }
        say(&format!("whole: {ranks} processes, about {:.0} s", seconds * (repeats + 1) as f64));
        return timed.whole(world, (&job, &choice), (&name, seconds, repeats), verified);
    }
    let c = &choice.mapping.candidate;
    let blocks = 2.0 / (job.workload.model.num_layers as f64 + 2.0);
    let once = seconds / c.micro_batches as f64 * c.pipeline as f64 * blocks;
    if !asked(args) && once * (repeats + 1) as f64 > PATIENCE_S {
        verified.notes.push(format!(
            "roles left out: one pass would take about {once:.0} s on {name}; `--mode roles` runs \
             it all the same"
        ));
        return Ok(());
    }
    say(&format!("roles: about {:.0} s", once * (repeats + 1) as f64));
    // One rank runs alone.
    timed.alone().roles(&name, repeats, verified)
}

/// What is timed, and on what.
struct Timed<'a> {
    given: &'a Given,
    model: ModelSpec,
    device: DeviceSpec,
    cuda: bool,
}

/// A plan predicted for the pace that its machine had.
struct Paced {
    job: Job,
    choice: Choice,
    pace: MachinePace,
}

impl Timed<'_> {
    /// The job and the plan on a device.
    fn planned(&self, device: &DeviceSpec) -> Result<(Job, Choice), Failure> {
        let job = job_on(self.given, self.model.clone(), device.clone(), self.cuda)?;
        let choice = Choice::of_plan(&job, &self.given.plan)
            .map_err(|error| Failure::BadInput(format!("`{}`: {error}", self.given.name)))?;
        Ok((job, choice))
    }

    /// The plan on all its ranks. `seconds` is the iteration as predicted at the pace of the
    /// calibration.
    fn whole(
        &self,
        world: &World,
        (job, choice): (&Job, &Choice),
        (name, seconds, repeats): (&str, f64, u64),
        verified: &mut Verified,
    ) -> Result<(), Failure> {
        let plan = &self.given.plan;
        let ran = whole::execute(world, job, plan, seconds, (self.cuda, repeats))?;
        let paced = self.at_pace(ran.pace(), plan.devices(), seconds)?;
        let (job, choice) = paced.as_ref().map_or((job, choice), |p| (&p.job, &p.choice));
        let result = ran.compare(job, choice, name)?;
        verified.mode.push("whole");
        let timing = Timing { pace: paced.map(|paced| paced.pace), ..result.timing };
        (verified.timing, verified.memory) = (Some(timing), Some(result.memory));
        verified.memory_by_stage = result.by_stage;
        verified.transport = result.transport;
        verified.notes.extend(result.allocator);
        verified.timelines = Some(result.timelines);
        Ok(())
    }

    /// What one rank of each stage does.
    fn roles(&self, name: &str, repeats: u64, verified: &mut Verified) -> Result<(), Failure> {
        let (job, choice) = self.planned(&self.device)?;
        let seconds = predict(&job, &choice).map_or(0.0, |found| found.time.seconds().get());
        let ran = timed_roles(&job, &choice, self.cuda, repeats)?;
        let paced = self.at_pace(ran.pace(), 1, seconds)?;
        let (job, choice) = paced.as_ref().map_or((&job, &choice), |p| (&p.job, &p.choice));
        let result = ran.compare(job, choice, name)?;
        if self.cuda {
            verified.notes.push(gpu::allocator(Device::Cuda(0))?);
        }
        verified.mode.push("roles");
        let timing = Timing { pace: paced.map(|paced| paced.pace), ..result.timing };
        (verified.timing, verified.memory) = (Some(timing), Some(result.memory));
        verified.timelines = Some(result.timelines);
        Ok(())
    }

    /// Without what other ranks of the machine would take.
    fn alone(&self) -> Timed<'_> {
        let mut device = self.device.clone();
        if let Some(measured) = &mut device.measured {
            measured.contention = None;
        }
        Timed { device, model: self.model.clone(), ..*self }
    }

    /// The plan at the pace that the machine had while `busy` ranks ran; none where either that or
    /// the pace at calibration is not known. `seconds` are predicted at that of the calibration.
    fn at_pace(
        &self,
        now: Option<Pace>,
        busy: u64,
        seconds: f64,
    ) -> Result<Option<Paced>, Failure> {
        let Some(now) = now else { return Ok(None) };
        let Some((device, slowdown)) = at_pace(&self.device, busy, now) else { return Ok(None) };
        if (slowdown.product, slowdown.copy) == (1.0, 1.0) {
            return Ok(None);
        }
        let (job, choice) = self.planned(&device)?;
        let pace = MachinePace {
            product: 1.0 / slowdown.product,
            copy: 1.0 / slowdown.copy,
            predicted_at_calibration_s: seconds,
        };
        Ok(Some(Paced { job, choice, pace }))
    }
}

fn timed_roles(
    job: &Job,
    choice: &Choice,
    cuda: bool,
    repeats: u64,
) -> Result<roles::Ran, Failure> {
    tch::set_num_threads(1);
    lmplan_c10d::keep_host_memory();
    let _no_tape = tch::no_grad_guard();
    let gauge = (!cuda).then(Gauge::new);
    if !cuda {
        lmplan_c10d::count_cpu_memory().map_err(|error| Failure::Missing(error.to_string()))?;
    }
    Ok(caught(|| roles::execute(job, choice, cuda, repeats, gauge))?)
}

/// Whether times were asked for.
const fn asked(args: &VerifyArgs) -> bool {
    args.trace.is_some() || !matches!(args.mode, VerifyMode::Auto)
}

/// The device that times are predicted for: the one that is named, or this machine's.
fn device(
    args: &VerifyArgs,
    cuda: bool,
    say: &dyn Fn(&str),
    verified: &mut Verified,
) -> Result<(String, DeviceSpec), Failure> {
    if let Some(name) = &args.device_file {
        let (device, _) = spec::load_device(name, Path::new("."))?;
        let other =
            device.calibration.as_ref().filter(|_| !cuda && !Machine::host().measured(&device));
        if let Some(calibration) = other {
            verified.notes.push(format!(
                "predicted for another machine than this one: {name} was {}",
                calibration.summary()
            ));
        }
        return Ok((name.clone(), device));
    }
    let (device, calibrated) = here(cuda, args.recalibrate, say)?;
    let name = calibrated.device_file.clone().unwrap_or_else(|| device.name.clone());
    verified.calibrated = Some(calibrated);
    Ok((name, device))
}

/// The job of a model with another device in every place of its cluster.
fn job_on(given: &Given, model: ModelSpec, device: DeviceSpec, cuda: bool) -> Result<Job, Failure> {
    let mut cluster = given.cluster.clone();
    for group in &mut cluster.groups {
        // What `calibrate` measures by one GPU has no link: that of the plan's devices stays.
        let link = device.link.clone().or(group.device.link.take());
        group.device = DeviceSpec { link, ..device.clone() };
        group.spec.device.clone_from(&device.name);
    }
    if !cuda {
        // All ranks share this machine.
        let one_node = given.plan.devices();
        if let Some(group) = cluster.spec.nodes.first_mut() {
            (group.count, group.devices_per_node) = (1, one_node);
            group.intra_node = LinkKind::SharedMemory;
            cluster.spec.nodes.truncate(1);
        }
        if let (Some(group), Some(spec)) = (cluster.groups.first_mut(), cluster.spec.nodes.first())
        {
            group.spec = spec.clone();
            group.spec.device.clone_from(&device.name);
        }
        cluster.groups.truncate(1);
    }
    for node in &mut cluster.spec.nodes {
        node.device.clone_from(&device.name);
    }
    // Tensors are measured: what the runtime and the allocator take besides is left out.
    let mut stack = given.stack.clone();
    (stack.context_memory, stack.communicator_memory) = (Bytes::ZERO, Bytes::ZERO);
    stack.fragmentation = 0.0;
    Job::new(model, cluster, stack).map_err(|error| Failure::BadInput(error.to_string()))
}

/// Devices of this machine: GPUs, or cores.
fn devices_there(cuda: bool) -> u64 {
    if cuda {
        return u64::try_from(tch::Cuda::device_count()).unwrap_or(0);
    }
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}
