//! The rooms of the crate: the permitted imports between them, and the operations that only some of them may use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// The rooms by floor, the highest first. A room imports from the rooms below it.
const ROOMS: [&str; 15] = [
    "cli", "report", "commands", "verdict", "lab", "rules", "intent", "sensor", "probe", "wire", "log_line", "error",
    "net", "text", "sys",
];

/// An import: the file, the line (from 1), and the room that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Import {
    file: PathBuf,
    line: usize,
    room: String,
}

#[test]
fn rooms_import_from_below_only() {
    let upward: Vec<Import> = imports(Path::new("src")).into_iter().filter(is_upward).collect();
    assert!(upward.is_empty(), "imports that run upward: {upward:#?}");
}

#[test]
fn intent_and_rules_import_nothing_of_each_other() {
    let breaks = |import: &Import| {
        let pair = (room_of(&import.file), import.room.as_str());
        matches!(pair, ("intent", "rules") | ("rules", "intent"))
    };
    let broken: Vec<Import> = imports(Path::new("src")).into_iter().filter(breaks).collect();
    assert!(broken.is_empty(), "the oracle and the ruleset share code: {broken:#?}");
}

#[test]
fn modules_do_not_import_each_other_in_a_circle() {
    assert_eq!(circles(Path::new("src")), Vec::<String>::new());
}

#[test]
fn a_module_with_a_folder_is_its_mod_file() {
    let is_beside_its_folder = |(file, _): &(PathBuf, String)| file.with_extension("").is_dir();
    let found: Vec<PathBuf> =
        files(Path::new("src")).into_iter().filter(is_beside_its_folder).map(|(file, _)| file).collect();
    assert!(found.is_empty(), "move them into their folders, as mod.rs: {found:?}");
}

#[test]
fn crate_root_lists_the_rooms_in_floor_order() {
    let root = fs::read_to_string("src/lib.rs").unwrap();
    let listed: Vec<&str> =
        Regex::new(r"(?m)^//! \| \d+ \| \[?`(\w+)`\]? \|").unwrap().captures_iter(&root).map(first).collect();
    assert_eq!(listed, ROOMS);
    let declared: Vec<&str> =
        Regex::new(r"(?m)^(?:pub )?mod (\w+);").unwrap().captures_iter(&root).map(first).collect();
    assert_eq!(declared, ROOMS);
}

#[test]
fn unsafe_code_is_in_sys_only() {
    let is_unsafe = Regex::new(r"\bunsafe\b\s*(\{|fn|impl|extern)|allow\(unsafe_code\)").unwrap();
    assert_eq!(found(&is_unsafe, |file| room_of(file) == "sys"), Vec::<String>::new());
}

#[test]
fn processes_and_sockets_are_in_the_lab_only() {
    let opens = Regex::new(r#"\bCommand::new\(\s*[\"&]|\b(Tcp|Udp)(Stream|Listener|Socket)::(bind|connect|new)|\bsocket\(|\bSocket::new\("#).unwrap();
    assert_eq!(found(&opens, |file| matches!(room_of(file), "lab" | "sys")), Vec::<String>::new());
}

#[test]
fn an_import_that_runs_upward_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("src/net/planted.rs");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "//! Planted.\n\nuse crate::error::Result;\n\nfn f() -> crate::cli::Planted {}\n").unwrap();
    let planted = imports(&folder.path().join("src"));
    let upward: Vec<(usize, &str)> =
        planted.iter().filter(|import| is_upward(import)).map(|import| (import.line, import.room.as_str())).collect();
    assert_eq!(upward, [(3, "error"), (5, "cli")]);
}

#[test]
fn modules_that_import_each_other_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let room = folder.path().join("src/net");
    fs::create_dir_all(&room).unwrap();
    for (file, text) in [
        ("mod.rs", "mod a;\nmod b;\nmod c;\nuse self::a::A;\n"),
        ("a.rs", "use super::{N, b::{B, C}};\n"),
        ("b.rs", "fn f() -> crate::net::c::D {}\n"),
        ("c.rs", "use crate::{error::E, net::a::A};\n"),
        ("d.rs", "use super::a::A;\n"),
    ] {
        fs::write(room.join(file), text).unwrap();
    }
    assert_eq!(circles(&folder.path().join("src")), ["net::a -> net::b", "net::b -> net::c", "net::c -> net::a"]);
}

fn first<'a>(captures: regex::Captures<'a>) -> &'a str {
    captures.get(1).unwrap().as_str()
}

/// True if the file is in a room below the one that it imports from.
fn is_upward(import: &Import) -> bool {
    let floor = |room: &str| ROOMS.iter().position(|one| *one == room);
    let own = room_of(&import.file);
    own != import.room && floor(own).is_some_and(|own| floor(&import.room).is_none_or(|other| other <= own))
}

/// The room of a file below a folder `src`; empty for `lib.rs` and `main.rs`.
fn room_of(file: &Path) -> &str {
    let parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    let start = parts.iter().rposition(|part| *part == "src").map_or(0, |at| at + 1);
    match parts[start..] {
        [file] => file.strip_suffix(".rs").filter(|name| ROOMS.contains(name)).unwrap_or(""),
        [folder, ..] => folder,
        [] => "",
    }
}

/// The imports from rooms of the crate by the files in `source`. Comments do not count.
fn imports(source: &Path) -> Vec<Import> {
    let path = Regex::new(r"\bcrate::(\w+)").unwrap();
    let of_file = |(file, text): (PathBuf, String)| {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let named =
            lines.flat_map(|(at, line)| path.captures_iter(line).map(move |found| (at + 1, first(found).to_owned())));
        named.map(|(line, room)| Import { file: file.clone(), line, room }).collect::<Vec<_>>()
    };
    files(source).into_iter().flat_map(of_file).collect()
}

/// The imports that are part of a circle. A module and its child may import each other.
fn circles(source: &Path) -> Vec<String> {
    let text_of = |(file, text): (PathBuf, String)| (module_of(&file), text);
    let texts: BTreeMap<String, String> = files(source).into_iter().map(text_of).collect();
    let is_child = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with("::"));
    let edges: BTreeMap<&str, BTreeSet<&str>> = texts
        .iter()
        .map(|(module, text)| {
            let paths = paths_in(module, text);
            let named = paths.iter().filter_map(|path| module_in(path, &texts));
            let others = named.filter(|other| *other != module && !is_child(module, other) && !is_child(other, module));
            (module.as_str(), others.map(String::as_str).collect())
        })
        .collect();
    let leads_back = |(from, to): &(&str, &str)| {
        let (mut reached, mut pending) = (BTreeSet::new(), vec![*to]);
        while let Some(module) = pending.pop().filter(|module| module != from) {
            pending.extend(edges[module].iter().filter(|next| reached.insert(**next)));
        }
        reached.contains(from)
    };
    let all = edges.iter().flat_map(|(from, others)| others.iter().map(|to| (*from, *to)));
    all.filter(leads_back).map(|(from, to)| format!("{from} -> {to}")).collect()
}

/// `net::port` of `src/net/port.rs`, and `net` of `src/net/mod.rs`.
fn module_of(file: &Path) -> String {
    let path = file.with_extension("");
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    let start = parts.iter().rposition(|part| *part == "src").map_or(0, |at| at + 1);
    parts[start..].join("::").trim_end_matches("::mod").to_owned()
}

/// A path, with the list in braces of a `use`.
static PATH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(crate|super|self)((?:::\w+)*)(?:::\{([^;]*)\};)?").unwrap());

/// The paths in the code of a module, from the crate root.
fn paths_in(module: &str, text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let of_path = |path: regex::Captures| {
        let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
        let start = match &path[1] {
            "crate" => "",
            "super" => parent,
            _ => module,
        };
        let start = format!("{start}{}", &path[2]);
        let items = path.get(3).map_or_else(|| vec![String::new()], |items| items_of(items.as_str()));
        items.into_iter().map(move |item| format!("{start}::{item}").trim_matches(':').to_owned()).collect::<Vec<_>>()
    };
    PATH.captures_iter(&code.join("\n")).flat_map(of_path).collect()
}

/// The items of a list in braces, without the lists in their own braces.
fn items_of(list: &str) -> Vec<String> {
    let mut depth = 0;
    let mut outer = String::new();
    for c in list.chars() {
        depth -= i32::from(c == '}');
        outer.extend((depth == 0 && c != '}').then_some(c));
        depth += i32::from(c == '{');
    }
    outer.split(',').map(|item| item.trim().trim_end_matches(['{', ':']).to_owned()).collect()
}

/// The innermost module that a path names.
fn module_in<'a>(path: &str, modules: &'a BTreeMap<String, String>) -> Option<&'a String> {
    let mut parts: Vec<&str> = path.split("::").collect();
    while !parts.is_empty() {
        if let Some((module, _)) = modules.get_key_value(&parts.join("::")) {
            return Some(module);
        }
        parts.pop();
    }
    None
}

/// `file:line` of each line of code that `pattern` matches in a file that is not `allowed`; unit tests do not count.
fn found(pattern: &Regex, allowed: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut found = BTreeMap::new();
    for (file, text) in files(Path::new("src")) {
        if allowed(&file) {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        for (at, line) in lines.filter(|(_, line)| pattern.is_match(line)) {
            found.insert(format!("{}:{}", file.display(), at + 1), line.trim().to_owned());
        }
    }
    found.into_iter().map(|(place, line)| format!("{place}: {line}")).collect()
}

/// Every Rust file below `folder` but those of unit tests, with its text.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of_entry = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => files(&path),
        _ if path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests")) => Vec::new(),
        Some(extension) if extension == "rs" => vec![(path.clone(), fs::read_to_string(&path).unwrap())],
        _ => Vec::new(),
    };
    entries.flat_map(of_entry).collect()
}
