//! Names: files of the working folder first, then the catalogue compiled into the binary.

use super::diagnostic::{Diagnostic, Source, SpecError, quoted};
use super::nearest::{family, nearest};
use super::read::read;
use std::fs;
use std::path::{Path, PathBuf};

include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// Most names of a family that are listed.
const FAMILY: usize = 8;

/// What a file describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A model, `models/*.yaml`.
    Model,
    /// A cluster, `hardware/*.yaml`.
    Cluster,
    /// A device, `hardware/devices/*.yaml`.
    Device,
    /// A software stack, `hardware/stacks/*.yaml`.
    Stack,
    /// A plan; there are none in the catalogue.
    Plan,
}

impl Kind {
    /// The word for one of them.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Model => "model",
            Kind::Cluster => "cluster",
            Kind::Device => "device",
            Kind::Stack => "stack",
            Kind::Plan => "plan",
        }
    }

    /// Where the working folder keeps them.
    const fn folder(self) -> &'static str {
        match self {
            Kind::Model => "models",
            Kind::Cluster => "hardware",
            Kind::Device => "hardware/devices",
            Kind::Stack => "hardware/stacks",
            Kind::Plan => ".",
        }
    }

    /// A field that every file of the kind has, and none of another.
    const fn mark(self) -> &'static str {
        match self {
            Kind::Model => "num_layers",
            Kind::Cluster => "nodes",
            Kind::Device => "peak",
            Kind::Stack => "schedules",
            Kind::Plan => "parallelism",
        }
    }

    /// Whether a file describes something else: `t4.yaml` may be a cluster of the device `t4`.
    fn is_of_another(self, text: &str) -> bool {
        let all = [Kind::Model, Kind::Cluster, Kind::Device, Kind::Stack, Kind::Plan];
        let has = |kind: Kind| {
            let after = |line: &'_ str| -> bool {
                let rest = line.strip_prefix(kind.mark()).map(str::trim_start);
                rest.is_some_and(|rest| rest.starts_with(':'))
            };
            text.lines().any(after)
        };
        !has(self) && all.into_iter().any(has)
    }

    const fn catalogue(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Kind::Model => MODELS,
            Kind::Cluster => CLUSTERS,
            Kind::Device => DEVICES,
            Kind::Stack => STACKS,
            Kind::Plan => &[],
        }
    }
}

/// A folder that no system can have: from there names are those of the catalogue alone, whatever the
/// working folder holds.
pub fn built_in() -> &'static Path {
    Path::new("\0")
}

/// The names of the catalogue, sorted.
pub fn names(kind: Kind) -> Vec<&'static str> {
    kind.catalogue().iter().map(|(name, _)| *name).collect()
}

/// Every name that [`find`] knows from `folder`: its own files and the catalogue, sorted.
pub fn names_from(kind: Kind, folder: &Path) -> Vec<String> {
    let mut all = yaml_names(&folder.join(kind.folder()));
    all.extend(names(kind).into_iter().map(String::from));
    all.sort();
    all.dedup();
    all
}

/// The text behind a name: the file of that path, then the one in the working folder's `models/`
/// or `hardware/`, then the catalogue; with or without `.yaml`. A name without a folder or an ending is
/// that of a YAML file of its kind; a file of just that name comes last. The device of this machine's cores is
/// what was [measured](super::machine) on it, where it was.
///
/// # Errors
/// No such name (with the nearest that there are), or a file that can not be read.
pub fn find(kind: Kind, name: &str, folder: &Path) -> Result<Source, SpecError> {
    let word = kind.word();
    if name.trim().is_empty() {
        let message = format!("the name of the {word} is empty");
        return Err(not_found(kind, message, folder, name));
    }
    let stem = name.strip_suffix(".yaml").unwrap_or(name);
    let measured = if kind == Kind::Device { super::machine::measured_core(stem) } else { None };
    if let Some(path) = measured {
        return read(&path, path.display().to_string());
    }
    let mut others = None;
    for path in candidates(kind, name, folder) {
        if path.is_file() {
            if kind == Kind::Plan && path.extension().is_some_and(|extension| extension == "json") {
                let message = format!("{} holds results, not a plan", quoted(name));
                let help = "give the `plan.yaml` beside it, or the folder of the report".into();
                let diagnostic = Diagnostic::unplaced("spec::not-found", message, None, Some(help));
                return Err(diagnostic.into());
            }
            let shown = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            let source = read(&path, shown)?;
            if !is_bare(kind, name) || !kind.is_of_another(&source.text) {
                return Ok(source);
            }
            others.get_or_insert(source);
        }
    }
    if let Some((_, text)) = kind.catalogue().iter().find(|(known, _)| *known == stem) {
        let name = format!("catalogue:{}/{stem}.yaml", kind.folder());
        return Ok(Source { name, text: (*text).to_owned() });
    }
    if let Some(source) = others {
        return Ok(source);
    }
    let plain = folder.join(name);
    if plain.is_file() {
        return read(&plain, name.to_owned());
    }
    let message = match folder.join(name).is_dir() {
        true if kind == Kind::Plan => format!("the folder {} holds no `plan.yaml`", quoted(name)),
        true => format!("{} is a folder, not the file of a {word}", quoted(name)),
        false if kind == Kind::Plan => format!("there is no plan {}", quoted(name)),
        false if name.contains('/') => format!("there is no file {}", quoted(name)),
        false => format!("no {word} is called {}", quoted(name)),
    };
    Err(not_found(kind, message, folder, name))
}

/// Whether a name is no path: it may be that of any file of the folder, such as a program's.
fn is_bare(kind: Kind, name: &str) -> bool {
    let path = Path::new(name);
    let ending = path.extension().and_then(std::ffi::OsStr::to_str);
    let is_file = ending.is_some_and(|ending| ["yaml", "yml", "json"].contains(&ending));
    kind != Kind::Plan && path.components().count() == 1 && !is_file
}

/// Paths that a name may mean, in order.
fn candidates(kind: Kind, name: &str, folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for base in [folder.to_path_buf(), folder.join(kind.folder())] {
        if !is_bare(kind, name) {
            paths.push(base.join(name));
        }
        paths.push(base.join(format!("{name}.yaml")));
    }
    if kind == Kind::Plan {
        paths.push(folder.join(name).join("plan.yaml"));
    }
    paths
}

fn not_found(kind: Kind, message: String, folder: &Path, name: &str) -> SpecError {
    let word = kind.word();
    let help = if kind == Kind::Plan {
        plan_help(folder, name)
    } else {
        let known = names_from(kind, folder);
        let file = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let list = format!("`lmplan list {word}s` names those of the catalogue");
        let known = || known.iter().map(String::as_str);
        let near = nearest(&file, known());
        match (family(&file, known()).as_slice(), near) {
            ([], None) if kind == Kind::Stack => {
                format!("there are `{}`", known().collect::<Vec<_>>().join("`, `"))
            }
            ([], None) => format!("{list}; a path to a file is good too"),
            ([], Some(meant)) | (&[meant], _) => {
                let experts = kind == Kind::Model && has_experts(meant, folder);
                let experts = if experts {
                    ", a mixture of experts, for which no plans are made yet"
                } else {
                    ""
                };
                format!("did you mean `{meant}`{experts}? {list}")
            }
            (several, _) if several.len() > FAMILY => format!(
                "{} {word}s have such a name, such as `{}`; {list}",
                several.len(),
                several[..FAMILY].join("`, `")
            ),
            (several, _) => format!("did you mean one of `{}`? {list}", several.join("`, `")),
        }
    };
    Diagnostic::unplaced("spec::not-found", message, None, Some(help)).into()
}

/// Whether the file of a model describes experts.
fn has_experts(name: &str, folder: &Path) -> bool {
    find(Kind::Model, name, folder).is_ok_and(|source| source.text.contains("\nmoe:"))
}

/// Which plans there are where one was looked for.
fn plan_help(folder: &Path, name: &str) -> String {
    let given = folder.join(name);
    let file = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let near = Path::new(name).parent().map_or_else(Vec::new, |p| yaml_names(&folder.join(p)));
    if let Some(meant) = nearest(&file, near.iter().map(String::as_str)) {
        return format!("did you mean `{meant}.yaml`?");
    }
    let mut reports: Vec<String> = [given, folder.join("reports")]
        .iter()
        .flat_map(|place| fs::read_dir(place).into_iter().flatten().filter_map(Result::ok))
        .filter(|entry| entry.path().join("plan.yaml").is_file())
        .map(|entry| {
            entry.path().strip_prefix(folder).unwrap_or(&entry.path()).display().to_string()
        })
        .collect();
    reports.sort();
    reports.dedup();
    reports.truncate(4);
    if reports.is_empty() {
        return "give the path of a plan that `lmplan search` has written, or of its folder".into();
    }
    format!("give a plan or the folder of a report; there are `{}`", reports.join("`, `"))
}

/// Names of the YAML files of a folder, sorted; none where it can not be read.
fn yaml_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}
