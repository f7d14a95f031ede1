//! Folders of answers: each kind of answer, and each job, has its own.

use super::Failure;
use std::io;
use std::path::{Path, PathBuf};

/// A kind of answer that is written into a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// Of `search`.
    Search,
    /// Of `simulate`.
    Simulation,
    /// Of `capacity`.
    Capacity,
}

/// Where an answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
    /// The usual folder and the command whose answer it holds, where that is another job's.
    pub taken: Option<(PathBuf, String)>,
}

impl AnswerKind {
    const ALL: [AnswerKind; 3] = [AnswerKind::Search, AnswerKind::Simulation, AnswerKind::Capacity];

    /// The file that only answers of this kind have.
    const fn sign(self) -> &'static str {
        match self {
            AnswerKind::Search => "search.json",
            AnswerKind::Simulation => "prediction.json",
            AnswerKind::Capacity => "capacity.json",
        }
    }

    /// The command that gives it.
    const fn command(self) -> &'static str {
        match self {
            AnswerKind::Search => "search",
            AnswerKind::Simulation => "simulate",
            AnswerKind::Capacity => "capacity",
        }
    }

    /// The kind of answer that a folder holds, if it holds one.
    fn held(folder: &Path) -> Option<AnswerKind> {
        AnswerKind::ALL.into_iter().find(|answer| folder.join(answer.sign()).is_file())
    }
}

/// Refuses a folder that the user has given and that is none, or holds another kind of answer, of
/// which this one would leave a part and replace the rest.
///
/// # Errors
/// Such a folder.
pub fn refuse_other(given: Option<&Path>, answer: AnswerKind) -> Result<(), Failure> {
    let Some(folder) = given else { return Ok(()) };
    let fail = |what: String| Err(Failure::Output(io::Error::other(what)));
    if folder.exists() && !folder.is_dir() {
        return fail(format!("`{}` is a file: give a folder with `-o`", folder.display()));
    }
    match AnswerKind::held(folder) {
        Some(held) if held != answer => fail(format!(
            "`{}` holds what `lmplan {}` has written (`{}`), which this would replace in part: give \
             another folder with `-o`",
            folder.display(),
            held.command(),
            held.sign()
        )),
        _ => Ok(()),
    }
}

/// The folder for the answer of `command`: `usual`, or where that holds the answer of another
/// command, the first of `usual-2`, `usual-3`, ... that does not.
pub fn choose(usual: PathBuf, answer: AnswerKind, command: &str) -> Folder {
    let Some(other) = other_job(&usual, answer, command) else {
        return Folder { path: usual, taken: None };
    };
    let mut number = 2_u64;
    loop {
        let mut name = usual.file_name().unwrap_or_default().to_owned();
        name.push(format!("-{number}"));
        let path = usual.with_file_name(name);
        if other_job(&path, answer, command).is_none() {
            return Folder { path, taken: Some((usual, other)) };
        }
        number += 1;
    }
}

/// The command whose answer a folder holds, where that is not `command`.
fn other_job(folder: &Path, answer: AnswerKind, command: &str) -> Option<String> {
    let held = AnswerKind::held(folder)?;
    let report = std::fs::read_to_string(folder.join("report.md")).unwrap_or_default();
    let begins = |line: &&str| line.starts_with("lmplan ");
    let theirs = report.lines().rfind(begins).unwrap_or("lmplan");
    (held != answer || theirs != command).then(|| theirs.to_owned())
}

impl Folder {
    /// What is said of it on standard error.
    pub fn words(&self, what: &str) -> String {
        let mut text = format!("{what}: {}\n", self.path.join("report.html").display());
        if let Some((usual, command)) = &self.taken {
            text.push_str(&format!(
                "  `{}` holds that of another job, `{command}`; `-o DIR` chooses the folder\n",
                usual.display()
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, sign: &str, command: &str) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(sign), "{}").unwrap();
        let page = format!("# Report\n\n```sh\n{command}\n```\n");
        std::fs::write(folder.join("report.md"), page).unwrap();
    }

    #[test]
    fn another_job_has_another_folder() {
        let root = tempfile::tempdir().unwrap();
        let usual = root.path().join("reports/m-on-c");
        let of = |command: &str| choose(usual.clone(), AnswerKind::Search, command);
        assert_eq!(of("lmplan search a"), Folder { path: usual.clone(), taken: None });
        put(&usual, "search.json", "lmplan search a");
        assert_eq!(of("lmplan search a").path, usual);
        let second = of("lmplan search b");
        assert_eq!(second.path, root.path().join("reports/m-on-c-2"));
        assert!(second.words("report").contains("of another job, `lmplan search a`"));
        put(&second.path, "search.json", "lmplan search b");
        assert_eq!(of("lmplan search b").path, second.path);
        assert_eq!(of("lmplan search c").path, root.path().join("reports/m-on-c-3"));
    }

    #[test]
    fn another_kind_of_answer_is_not_replaced() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        assert!(refuse_other(Some(&folder), AnswerKind::Simulation).is_ok());
        put(&folder, "search.json", "lmplan search a");
        assert!(refuse_other(Some(&folder), AnswerKind::Search).is_ok());
        let refused = refuse_other(Some(&folder), AnswerKind::Simulation).unwrap_err().to_string();
        assert!(refused.contains("what `lmplan search` has written"), "{refused}");
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        let refused = refuse_other(Some(&file), AnswerKind::Search).unwrap_err().to_string();
        assert!(refused.contains("is a file"), "{refused}");
    }
}
