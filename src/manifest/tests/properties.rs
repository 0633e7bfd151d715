//! Properties of random texts and edits: inverse edits restore every byte, and edits change only the lines of their
//! nodes.

use super::random::{self, Random};
use super::*;

/// Writes random YAML in the styles that people use: comments, quotes, flow and block style, multi-line scalars.
struct Writer<'a> {
    rng: &'a mut Random,
    text: String,
    line_break: &'static str,
    /// Indentation of dashes, relative to their key.
    dash_indentation: usize,
    /// Indentation of nested mappings.
    indentation: usize,
    /// Whether the last line belongs to a block scalar, whose value includes the line break.
    ends_in_block_scalar: bool,
    /// Whether mappings merge those of `ANCHORS`.
    has_merge_keys: bool,
}

/// Anchored mappings, which come before a text with merge keys.
const ANCHORS: &str = "\
anchors:
- &m0 {name: web, deep: {p: 1, q: [x, y]}}
- &m1 # c
  port: 80
  deep:
    p: 2
- &m2 {<<: *m0, port: 81}
";

const MERGES: [&str; 6] = [
    "*m0",
    "*m1",
    "*m2",
    "[*m0, *m1]",
    "[ {k0: 1}, *m1 ]",
    "{own: {p: 1}}",
];

const SCALARS: [&str; 22] = [
    "web",
    "'quoted'",
    "\"dou\\tble\"",
    "0755",
    "1.10",
    "8080",
    "~",
    "yes",
    "caf\u{e9}",
    "a b c",
    "\"\"",
    "null",
    "http://x:80/",
    "'it''s'",
    "-5",
    "{}",
    "[]",
    "[ ]",
    "{ }",
    "!!str 5",
    "*",
    "\"# no\"",
];

impl Writer<'_> {
    fn line(&mut self, column: usize, text: &str) {
        self.text += &" ".repeat(column);
        self.text += text;
    }

    fn end_line(&mut self) {
        self.ends_in_block_scalar = false;
        let comment = self.rng.pick(&["", "", "", " # c", "   # {[", " "]);
        self.text += comment;
        self.text += self.line_break;
    }

    fn lines_before_entry(&mut self, column: usize) {
        match self.rng.below(12) {
            0 => self.text += self.line_break,
            1 => {
                self.line(column, "# before: x");
                self.text += self.line_break;
            }
            2 => {
                self.line(0, "# not indented");
                self.text += self.line_break;
            }
            _ => {}
        }
    }

    fn mapping(&mut self, column: usize, depth: usize, mut inline: bool) {
        let keys = [
            "name", "'port'", "\"path\"", "a-b", "x.io/y", "k6", "\u{fc}", "on_",
        ];
        if self.has_merge_keys && depth < 4 && self.rng.chance(30) {
            self.line(if inline { 0 } else { column }, "<<: ");
            inline = false;
            self.text += self.rng.pick(&MERGES);
            self.end_line();
        }
        let first = self.rng.below(keys.len());
        for key in 0..=self.rng.below(4) {
            if !inline {
                self.lines_before_entry(column);
            }
            let column = if inline { 0 } else { column };
            inline = false;
            self.line(column, keys[(first + key) % keys.len()]);
            self.text += self.rng.pick(&[":", ":", ":", " :"]);
            let column = self.text.lines().last().map_or(0, |line| {
                let line = line.strip_prefix('\u{feff}').unwrap_or(line);
                line.len() - line.trim_start_matches(['-', ' ']).len()
            });
            self.value(column, depth, false);
        }
    }

    fn sequence(&mut self, column: usize, depth: usize, mut inline: bool) {
        for _ in 0..=self.rng.below(3) {
            if !inline {
                self.lines_before_entry(column);
            }
            self.line(if inline { 0 } else { column }, "-");
            inline = false;
            self.value(column, depth, true);
        }
    }

    fn value(&mut self, column: usize, depth: usize, item: bool) {
        let choice = if depth == 0 {
            3 + self.rng.below(7)
        } else {
            self.rng.below(10)
        };
        match choice {
            0 | 1 if item && self.rng.chance(80) => {
                self.text += " ";
                self.mapping(column + 2, depth - 1, true);
            }
            0 | 1 => {
                self.end_line();
                self.mapping(column + self.indentation, depth - 1, false);
            }
            2 if item => {
                self.text += " ";
                self.sequence(column + 2, depth - 1, true);
            }
            2 => {
                self.end_line();
                self.sequence(column + self.dash_indentation, depth - 1, false);
            }
            3 => self.end_line(),
            4 => self.block_scalar(column),
            5 => {
                self.text += " ";
                self.flow(2);
                self.end_line();
            }
            6 => self.multi_line_scalar(column),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) {
        self.text += self.rng.pick(&[" ", " ", " ", "   "]);
        let scalar = self.rng.pick(&SCALARS);
        self.text += if scalar == "*" { "x*" } else { scalar };
        self.end_line();
    }

    fn block_scalar(&mut self, column: usize) {
        let head = self
            .rng
            .pick(&[" |", " |-", " |+", " >", " >-", " >+", " | # c"]);
        self.text += head;
        self.text += self.line_break;
        for _ in 0..=self.rng.below(3) {
            let line = self
                .rng
                .pick(&["text", "# no comment", "a: b", "- x", "  in", "{{ x }}"]);
            let line = line.trim_start();
            self.line(column + 3, line);
            self.text += self.line_break;
        }
        for _ in 0..self.rng.below(3) {
            self.text += self.line_break;
        }
        self.ends_in_block_scalar = true;
    }

    fn multi_line_scalar(&mut self, column: usize) {
        let (open, close) = self.rng.pick(&[(" \"", "\""), (" '", "'"), (" ", "")]);
        self.text += open;
        self.text += "one";
        self.text += self.line_break;
        self.line(column + 2, "two");
        self.text += close;
        self.end_line();
    }

    fn flow(&mut self, depth: usize) {
        let (open, close) = self
            .rng
            .pick(&[("[", "]"), ("{", "}"), ("[ ", " ]"), ("{ ", " }")]);
        self.text += open;
        if self.has_merge_keys && open.starts_with('{') && self.rng.chance(30) {
            self.text += "<<: ";
            self.text += self.rng.pick(&MERGES);
            self.text += ", ";
        }
        for index in 0..=self.rng.below(3) {
            if index > 0 {
                self.text += self.rng.pick(&[", ", ",", " , "]);
            }
            if open.starts_with('{') {
                self.text += &format!("k{index}: ");
            }
            match self.rng.below(4) {
                0 if depth > 0 => self.flow(depth - 1),
                1 => self.text += "\"x, y\"",
                2 => self.text += "80",
                _ => self.text += "word",
            }
        }
        self.text += close;
    }
}

fn random_text(rng: &mut Random, has_merge_keys: bool) -> String {
    let (line_break, dash_indentation, indentation) = (
        rng.pick(&["\n", "\n", "\r\n"]),
        rng.pick(&[0, 2, 4]),
        rng.pick(&[2, 4]),
    );
    let start = rng.pick(&[
        "",
        "",
        "# licence\n",
        "---\n",
        "\u{feff}",
        "# c\n\n---\n",
        "%YAML 1.1\n---\n",
    ]);
    let anchors = if has_merge_keys { ANCHORS } else { "" };
    let start = format!("{start}{anchors}").replace('\n', line_break);
    let mut writer = Writer {
        rng,
        text: start,
        line_break,
        dash_indentation,
        indentation,
        ends_in_block_scalar: false,
        has_merge_keys,
    };
    writer.mapping(0, 4, false);
    let Writer {
        mut text,
        ends_in_block_scalar,
        ..
    } = writer;
    match rng.below(5) {
        0 if !ends_in_block_scalar => text.truncate(text.trim_end().len()),
        1 => text += "...",
        2 => text += "# the end",
        _ => {}
    }
    text
}

/// Random edits that are independent of one another.
fn random_edits(rng: &mut Random, document: &Document, pointers: &[Pointer]) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    for _ in 0..=rng.below(6) {
        let edit = random::edit(rng, document, pointers);
        if let Some(edit) =
            edit.filter(|edit| edits.iter().all(|one| random::are_independent(one, edit)))
        {
            edits.push(edit);
        }
    }
    edits
}

fn describe(edits: &[Edit]) -> String {
    let lines = edits
        .iter()
        .map(|edit| format!("{} {:?}\n", edit.pointer, edit.op));
    lines.collect()
}

#[test]
fn inverse_edits_restore_any_text_byte_for_byte() {
    let mut tested = 0;
    for seed in 0..2_500 {
        let mut rng = Random::new(seed);
        let text = random_text(&mut rng, false);
        let Ok(document) = Document::parse(&text) else {
            continue;
        };
        let edits = random_edits(&mut rng, &document, &random::pointers(document.value()));
        let new = match document.edit(&edits) {
            Ok(new) => new,
            Err(error) => panic!("{error}\n{}\n{text}", describe(&edits)),
        };
        let inverse = random::inverse(&document, &edits).expect("an inverse");
        match parsed(&new).edit(&inverse) {
            Ok(restored) => assert_eq!(restored, text, "{}\n{new}", describe(&edits)),
            Err(error) => panic!("{error}\n{}\n{text}\n{new}", describe(&edits)),
        }
        tested += usize::from(!edits.is_empty());
    }
    assert!(tested > 1_700, "{tested}");
}

/// The inverse edits, with one edit for each shared node that edits are below.
fn inverse_with_shared(document: &Document, edits: &[Edit]) -> Option<Vec<Edit>> {
    let mut shared: Vec<Pointer> = edits
        .iter()
        .filter_map(|edit| shared_ancestor(document, edit))
        .collect();
    shared.sort();
    shared.dedup();
    let is_below = |edit: &&Edit| {
        let mut ancestors = (0..edit.pointer.segments().len()).map(|len| edit.pointer.prefix(len));
        ancestors.any(|pointer| shared.contains(&pointer))
    };
    let mut all: Vec<Edit> = edits
        .iter()
        .filter(|edit| !is_below(edit))
        .cloned()
        .collect();
    let is_outermost = |pointer: &&Pointer| {
        let mut ancestors = (0..pointer.segments().len()).map(|len| pointer.prefix(len));
        !ancestors.any(|ancestor| shared.contains(&ancestor))
    };
    let replaced = shared.iter().filter(is_outermost);
    all.extend(replaced.map(|pointer| Edit {
        pointer: pointer.clone(),
        op: Op::Replace(Value::Null.into()),
    }));
    random::inverse(document, &all)
}

/// The shared node that an edit is below.
fn shared_ancestor(document: &Document, edit: &Edit) -> Option<Pointer> {
    let pointer = match &edit.op {
        Op::Add(_) => edit.pointer.split_last()?.0,
        _ => edit.pointer.clone(),
    };
    document
        .outermost_shared(&pointer)
        .filter(|shared| *shared != edit.pointer)
}

#[test]
fn inverse_edits_restore_merge_keys_byte_for_byte() {
    let (mut expanded, mut tested) = (0, 0);
    for seed in 0..1_500 {
        let mut rng = Random::new(seed);
        let text = random_text(&mut rng, true);
        let Ok(document) = Document::parse(&text) else {
            continue;
        };
        // An edit of an anchored mapping would change the mappings that merge it.
        let mut pointers = random::pointers(document.value());
        pointers.retain(|pointer| {
            !pointer
                .segments()
                .starts_with(super::pointer("/anchors").segments())
        });
        let mut edits = random_edits(&mut rng, &document, &pointers);
        // Renaming an entry would reveal the merged entry of the same key.
        edits.retain(|edit| !matches!(edit.op, Op::Rename { .. }));
        let mut expected = document.value().clone();
        sort_edits(&mut edits);
        apply(&mut expected, &edits).expect("edits that fit");
        let new = match document.edit(&edits) {
            Ok(new) => new,
            Err(error) => panic!("{error}\n{}\n{text}", describe(&edits)),
        };
        let read = parsed(&new);
        assert_eq!(difference::difference(read.value(), &expected), None);
        let inverse = inverse_with_shared(&document, &edits).expect("an inverse");
        match read.edit(&inverse) {
            Ok(restored) => assert_eq!(restored, text, "{}\n{new}", describe(&edits)),
            Err(error) => panic!("{error}\n{}\n{text}\n{new}", describe(&edits)),
        }
        tested += usize::from(!edits.is_empty());
        expanded += usize::from(
            edits
                .iter()
                .any(|edit| shared_ancestor(&document, edit).is_some()),
        );
    }
    assert!(tested > 1_000 && expanded > 200, "{tested} {expanded}");
}

#[test]
fn an_edit_near_merge_keys_yields_the_intended_value_or_an_error() {
    for seed in 0..1_500 {
        let mut rng = Random::new(seed);
        let text = random_text(&mut rng, true);
        let Ok(document) = Document::parse(&text) else {
            continue;
        };
        let mut edits = random_edits(&mut rng, &document, &random::pointers(document.value()));
        sort_edits(&mut edits);
        let mut expected = document.value().clone();
        apply(&mut expected, &edits).expect("edits that fit");
        match document.edit(&edits) {
            Ok(new) => {
                let read = parsed(&new);
                let difference = difference::difference(read.value(), &expected);
                assert_eq!(difference, None, "{}\n{text}\n{new}", describe(&edits));
            }
            Err(error) => {
                assert!(
                    document.line(error.pointer()) <= text.lines().count(),
                    "{error}"
                );
            }
        }
    }
}

#[cfg(feature = "inject")] // for the diff
#[test]
fn an_edit_changes_only_the_lines_of_its_node() {
    for seed in 0..1_000 {
        let mut rng = Random::new(seed);
        let text = random_text(&mut rng, false);
        let Ok(document) = Document::parse(&text) else {
            continue;
        };
        let pointers = random::pointers(document.value());
        let Some(edit) = random::edit(&mut rng, &document, &pointers) else {
            continue;
        };
        let new = edited(&text, core::slice::from_ref(&edit));
        let resolved = document.resolve(&edit.pointer);
        let changed_lines = match (&edit.op, resolved) {
            // Adding changes at most the line of the first entry.
            (Op::Add(_) | Op::Rename { .. }, _) | (_, None) => 1,
            (_, Some(resolved)) => {
                let node = document.node(resolved.node);
                text[node.after_indicator..node.end].matches('\n').count() + 1
            }
        };
        let diff = similar::TextDiff::from_lines(&text, &new);
        let deleted = diff
            .iter_all_changes()
            .filter(|change| change.tag() == similar::ChangeTag::Delete);
        assert!(deleted.count() <= changed_lines, "{edit:#?}\n{text}\n{new}");
    }
}
