//! `import hf`: a model file from a Hugging Face `config.json`.

use crate::cli::args::{Format, Verbosity};
use crate::cli::enumerations::named;
use crate::cli::numbers::{parse_count, parse_length, parse_tokens};
use crate::cli::table::{Table, TableRow};
use crate::cli::{Failure, output};
use crate::graph::{GraphError, build};
use crate::import::{Imported, Options, hugging_face};
use crate::spec::read::read;
use crate::spec::{Finding, Objective, Precision, SpecError};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::PathBuf;

/// Arguments of `import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// Whose file it is.
    #[command(subcommand)]
    pub origin: ImportOrigin,
}

/// Whose file is read.
#[derive(Debug, Clone, Subcommand)]
pub enum ImportOrigin {
    /// Read a Hugging Face `config.json`
    #[command(after_help = "Example:\n  lmplan import hf config.json -o models/my-model.yaml")]
    Hf(HfArgs),
}

/// Arguments of `import hf`.
#[derive(Debug, Clone, Args)]
pub struct HfArgs {
    /// Path of the `config.json`, or of its folder
    pub config: PathBuf,
    /// File of the model [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Name of the model [default: that in the file]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Tokens of a training sequence [default: as many as the model is made for]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_length)]
    pub sequence_length: Option<u64>,
    /// Sequences of one optimizer step [default: 256]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_count)]
    pub global_batch: Option<u64>,
    /// Numeric recipe [default: that of the stored weights]
    #[arg(long, value_name = "RECIPE", value_parser = named::<Precision>())]
    pub precision: Option<Precision>,
    /// What is learnt [default: that of the file's architecture]
    #[arg(long, value_name = "OBJECTIVE", value_parser = named::<Objective>())]
    pub objective: Option<Objective>,
    /// Tokens of the training run, such as `300B`
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    pub tokens: Option<u64>,
    /// How to print what was read: text is the model file, the others say what became of each field
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Reads a model and writes its file.
///
/// # Errors
/// What is wrong with the file, output that can not be written.
pub fn run(args: &ImportArgs, verbosity: &Verbosity, out: &mut dyn Write) -> Result<(), Failure> {
    let ImportOrigin::Hf(args) = &args.origin;
    let path =
        if args.config.is_dir() { args.config.join("config.json") } else { args.config.clone() };
    if !path.is_file() {
        let finding = Finding::new("spec::unreadable", "", "there is no such file");
        let finding = finding.help("give the path of a `config.json`, or of its folder");
        let what = format!("`{}`", path.display());
        return Err(Failure::Spec(SpecError::unplaced(vec![finding], &what)));
    }
    let source = read(&path, path.display().to_string())?;
    let fallback = args.output.as_ref().and_then(|path| path.file_stem());
    let options = Options {
        name: args.name.clone(),
        fallback_name: fallback.map(|stem| stem.to_string_lossy().into_owned()),
        sequence_length: args.sequence_length,
        global_batch: args.global_batch,
        precision: args.precision,
        objective: args.objective,
        tokens: args.tokens,
    };
    let imported = hugging_face(&source, &options)?;
    let parameters = match build(&imported.model) {
        Ok(graph) => Some(graph.parameters()),
        Err(GraphError::MixtureOfExperts { .. }) => None,
        Err(error) => return Err(Failure::BadInput(format!("`{}`: {error}", path.display()))),
    };
    let file = model_file(&imported)?;
    if let Some(target) = &args.output {
        output::write_whole(target, file.as_bytes())?;
    }
    match args.format {
        Format::Text => {
            if args.output.is_none() {
                out.write_all(file.as_bytes())?;
            }
            if !verbosity.quiet {
                // Nothing is left to do where standard error is closed.
                let _ = io::stderr().write_all(notes(&imported, parameters).as_bytes());
            }
        }
        Format::Json => writeln!(out, "{:#}", document(&imported, parameters))?,
        Format::Markdown | Format::Csv => table(&imported).write(args.format, out)?,
    }
    Ok(())
}

/// The model as a file, with what it can not say in its first lines.
fn model_file(imported: &Imported) -> Result<String, Failure> {
    let fail = |error: serde_yaml::Error| Failure::Output(io::Error::other(error.to_string()));
    let mut text = String::new();
    for sentence in &imported.not_expressed {
        text.push_str(&format!("# Not expressed: {sentence}.\n"));
    }
    for sentence in &imported.assumed {
        text.push_str(&format!("# Assumed: {sentence}.\n"));
    }
    text.push_str(&serde_yaml::to_string(&imported.model).map_err(fail)?);
    Ok(text)
}

/// What became of every field, for people.
fn notes(imported: &Imported, parameters: Option<u64>) -> String {
    let mut text = String::new();
    let mut part = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("{title}\n"));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    };
    let read = imported.read.iter();
    part("read", read.map(|f| format!("{} {} -> {}", f.field, f.value, f.becomes)).collect());
    let ignored = imported.ignored.iter();
    part("ignored", ignored.map(|f| format!("{}: {}", f.field, f.reason)).collect());
    part("assumed", imported.assumed.clone());
    part("not expressed", imported.not_expressed.clone());
    if let Some(parameters) = parameters {
        text.push_str(&format!("parameters {parameters}\n"));
    }
    text
}

fn document(imported: &Imported, parameters: Option<u64>) -> Value {
    let read: Vec<Value> = imported
        .read
        .iter()
        .map(|f| json!({"field": f.field, "value": f.value, "becomes": f.becomes}))
        .collect();
    let ignored: Vec<Value> =
        imported.ignored.iter().map(|f| json!({"field": f.field, "reason": f.reason})).collect();
    json!({
        "schema": "lmplan.import/1",
        "model": imported.model,
        "parameters": parameters,
        "read": read,
        "ignored": ignored,
        "assumed": imported.assumed,
        "not_expressed": imported.not_expressed,
    })
}

/// One row for each field, then one for each sentence.
fn table(imported: &Imported) -> Table {
    let row = |outcome: &str, field: &str, value: &str, becomes: &str| {
        let cells = [outcome, field, value, becomes].map(str::to_owned);
        let keys = ["outcome", "field", "value", "becomes"];
        let fields: Map<String, Value> = keys
            .iter()
            .zip(&cells)
            .map(|(key, cell)| ((*key).to_owned(), Value::String(cell.clone())))
            .collect();
        TableRow { cells: cells.to_vec(), fields }
    };
    let read = imported.read.iter().map(|f| row("read", &f.field, &f.value, &f.becomes));
    let ignored = imported.ignored.iter().map(|f| row("ignored", &f.field, "", f.reason));
    let assumed = imported.assumed.iter().map(|text| row("assumed", "", "", text));
    let lost = imported.not_expressed.iter().map(|text| row("not expressed", "", "", text));
    Table {
        schema: "lmplan.import/1",
        key: "fields",
        titles: vec!["outcome", "field", "value", "becomes"],
        rows: read.chain(ignored).chain(assumed).chain(lost).collect(),
    }
}
