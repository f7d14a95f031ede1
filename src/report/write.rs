//! Puts a report into a folder, whole or not at all.

use super::file::ReportFile;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Files that one report has and another may not have; those of an earlier report are removed.
const OPTIONAL_FILES: [&str; 15] = [
    "search.json",
    "prediction.json",
    "certificate.json",
    "breakdown.svg",
    "pipeline.svg",
    "memory.svg",
    "memory-over-time.svg",
    "frontier.svg",
    "scaling.svg",
    "capacity.json",
    "capacity.csv",
    "cluster.yaml",
    "cost-time.svg",
    "goodput.svg",
    "tornado.svg",
];

/// Charts that a verification has where its mode measures what they show.
const VERIFICATION_CHARTS: [&str; 4] = [
    "verify-timeline.svg",
    "verify-classes.svg",
    "verify-memory.svg",
    "verify-memory-over-time.svg",
];

/// Why a report was not written. Nothing of it is left, and an earlier report is as it was.
#[derive(Debug, Error)]
#[error("`{}` can not be {action}: {source}", path.display())]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// What was to be done with it.
    pub action: &'static str,
    /// What the system says.
    pub source: io::Error,
}

/// Writes `files` into the folder `dir`, which is created if it is not there.
///
/// All files are first written beside their places and then renamed, so a full disk or a missing
/// permission leaves an earlier report untouched. Files of an earlier report that this one does not
/// have are removed; other files in the folder stay.
///
/// # Errors
/// The first file or folder that could not be written, with the reason.
pub fn write(dir: &Path, files: &[ReportFile]) -> Result<(), WriteError> {
    put(dir, files, ("report.html", &OPTIONAL_FILES))
}

/// Writes `files` into the folder `dir` as [`write`] does, and removes nothing.
///
/// # Errors
/// The first file or folder that could not be written, with the reason.
pub fn add(dir: &Path, files: &[ReportFile]) -> Result<(), WriteError> {
    put(dir, files, ("", &[]))
}

/// Writes the files of a verification into the folder `dir` as [`write`] does; of an earlier
/// verification it removes what this one does not have.
///
/// # Errors
/// The first file or folder that could not be written, with the reason.
pub fn write_verification(dir: &Path, files: &[ReportFile]) -> Result<(), WriteError> {
    put(dir, files, ("verify.json", &VERIFICATION_CHARTS))
}

/// A file that tells that something was written into a folder before, and what of that goes.
type Earlier<'a> = (&'a str, &'a [&'a str]);

fn put(dir: &Path, files: &[ReportFile], earlier: Earlier<'_>) -> Result<(), WriteError> {
    for file in files {
        let plain = Path::new(&file.name).file_name().is_some_and(|name| name == &*file.name);
        if !plain {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "not a plain file name");
            return Err(WriteError { path: dir.join(&file.name), action: "written", source });
        }
    }
    if dir.exists() && !dir.is_dir() {
        let source = io::Error::new(io::ErrorKind::NotADirectory, "it is a file; give a folder");
        return Err(WriteError { path: dir.to_owned(), action: "used as a folder", source });
    }
    let mut undo = Undo::default();
    match write_all(dir, files, earlier, &mut undo) {
        Ok(()) => {
            undo.forget();
            Ok(())
        }
        Err(error) => {
            undo.roll_back();
            Err(error)
        }
    }
}

fn write_all(
    dir: &Path,
    files: &[ReportFile],
    (sign, optional): Earlier<'_>,
    undo: &mut Undo,
) -> Result<(), WriteError> {
    create_folders(dir, undo)?;
    // Two runs that end at once write one after the other, so that no report is of both. Where a
    // folder can not be locked nothing is lost but that.
    let folder = fs::File::open(dir).ok();
    let _locked = folder.as_ref().map(fs::File::lock);
    let mut staged = Vec::with_capacity(files.len());
    for file in files {
        let temporary = dir.join(hidden(&file.name, "new"));
        remove_leftover(&temporary)?;
        undo.created.push(temporary.clone());
        fs::File::create_new(&temporary)
            .and_then(|mut target| target.write_all(&file.bytes))
            .map_err(failed(&temporary, "written"))?;
        staged.push((temporary, dir.join(&file.name)));
    }
    let earlier = !sign.is_empty() && dir.join(sign).is_file();
    let stale = optional.iter().filter(|name| files.iter().all(|file| file.name != **name));
    for name in stale.filter(|_| earlier) {
        set_aside(dir, name, undo)?;
    }
    for (file, (temporary, target)) in files.iter().zip(staged) {
        set_aside(dir, &file.name, undo)?;
        fs::rename(&temporary, &target).map_err(failed(&target, "written"))?;
        undo.created.push(target);
    }
    Ok(())
}

/// Moves a file of an earlier report out of the way, if it is there.
fn set_aside(dir: &Path, name: &str, undo: &mut Undo) -> Result<(), WriteError> {
    let target = dir.join(name);
    let Ok(kind) = fs::symlink_metadata(&target) else { return Ok(()) };
    if kind.is_dir() {
        let source = io::Error::new(io::ErrorKind::IsADirectory, "a folder is in its place");
        return Err(WriteError { path: target, action: "replaced", source });
    }
    let aside = dir.join(hidden(name, "old"));
    remove_leftover(&aside)?;
    fs::rename(&target, &aside).map_err(failed(&target, "replaced"))?;
    undo.moved.push((target, aside));
    Ok(())
}

/// Creates the folder and those above it, remembering which are new.
fn create_folders(dir: &Path, undo: &mut Undo) -> Result<(), WriteError> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Ok(()) => undo.folders.push(folder.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(folder, "created")(error)),
        }
    }
    Ok(())
}

/// A name that two processes do not share and that listings do not show.
fn hidden(name: &str, word: &str) -> String {
    format!(".{name}.{}.{word}", std::process::id())
}

fn remove_leftover(path: &Path) -> Result<(), WriteError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(path, "removed")(error))
        }
        _ => Ok(()),
    }
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError { path, action, source }
}

/// What has been done so far.
#[derive(Default)]
struct Undo {
    folders: Vec<PathBuf>,
    created: Vec<PathBuf>,
    moved: Vec<(PathBuf, PathBuf)>,
}

impl Undo {
    /// Restores what was there; each step is tried, whatever became of the others.
    fn roll_back(self) {
        for path in &self.created {
            let _ = fs::remove_file(path);
        }
        for (target, aside) in self.moved.iter().rev() {
            let _ = fs::rename(aside, target);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }

    /// The new report stands: removes what it replaced.
    fn forget(self) {
        for (_, aside) in &self.moved {
            let _ = fs::remove_file(aside);
        }
    }
}
