//! Values that are each of the right kind and wrong all the same. Every check reports; none stops
//! the others. Bounds keep all products of the later layers far from overflow.

mod cluster;
mod device;
mod lora;
mod model;
mod stack;

use super::diagnostic::{Finding, quoted};
use super::{Cluster, ModelSpec};

/// Findings of one document.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding.
    pub(crate) fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// Whether there is none at or under `path`.
    pub(crate) fn none_at(&self, paths: &[&str]) -> bool {
        !self.0.iter().any(|finding| paths.contains(&finding.path.as_str()))
    }

    /// A count has to stand in `least..=most`.
    pub(crate) fn count(
        &mut self,
        code: &'static str,
        path: impl Into<String>,
        value: u64,
        least: u64,
        most: u64,
    ) {
        let path = path.into();
        let field = field(&path);
        if value < least {
            let message = format!("`{field}` is {value}, and has to be at least {least}");
            self.add(Finding::new(code, path, message));
        } else if value > most {
            let message =
                format!("`{field}` is {value}, beyond the {} that is planned for", short(most));
            self.add(Finding::new(code, path, message).help("is it a slip of digits?"));
        }
    }

    /// A count has to stand in `least..=most` where it is given.
    pub(crate) fn optional_count(
        &mut self,
        code: &'static str,
        path: &str,
        value: Option<u64>,
        least: u64,
        most: u64,
    ) {
        if let Some(value) = value {
            self.count(code, path, value, least, most);
        }
    }

    /// A quantity has to be above zero and at most `most`, in its base unit; `shown` is how a
    /// person reads it.
    pub(crate) fn positive(
        &mut self,
        code: &'static str,
        path: impl Into<String>,
        value: f64,
        most: f64,
        shown: &str,
    ) {
        let path = path.into();
        let field = field(&path).to_owned();
        if value <= 0.0 || value.is_nan() {
            self.add(
                Finding::new(code, path, format!("`{field}` is zero")).help("give what it is"),
            );
        } else if value > most {
            let message = format!("`{field}` is {shown}, beyond anything that is planned for");
            self.add(Finding::new(code, path, message).help("is it a slip of the unit?"));
        }
    }

    /// A name also names files and folders.
    pub(crate) fn name(&mut self, code: &'static str, name: &str) {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let starts = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if !starts || name.len() > 64 || !name.bytes().all(good) {
            let message =
                format!("`name` is {}, which can not name a folder of reports", quoted(name));
            let help = "use at most 64 letters, digits, `.`, `-` and `_`";
            self.add(Finding::new(code, "name", message).help(help));
        }
    }

    /// All of them.
    pub(crate) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}

/// The last step of a path that is a name.
fn field(path: &str) -> &str {
    let mut steps = path.rsplit('/');
    steps.find(|step| step.parse::<usize>().is_err()).unwrap_or(path)
}

/// `10_000_000` as `10 000 000`.
fn short(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// What stands between a model and a cluster that are each valid: every device has to have a peak
/// for the model's precision. Paths are those of the model's file.
pub fn job_findings(model: &ModelSpec, cluster: &Cluster) -> Vec<Finding> {
    let mut findings = Vec::new();
    let precision = model.training.precision;
    for group in &cluster.groups {
        if group.device.peak.contains_key(&precision) {
            continue;
        }
        let known: Vec<String> =
            group.device.peak.keys().map(|key| format!("`{}`", key.name())).collect();
        let message =
            format!("device {} has no peak for `{}`", quoted(&group.device.name), precision.name());
        let finding = Finding::new("job::precision", "training/precision", message)
            .help(format!("it has {} (whether the job fits was not tried)", known.join(" and ")));
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings
}
