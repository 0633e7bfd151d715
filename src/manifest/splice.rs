//! Splices edits into the source text of a document. Block style: inserts and removes whole lines. Flow style: inserts
//! and removes entries with their commas. In both, replaces values in place.

use super::document::Document;
use super::edit::{Edit, NewValue, Op, TargetError};
use super::error::EditError;
use super::fragment::{may_parse_to, needs_space_before, parses_to_key};
use super::pointer::{Pointer, Segment};
use super::render::{Context, Style, quotes};
use super::resolve::Slot;
use super::text;
use super::tree::{NodeId, NodeKind};
use core::ops::Range;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// An edited text, and what it replaces in the source.
pub(super) struct EditedText {
    /// The edited text.
    pub text: String,
    /// In the order of the text.
    replacements: Vec<Replacement>,
}

/// A part of the edited text that replaces a part of the source. Either may be empty.
struct Replacement {
    edited_span: Range<usize>,
    source_span: Range<usize>,
    /// The index of the edit whose value or key it is.
    edit_index: Option<usize>,
}

impl EditedText {
    /// The last replacement that starts at or before an offset of the edited text.
    fn last_replacement_before(&self, offset: usize) -> Option<&Replacement> {
        let count = self
            .replacements
            .partition_point(|replacement| replacement.edited_span.start <= offset);
        self.replacements[..count].last()
    }

    /// Maps an offset of the edited text to the source. Inside a replacement, returns the start of what it replaces.
    pub fn source_offset(&self, offset: usize) -> usize {
        let Some(last) = self.last_replacement_before(offset) else {
            return offset;
        };
        match offset.checked_sub(last.edited_span.end) {
            None => last.source_span.start,
            Some(distance) => last.source_span.end + distance,
        }
    }

    /// The index of the edit that wrote the text at an offset of the edited text.
    pub fn edit_at(&self, offset: usize) -> Option<usize> {
        self.last_replacement_before(offset)
            .filter(|replacement| offset <= replacement.edited_span.end)?
            .edit_index
    }
}

/// Splices edits into the text of a document. Does not check the value of the result.
pub(super) fn splice(
    document: &Document,
    edits: &[Cow<'_, Edit>],
) -> Result<EditedText, EditError> {
    let mut splicer = Splicer {
        document,
        text: document.text(),
        style: style_of(document),
        splices: Vec::with_capacity(edits.len()),
        removed: BTreeMap::new(),
        filled_collections: BTreeSet::new(),
        current_edit: None,
    };
    for (index, edit) in edits.iter().enumerate() {
        splicer.current_edit = Some(index);
        splicer.add_edit(edit)?;
    }
    splicer.current_edit = None;
    for (collection, indexes) in core::mem::take(&mut splicer.removed) {
        splicer.remove(collection, &indexes);
    }
    splicer.finish()
}

/// Whether a document is JSON, so that the edited text has to be JSON too.
pub(super) fn is_json(document: &Document) -> bool {
    let text = document.text().trim_start();
    text.starts_with(['{', '[']) && serde_json::from_str::<Value>(text).is_ok()
}

/// The style of a document, taken from its first collections.
fn style_of(document: &Document) -> Style {
    let is_json = is_json(document);
    let nodes = 0..document.tree.nodes.len();
    let is_compact = |id: NodeId| {
        let is_flow = !document.node(id).is_block();
        let entry = document.entries(id).first().filter(|_| is_flow)?;
        let value = document.node(entry.value);
        Some(value.after_indicator == value.start)
    };
    let is_compact = is_json && nodes.clone().find_map(is_compact).unwrap_or(true);
    let mut nodes = nodes;
    Style {
        line_break: text::line_break(document.text()),
        dash_indentation: nodes
            .find_map(|id| dash_indentation(document, id))
            .unwrap_or(0),
        is_json,
        separator: if is_compact { "" } else { " " },
    }
}

/// The indentation of the dashes of the first sequence in a block mapping, relative to its key.
fn dash_indentation(document: &Document, mapping: NodeId) -> Option<usize> {
    if !document.node(mapping).is_block() {
        return None;
    }
    let is_sequence =
        |id: &NodeId| document.node(*id).is_block() && !document.items(*id).is_empty();
    let mut values = document.entries(mapping).iter().map(|entry| entry.value);
    let dashes = document.block_column(values.find(is_sequence)?);
    dashes.checked_sub(document.block_column(mapping))
}

/// A change of the source that is not applied yet.
struct Splice {
    source_span: Range<usize>,
    /// The text to write there.
    text: String,
    /// The index of the edit whose value or key it is.
    edit_index: Option<usize>,
}

/// The origin of a new value's text.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    /// Source text that was saved from an earlier document.
    Saved,
    /// The same, in block style.
    SavedBlock,
    /// Rendered from a collection that is not empty.
    Collection,
    /// Rendered from a scalar or an empty collection.
    Scalar,
}

/// The text of a new value.
struct NewText {
    text: String,
    origin: Origin,
}

struct Splicer<'a> {
    document: &'a Document,
    text: &'a str,
    style: Style,
    splices: Vec<Splice>,
    /// The indexes to remove from each collection.
    removed: BTreeMap<NodeId, BTreeSet<usize>>,
    /// Empty flow collections that have received an entry or item.
    filled_collections: BTreeSet<NodeId>,
    /// The index of the edit that is being spliced.
    current_edit: Option<usize>,
}

impl Splicer<'_> {
    fn add_edit(&mut self, edit: &Edit) -> Result<(), EditError> {
        let missing = || TargetError::Missing(edit.pointer.clone());
        match &edit.op {
            Op::Add(new) => {
                let (parent, segment) = edit.pointer.split_last().ok_or_else(missing)?;
                let parent = self.document.resolve(&parent).ok_or_else(missing)?.node;
                self.add(parent, segment, new).ok_or_else(missing)?;
            }
            Op::Replace(new) => {
                let (slot, node) = self.resolve(&edit.pointer)?;
                self.replace_value(slot.collection, node, new);
            }
            Op::Remove => {
                let (slot, _) = self.resolve(&edit.pointer)?;
                let removed = self.removed.entry(slot.collection).or_default();
                removed.insert(slot.index);
            }
            Op::Rename { key, text } => {
                let (slot, _) = self.resolve(&edit.pointer)?;
                let key_node = self.document.entry(slot).ok_or_else(missing)?.key;
                self.rename(slot.collection, key_node, key, text.as_deref());
            }
        }
        Ok(())
    }

    /// Resolves a pointer to an existing node and its slot. The root has no slot, so it cannot be edited.
    fn resolve(&self, pointer: &Pointer) -> Result<(Slot, NodeId), EditError> {
        let missing = || TargetError::Missing(pointer.clone());
        let root_error = || EditError::WrongValue(pointer.clone());
        let resolved = self.document.resolve(pointer).ok_or_else(missing)?;
        Ok((resolved.slot.ok_or_else(root_error)?, resolved.node))
    }

    fn add_splice(&mut self, source_span: Range<usize>, text: String) {
        self.splices.push(Splice {
            source_span,
            text,
            edit_index: self.current_edit,
        });
    }

    fn context(&self, parent: NodeId) -> Context {
        let column = || self.document.block_column(parent);
        match self.document.node(parent).kind {
            NodeKind::Mapping { is_flow: false, .. } => Context::MappingValue(column()),
            NodeKind::Sequence { is_flow: false, .. } => Context::SequenceItem(column()),
            _ => Context::Flow,
        }
    }

    /// The saved text of a value, if it parses to the value in this context.
    fn saved_text<'v>(&self, new: &'v NewValue, context: Context) -> Option<&'v str> {
        let text = new.text.as_deref()?;
        let is_valid = !self.style.is_json || serde_json::from_str::<Value>(text).is_ok();
        (is_valid && may_parse_to(text, context, &new.value)).then_some(text)
    }

    /// Renders a value without the space before it.
    fn rendered(&self, value: &Value, context: Context) -> String {
        let text = self.style.value(value, context);
        match text.strip_prefix(' ') {
            Some(text) => text.into(),
            None => text,
        }
    }

    fn node_text(&self, id: NodeId) -> &str {
        let node = self.document.node(id);
        &self.text[node.start..node.end]
    }

    fn replace_value(&mut self, parent: NodeId, id: NodeId, new: &NewValue) {
        let context = self.context(parent);
        let node = self.document.node(id);
        let saved = self.saved_text(new, context);
        let text = match (saved, &new.value, quotes(self.node_text(id))) {
            (Some(text), ..) => text.into(),
            (None, Value::String(text), Some(quotes)) => self.style.quoted(text, quotes),
            _ => self.rendered(&new.value, context),
        };
        let gap = &self.text[node.after_indicator..node.start];
        let needs_space = needs_space_before(&text);
        // The lines of a collection after a dash are indented like its first line.
        let fits_in_place = gap.is_empty()
            || !text.contains('\n') && gap.bytes().all(|byte| matches!(byte, b' ' | b'\t'));
        if needs_space && fits_in_place && !node.is_empty() {
            return self.add_splice(node.start..node.end, text);
        }
        let gap = if needs_space { " " } else { "" };
        let is_collection = match &new.value {
            Value::Object(map) => !map.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => false,
        };
        let origin = match (saved, is_collection) {
            (Some(_), _) if is_block(&text, is_collection) => Origin::SavedBlock,
            (Some(_), _) => Origin::Saved,
            (None, true) => Origin::Collection,
            (None, false) => Origin::Scalar,
        };
        let text = format!("{gap}{text}");
        self.replace_with_gap(id, NewText { text, origin });
    }

    /// Replaces a value and the white space before it. A comment after an inline value moves to the line of the key if the
    /// new value starts on the next line.
    fn replace_with_gap(&mut self, id: NodeId, new: NewText) {
        let NewText { text, origin } = new;
        let node = self.document.node(id);
        let (start, end) = (node.after_indicator, node.end);
        let is_comment_or_blank =
            |text: &str| text.trim().is_empty() || text.trim_start().starts_with('#');
        let first_line = &text[..text::line_end(&text, 0)];
        let starts_on_next_line = first_line.len() < text.len() && is_comment_or_blank(first_line);
        if node.is_block() {
            let key_line = &self.text[start..text::line_end(self.text, start)];
            let is_inline = !starts_on_next_line && !text.trim_start().starts_with(['|', '>']);
            // After a new collection, the comment could not be found again when the old value is restored.
            let keeps_comment = is_inline
                && origin != Origin::Collection
                && key_line.len() < node.start - start
                && is_comment_or_blank(key_line);
            let comment = if keeps_comment { key_line } else { "" };
            return self.add_splice(start..end, text + comment);
        }
        let line_end = text::line_end(self.text, end);
        let rest = &self.text[end..line_end];
        let is_on_key_line = !self.text[start..node.start].contains('\n');
        let is_saved = matches!(origin, Origin::Saved | Origin::SavedBlock);
        // A block had the rest of the line after its key, and kept it there. Another value had it after itself.
        if starts_on_next_line && origin == Origin::SavedBlock && rest.starts_with(first_line) {
            let end = end + first_line.len();
            self.add_splice(start..end, text);
        } else if starts_on_next_line && !is_saved && is_comment_or_blank(rest) && is_on_key_line {
            self.add_splice(start..line_end, rest.to_owned() + &text);
        } else {
            self.add_splice(start..end, text);
        }
    }

    fn rename(&mut self, parent: NodeId, key: NodeId, name: &str, saved: Option<&str>) {
        let is_flow = matches!(self.context(parent), Context::Flow);
        let saved = saved.filter(|text| {
            parses_to_key(text, name) && (!self.style.is_json || text.starts_with('"'))
        });
        // After a quoted key, a flow mapping needs no space before the value.
        let is_quoted = is_flow && self.node_text(key).starts_with('"');
        let text = match saved {
            Some(text) => text.into(),
            None if is_quoted => Value::from(name).to_string(),
            None => self.style.key(name, is_flow),
        };
        let key = self.document.node(key);
        self.add_splice(key.start..key.end, text);
    }

    /// Adds an entry or item; `None` if the collection cannot have this segment.
    fn add(&mut self, parent: NodeId, segment: &Segment, new: &NewValue) -> Option<()> {
        let context = self.context(parent);
        let value = match self.saved_text(new, context) {
            Some(text) => text.into(),
            None => self.rendered(&new.value, context),
        };
        let is_flow = matches!(context, Context::Flow);
        let gap = match is_flow {
            true => self.style.separator,
            false if needs_space_before(&value) => " ",
            false => "",
        };
        let (text, index) = match (segment, &self.document.node(parent).kind) {
            (Segment::Key(key), NodeKind::Mapping { .. }) => {
                let key = self.style.key(key, is_flow);
                (format!("{key}:{gap}{value}"), 0)
            }
            (Segment::Index(index), NodeKind::Sequence { items, .. }) if *index <= items.len() => {
                let text = if is_flow {
                    value
                } else {
                    format!("-{gap}{value}")
                };
                (text, *index)
            }
            _ => return None,
        };
        if is_flow {
            self.add_flow(parent, index, text)
        } else {
            self.add_block(parent, index, text)
        }
    }

    fn add_flow(&mut self, collection: NodeId, index: usize, text: String) -> Option<()> {
        let document = self.document;
        let span = |index| document.child_span(Slot { collection, index });
        let node = document.node(collection);
        let bracket = self.node_text(collection).find(['{', '['])?;
        let content = node.start + bracket + 1;
        let len = document.child_count(collection);
        if len == 0 {
            let comma = if self.filled_collections.insert(collection) {
                ""
            } else {
                ", "
            };
            self.add_splice(content..content, text + comma);
            return Some(());
        }
        let first = span(0).start;
        let gap = &self.text[content..first.max(content)];
        let comma = if !gap.contains('\n') {
            format!(",{}", self.style.separator)
        } else if gap.trim().is_empty() {
            format!(",{gap}")
        } else {
            format!(
                ",{}",
                self.style.new_line(text::column_index(self.text, first))
            )
        };
        if index == len {
            let end = span(index - 1).end;
            self.add_splice(end..end, comma + &text);
        } else {
            let start = span(index).start;
            self.add_splice(start..start, text + &comma);
        }
        Some(())
    }

    fn add_block(&mut self, collection: NodeId, index: usize, text: String) -> Option<()> {
        let document = self.document;
        let span = |index| document.child_span(Slot { collection, index });
        let column = document.block_column(collection);
        let line_break = self.style.line_break;
        let indented = format!("{:column$}{text}", "");
        if index > 0 {
            let end = span(index - 1).end;
            match text::next_line(self.text, end) {
                Some(line) => self.add_splice(line..line, indented + line_break),
                None => {
                    let end = self.text.len();
                    self.add_splice(end..end, line_break.to_owned() + &indented);
                }
            }
            return Some(());
        }
        let first = span(0).start;
        if self.shares_line(first) {
            let text = text + &self.style.new_line(column);
            self.add_splice(first..first, text);
            return Some(());
        }
        let node = document.node(collection);
        let line = if document.tree.root == Some(collection) {
            text::line_start(self.text, first)
        } else {
            let tag = (node.start < first).then_some(node.start);
            let header = tag.unwrap_or(node.after_indicator);
            text::next_line(self.text, header.max(node.after_indicator))?
        };
        self.add_splice(line..line, indented + line_break);
        Some(())
    }

    /// Whether a parent's text, such as a dash, precedes an entry on its line.
    fn shares_line(&self, start: usize) -> bool {
        let before = &self.text[text::line_start(self.text, start)..start];
        !before.trim().is_empty()
    }

    fn remove(&mut self, collection: NodeId, indexes: &BTreeSet<usize>) {
        let node = self.document.node(collection);
        if !node.is_block() {
            self.remove_flow(collection, indexes);
        } else if indexes.len() == self.document.child_count(collection) {
            let text = match node.kind {
                NodeKind::Sequence { .. } => " []",
                _ => " {}",
            };
            let origin = Origin::Scalar;
            let text = text.into();
            self.replace_with_gap(collection, NewText { text, origin });
        } else {
            self.remove_lines(collection, indexes);
        }
    }

    fn remove_flow(&mut self, collection: NodeId, indexes: &BTreeSet<usize>) {
        let document = self.document;
        let len = document.child_count(collection);
        let span = |index| document.child_span(Slot { collection, index });
        for run in runs(indexes) {
            let (first, last) = (*run.start(), *run.end());
            let removed = match (first, last + 1 == len) {
                (_, false) => span(first).start..span(last + 1).start,
                (0, true) => span(0).start..span(last).end,
                (_, true) => span(first - 1).end..span(last).end,
            };
            self.add_splice(removed, String::new());
        }
    }

    fn remove_lines(&mut self, collection: NodeId, indexes: &BTreeSet<usize>) {
        let document = self.document;
        let span = |index| document.child_span(Slot { collection, index });
        for run in runs(indexes) {
            let start = span(*run.start()).start;
            let end = span(*run.end()).end;
            let next = text::next_line(self.text, end);
            if *run.start() == 0 && self.shares_line(start) {
                let end = next.map_or(end, |next| text::skip_blanks(self.text, next));
                self.add_splice(start..end, String::new());
                continue;
            }
            let line = text::line_start(self.text, start);
            match next {
                Some(next) => self.add_splice(line..next, String::new()),
                None => {
                    let start = text::previous_line_end(self.text, line).unwrap_or(line);
                    self.add_splice(start..self.text.len(), String::new());
                }
            }
        }
    }

    /// Applies all splices. Of several insertions at one offset, the last one comes first, as if they were applied one
    /// after the other.
    fn finish(self) -> Result<EditedText, EditError> {
        let mut splices: Vec<_> = self.splices.into_iter().rev().collect();
        splices.sort_by_key(|splice| (splice.source_span.start, !splice.source_span.is_empty()));
        let mut text = String::with_capacity(self.text.len() + self.text.len() / 4);
        let mut replacements = Vec::with_capacity(splices.len());
        let mut copied_to = 0;
        for splice in splices {
            let source_span = splice.source_span;
            let unchanged = self.text.get(copied_to..source_span.start);
            text += unchanged.ok_or_else(|| {
                EditError::WrongValue(self.document.pointer_at(source_span.start))
            })?;
            let start = text.len();
            text += &splice.text;
            copied_to = source_span.end;
            replacements.push(Replacement {
                edited_span: start..text.len(),
                source_span,
                edit_index: splice.edit_index,
            });
        }
        text += &self.text[copied_to..];
        Ok(EditedText { text, replacements })
    }
}

/// Groups consecutive numbers.
fn runs(numbers: &BTreeSet<usize>) -> Vec<core::ops::RangeInclusive<usize>> {
    let mut runs: Vec<core::ops::RangeInclusive<usize>> = Vec::new();
    for number in numbers.iter().copied() {
        match runs.last_mut() {
            Some(run) if *run.end() + 1 == number => *run = *run.start()..=number,
            _ => runs.push(number..=number),
        }
    }
    runs
}

/// Whether the text of a value is in block style: a collection, or a scalar after `|` or `>`.
fn is_block(text: &str, is_collection: bool) -> bool {
    let mut words = text[text::skip_comments(text, 0)..].split_ascii_whitespace();
    let first = words.find(|word| !word.starts_with(['&', '!']));
    match is_collection {
        true => !first.is_some_and(|word| word.starts_with(['{', '[', '*'])),
        false => first.is_some_and(|word| word.starts_with(['|', '>'])),
    }
}
