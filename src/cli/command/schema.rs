//! `schema KIND`.

use crate::cli::Failure;
use crate::plan::Plan;
use crate::spec::schema::schema;
use crate::spec::{ClusterSpec, DeviceSpec, Kind, ModelSpec, StackSpec};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::io::{self, Write};

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileKind {
    /// A transformer
    Model,
    /// A cluster of devices
    Cluster,
    /// An accelerator
    Device,
    /// Training software
    Stack,
    /// A plan
    Plan,
}

/// Arguments of `schema`.
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// Kind of file
    pub kind: FileKind,
}

/// The JSON Schema of a kind of file.
pub fn of(kind: Kind) -> Value {
    match kind {
        Kind::Model => schema::<ModelSpec>(),
        Kind::Cluster => schema::<ClusterSpec>(),
        Kind::Device => schema::<DeviceSpec>(),
        Kind::Stack => schema::<StackSpec>(),
        Kind::Plan => schema::<Plan>(),
    }
}

/// Prints the schema.
///
/// # Errors
/// Output that can not be written.
pub fn run(args: &SchemaArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let kind = match args.kind {
        FileKind::Model => Kind::Model,
        FileKind::Cluster => Kind::Cluster,
        FileKind::Device => Kind::Device,
        FileKind::Stack => Kind::Stack,
        FileKind::Plan => Kind::Plan,
    };
    serde_json::to_writer_pretty(&mut *out, &of(kind)).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}
