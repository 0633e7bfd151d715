//! The layers of `src` (one folder or file each): an import points down the table `LAYERS`, and the files of one
//! layer have no import cycle. A module that only declares and re-exports its submodules is not part of a cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// The layers from top to bottom. A file imports from its own layer and from those below it.
const LAYERS: &[&str] = &[
    PROGRAMS,
    "cli",
    "agent",
    "check",
    "forward",
    "probe",
    "injector",
    "webhook",
    "inject",
    "manifest",
    "config",
    "net",
    "pem",
    "telemetry",
    "text",
    "wire",
    "limits",
];

/// `main.rs` and `bin`: they import the library by its name.
const PROGRAMS: &str = "main.rs and bin";

/// Imports that point up: the file and the layer. This test parses the sidecar's arguments as the agent does.
const UPWARD_EXCEPTIONS: &[(&str, &str)] = &[("src/inject/tests/sidecar.rs", "cli")];

/// Import cycles that remain: the files of each.
const CYCLE_EXCEPTIONS: &[&[&str]] = &[];

#[test]
fn imports_point_down_the_layers() {
    let sources = Sources::read();
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for import in sources.imports() {
        let (from, to) = (layer_of(&import.from), layer_of(&import.to));
        let is_downward = matches!((rank(&from), rank(&to)), (Some(from), Some(to)) if from < to);
        if from == to || is_downward {
            continue;
        }
        let exception = (sources.file(&import.from), to.as_str());
        match UPWARD_EXCEPTIONS.iter().find(|known| **known == exception) {
            Some(known) => drop(used.insert(known)),
            None if rank(&from).is_none() => wrong.push(format!("{import}: no layer `{from}`")),
            None => wrong.push(format!("{import}: `{from}` may not import `{to}`")),
        }
    }
    let unused = UPWARD_EXCEPTIONS
        .iter()
        .filter(|known| !used.contains(known));
    wrong.extend(unused.map(|known| format!("the exception {known:?} is not needed")));
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), rule());
}

#[test]
fn files_of_a_layer_have_no_import_cycle() {
    let sources = Sources::read();
    let inside = |import: &Import| import.from[0] == import.to[0];
    let imports: Vec<Import> = sources.imports().into_iter().filter(inside).collect();
    let mut graph = Graph::new();
    for import in &imports {
        graph.entry(&import.from).or_default().insert(&import.to);
    }
    let (mut used, mut wrong) = (BTreeSet::new(), Vec::new());
    for cycle in cycles(&graph) {
        let files: Vec<&str> = cycle.iter().map(|module| sources.file(module)).collect();
        let allows = |known: &&&[&str]| files.iter().all(|file| known.contains(file));
        if let Some(known) = CYCLE_EXCEPTIONS.iter().find(allows) {
            used.insert(known);
            continue;
        }
        wrong.push(format!("import cycle: {}", files.join(", ")));
        let inside =
            |import: &&Import| cycle.contains(&&import.from) && cycle.contains(&&import.to);
        wrong.extend(
            imports
                .iter()
                .filter(inside)
                .map(|import| format!("  {import}")),
        );
    }
    let unused = CYCLE_EXCEPTIONS
        .iter()
        .filter(|known| !used.contains(known));
    wrong.extend(unused.map(|known| format!("the exception {known:?} is not needed")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lib_rs_names_every_layer_in_order_and_existing_paths() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = std::fs::read_to_string(root.join("src/lib.rs")).expect("src/lib.rs");
    let row = |line: &str| Some(line.strip_prefix("//! | `")?.split_once('`')?.0.to_owned());
    let rows: Vec<String> = map.lines().filter_map(row).skip(1).collect();
    let layers: Vec<&str> = LAYERS.iter().copied().skip(1).collect();
    assert_eq!(rows, layers);
    let missing: Vec<&str> = map
        .split('`')
        .filter(|text| text.contains('/') && !text.contains(' '))
        .filter(|path| !root.join(path).exists() && !root.join("src").join(path).exists())
        .collect();
    assert!(missing.is_empty(), "src/lib.rs names {missing:?}");
}

#[test]
fn imports_are_read_from_every_form_of_path() {
    let text = r##"
        //! use crate::comment;
        use crate::{net::{self, dial}, wire::Head as Other};
        pub use inner::Thing;
        mod inner;
        fn f<'a>(x: &'a str) -> char { inner::g(); crate::limits::SLOTS; "crate::text"; r#"crate::raw"#; '"' }
        mod tests { use super::*; use super::super::sibling; }
    "##;
    let paths = Tokens::of(text).paths();
    let found: Vec<(String, usize, bool)> = paths
        .into_iter()
        .map(|path| {
            (
                path.segments.join("::"),
                path.inline_depth,
                path.is_reexport,
            )
        })
        .filter(|(text, ..)| text.contains("::"))
        .collect();
    let expected = [
        ("crate::net::self", 0, false),
        ("crate::net::dial", 0, false),
        ("crate::wire::Head", 0, false),
        ("inner::Thing", 0, true),
        ("inner::g", 0, false),
        ("crate::limits::SLOTS", 0, false),
        ("super::*", 1, false),
        ("super::super::sibling", 1, false),
    ];
    assert_eq!(
        found,
        expected.map(|(text, depth, is)| (text.into(), depth, is))
    );
}

/// Path of a module in the crate, such as `["net", "dial"]`; of a program, its file.
type Module = Vec<String>;

/// One import of a module by a file.
struct Import {
    from: Module,
    to: Module,
    file: String,
    line: usize,
    text: String,
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

fn layer_of(module: &Module) -> String {
    match module.first() {
        Some(first) if first.ends_with(".rs") => PROGRAMS.into(),
        Some(first) => first.clone(),
        None => "lib.rs".into(),
    }
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|known| *known == layer)
}

fn rule() -> String {
    format!("Imports point down this list only: {}", LAYERS.join(", "))
}

/// Imports inside a layer: a module and those that it imports from.
type Graph<'a> = BTreeMap<&'a Module, BTreeSet<&'a Module>>;

/// The sets of modules that import one another, directly or by others.
fn cycles<'a>(graph: &Graph<'a>) -> Vec<BTreeSet<&'a Module>> {
    let reached: Graph = graph
        .keys()
        .map(|module| (*module, reachable(graph, module)))
        .collect();
    let reaches =
        |from: &Module, to: &Module| reached.get(from).is_some_and(|all| all.contains(to));
    let mut cycles: Vec<BTreeSet<&Module>> = Vec::new();
    for (module, targets) in &reached {
        if reaches(module, module) && !cycles.iter().any(|cycle| cycle.contains(module)) {
            let back = targets
                .iter()
                .copied()
                .filter(|target| reaches(target, module));
            cycles.push(back.collect());
        }
    }
    cycles
}

fn reachable<'a>(graph: &Graph<'a>, from: &Module) -> BTreeSet<&'a Module> {
    let (mut found, mut queue) = (BTreeSet::new(), vec![from]);
    while let Some(module) = queue.pop() {
        for next in graph.get(module).into_iter().flatten() {
            if found.insert(*next) {
                queue.push(next);
            }
        }
    }
    found
}

/// Every file below `src`.
struct Sources {
    modules: BTreeMap<Module, Source>,
}

struct Source {
    /// From the package's folder on.
    file: String,
    paths: Vec<ImportPath>,
}

impl Sources {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        collect(&root, &mut files);
        let modules = files.into_iter().map(|path| {
            let text = std::fs::read_to_string(&path).expect("a source file is UTF-8");
            let name = path.strip_prefix(&root).expect("below src");
            let file = format!("src/{}", name.display());
            let paths = Tokens::of(&text).paths();
            (module_of(name), Source { file, paths })
        });
        let modules: BTreeMap<Module, Source> = modules.collect();
        assert!(modules.len() > 50, "no sources in {}", root.display());
        Self { modules }
    }

    fn file(&self, module: &Module) -> &str {
        self.modules
            .get(module)
            .map_or("src/lib.rs", |source| &source.file)
    }

    /// Imports from modules of this crate, re-exports of a file's own submodules left out.
    fn imports(&self) -> Vec<Import> {
        let mut imports = Vec::new();
        for (from, source) in self.modules.iter().filter(|(module, _)| !module.is_empty()) {
            for path in &source.paths {
                let Some(to) = self.resolve(from, path) else {
                    continue;
                };
                let is_of_own_submodule = path.is_reexport && to.starts_with(from);
                if to.is_empty() || to == *from || is_of_own_submodule {
                    continue;
                }
                imports.push(Import {
                    from: from.clone(),
                    to,
                    file: source.file.clone(),
                    line: path.line,
                    text: path.segments.join("::"),
                });
            }
        }
        imports
    }

    /// The module of this crate that a path in a file names or takes its item from, if any.
    fn resolve(&self, from: &Module, path: &ImportPath) -> Option<Module> {
        let is_program = from[0].ends_with(".rs");
        let mut module = if is_program {
            Module::new()
        } else {
            from.clone()
        };
        let mut rest = path.segments.as_slice();
        match rest[0].as_str() {
            "probelet" if is_program => rest = &rest[1..],
            "crate" if !is_program => (module, rest) = (Module::new(), &rest[1..]),
            "self" if !is_program => rest = &rest[1..],
            "super" if !is_program => {
                let count = rest
                    .iter()
                    .take_while(|segment| *segment == "super")
                    .count();
                let up = count.saturating_sub(path.inline_depth);
                module.truncate(module.len().checked_sub(up)?);
                rest = &rest[count..];
            }
            // A submodule; anything else is another crate or was imported by another path.
            first => {
                let child = [&module[..], &[first.to_owned()]].concat();
                self.modules
                    .get(&child)
                    .filter(|_| path.inline_depth == 0)?;
            }
        }
        Some(self.descend(module, rest))
    }

    fn descend(&self, mut module: Module, mut rest: &[String]) -> Module {
        while let Some((first, after)) = rest.split_first() {
            let child = [&module[..], std::slice::from_ref(first)].concat();
            if !self.modules.contains_key(&child) {
                break;
            }
            (module, rest) = (child, after);
        }
        // The module may re-export the item. The import is then from the module that defines it.
        let (Some(name), Some(source)) = (rest.first(), self.modules.get(&module)) else {
            return module;
        };
        let is_it =
            |path: &&ImportPath| path.is_use && path.inline_depth == 0 && path.name == *name;
        match source.paths.iter().find(is_it) {
            Some(path) if !module.is_empty() => match self.resolve(&module, path) {
                Some(target) if target != module => target,
                _ => module,
            },
            _ => module,
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// `net/dial.rs` is `net::dial`, `net/mod.rs` is `net`, `lib.rs` is the root. A program is its file.
fn module_of(file: &Path) -> Module {
    let text = file.display().to_string();
    if text == "main.rs" || text.starts_with("bin/") {
        return vec![text];
    }
    let stem = text.trim_end_matches(".rs").trim_end_matches("/mod");
    if stem == "lib" {
        return Module::new();
    }
    stem.split('/').map(str::to_owned).collect()
}

/// A path as it is written, in a `use` declaration or in code.
struct ImportPath {
    segments: Vec<String>,
    /// The name it gets in this module.
    name: String,
    line: usize,
    /// Of a `use` declaration.
    is_use: bool,
    /// Of a `pub use`.
    is_reexport: bool,
    /// The number of enclosing `mod name { ... }` in the file.
    inline_depth: usize,
}

/// A source file without comments and literals.
struct Tokens {
    /// Identifiers, `::`, and single characters; each with its line.
    all: Vec<(String, usize)>,
}

impl Tokens {
    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (mut at, mut line, mut all) = (0, 1, Vec::new());
        while at < bytes.len() {
            let rest = &text[at..];
            let length = match bytes[at] {
                b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
                b'/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
                b'"' => quoted(rest),
                b'r' | b'b' if raw_start(rest).is_some() => {
                    let (start, end) = raw_start(rest).expect("just found");
                    let close = rest[start..].find(&end);
                    close.map_or(rest.len(), |close| start + close + end.len())
                }
                b'\'' => char_or_lifetime(rest),
                byte if byte == b'_' || byte.is_ascii_alphanumeric() => {
                    let is_part = |c: char| c == '_' || c.is_alphanumeric();
                    let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                    all.push((rest[..length].to_owned(), line));
                    length
                }
                b':' if rest.starts_with("::") => {
                    all.push(("::".into(), line));
                    2
                }
                byte if byte.is_ascii_whitespace() => 1,
                _ => {
                    let first = rest.chars().next().expect("not at the end");
                    all.push((first.to_string(), line));
                    first.len_utf8()
                }
            };
            line += rest[..length].matches('\n').count();
            at += length;
        }
        Self { all }
    }

    fn text(&self, at: usize) -> &str {
        self.all.get(at).map_or("", |(text, _)| text)
    }

    /// Every path of two segments or more, and every path of a `use` declaration.
    fn paths(&self) -> Vec<ImportPath> {
        let (mut paths, mut at) = (Vec::new(), 0);
        // For each open brace, whether it is a module's.
        let mut braces = Vec::new();
        while at < self.all.len() {
            let inline_depth = braces.iter().filter(|is_module| **is_module).count();
            match self.text(at) {
                "{" => braces.push(at >= 2 && self.text(at - 2) == "mod"),
                "}" => drop(braces.pop()),
                "use" => {
                    let is_reexport = at > 0 && matches!(self.text(at - 1), "pub" | ")");
                    let first = paths.len();
                    at = self.tree(at + 1, &[], &mut paths);
                    for path in &mut paths[first..] {
                        (path.is_reexport, path.inline_depth) = (is_reexport, inline_depth);
                    }
                    continue;
                }
                first if is_identifier(first) && self.text(at + 1) == "::" => {
                    let begins = at == 0 || !matches!(self.text(at - 1), "::" | "$" | "in");
                    let (line, mut segments) = (self.all[at].1, vec![first.to_owned()]);
                    while self.text(at + 1) == "::" && is_identifier(self.text(at + 2)) {
                        at += 2;
                        segments.push(self.text(at).to_owned());
                    }
                    if begins {
                        let name = segments.last().cloned().unwrap_or_default();
                        paths.push(ImportPath {
                            segments,
                            name,
                            line,
                            is_use: false,
                            is_reexport: false,
                            inline_depth,
                        });
                    }
                }
                _ => {}
            }
            at += 1;
        }
        paths
    }

    /// Reads a use tree behind this prefix; returns where it ends.
    fn tree(&self, mut at: usize, prefix: &[String], paths: &mut Vec<ImportPath>) -> usize {
        let (mut segments, line) = (prefix.to_vec(), self.all[at].1);
        let mut name = String::new();
        loop {
            match self.text(at) {
                "::" => {}
                "{" => {
                    at += 1;
                    while self.text(at) != "}" {
                        at = self.tree(at, &segments, paths);
                        at += usize::from(self.text(at) == ",");
                    }
                    return at + 1;
                }
                "as" => {
                    name = self.text(at + 1).to_owned();
                    at += 1;
                }
                "," | ";" | "}" | "" => break,
                segment => {
                    segments.push(segment.to_owned());
                    name = segment.to_owned();
                }
            }
            at += 1;
        }
        paths.push(ImportPath {
            segments,
            name,
            line,
            is_use: true,
            is_reexport: false,
            inline_depth: 0,
        });
        at
    }
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_alphabetic())
}

/// The length of a string literal that begins here.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    end.map_or(text.len(), |end| end + 2)
}

/// For a raw string that begins here: the offset of its text, and its closing delimiter.
fn raw_start(text: &str) -> Option<(usize, String)> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
    after[hashes..].strip_prefix('"')?;
    let start = text.len() - after.len() + hashes + 1;
    Some((start, format!("\"{}", "#".repeat(hashes))))
}

/// The length of a character literal, or of a lifetime's quote.
fn char_or_lifetime(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => text[3..].find('\'').map_or(text.len(), |end| end + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}
