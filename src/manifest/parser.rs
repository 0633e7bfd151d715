//! Builds a tree from the events of the YAML parser. The events have the spans of scalars and brackets; this file finds
//! the colons, dashes and headers of block scalars between them.

use super::error::{ParseError, ParseErrorKind};
use super::scalar;
use super::text;
use super::tree::{Entry, Item, Node, NodeId, NodeKind, Tree};
use crate::limits;
use core::ops::Range;
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle, Tag, options};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// What to do with an alias that has no anchor in the text. A fragment may have its anchors elsewhere.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum UnresolvedAliases {
    Reject,
    Accept,
}

/// Parses a text of one document. `max_value_bytes` limits the estimated memory of its values.
pub(super) fn parse(
    text: &str,
    aliases: UnresolvedAliases,
    max_value_bytes: usize,
) -> Result<Tree, ParseError> {
    if let Some(offset) = text::lone_carriage_return(text) {
        return Err(ParseError::at(text, offset, ParseErrorKind::CarriageReturn));
    }
    let mut builder = Builder::new(text, max_value_bytes);
    for event in Parser::new_from_str_with_options(text, parser_options(aliases)) {
        let has_root = builder.tree.root.is_some();
        let (event, span) =
            event.map_err(|error| ParseError::from_scanner(text, &error, has_root))?;
        builder.handle_event(event, &span)?;
        builder.check_memory(&span)?;
    }
    Ok(builder.tree)
}

fn parser_options(aliases: UnresolvedAliases) -> Options {
    let mut options = options! {
        emit_anchor_events: true,
        emit_unresolved_aliases: aliases == UnresolvedAliases::Accept,
        block_scalar_eof_without_line_feed: true,
        flow_nesting_limit: limits::DOCUMENT_NESTING,
        block_nesting_limit: limits::DOCUMENT_NESTING,
    };
    options.set_emit_comments(false);
    options
}

/// A collection whose end event has not been handled.
struct OpenCollection {
    id: NodeId,
    /// The offset at which the collection starts as an item of its parent.
    item_start: usize,
    /// The key whose value comes next.
    pending_key: Option<NodeId>,
    /// The offset after the last handled event.
    handled_to: usize,
}

/// The offsets of the colon or dash before a node.
#[derive(Clone, Copy)]
struct IndicatorOffsets {
    /// The offset after the colon or dash before the node. Without either, the offset of the node.
    after_indicator: usize,
    /// The offset of the dash. Without one, the same as `after_indicator`.
    item_start: usize,
}

struct Builder<'a> {
    text: &'a str,
    tree: Tree,
    open: Vec<OpenCollection>,
    /// The node of each anchor, by the parser's number.
    anchors: HashMap<usize, NodeId>,
    last_node: NodeId,
    document_count: usize,
    max_value_bytes: usize,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, max_value_bytes: usize) -> Self {
        Self {
            text,
            tree: Tree::default(),
            open: Vec::new(),
            anchors: HashMap::new(),
            last_node: 0,
            document_count: 0,
            max_value_bytes,
        }
    }

    fn handle_event(&mut self, event: Event<'_>, span: &Span) -> Result<(), ParseError> {
        let range = span.byte_range().unwrap_or_default();
        match event {
            Event::DocumentStart(..) => self.start_document(range.start)?,
            Event::Scalar(value, style, anchor, tag) => {
                self.add_scalar(&value, style, anchor, tag.as_deref(), span)?;
            }
            Event::Alias(anchor) => {
                let target = self.alias_target(anchor, range.start)?;
                self.add_alias(range, Some(target))?;
            }
            Event::UnresolvedAlias(_) => {
                self.tree.has_unresolved_aliases = true;
                self.add_alias(range, None)?;
            }
            Event::Anchor(_, _) => self.exclude_anchor(range.start, range.end),
            Event::SequenceStart(style, anchor, _) => {
                let is_flow = style == StructureStyle::Flow;
                let items = Vec::new();
                self.open_collection(span, anchor, NodeKind::Sequence { is_flow, items });
            }
            Event::MappingStart(style, anchor, _) => {
                let is_flow = style == StructureStyle::Flow;
                let entries = Vec::new();
                self.open_collection(span, anchor, NodeKind::Mapping { is_flow, entries });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close_collection(&range)?,
            _ => {}
        }
        Ok(())
    }

    /// Checks that the values so far fit the memory.
    fn check_memory(&self, span: &Span) -> Result<(), ParseError> {
        if self.tree.value_bytes <= self.max_value_bytes {
            return Ok(());
        }
        let offset = span.byte_range().unwrap_or_default().start;
        Err(self.error(offset, ParseErrorKind::TooManyValues))
    }

    fn start_document(&mut self, offset: usize) -> Result<(), ParseError> {
        self.document_count += 1;
        if self.document_count > 1 {
            return Err(self.error(offset, ParseErrorKind::SecondDocument));
        }
        Ok(())
    }

    fn error(&self, offset: usize, kind: ParseErrorKind) -> ParseError {
        ParseError::at(self.text, offset, kind)
    }

    /// The colon or dash before the next node, whose content starts at this offset.
    fn indicator_offsets(&self, start: usize) -> IndicatorOffsets {
        let at = |offset| IndicatorOffsets {
            after_indicator: offset,
            item_start: offset,
        };
        let Some(open) = self.open.last() else {
            return at(start);
        };
        match (&self.tree.nodes[open.id].kind, open.pending_key) {
            (NodeKind::Mapping { .. }, Some(_)) => {
                let colon = text::skip_comments(self.text, open.handled_to);
                match self.text.as_bytes().get(colon) {
                    Some(b':') => at(colon + 1),
                    _ => at(open.handled_to),
                }
            }
            (NodeKind::Sequence { is_flow: false, .. }, _) => {
                let dash = text::skip_comments(self.text, open.handled_to);
                IndicatorOffsets {
                    after_indicator: dash + 1,
                    item_start: dash,
                }
            }
            _ => at(start),
        }
    }

    /// Whether the next node is a key.
    fn is_key_next(&self) -> bool {
        self.open.last().is_some_and(|open| {
            let is_mapping = matches!(self.tree.nodes[open.id].kind, NodeKind::Mapping { .. });
            is_mapping && open.pending_key.is_none()
        })
    }

    fn add_scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<(), ParseError> {
        let range = span.byte_range().unwrap_or_default();
        let indicator = self.indicator_offsets(range.start);
        let (mut start, mut end) = (range.start, range.end);
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            if self.is_key_next() {
                return Err(self.error(range.start, ParseErrorKind::InvalidKey));
            }
            start = self.skip_properties(indicator.after_indicator);
            end = self.block_scalar_end(start, &range);
        } else if range.is_empty() {
            (start, end) = (indicator.after_indicator, indicator.after_indicator);
        }
        let tag_range = span.tag_span().and_then(|tag| tag.byte_range());
        if let Some(tag_range) = &tag_range {
            start = start.min(tag_range.start);
            end = end.max(tag_range.end);
        }
        let is_empty = range.is_empty() && style == ScalarStyle::Plain;
        let value = if is_empty { "" } else { value };
        let kind = self.scalar_kind(value, style, tag, start)?;
        self.add_node(indicator, start..end, kind, anchor);
        self.attach(self.last_node, indicator.item_start)
    }

    /// Skips the anchor and tag of a node (YAML 1.2 section 6.9, node properties).
    fn skip_properties(&self, offset: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut offset = text::skip_comments(self.text, offset);
        while matches!(bytes.get(offset), Some(b'&' | b'!')) {
            let property = bytes[offset..]
                .iter()
                .take_while(|byte| !byte.is_ascii_whitespace());
            offset = text::skip_comments(self.text, offset + property.count());
        }
        offset
    }

    /// The offset after the last line of a block scalar. Excludes trailing empty lines that are not part of its value.
    fn block_scalar_end(&self, start: usize, content: &Range<usize>) -> usize {
        let header = self.text[start..].split_ascii_whitespace().next();
        let header = header.unwrap_or_default();
        let header_end = start + header.len();
        // Without content, the span of the parser is empty or starts at the header.
        let indentation = match content.start > header_end && !content.is_empty() {
            true => text::column_index(self.text, content.start),
            false => 0,
        };
        // The span of the parser includes the indentation of the next node. Deeper blanks at the end of the input are
        // a line of the scalar.
        let line = text::line_start(self.text, content.end);
        let last_line = &self.text[line..content.end];
        let is_content =
            content.end == self.text.len() && (1..last_line.len()).contains(&indentation);
        let is_indentation = !is_content && last_line.bytes().all(|byte| byte == b' ');
        let content_end = if is_indentation { line } else { content.end };
        let mut end = content_end.max(header_end);
        while let Some(previous) =
            text::previous_line_end(self.text, end).filter(|previous| *previous >= header_end)
        {
            let line = &self.text[text::line_start(self.text, previous)..previous];
            end = previous;
            let is_blank = line.len() <= indentation && line.bytes().all(|byte| byte == b' ');
            if header.contains('+') || !is_blank {
                break;
            }
            end -= line.len();
        }
        end.max(header_end)
    }

    fn scalar_kind(
        &self,
        value: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        offset: usize,
    ) -> Result<NodeKind, ParseError> {
        let is_plain = style == ScalarStyle::Plain;
        let name = tag.and_then(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:"));
        let is_merge_key =
            value == "<<" && (is_plain && tag.is_none() || name.as_deref() == Some("merge"));
        let value = match tag.map(|tag| (tag, tag.core_suffix())) {
            None if is_plain => scalar::parse_plain(value),
            _ if name.as_deref() == Some("binary") => {
                scalar::decode_binary(value).map_err(|kind| self.error(offset, kind))?
            }
            None | Some((_, None | Some("str"))) => Value::from(value),
            Some((tag, Some(suffix))) => {
                let parsed = scalar::parse_plain(value);
                if !has_type(&parsed, suffix) {
                    let tag = tag.original().into();
                    return Err(self.error(offset, ParseErrorKind::TagMismatch { tag }));
                }
                parsed
            }
        };
        Ok(NodeKind::Scalar {
            value,
            is_merge_key,
        })
    }

    fn alias_target(&self, anchor: usize, offset: usize) -> Result<NodeId, ParseError> {
        let recursive = || self.error(offset, ParseErrorKind::RecursiveAlias);
        let target = *self.anchors.get(&anchor).ok_or_else(recursive)?;
        let is_open = self.open.iter().any(|open| open.id == target);
        (!is_open).then_some(target).ok_or_else(recursive)
    }

    fn add_alias(&mut self, span: Range<usize>, target: Option<NodeId>) -> Result<(), ParseError> {
        let indicator = self.indicator_offsets(span.start);
        self.add_node(indicator, span, NodeKind::Alias(target), 0);
        self.attach(self.last_node, indicator.item_start)
    }

    fn open_collection(&mut self, span: &Span, anchor: usize, kind: NodeKind) {
        let mut content = span.byte_range().unwrap_or_default().start;
        let indicator = self.indicator_offsets(content);
        // The span of the parser starts after the dash if the dashes are in the column of their key.
        if matches!(kind, NodeKind::Sequence { is_flow: false, .. }) {
            content = self.skip_properties(indicator.after_indicator);
        }
        let tag = span.tag_span().and_then(|tag| tag.byte_range());
        let start = tag.map_or(content, |tag| tag.start.min(content));
        self.add_node(indicator, start..start, kind, anchor);
        self.open.push(OpenCollection {
            id: self.last_node,
            item_start: indicator.item_start,
            pending_key: None,
            handled_to: content,
        });
    }

    fn add_node(
        &mut self,
        indicator: IndicatorOffsets,
        span: Range<usize>,
        kind: NodeKind,
        anchor: usize,
    ) {
        self.tree.value_bytes += limits::DOCUMENT_NODE_BYTES;
        if matches!(kind, NodeKind::Sequence { .. } | NodeKind::Mapping { .. }) {
            self.tree.value_bytes += limits::DOCUMENT_COLLECTION_BYTES;
        }
        self.last_node = self.tree.nodes.len();
        self.tree.nodes.push(Node {
            // The tag of a root is before the offset that the parser reports.
            after_indicator: indicator.after_indicator.min(span.start),
            start: span.start,
            end: span.end,
            kind,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, self.last_node);
        }
    }

    /// Excludes an anchor from the span of the last node, so that it stays when the value is replaced. An anchor before a
    /// tag is replaced together with the tag.
    fn exclude_anchor(&mut self, start: usize, end: usize) {
        let node = &mut self.tree.nodes[self.last_node];
        // A collection has no end yet. The parser may report an empty scalar after the colon that follows it.
        if node.is_empty() && matches!(node.kind, NodeKind::Scalar { .. }) {
            (node.after_indicator, node.start, node.end) = (end, end, end);
        }
        node.after_indicator = node.after_indicator.max(end);
        if node.start < end {
            node.start = node.start.min(start);
            node.after_indicator = node.after_indicator.min(node.start);
        }
        let end = node.end.max(end);
        if let Some(open) = self.open.last_mut() {
            open.handled_to = open.handled_to.max(end);
        }
    }

    fn close_collection(&mut self, span: &Range<usize>) -> Result<(), ParseError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let end = if span.is_empty() {
            open.handled_to
        } else {
            span.end
        };
        self.tree.nodes[open.id].end = end;
        self.check_unique_keys(open.id)?;
        self.attach(open.id, open.item_start)
    }

    /// Adds a complete node to the innermost open collection, or makes it the root.
    fn attach(&mut self, id: NodeId, item_start: usize) -> Result<(), ParseError> {
        let end = self.tree.nodes[id].end;
        let Some(open) = self.open.last_mut() else {
            self.tree.root = Some(id);
            return Ok(());
        };
        let parent = open.id;
        open.handled_to = open.handled_to.max(end);
        if let NodeKind::Sequence { items, .. } = &mut self.tree.nodes[parent].kind {
            items.push(Item {
                start: item_start,
                value: id,
            });
            return Ok(());
        }
        let Some(key) = open.pending_key.take() else {
            open.pending_key = Some(id);
            return Ok(());
        };
        let name = self.key_name(key)?;
        if let NodeKind::Mapping { entries, .. } = &mut self.tree.nodes[parent].kind {
            let value = id;
            entries.push(Entry { name, key, value });
        }
        Ok(())
    }

    /// The name of a key; `None` for a merge key.
    fn key_name(&self, key: NodeId) -> Result<Option<Box<str>>, ParseError> {
        let mut node = &self.tree.nodes[key];
        let start = node.start;
        while let NodeKind::Alias(Some(target)) = node.kind {
            node = &self.tree.nodes[target];
        }
        match &node.kind {
            NodeKind::Scalar {
                is_merge_key: true, ..
            } => return Ok(None),
            NodeKind::Scalar { value, .. } => {
                if let Some(name) = scalar::key_name(value) {
                    return Ok(Some(name));
                }
            }
            NodeKind::Mapping { is_flow: true, .. } if self.is_template(start) => {
                return Err(self.error(start, ParseErrorKind::Template));
            }
            _ => {}
        }
        Err(self.error(start, ParseErrorKind::InvalidKey))
    }

    /// Whether a flow mapping is `{{` of a Go template: it starts with two braces, or is inside another one.
    fn is_template(&self, start: usize) -> bool {
        self.text[start..].starts_with("{{") || self.text[..start].ends_with('{')
    }

    fn check_unique_keys(&self, id: NodeId) -> Result<(), ParseError> {
        let NodeKind::Mapping { entries, .. } = &self.tree.nodes[id].kind else {
            return Ok(());
        };
        let mut seen = HashSet::with_capacity(entries.len());
        let mut names = entries.iter().map(name_of);
        let Some(duplicate) = names.position(|name| !seen.insert(name)) else {
            return Ok(());
        };
        let duplicate = &entries[duplicate];
        let key = name_of(duplicate);
        let start = |entry: &Entry| self.tree.nodes[entry.key].start;
        let first = entries.iter().find(|entry| name_of(entry) == key);
        let (first_line, _) = text::line_and_column(self.text, first.map_or(0, start));
        let key = key.into();
        Err(self.error(
            start(duplicate),
            ParseErrorKind::DuplicateKey { key, first_line },
        ))
    }
}

fn name_of(entry: &Entry) -> &str {
    entry.name.as_deref().unwrap_or("<<")
}

/// Whether a value has the type of a tag of the core schema.
fn has_type(value: &Value, suffix: &str) -> bool {
    match suffix {
        "bool" => value.is_boolean(),
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        "null" => value.is_null(),
        _ => true,
    }
}
