//! From a parser's events to the tree. The parser says where scalars and brackets are; colons, dashes and the
//! heads of block scalars are looked for between them.

use super::error::{DocumentError, Problem};
use super::refusal;
use super::scalar;
use super::text;
use super::tree::{Entry, Id, Item, Kind, Node};
use crate::limits;
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle, Tag, options};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// What came out: no root if there is nothing but comments.
pub(super) struct Tree {
    pub nodes: Vec<Node>,
    pub root: Option<Id>,
    /// Aliases without an anchor, which only pieces of text may have.
    pub loose: bool,
}

/// Whether aliases may have their anchors elsewhere.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Aliases {
    Known,
    Loose,
}

pub(super) fn tree(text: &str, aliases: Aliases) -> Result<Tree, DocumentError> {
    let mut builder = Builder::new(text);
    for event in Parser::new_from_str_with_options(text, reader(aliases)) {
        let whole = builder.tree.root.is_some();
        let (event, span) = event.map_err(|error| refusal::of(text, &error, whole))?;
        builder.take(event, &span)?;
    }
    Ok(builder.tree)
}

fn reader(aliases: Aliases) -> Options {
    let mut options = options! {
        emit_anchor_events: true,
        emit_unresolved_aliases: aliases == Aliases::Loose,
        block_scalar_eof_without_line_feed: true,
        flow_nesting_limit: limits::DOCUMENT_NESTING,
        block_nesting_limit: limits::DOCUMENT_NESTING,
    };
    options.set_emit_comments(false);
    options
}

/// A collection that is not complete yet.
struct Open {
    id: Id,
    /// The key that waits for its value.
    key: Option<Id>,
    /// Behind what was read of it last.
    done: usize,
    /// Where its own item starts in the sequence around it.
    item: usize,
}

struct Builder<'a> {
    text: &'a str,
    tree: Tree,
    open: Vec<Open>,
    anchors: HashMap<usize, Id>,
    last: Id,
    documents: usize,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            tree: Tree {
                nodes: Vec::new(),
                root: None,
                loose: false,
            },
            open: Vec::new(),
            anchors: HashMap::new(),
            last: 0,
            documents: 0,
        }
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), DocumentError> {
        let range = span.byte_range().unwrap_or_default();
        match event {
            Event::DocumentStart(..) => self.document(range.start)?,
            Event::Scalar(value, style, anchor, tag) => {
                self.scalar(&value, style, anchor, tag.as_deref(), span)?;
            }
            Event::Alias(target) => {
                let target = self.target(target, range.start)?;
                self.leaf(range.start, range.end, Kind::Alias(Some(target)))?;
            }
            Event::UnresolvedAlias(_) => {
                self.tree.loose = true;
                self.leaf(range.start, range.end, Kind::Alias(None))?;
            }
            Event::Anchor(_, _) => self.anchored(range.start, range.end),
            Event::SequenceStart(style, anchor, _) => {
                let flow = style == StructureStyle::Flow;
                let items = Vec::new();
                self.begin(span, anchor, Kind::Sequence { flow, items });
            }
            Event::MappingStart(style, anchor, _) => {
                let flow = style == StructureStyle::Flow;
                let entries = Vec::new();
                self.begin(span, anchor, Kind::Mapping { flow, entries });
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(range.start, range.end)?,
            _ => {}
        }
        Ok(())
    }

    fn document(&mut self, at: usize) -> Result<(), DocumentError> {
        self.documents += 1;
        if self.documents > 1 {
            return Err(DocumentError::at(self.text, at, Problem::Second));
        }
        Ok(())
    }

    /// Where the value that comes next could begin, and where its item does.
    fn lead(&self, start: usize) -> (usize, usize) {
        let Some(open) = self.open.last() else {
            return (start, start);
        };
        match (&self.tree.nodes[open.id].kind, open.key) {
            (Kind::Mapping { .. }, Some(_)) => {
                let colon = text::skip(self.text, open.done);
                match self.text.as_bytes().get(colon) {
                    Some(b':') => (colon + 1, colon + 1),
                    _ => (open.done, open.done),
                }
            }
            (Kind::Sequence { flow: false, .. }, _) => {
                let dash = text::skip(self.text, open.done);
                (dash + 1, dash)
            }
            _ => (start, start),
        }
    }

    fn scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<(), DocumentError> {
        let range = span.byte_range().unwrap_or_default();
        let (lead, item) = self.lead(range.start);
        let (mut start, mut end) = (range.start, range.end);
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            start = self.body(lead);
            end = self.block_end(start, &range, span.indent.unwrap_or_default());
        } else if range.is_empty() {
            (start, end) = (lead, lead);
        }
        let tagged = span.tag_span().and_then(|tag| tag.byte_range());
        if let Some(tagged) = &tagged {
            start = start.min(tagged.start);
            end = end.max(tagged.end);
        }
        let empty = range.is_empty() && style == ScalarStyle::Plain;
        let written = if empty { "" } else { value };
        let kind = self.meaning(written, style, tag, start)?;
        self.push(lead, start, end, kind, anchor);
        self.placed(self.last, item)
    }

    /// The first byte of a value behind its anchor and tag.
    fn body(&self, lead: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = text::skip(self.text, lead);
        while matches!(bytes.get(at), Some(b'&' | b'!')) {
            let word = bytes[at..]
                .iter()
                .take_while(|byte| !byte.is_ascii_whitespace());
            at = text::skip(self.text, at + word.count());
        }
        at
    }

    /// Behind a block scalar's last line. Empty lines below it that it does not keep are none of it.
    fn block_end(&self, head: usize, content: &core::ops::Range<usize>, indent: usize) -> usize {
        let header = &self.text[head..text::line_end(self.text, head)];
        let header = header.split(" #").next().unwrap_or_default();
        let floor = head + header.trim_end().len();
        // The parser has read the blanks in front of what comes next already.
        let line = text::line_start(self.text, content.end);
        let ahead = self.text[line..content.end]
            .bytes()
            .all(|byte| byte == b' ');
        let content_end = if ahead { line } else { content.end };
        let mut end = content_end.max(floor);
        while let Some(shorter) = text::unbroken(self.text, end).filter(|shorter| *shorter >= floor)
        {
            let line = &self.text[text::line_start(self.text, shorter)..shorter];
            end = shorter;
            let blank = line.len() <= indent && line.bytes().all(|byte| byte == b' ');
            if header.contains('+') || !blank {
                break;
            }
            end -= line.len();
        }
        end.max(floor)
    }

    fn meaning(
        &self,
        value: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: usize,
    ) -> Result<Kind, DocumentError> {
        let plain = style == ScalarStyle::Plain;
        let name = tag.and_then(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:"));
        let merge = value == "<<" && (plain && tag.is_none() || name.as_deref() == Some("merge"));
        let text = || Value::from(value);
        let value = match tag.map(|tag| (tag, tag.core_suffix())) {
            None if plain => scalar::plain(value),
            _ if name.as_deref() == Some("binary") => scalar::binary(value)
                .map_err(|problem| DocumentError::at(self.text, at, problem))?,
            None | Some((_, None | Some("str"))) => text(),
            Some((tag, Some(suffix))) => {
                let read = scalar::plain(value);
                if !fits(suffix, &read) {
                    let tag = tag.original().into();
                    return Err(DocumentError::at(self.text, at, Problem::Tag { tag }));
                }
                read
            }
        };
        Ok(Kind::Scalar { value, merge })
    }

    fn target(&self, anchor: usize, at: usize) -> Result<Id, DocumentError> {
        let endless = || DocumentError::at(self.text, at, Problem::Endless);
        let target = *self.anchors.get(&anchor).ok_or_else(endless)?;
        let inside = self.open.iter().any(|open| open.id == target);
        (!inside).then_some(target).ok_or_else(endless)
    }

    fn leaf(&mut self, start: usize, end: usize, kind: Kind) -> Result<(), DocumentError> {
        let (lead, item) = self.lead(start);
        self.push(lead, start, end, kind, 0);
        self.placed(self.last, item)
    }

    fn begin(&mut self, span: &Span, anchor: usize, kind: Kind) {
        let mut body = span.byte_range().unwrap_or_default().start;
        let (lead, item) = self.lead(body);
        // The parser is behind the dash already where dashes are in the column of their key.
        if matches!(kind, Kind::Sequence { flow: false, .. }) {
            body = self.body(lead);
        }
        let tag = span.tag_span().and_then(|tag| tag.byte_range());
        let start = tag.map_or(body, |tag| tag.start.min(body));
        self.push(lead, start, start, kind, anchor);
        let id = self.last;
        self.open.push(Open {
            id,
            key: None,
            done: body,
            item,
        });
    }

    fn push(&mut self, lead: usize, start: usize, end: usize, kind: Kind, anchor: usize) {
        self.last = self.tree.nodes.len();
        self.tree.nodes.push(Node {
            // A root's tag is in front of where the root seems to begin.
            lead: lead.min(start),
            start,
            end,
            kind,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, self.last);
        }
    }

    /// An anchor stays where it is when its value changes; one in front of a tag goes with the tag.
    fn anchored(&mut self, start: usize, end: usize) {
        let node = &mut self.tree.nodes[self.last];
        // A collection has no end yet. The parser may report an empty scalar after the colon that follows it.
        if node.is_empty() && matches!(node.kind, Kind::Scalar { .. }) {
            (node.lead, node.start, node.end) = (end, end, end);
        }
        node.lead = node.lead.max(end);
        if node.start < end {
            node.start = node.start.min(start);
            node.lead = node.lead.min(node.start);
        }
        let end = node.end.max(end);
        if let Some(open) = self.open.last_mut() {
            open.done = open.done.max(end);
        }
    }

    fn end(&mut self, start: usize, end: usize) -> Result<(), DocumentError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        self.tree.nodes[open.id].end = if start == end { open.done } else { end };
        self.unique(open.id)?;
        self.placed(open.id, open.item)
    }

    /// A complete node takes its place in what is open.
    fn placed(&mut self, id: Id, item: usize) -> Result<(), DocumentError> {
        let end = self.tree.nodes[id].end;
        let Some(open) = self.open.last_mut() else {
            self.tree.root = Some(id);
            return Ok(());
        };
        let parent = open.id;
        open.done = open.done.max(end);
        if let Kind::Sequence { items, .. } = &mut self.tree.nodes[parent].kind {
            items.push(Item {
                start: item,
                value: id,
            });
            return Ok(());
        }
        let Some(key) = open.key.take() else {
            open.key = Some(id);
            return Ok(());
        };
        let name = self.name(key)?;
        if let Kind::Mapping { entries, .. } = &mut self.tree.nodes[parent].kind {
            let value = id;
            entries.push(Entry { name, key, value });
        }
        Ok(())
    }

    fn name(&self, key: Id) -> Result<Option<Box<str>>, DocumentError> {
        let mut node = &self.tree.nodes[key];
        let start = node.start;
        while let Kind::Alias(Some(target)) = node.kind {
            node = &self.tree.nodes[target];
        }
        match &node.kind {
            Kind::Scalar { merge: true, .. } => return Ok(None),
            Kind::Scalar { value, .. } => {
                if let Some(name) = scalar::key(value) {
                    return Ok(Some(name));
                }
            }
            Kind::Mapping { flow: true, .. } if self.is_braced(start) => {
                return Err(DocumentError::at(self.text, start, Problem::Template));
            }
            _ => {}
        }
        Err(DocumentError::at(self.text, start, Problem::Key))
    }

    /// Whether a flow mapping is a Go template's two braces, alone or inside a mapping of its own.
    fn is_braced(&self, start: usize) -> bool {
        let before = &self.text[..start];
        self.text[start..].starts_with("{{") || before.ends_with('{')
    }

    fn unique(&self, id: Id) -> Result<(), DocumentError> {
        let Kind::Mapping { entries, .. } = &self.tree.nodes[id].kind else {
            return Ok(());
        };
        let mut seen = HashSet::with_capacity(entries.len());
        let mut names = entries.iter().map(named);
        let Some(twice) = names.position(|name| !seen.insert(name)) else {
            return Ok(());
        };
        let twice = &entries[twice];
        let key = named(twice);
        let start = |entry: &Entry| self.tree.nodes[entry.key].start;
        let first = entries.iter().find(|entry| named(entry) == key);
        let first = first.map_or(0, |entry| text::position(self.text, start(entry)).0);
        let key = key.into();
        let problem = Problem::Duplicate { key, first };
        Err(DocumentError::at(self.text, start(twice), problem))
    }
}

fn named(entry: &Entry) -> &str {
    entry.name.as_deref().unwrap_or("<<")
}

/// Whether a value has a tag of the core schema.
fn fits(suffix: &str, value: &Value) -> bool {
    match suffix {
        "bool" => value.is_boolean(),
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        "null" => value.is_null(),
        _ => true,
    }
}
