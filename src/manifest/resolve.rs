//! Resolves pointers to the nodes of a document, and offsets to pointers.

use super::document::Document;
use super::pointer::{Pointer, Segment};
use super::text;
use super::tree::{Entry, Item, Node, NodeId, NodeKind};
use core::ops::Range;

/// The node that a pointer resolves to.
#[derive(Clone, Copy)]
pub(super) struct Resolved {
    /// The node. If it is an alias, the alias.
    pub node: NodeId,
    /// Its slot in the parent; `None` for the root.
    pub slot: Option<Slot>,
    /// The length of the pointer to the outermost shared ancestor, if there is one: an alias, or a mapping whose merge key
    /// supplies the next key.
    pub shared_depth: Option<usize>,
}

/// An entry or item of a collection.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub collection: NodeId,
    pub index: usize,
}

impl Resolved {
    /// Whether the node comes from an alias or a merge key.
    pub fn is_shared(&self) -> bool {
        self.shared_depth.is_some()
    }
}

impl Document {
    /// The line of an entry or item, from 1. If it does not exist, the line of its nearest ancestor; if an alias or a
    /// merge key supplies it, the line of that alias or merge key.
    pub fn line(&self, pointer: &Pointer) -> usize {
        let start = self.entry_start(&self.nearest_existing(pointer));
        let (line, _) = text::line_and_column(&self.text, start.unwrap_or_default());
        line
    }

    /// Resolves a pointer.
    pub(super) fn resolve(&self, pointer: &Pointer) -> Option<Resolved> {
        let mut resolved = Resolved {
            node: self.tree.root?,
            slot: None,
            shared_depth: None,
        };
        for (depth, segment) in pointer.segments().iter().enumerate() {
            let collection = self.follow_alias(resolved.node);
            let (slot, is_merged) = self.find_slot(collection, segment)?;
            if is_merged || collection != resolved.node {
                resolved.shared_depth = resolved.shared_depth.or(Some(depth));
            }
            resolved.node = self.child(slot)?;
            resolved.slot = Some(slot);
        }
        Some(resolved)
    }

    /// The slot of a segment in a collection, and whether a merge key supplies it.
    fn find_slot(&self, collection: NodeId, segment: &Segment) -> Option<(Slot, bool)> {
        match (segment, &self.node(collection).kind) {
            (Segment::Index(index), NodeKind::Sequence { items, .. }) => {
                let index = *index;
                (index < items.len()).then_some((Slot { collection, index }, false))
            }
            (Segment::Key(key), NodeKind::Mapping { entries, .. }) => {
                let has_key = |entry: &Entry| entry.name.as_deref() == Some(key);
                if let Some(index) = entries.iter().position(has_key) {
                    return Some((Slot { collection, index }, false));
                }
                let merge = entries.iter().find(|entry| entry.name.is_none())?;
                self.merged_mappings(merge.value)
                    .find_map(|source| self.find_slot(source, segment))
                    .map(|(slot, _)| (slot, true))
            }
            _ => None,
        }
    }

    /// The value in a slot.
    fn child(&self, slot: Slot) -> Option<NodeId> {
        let entry = self.entry(slot).map(|entry| entry.value);
        let item = self.items(slot.collection).get(slot.index);
        entry.or_else(|| item.map(|item| item.value))
    }

    /// The mappings that a merge key with this value merges.
    fn merged_mappings(&self, value: NodeId) -> impl Iterator<Item = NodeId> {
        let value = self.follow_alias(value);
        let items = self.items(value);
        let single = items.is_empty().then_some(value);
        let several = items.iter().map(|item| self.follow_alias(item.value));
        single.into_iter().chain(several)
    }

    /// The node that an alias refers to, or the node itself.
    fn follow_alias(&self, node: NodeId) -> NodeId {
        match self.node(node).kind {
            NodeKind::Alias(Some(target)) => target,
            _ => node,
        }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.tree.nodes[id]
    }

    pub(super) fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.entries(slot.collection).get(slot.index)
    }

    pub(super) fn entries(&self, id: NodeId) -> &[Entry] {
        match &self.node(id).kind {
            NodeKind::Mapping { entries, .. } => entries,
            _ => &[],
        }
    }

    pub(super) fn items(&self, id: NodeId) -> &[Item] {
        match &self.node(id).kind {
            NodeKind::Sequence { items, .. } => items,
            _ => &[],
        }
    }

    /// The number of entries or items of a collection.
    pub(super) fn child_count(&self, id: NodeId) -> usize {
        self.entries(id).len() + self.items(id).len()
    }

    /// The span of an entry or item, key or dash included.
    pub(super) fn child_span(&self, slot: Slot) -> Range<usize> {
        if let Some(entry) = self.entry(slot) {
            let (key, value) = (self.node(entry.key), self.node(entry.value));
            return key.start..value.end.max(key.end);
        }
        let item = self.items(slot.collection)[slot.index];
        item.start..self.node(item.value).end.max(item.start + 1)
    }

    /// The source text of a node, with the blanks or line break before it unless these are one space.
    pub(super) fn node_text_with_gap(&self, id: NodeId) -> &str {
        let node = self.node(id);
        let gap = &self.text[node.after_indicator..node.start];
        let start = if gap == " " {
            node.start
        } else {
            node.after_indicator
        };
        &self.text[start..node.end]
    }

    /// The pointer, or the longest prefix of it that resolves.
    pub(super) fn nearest_existing(&self, pointer: &Pointer) -> Pointer {
        let prefixes = (0..=pointer.segments().len()).rev();
        let mut existing = prefixes
            .map(|len| pointer.prefix(len))
            .filter(|prefix| self.resolve(prefix).is_some());
        existing.next().unwrap_or_default()
    }

    /// The outermost shared node on the path to a node, itself included.
    pub(super) fn outermost_shared(&self, pointer: &Pointer) -> Option<Pointer> {
        let resolved = self.resolve(pointer)?;
        let is_alias = matches!(self.node(resolved.node).kind, NodeKind::Alias(_));
        let itself = is_alias.then(|| pointer.segments().len());
        Some(pointer.prefix(resolved.shared_depth.or(itself)?))
    }

    /// The offset at which a value starts. For a shared value, the offset of the alias or the merge key.
    pub(super) fn value_start(&self, pointer: &Pointer) -> Option<usize> {
        let shared = self.outermost_shared(pointer);
        let resolved = self.resolve(shared.as_ref().unwrap_or(pointer))?;
        let mut entries = self.entries(resolved.node).iter();
        let merge = entries.find(|entry| shared.is_some() && entry.name.is_none());
        let node = merge.map_or(resolved.node, |merge| merge.key);
        Some(self.node(node).start)
    }

    /// The offset at which an entry or item starts. For a shared one, the offset of the entry with the alias, or of the
    /// merge key.
    pub(super) fn entry_start(&self, pointer: &Pointer) -> Option<usize> {
        let shared = self.outermost_shared(pointer);
        let resolved = self.resolve(shared.as_ref().unwrap_or(pointer))?;
        let is_merged = shared.is_some() && !self.entries(resolved.node).is_empty();
        match resolved.slot.filter(|_| !is_merged) {
            Some(slot) => Some(self.child_span(slot).start),
            None => self.value_start(pointer),
        }
    }

    /// The pointer to the deepest entry or item whose span includes an offset.
    pub(super) fn pointer_at(&self, offset: usize) -> Pointer {
        let mut segments = Vec::new();
        let mut deepest = self.tree.root;
        while let Some(collection) = deepest {
            let mut slots =
                (0..self.child_count(collection)).map(|index| Slot { collection, index });
            let slot = slots.find(|slot| {
                let span = self.child_span(*slot);
                (span.start..=span.end).contains(&offset)
            });
            deepest = slot.and_then(|slot| {
                segments.push(match self.entry(slot) {
                    Some(entry) => Segment::Key(entry.name.clone()?),
                    None => Segment::Index(slot.index),
                });
                self.child(slot)
            });
        }
        segments.into()
    }

    /// The column of the keys or dashes of a block collection.
    pub(super) fn block_column(&self, collection: NodeId) -> usize {
        let first = self.child_span(Slot {
            collection,
            index: 0,
        });
        text::column_index(&self.text, first.start)
    }
}
