//! Edits as splices of the source text: whole lines come and go in block style, entries with their commas in
//! flow style, and a value is replaced in its place.

use super::Document;
use super::change::EditError;
use super::edit::{Change, Edit, Written};
use super::kept;
use super::pointer::Step;
use super::render::{Place, Style, quotes};
use super::text;
use super::tree::{Id, Kind};
use core::ops::Range;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A text that was edited, and where its parts come from.
pub(super) struct Spliced {
    /// The new text.
    pub text: String,
    /// The parts that are new, from front to back.
    inserts: Vec<Insert>,
}

/// New text in place of some of the source's.
struct Insert {
    /// Its range in the new text.
    range: Range<usize>,
    /// Where it begins in the source.
    from: usize,
    /// Where the source goes on behind it.
    to: usize,
    /// The edit that has this value or key, by its index.
    edit: Option<usize>,
}

impl Spliced {
    fn insert(&self, at: usize) -> Option<&Insert> {
        let behind = self
            .inserts
            .partition_point(|insert| insert.range.start <= at);
        self.inserts[..behind].last()
    }

    /// The position in the source that a position in the new text comes from; of new text, where it begins.
    pub fn source_offset(&self, at: usize) -> usize {
        match self.insert(at) {
            None => at,
            Some(insert) if at < insert.range.end => insert.from,
            Some(insert) => insert.to + (at - insert.range.end),
        }
    }

    /// The index of the edit that wrote a position of the new text.
    pub fn edit_at(&self, at: usize) -> Option<usize> {
        self.insert(at)
            .filter(|insert| at <= insert.range.end)?
            .edit
    }
}

/// The text with the edits done, whatever it then reads as.
pub(super) fn edited(document: &Document, edits: &[Edit]) -> Result<Spliced, EditError> {
    let mut plan = Plan {
        document,
        text: document.text(),
        style: style(document),
        splices: Vec::with_capacity(edits.len()),
        removed: BTreeMap::new(),
        filled: BTreeSet::new(),
        index: None,
    };
    for (index, edit) in edits.iter().enumerate() {
        plan.index = Some(index);
        plan.edit(edit)?;
    }
    plan.index = None;
    for (id, gone) in core::mem::take(&mut plan.removed) {
        plan.remove(id, &gone);
    }
    plan.joined()
}

/// Whether a document is JSON, and has to stay so.
pub(super) fn is_json(document: &Document) -> bool {
    let text = document.text().trim_start();
    text.starts_with(['{', '[']) && serde_json::from_str::<Value>(text).is_ok()
}

fn style(document: &Document) -> Style {
    let json = is_json(document);
    let nodes = 0..document.tree.nodes.len();
    let gap = |id: Id| {
        let flow = !document.node(id).is_block();
        let value = document.node(document.entries(id).first().filter(|_| flow)?.value);
        Some(value.lead == value.start)
    };
    let tight = json && nodes.clone().find_map(gap).unwrap_or(true);
    Style {
        newline: text::newline(document.text()),
        dashes: nodes
            .clone()
            .find_map(|id| dashes(document, id))
            .unwrap_or(0),
        json,
        gap: if tight { "" } else { " " },
    }
}

/// How much further in than its keys a block mapping has the dashes of its first sequence.
fn dashes(document: &Document, id: Id) -> Option<usize> {
    if !document.node(id).is_block() {
        return None;
    }
    let sequence = |id: &Id| document.node(*id).is_block() && !document.items(*id).is_empty();
    let values = document.entries(id).iter().map(|entry| entry.value);
    let dashes = document.column(values.into_iter().find(sequence)?);
    dashes.checked_sub(document.column(id))
}

struct Splice {
    from: usize,
    to: usize,
    text: String,
    /// The index of its edit.
    edit: Option<usize>,
}

/// Where the text of a value comes from.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    /// It was kept from an earlier document.
    Kept,
    /// It is a new collection, not empty.
    Collection,
    /// It is a new scalar, or an empty collection.
    Word,
}

struct Plan<'a> {
    document: &'a Document,
    text: &'a str,
    style: Style,
    splices: Vec<Splice>,
    /// What goes of each collection.
    removed: BTreeMap<Id, BTreeSet<usize>>,
    /// Empty brackets that something was put into.
    filled: BTreeSet<Id>,
    /// The edit that splices are made for.
    index: Option<usize>,
}

impl Plan<'_> {
    fn edit(&mut self, edit: &Edit) -> Result<(), EditError> {
        let misfit = || EditError::Misfit(edit.at.clone());
        if let Change::Add(written) = &edit.change {
            let (above, step) = edit.at.split().ok_or_else(misfit)?;
            let parent = self.document.walk(&above).ok_or_else(misfit)?.node;
            return self.add(parent, step, written).ok_or_else(misfit);
        }
        let walk = self.document.walk(&edit.at).ok_or_else(misfit)?;
        let unfit = || EditError::Reads(edit.at.clone());
        let (parent, index) = walk.within.ok_or_else(unfit)?;
        match &edit.change {
            Change::Set(written) => self.set(parent, walk.node, written),
            Change::Rename { key, text } => {
                let entry = self.document.entry((parent, index));
                let key_node = entry.ok_or_else(misfit)?.key;
                self.rename(parent, key_node, key, text.as_deref());
            }
            _ => {
                self.removed.entry(parent).or_default().insert(index);
            }
        }
        Ok(())
    }

    fn splice(&mut self, from: usize, to: usize, text: String) {
        let edit = self.index;
        self.splices.push(Splice {
            from,
            to,
            text,
            edit,
        });
    }

    fn place(&self, parent: Id) -> Place {
        let node = self.document.node(parent);
        match node.kind {
            Kind::Mapping { flow: false, .. } => Place::Under(self.document.column(parent)),
            Kind::Sequence { flow: false, .. } => Place::Item(self.document.column(parent)),
            _ => Place::Flow,
        }
    }

    /// A value as it was written once, if that reads the same here.
    fn kept<'w>(&self, written: &'w Written, place: Place) -> Option<&'w str> {
        let text = written.text.as_deref()?;
        let json = !self.style.json || serde_json::from_str::<Value>(text).is_ok();
        (json && kept::reads(text, place, &written.value)).then_some(text)
    }

    /// A value as new text, without the space in front of it.
    fn rendered(&self, value: &Value, place: Place) -> String {
        let text = self.style.value(value, place);
        match text.strip_prefix(' ') {
            Some(text) => text.into(),
            None => text,
        }
    }

    fn source(&self, id: Id) -> &str {
        let node = self.document.node(id);
        &self.text[node.start..node.end]
    }

    fn set(&mut self, parent: Id, id: Id, written: &Written) {
        let place = self.place(parent);
        let node = self.document.node(id);
        let kept = self.kept(written, place);
        let text = match (kept, &written.value, quotes(self.source(id))) {
            (Some(text), ..) => text.into(),
            (None, Value::String(text), Some(quotes)) => self.style.quoted(text, quotes),
            _ => self.rendered(&written.value, place),
        };
        let gap = &self.text[node.lead..node.start];
        let whole = text.is_empty() || text.starts_with([' ', '\t', '\r', '\n']);
        // The lines of a collection behind a dash are as far in as its first one.
        let inline = gap.is_empty()
            || !text.contains('\n') && gap.bytes().all(|byte| matches!(byte, b' ' | b'\t'));
        if !whole && inline && !node.is_empty() {
            self.splice(node.start, node.end, text);
        } else {
            let gap = if whole { "" } else { " " };
            let is_deep = matches!(&written.value, Value::Object(map) if !map.is_empty())
                || matches!(&written.value, Value::Array(items) if !items.is_empty());
            let origin = match (kept, is_deep) {
                (Some(_), _) => Origin::Kept,
                (None, true) => Origin::Collection,
                (None, false) => Origin::Word,
            };
            self.replace(id, format!("{gap}{text}"), origin);
        }
    }

    /// Another value with what there is in front of it. What stands behind an inline value on its line, such as
    /// a comment, stands behind the key while there are new lines in its place.
    fn replace(&mut self, id: Id, text: String, origin: Origin) {
        let is_kept = origin == Origin::Kept;
        let node = self.document.node(id);
        let (lead, start, end) = (node.lead, node.start, node.end);
        let is_aside = |text: &str| text.trim().is_empty() || text.trim_start().starts_with('#');
        let own = &text[..text::line_end(&text, 0)];
        let begins_lines = own.len() < text.len() && is_aside(own);
        if node.is_block() {
            let behind_key = &self.text[lead..text::line_end(self.text, lead)];
            let is_inline = !begins_lines && !text.trim_start().starts_with(['|', '>']);
            // Behind the entries of a new collection it would not be found when the old one is put back.
            let stays = is_inline
                && origin != Origin::Collection
                && behind_key.len() < start - lead
                && is_aside(behind_key);
            let aside = if stays { behind_key } else { "" };
            return self.splice(lead, end, text + aside);
        }
        let line_end = text::line_end(self.text, end);
        let behind = &self.text[end..line_end];
        let is_beside_key = !self.text[lead..start].contains('\n');
        if begins_lines && is_kept && behind.starts_with(own) {
            let end = end + own.len();
            self.splice(lead, end, text);
        } else if begins_lines && !is_kept && is_aside(behind) && is_beside_key {
            self.splice(lead, line_end, behind.to_owned() + &text);
        } else {
            self.splice(lead, end, text);
        }
    }

    fn rename(&mut self, parent: Id, key: Id, name: &str, text: Option<&str>) {
        let flow = matches!(self.place(parent), Place::Flow);
        let kept = text
            .filter(|text| kept::is_key(text, name) && (!self.style.json || text.starts_with('"')));
        let key = self.document.node(key);
        // Behind a quoted key, a flow mapping needs no space before the value.
        let is_quoted = flow && self.text[key.start..key.end].starts_with('"');
        let text = match kept {
            Some(text) => text.into(),
            None if is_quoted => Value::from(name).to_string(),
            None => self.style.key(name, flow),
        };
        let (from, to) = (key.start, key.end);
        self.splice(from, to, text);
    }

    fn add(&mut self, parent: Id, step: &Step, written: &Written) -> Option<()> {
        let place = self.place(parent);
        let value = match self.kept(written, place) {
            Some(text) => text.into(),
            None => self.rendered(&written.value, place),
        };
        let flow = matches!(place, Place::Flow);
        let gap = match flow {
            true => self.style.gap,
            false if value.is_empty() || value.starts_with([' ', '\t', '\r', '\n']) => "",
            false => " ",
        };
        let (text, index) = match (step, &self.document.node(parent).kind) {
            (Step::Key(key), Kind::Mapping { .. }) => {
                let key = self.style.key(key, flow);
                (format!("{key}:{gap}{value}"), 0)
            }
            (Step::Item(index), Kind::Sequence { items, .. }) if *index <= items.len() => {
                let text = if flow {
                    value
                } else {
                    format!("-{gap}{value}")
                };
                (text, *index)
            }
            _ => return None,
        };
        if flow {
            self.add_flow(parent, index, text)
        } else {
            self.add_block(parent, index, text)
        }
    }

    fn add_flow(&mut self, parent: Id, index: usize, text: String) -> Option<()> {
        let node = self.document.node(parent);
        let open = node.start + self.text[node.start..node.end].find(['{', '['])? + 1;
        let len = self.document.len(parent);
        if len == 0 {
            let comma = if self.filled.insert(parent) { "" } else { ", " };
            self.splice(open, open, text + comma);
            return Some(());
        }
        let first = self.document.extent(parent, 0).0;
        let between = &self.text[open..first.max(open)];
        let comma = if !between.contains('\n') {
            format!(",{}", self.style.gap)
        } else if between.trim().is_empty() {
            format!(",{between}")
        } else {
            format!(",{}", self.style.line(text::column(self.text, first)))
        };
        if index == len {
            let end = self.document.extent(parent, index - 1).1;
            self.splice(end, end, comma + &text);
        } else {
            let start = self.document.extent(parent, index).0;
            self.splice(start, start, text + &comma);
        }
        Some(())
    }

    fn add_block(&mut self, parent: Id, index: usize, text: String) -> Option<()> {
        let column = self.document.column(parent);
        let newline = self.style.newline;
        let indented = format!("{:column$}{text}", "");
        if index > 0 {
            let end = self.document.extent(parent, index - 1).1;
            match text::next_line(self.text, end) {
                Some(at) => self.splice(at, at, indented + newline),
                None => self.splice(
                    self.text.len(),
                    self.text.len(),
                    newline.to_owned() + &indented,
                ),
            }
            return Some(());
        }
        let first = self.document.extent(parent, 0).0;
        if self.shares_line(first) {
            let text = text + &self.style.line(column);
            self.splice(first, first, text);
            return Some(());
        }
        let node = self.document.node(parent);
        let at = if self.document.tree.root == Some(parent) {
            let bom = if self.text.starts_with('\u{feff}') {
                3
            } else {
                0
            };
            text::line_start(self.text, first).max(bom)
        } else {
            let tag = (node.start < first).then_some(node.start);
            text::next_line(self.text, tag.unwrap_or(node.lead).max(node.lead))?
        };
        self.splice(at, at, indented + newline);
        Some(())
    }

    /// Whether something of what is around it stands in front of an entry on its line, such as a dash.
    fn shares_line(&self, start: usize) -> bool {
        let before = &self.text[text::line_start(self.text, start)..start];
        !before.trim().is_empty()
    }

    fn remove(&mut self, parent: Id, gone: &BTreeSet<usize>) {
        let node = self.document.node(parent);
        if !node.is_block() {
            self.remove_flow(parent, gone);
        } else if gone.len() == self.document.len(parent) {
            let empty = match node.kind {
                Kind::Sequence { .. } => " []",
                _ => " {}",
            };
            self.replace(parent, empty.into(), Origin::Word);
        } else {
            self.remove_lines(parent, gone);
        }
    }

    fn remove_flow(&mut self, parent: Id, gone: &BTreeSet<usize>) {
        let len = self.document.len(parent);
        let extent = |index| self.document.extent(parent, index);
        for (first, last) in runs(gone) {
            let (from, to) = match (first, last + 1 == len) {
                (_, false) => (extent(first).0, extent(last + 1).0),
                (0, true) => (extent(0).0, extent(last).1),
                (_, true) => (extent(first - 1).1, extent(last).1),
            };
            self.splice(from, to, String::new());
        }
    }

    fn remove_lines(&mut self, parent: Id, gone: &BTreeSet<usize>) {
        for (first, last) in runs(gone) {
            let (from, end) = (
                self.document.extent(parent, first).0,
                self.document.extent(parent, last).1,
            );
            let next = text::next_line(self.text, end);
            if first == 0 && self.shares_line(from) {
                let to = next.map_or(end, |next| text::skip_blanks(self.text, next));
                self.splice(from, to, String::new());
                continue;
            }
            let from = text::line_start(self.text, from);
            match next {
                Some(next) => self.splice(from, next, String::new()),
                None => {
                    let before = text::unbroken(self.text, from).unwrap_or(from);
                    self.splice(before, self.text.len(), String::new());
                }
            }
        }
    }

    /// The text with all splices. Of insertions in one place the later one comes first, as it would if they
    /// were done one after the other.
    fn joined(self) -> Result<Spliced, EditError> {
        let mut splices: Vec<_> = self.splices.into_iter().rev().collect();
        splices.sort_by_key(|splice| (splice.from, splice.from != splice.to));
        let mut text = String::with_capacity(self.text.len() + self.text.len() / 4);
        let mut inserts = Vec::with_capacity(splices.len());
        let mut done = 0;
        for splice in splices {
            let (from, to) = (splice.from, splice.to);
            let kept = self.text.get(done..from);
            text += kept.ok_or_else(|| EditError::Reads(self.document.place_at(from)))?;
            let start = text.len();
            text += &splice.text;
            inserts.push(Insert {
                range: start..text.len(),
                from,
                to,
                edit: splice.edit,
            });
            done = to;
        }
        text += &self.text[done..];
        Ok(Spliced { text, inserts })
    }
}

/// Runs of numbers that follow one another.
fn runs(numbers: &BTreeSet<usize>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in numbers.iter().copied() {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}
