//! What holds of all texts and edits: the inverses bring every byte back, and lines that no edit is about stay.

use super::random::{self, Dice};
use super::*;

/// A YAML text with what people write: comments, quotes, flow and block style, scalars on several lines.
struct Author<'a> {
    dice: &'a mut Dice,
    text: String,
    newline: &'static str,
    /// How much further in dashes are.
    dashes: usize,
    step: usize,
    /// Whether the last line is one of a block scalar, which would then be another value without its break.
    block: bool,
    /// Whether mappings have merge keys of `ANCHORS`.
    merges: bool,
}

/// Mappings with anchors in front of a text with merge keys.
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

impl Author<'_> {
    fn line(&mut self, column: usize, text: &str) {
        self.text += &" ".repeat(column);
        self.text += text;
    }

    fn end(&mut self) {
        self.block = false;
        let comment = self.dice.pick(&["", "", "", " # c", "   # {[", " "]);
        self.text += comment;
        self.text += self.newline;
    }

    fn above(&mut self, column: usize) {
        match self.dice.below(12) {
            0 => self.text += self.newline,
            1 => {
                self.line(column, "# above: x");
                self.text += self.newline;
            }
            2 => {
                self.line(0, "# far out");
                self.text += self.newline;
            }
            _ => {}
        }
    }

    fn mapping(&mut self, column: usize, depth: usize, mut inline: bool) {
        let keys = [
            "name", "'port'", "\"path\"", "a-b", "x.io/y", "k6", "\u{fc}", "on_",
        ];
        if self.merges && depth < 4 && self.dice.chance(30) {
            self.line(if inline { 0 } else { column }, "<<: ");
            inline = false;
            self.text += self.dice.pick(&MERGES);
            self.end();
        }
        let first = self.dice.below(keys.len());
        for key in 0..=self.dice.below(4) {
            if !inline {
                self.above(column);
            }
            let column = if inline { 0 } else { column };
            inline = false;
            self.line(column, keys[(first + key) % keys.len()]);
            self.text += self.dice.pick(&[":", ":", ":", " :"]);
            let column = self.text.lines().last().map_or(0, |line| {
                let line = line.strip_prefix('\u{feff}').unwrap_or(line);
                line.len() - line.trim_start_matches(['-', ' ']).len()
            });
            self.value(column, depth, false);
        }
    }

    fn sequence(&mut self, column: usize, depth: usize, mut inline: bool) {
        for _ in 0..=self.dice.below(3) {
            if !inline {
                self.above(column);
            }
            self.line(if inline { 0 } else { column }, "-");
            inline = false;
            self.value(column, depth, true);
        }
    }

    fn value(&mut self, column: usize, depth: usize, item: bool) {
        let choice = if depth == 0 {
            3 + self.dice.below(7)
        } else {
            self.dice.below(10)
        };
        match choice {
            0 | 1 if item && self.dice.chance(80) => {
                self.text += " ";
                self.mapping(column + 2, depth - 1, true);
            }
            0 | 1 => {
                self.end();
                self.mapping(column + self.step, depth - 1, false);
            }
            2 if item => {
                self.text += " ";
                self.sequence(column + 2, depth - 1, true);
            }
            2 => {
                self.end();
                self.sequence(column + self.dashes, depth - 1, false);
            }
            3 => self.end(),
            4 => self.block_scalar(column),
            5 => {
                self.text += " ";
                self.flow(2);
                self.end();
            }
            6 => self.several_lines(column),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) {
        self.text += self.dice.pick(&[" ", " ", " ", "   "]);
        let scalar = self.dice.pick(&SCALARS);
        self.text += if scalar == "*" { "x*" } else { scalar };
        self.end();
    }

    fn block_scalar(&mut self, column: usize) {
        let head = self
            .dice
            .pick(&[" |", " |-", " |+", " >", " >-", " >+", " | # c"]);
        self.text += head;
        self.text += self.newline;
        for _ in 0..=self.dice.below(3) {
            let line = self
                .dice
                .pick(&["text", "# no comment", "a: b", "- x", "  in", "{{ x }}"]);
            let line = line.trim_start();
            self.line(column + 3, line);
            self.text += self.newline;
        }
        for _ in 0..self.dice.below(3) {
            self.text += self.newline;
        }
        self.block = true;
    }

    fn several_lines(&mut self, column: usize) {
        let (open, close) = self.dice.pick(&[(" \"", "\""), (" '", "'"), (" ", "")]);
        self.text += open;
        self.text += "one";
        self.text += self.newline;
        self.line(column + 2, "two");
        self.text += close;
        self.end();
    }

    fn flow(&mut self, depth: usize) {
        let (open, close) = self
            .dice
            .pick(&[("[", "]"), ("{", "}"), ("[ ", " ]"), ("{ ", " }")]);
        self.text += open;
        if self.merges && open.starts_with('{') && self.dice.chance(30) {
            self.text += "<<: ";
            self.text += self.dice.pick(&MERGES);
            self.text += ", ";
        }
        for index in 0..=self.dice.below(3) {
            if index > 0 {
                self.text += self.dice.pick(&[", ", ",", " , "]);
            }
            if open.starts_with('{') {
                self.text += &format!("k{index}: ");
            }
            match self.dice.below(4) {
                0 if depth > 0 => self.flow(depth - 1),
                1 => self.text += "\"x, y\"",
                2 => self.text += "80",
                _ => self.text += "word",
            }
        }
        self.text += close;
    }
}

fn written(dice: &mut Dice, merges: bool) -> String {
    let (newline, dashes, step) = (
        dice.pick(&["\n", "\n", "\r\n"]),
        dice.pick(&[0, 2, 4]),
        dice.pick(&[2, 4]),
    );
    let start = dice.pick(&[
        "",
        "",
        "# licence\n",
        "---\n",
        "\u{feff}",
        "# c\n\n---\n",
        "%YAML 1.1\n---\n",
    ]);
    let anchors = if merges { ANCHORS } else { "" };
    let start = format!("{start}{anchors}").replace('\n', newline);
    let mut author = Author {
        dice,
        text: start,
        newline,
        dashes,
        step,
        block: false,
        merges,
    };
    author.mapping(0, 4, false);
    let Author {
        mut text, block, ..
    } = author;
    match dice.below(5) {
        0 if !block => text.truncate(text.trim_end().len()),
        1 => text += "...",
        2 => text += "# the end",
        _ => {}
    }
    text
}

/// The edits that the dice find for places of a document, no two of them about the same.
fn edits(dice: &mut Dice, document: &Document, places: &[Pointer]) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    for _ in 0..=dice.below(6) {
        let edit = random::edit(dice, document, places);
        if let Some(edit) = edit.filter(|edit| edits.iter().all(|one| random::apart(one, edit))) {
            edits.push(edit);
        }
    }
    edits
}

fn shown(edits: &[Edit]) -> String {
    let shown = edits
        .iter()
        .map(|edit| format!("{} {:?}\n", edit.pointer, edit.op));
    shown.collect()
}

#[test]
fn edits_of_any_text_are_done_and_taken_back_byte_for_byte() {
    let mut done = 0;
    for seed in 0..2_500 {
        let mut dice = Dice::new(seed);
        let text = written(&mut dice, false);
        let Ok(document) = Document::parse(&text) else {
            continue;
        };
        let edits = edits(&mut dice, &document, &random::places(document.value()));
        let new = match document.edit(&edits) {
            Ok(new) => new,
            Err(error) => panic!("{error}\n{}\n{text}", shown(&edits)),
        };
        let inverse = random::inverse(&document, &edits).expect("an inverse");
        match parsed(&new).edit(&inverse) {
            Ok(back) => assert_eq!(back, text, "{}\n{new}", shown(&edits)),
            Err(error) => panic!("{error}\n{}\n{text}\n{new}", shown(&edits)),
        }
        done += usize::from(!edits.is_empty());
    }
    assert!(done > 1_700, "{done}");
}

/// The edits that put back each shared place that edits are below, and take back all others.
fn inverse_with_shared(document: &Document, edits: &[Edit]) -> Option<Vec<Edit>> {
    let mut shared: Vec<Pointer> = edits
        .iter()
        .filter_map(|edit| above(document, edit))
        .collect();
    shared.sort();
    shared.dedup();
    let is_below = |edit: &&Edit| {
        let mut above = (0..edit.pointer.segments().len()).map(|steps| edit.pointer.prefix(steps));
        above.any(|at| shared.contains(&at))
    };
    let mut all: Vec<Edit> = edits
        .iter()
        .filter(|edit| !is_below(edit))
        .cloned()
        .collect();
    let outermost = |at: &&Pointer| {
        let mut above = (0..at.segments().len()).map(|steps| at.prefix(steps));
        !above.any(|at| shared.contains(&at))
    };
    let replaced = shared.iter().filter(outermost);
    all.extend(replaced.map(|at| Edit {
        pointer: at.clone(),
        op: Op::Replace(Value::Null.into()),
    }));
    random::inverse(document, &all)
}

/// The shared place above an edit.
fn above(document: &Document, edit: &Edit) -> Option<Pointer> {
    let place = match &edit.op {
        Op::Add(_) => edit.pointer.split_last()?.0,
        _ => edit.pointer.clone(),
    };
    document
        .shared_ancestor(&place)
        .filter(|shared| *shared != edit.pointer)
}

#[test]
fn edits_below_merge_keys_are_done_and_taken_back_byte_for_byte() {
    let (mut flattened, mut done) = (0, 0);
    for seed in 0..1_500 {
        let mut dice = Dice::new(seed);
        let text = written(&mut dice, true);
        let Ok(document) = Document::parse(&text) else {
            continue;
        };
        // An edit of an anchored mapping would change what others merge.
        let mut places = random::places(document.value());
        places.retain(|at| !at.segments().starts_with(super::at("/anchors").segments()));
        let mut edits = edits(&mut dice, &document, &places);
        // A new name would uncover the merged entry of the old one.
        edits.retain(|edit| !matches!(edit.op, Op::Rename { .. }));
        let mut expected = document.value().clone();
        sort_edits(&mut edits);
        apply(&mut expected, &edits).expect("edits that fit");
        let new = match document.edit(&edits) {
            Ok(new) => new,
            Err(error) => panic!("{error}\n{}\n{text}", shown(&edits)),
        };
        let read = parsed(&new);
        assert_eq!(
            super::super::difference::difference(read.value(), &expected),
            None
        );
        let inverse = inverse_with_shared(&document, &edits).expect("an inverse");
        match read.edit(&inverse) {
            Ok(back) => assert_eq!(back, text, "{}\n{new}", shown(&edits)),
            Err(error) => panic!("{error}\n{}\n{text}\n{new}", shown(&edits)),
        }
        done += usize::from(!edits.is_empty());
        flattened += usize::from(edits.iter().any(|edit| above(&document, edit).is_some()));
    }
    assert!(done > 1_000 && flattened > 200, "{done} {flattened}");
}

#[test]
fn an_edit_of_a_text_with_merge_keys_is_done_right_or_refused() {
    for seed in 0..1_500 {
        let mut dice = Dice::new(seed);
        let text = written(&mut dice, true);
        let Ok(document) = Document::parse(&text) else {
            continue;
        };
        let mut edits = edits(&mut dice, &document, &random::places(document.value()));
        sort_edits(&mut edits);
        let mut expected = document.value().clone();
        apply(&mut expected, &edits).expect("edits that fit");
        match document.edit(&edits) {
            Ok(new) => {
                let read = parsed(&new);
                let difference = super::super::difference::difference(read.value(), &expected);
                assert_eq!(difference, None, "{}\n{text}\n{new}", shown(&edits));
            }
            Err(error) => {
                let at = error.pointer().expect("a place");
                assert!(document.line(at) <= text.lines().count(), "{error}");
            }
        }
    }
}

#[cfg(feature = "inject")] // whose diff tells the lines
#[test]
fn lines_that_no_edit_is_about_stay() {
    for seed in 0..1_000 {
        let mut dice = Dice::new(seed);
        let text = written(&mut dice, false);
        let Ok(document) = Document::parse(&text) else {
            continue;
        };
        let places = random::places(document.value());
        let Some(edit) = random::edit(&mut dice, &document, &places) else {
            continue;
        };
        let new = edited(&text, core::slice::from_ref(&edit));
        let walk = document.walk(&edit.pointer);
        let touched = match (&edit.op, walk) {
            // Whole lines come, or the line of a first entry is pushed down.
            (Op::Add(_), _) => 1,
            (Op::Rename { .. }, _) | (_, None) => 1,
            (_, Some(walk)) => {
                let node = document.node(walk.node);
                text[node.after_indicator..node.end].matches('\n').count() + 1
            }
        };
        let kept = similar::TextDiff::from_lines(&text, &new);
        let gone = kept
            .iter_all_changes()
            .filter(|change| change.tag() == similar::ChangeTag::Delete);
        assert!(gone.count() <= touched, "{edit:#?}\n{text}\n{new}");
    }
}
