//! No two source files import each other, not over others either; nor do two folders of one
//! folder, whose order is given where there is one.
//!
//! Files are parsed. What a `mod.rs` re-exports counts as imported from where it is defined, and
//! re-exporting is not importing. Paths inside macros are not seen.

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// The rooms of a folder from the bottom to the top, where it has some: folders and single files.
const ROOMS: [(&str, &[&str]); 2] = [
    (
        "planner",
        &[
            "space",
            "engine",
            "objective",
            "outcome",
            "request",
            "block",
            "job",
            "predict",
            "bounds",
            "master",
            "search",
            "programs",
            "infeasible",
            "error",
            "answer",
        ],
    ),
    ("executor", &["error", "caught", "run", "ranks", "gpu", "calibrate", "verify", "worker"]),
];

/// Paths of modules, and of what they hold, without `crate`.
type Name = Vec<String>;

/// What a file imports and hands on.
#[derive(Default)]
struct File {
    imports: Vec<Name>,
    /// By the name under which it is handed on.
    exports: BTreeMap<String, Name>,
}

/// Collects what a file names.
struct Reader<'a> {
    /// The file's module.
    own: &'a Name,
    modules: &'a BTreeSet<Name>,
    file: File,
}

fn is_test(attributes: &[Attribute]) -> bool {
    let tokens = |a: &Attribute| a.meta.require_list().map(|list| list.tokens.to_string());
    attributes
        .iter()
        .any(|a| a.path().is_ident("cfg") && tokens(a).is_ok_and(|text| text == "test"))
}

/// The paths of a `use`, each with the name that it gives.
fn leaves(tree: &UseTree, before: &mut Name, found: &mut Vec<(Name, String)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            leaves(&path.tree, before, found);
            before.pop();
        }
        UseTree::Name(name) => {
            let full = [before.as_slice(), &[name.ident.to_string()]].concat();
            found.push((full, name.ident.to_string()));
        }
        UseTree::Rename(rename) => {
            let full = [before.as_slice(), &[rename.ident.to_string()]].concat();
            found.push((full, rename.rename.to_string()));
        }
        UseTree::Glob(_) => found.push((before.clone(), String::new())),
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| leaves(tree, before, found));
        }
    }
}

impl Reader<'_> {
    /// A path as one from the crate's root; none where it leaves the crate.
    fn absolute(&self, path: &[String]) -> Option<Name> {
        let first = path.first()?;
        match first.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([self.own, &path[1..]].concat()),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let kept = self.own.len().checked_sub(ups)?;
                Some([&self.own[..kept], &path[ups..]].concat())
            }
            _ => {
                let child = [self.own.as_slice(), std::slice::from_ref(first)].concat();
                self.modules.contains(&child).then(|| [self.own, path].concat())
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let Item::Use(used) = item else {
            let attributes = match item {
                Item::Mod(module) => &module.attrs,
                Item::Fn(function) => &function.attrs,
                Item::Impl(block) => &block.attrs,
                _ => return visit::visit_item(self, item),
            };
            if !is_test(attributes) {
                visit::visit_item(self, item);
            }
            return;
        };
        let mut found = Vec::new();
        leaves(&used.tree, &mut Vec::new(), &mut found);
        for (path, name) in found {
            let Some(full) = self.absolute(&path) else { continue };
            if matches!(used.vis, Visibility::Inherited) {
                self.file.imports.push(full);
            } else {
                self.file.exports.insert(name, full);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Name = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if parts.len() > 1 {
            self.file.imports.extend(self.absolute(&parts));
        }
        visit::visit_path(self, path);
    }
}

/// The files that every file imports, by their modules.
fn edges() -> BTreeMap<Name, BTreeSet<Name>> {
    let module = |file: &str| -> Name {
        let path = file.trim_start_matches("src/").trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').map(str::to_owned).collect()
    };
    let is_code = |file: &str| {
        let name = file.rsplit('/').next().unwrap_or(file);
        let tests = ["lib.rs", "main.rs", "tests.rs", "synthetic.rs"];
        !tests.contains(&name) && !name.ends_with("_tests.rs") && !file.contains("/tests/")
    };
    let sources: BTreeMap<Name, String> = super::architecture::sources()
        .into_iter()
        .filter(|(file, _)| is_code(file))
        .map(|(file, text)| (module(&file), text))
        .collect();
    let modules: BTreeSet<Name> = sources.keys().cloned().collect();
    let read = |(own, text): (&Name, &String)| {
        let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{}: {e}", own.join("/")));
        let mut reader = Reader { own, modules: &modules, file: File::default() };
        reader.visit_file(&parsed);
        (own.clone(), reader.file)
    };
    let files: BTreeMap<Name, File> = sources.iter().map(read).collect();
    let targets = |(own, file): (&Name, &File)| {
        let found = file.imports.iter().filter_map(|path| defined_in(path, &files));
        (own.clone(), found.filter(|target| target != own).collect())
    };
    files.iter().map(targets).collect()
}

/// The file that defines what a path names, behind re-exports.
fn defined_in(path: &[String], files: &BTreeMap<Name, File>) -> Option<Name> {
    let mut path = path.to_vec();
    for _ in 0..8 {
        let length = (1..=path.len()).rev().find(|length| files.contains_key(&path[..*length]))?;
        let handed_on = path.get(length).and_then(|name| files[&path[..length]].exports.get(name));
        match handed_on {
            Some(target) => path = [target.as_slice(), &path[length + 1..]].concat(),
            None => return Some(path[..length].to_vec()),
        }
    }
    None
}

/// The circles of a graph, as text.
fn circles(edges: &BTreeSet<(String, String)>) -> Vec<String> {
    let graph: DiGraphMap<&str, ()> =
        edges.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let circle = |mut group: Vec<&str>| {
        group.sort_unstable();
        (group.len() > 1).then(|| group.join(", "))
    };
    tarjan_scc(&graph).into_iter().filter_map(circle).collect()
}

#[test]
fn no_files_import_each_other() {
    let all: BTreeSet<(String, String)> = edges()
        .into_iter()
        .flat_map(|(from, to)| to.into_iter().map(move |to| (from.join("/"), to.join("/"))))
        .collect();
    assert!(all.len() > 500, "only {} imports found", all.len());
    let found = circles(&all);
    assert!(found.is_empty(), "files that import each other:\n{}", found.join("\n"));
}

/// Imports between what stands side by side in a folder: the folder, and both.
fn between_rooms() -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    for (from, targets) in edges() {
        for to in targets {
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            // A folder's `mod.rs` speaks for all of it.
            if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
                found.insert((from[..shared].join("/"), a.clone(), b.clone()));
            }
        }
    }
    found
}

#[test]
fn no_folders_import_each_other() {
    let mut by_folder: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for (folder, a, b) in between_rooms() {
        by_folder.entry(folder).or_default().insert((a, b));
    }
    let found: Vec<String> = by_folder
        .iter()
        .flat_map(|(folder, edges)| {
            circles(edges).into_iter().map(move |c| format!("{folder}: {c}"))
        })
        .collect();
    assert!(found.is_empty(), "folders that import each other:\n{}", found.join("\n"));
}

#[test]
fn rooms_import_those_below_them() {
    let mut objections = Vec::new();
    let imports = between_rooms();
    for (folder, rooms) in ROOMS {
        let mut seen = 0;
        for (_, from, to) in imports.iter().filter(|(at, _, _)| at == folder) {
            let height = |name: &String| rooms.iter().position(|room| room == name);
            match (height(from), height(to)) {
                (Some(own), Some(other)) if other < own => seen += 1,
                (Some(_), Some(_)) => objections.push(format!("{folder}: `{from}` imports `{to}`")),
                _ => objections.push(format!("{folder}: `{from}` or `{to}` has no place")),
            }
        }
        assert!(seen > 3, "{folder}: only {seen} imports between its rooms");
    }
    assert!(objections.is_empty(), "{}", objections.join("\n"));
}

#[test]
fn circles_are_found() {
    let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let straight = [edge("a", "b"), edge("b", "c"), edge("a", "c")].into();
    assert!(circles(&straight).is_empty());
    let round = [edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("d", "a")].into();
    assert_eq!(circles(&round), ["a, b, c"]);
}

#[test]
fn paths_are_read() {
    let names = |text: &str| text.split("::").map(str::to_owned).collect::<Name>();
    let own = names("b::c");
    let modules = [names("a"), names("b"), own.clone(), names("b::d")].into();
    let mut reader = Reader { own: &own, modules: &modules, file: File::default() };
    let text = "use crate::a::{X, y::Z as W}; use std::fmt; pub use super::d::V;\n\
                fn f() -> super::d::T { crate::a::g() }\n#[cfg(test)] mod tests { use crate::a::no; }";
    reader.visit_file(&syn::parse_file(text).unwrap());
    let mut imports: Vec<String> = reader.file.imports.iter().map(|n| n.join("::")).collect();
    imports.sort();
    assert_eq!(imports, ["a::X", "a::g", "a::y::Z", "b::d::T"]);
    assert_eq!(reader.file.exports["V"], names("b::d::V"));
    let other = File { exports: [("X".to_owned(), names("b::d::X"))].into(), ..File::default() };
    let files = [(names("a"), other), (names("b::d"), File::default())].into();
    assert_eq!(defined_in(&names("a::X"), &files), Some(names("b::d")));
}
