//! A plan with what it names: what commands about one plan share.

use super::Failure;
use super::agreement::{Flags, agree, suits};
use super::enumerations::named;
use super::numbers::parse_length;
use super::tuning_args::LoraArgs;
use crate::plan::Plan;
use crate::planner::job::Job;
use crate::planner::predict::choice::Choice;
use crate::spec::{self, Cluster, ModelSpec, Precision, SpecError};
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A plan, and what overrides the model, cluster and stack that it names.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Path of the plan, or of the folder of its report
    pub plan: PathBuf,
    /// Model [default: the one that the plan names]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Cluster [default: the one that the plan names]
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// Software stack [default: the one that the plan names]
    #[arg(long, value_name = "STACK")]
    pub stack: Option<String>,
    /// Tokens of one sequence [default: as the plan was searched for, else the model's]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_length)]
    pub sequence_length: Option<u64>,
    /// Numeric recipe [default: as the plan was searched for, else the model's]
    #[arg(long, value_name = "RECIPE", value_parser = named::<Precision>())]
    pub precision: Option<Precision>,
    /// Adapters.
    #[command(flatten)]
    pub lora: LoraArgs,
}

/// A plan that suits its job.
#[derive(Debug)]
pub struct PlannedJob {
    /// Model, cluster and stack put together.
    pub job: Job,
    /// The plan, with everything decided.
    pub choice: Choice,
    /// Its file, with everything written out.
    pub plan: Plan,
}

impl PlanArgs {
    /// The plan's file.
    fn path(&self) -> PathBuf {
        let within = self.plan.join("plan.yaml");
        if within.is_file() { within } else { self.plan.clone() }
    }

    /// Refuses flags that say otherwise than the plan.
    ///
    /// # Errors
    /// A plan that can not be read, and the first disagreement.
    pub fn agree(&self) -> Result<(), Failure> {
        let folder = Path::new(".");
        let path = self.path();
        let (plan, _) = spec::load::<Plan>(&path.display().to_string(), folder)?;
        // Names in the files that flags lead to count as well; what is wrong with them is said
        // when they are loaded.
        let model = self.model.as_ref().and_then(|name| spec::load_model(name, folder).ok());
        let cluster = self.cluster.as_ref().and_then(|name| Cluster::load(name, folder).ok());
        let stack = self.stack.as_ref().and_then(|name| spec::load_stack(name, folder).ok());
        let names = [
            self.model.as_deref().zip(Some(model.as_ref().map(|(model, _)| model.name.as_str()))),
            self.cluster
                .as_deref()
                .zip(Some(cluster.as_ref().map(|(cluster, _)| cluster.spec.name.as_str()))),
            self.stack.as_deref().zip(Some(stack.as_ref().map(|(stack, _)| stack.name.as_str()))),
        ];
        let does = || {
            let model = model.as_ref().map(|(model, _)| model.clone());
            let model = model.or_else(|| Some(spec::load_model(&plan.model, folder).ok()?.0));
            let cluster = cluster.as_ref().map(|(cluster, _)| cluster.clone());
            let cluster = cluster.or_else(|| Cluster::of_plan(&plan.cluster, &path, folder).ok());
            let stack = stack.as_ref().map(|(stack, _)| stack.clone());
            let stack = stack.or_else(|| Some(spec::load_stack(&plan.stack, folder).ok()?.0));
            match (model, cluster, stack) {
                (Some(model), Some(cluster), Some(stack)) => suits(&plan, &model, &cluster, &stack),
                _ => Err("what it names can not be read".to_owned()),
            }
        };
        let flags = Flags {
            names,
            global_batch: None,
            sequence_length: self.sequence_length,
            precision: self.precision,
            lora: Some(&self.lora),
            suits: Some(&does),
        };
        agree(&flags, &path, &plan, certificate_beside(&path).as_ref())
    }

    /// Reads the plan and what it names.
    ///
    /// # Errors
    /// Files that are wrong, and a plan that does not suit its job.
    pub fn load(&self) -> Result<PlannedJob, Failure> {
        let folder = Path::new(".");
        let path = self.path();
        let (plan, _) = spec::load::<Plan>(&path.display().to_string(), folder)?;
        let name = |given: &Option<String>, own: &str| {
            given.as_deref().map_or_else(|| own.to_owned(), crate::cli::names::plan_name)
        };
        let names = [
            name(&self.model, &plan.model),
            name(&self.cluster, &plan.cluster),
            name(&self.stack, &plan.stack),
        ];
        let (mut model, _) = spec::load_model(&names[0], folder)?;
        as_planned(&plan, certificate_beside(&path).as_ref(), &mut model);
        if let Some(tokens) = self.sequence_length {
            model.sequence_length = tokens;
        }
        if let Some(precision) = self.precision {
            model.training.precision = precision;
        }
        if let Some(lora) = self.lora.lora() {
            model.training.lora = Some(lora);
        }
        let cluster = match &self.cluster {
            Some(_) => Cluster::load(&names[1], folder)?.0,
            None => Cluster::of_plan(&names[1], &path, folder)?,
        };
        let (stack, _) = spec::load_stack(&names[2], folder)?;
        let mut findings = spec::Document::findings(&model);
        findings.extend(super::advice::job_findings(&model, &cluster));
        if !findings.is_empty() {
            let what = format!("`{}` with model `{}`", path.display(), model.name);
            return Err(Failure::Spec(SpecError::unplaced(findings, &what)));
        }
        let bad = |what: String| Failure::BadInput(format!("`{}`: {what}", path.display()));
        let job = Job::new(model, cluster, stack).map_err(|error| bad(error.to_string()))?;
        let choice = Choice::of_plan(&job, &plan).map_err(|error| bad(error.to_string()))?;
        let plan = choice.plan(&job, names.each_ref().map(String::as_str));
        Ok(PlannedJob { job, choice, plan })
    }
}

/// Changes a model to what a plan was made for: batch and adapters as the plan says, sequence length
/// and precision as the certificate of the search that found it says, where there is one.
pub fn as_planned(plan: &Plan, certificate: Option<&Value>, model: &mut ModelSpec) {
    model.training.global_batch_size = plan.batch.global;
    if let Some(lora) = &plan.lora {
        model.training.lora = Some(lora.clone());
    }
    let Some(space) = certificate.map(|certificate| &certificate["space"]) else { return };
    if let Some(tokens) = space["sequence_length"].as_u64() {
        model.sequence_length = tokens;
    }
    if let Ok(precision) = serde_json::from_value(space["precision"].clone()) {
        model.training.precision = precision;
    }
}

/// The certificate beside a plan, where one can be read.
pub fn certificate_beside(plan: &Path) -> Option<Value> {
    let bytes = std::fs::read(plan.with_file_name("certificate.json")).ok()?;
    serde_json::from_slice(&bytes).ok()
}
