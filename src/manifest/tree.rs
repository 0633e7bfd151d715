//! The nodes of a parsed document, each with its span in the source text.

use serde_json::Value;

/// The index of a node in [`Tree::nodes`].
pub(super) type NodeId = usize;

/// The nodes of a document.
#[derive(Default)]
pub(super) struct Tree {
    pub nodes: Vec<Node>,
    /// The root; `None` if the text has only comments.
    pub root: Option<NodeId>,
    /// Whether an alias has no anchor in the text, which only fragments may have.
    pub has_unresolved_aliases: bool,
    /// The estimated bytes of its values in memory.
    pub value_bytes: usize,
}

/// A value or a key.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The offset at which a replacement starts: after the colon, the dash or the anchor. In a flow sequence and for
    /// the root, it equals `start`.
    pub after_indicator: usize,
    /// The offset of the first byte, tag included. For an empty node, it equals `after_indicator`.
    pub start: usize,
    /// The offset after the last byte, line break excluded.
    pub end: usize,
    pub kind: NodeKind,
}

/// The kinds of nodes.
#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    /// A scalar and its value. `is_merge_key` if it is `<<`.
    Scalar { value: Value, is_merge_key: bool },
    /// An alias and the node that it refers to; `None` in a fragment without the anchor.
    Alias(Option<NodeId>),
    /// A sequence.
    Sequence { is_flow: bool, items: Vec<Item> },
    /// A mapping.
    Mapping { is_flow: bool, entries: Vec<Entry> },
}

/// An item of a sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// The offset of its dash; in a flow sequence, of its first byte.
    pub start: usize,
    pub value: NodeId,
}

/// An entry of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key as in JSON; `None` for a merge key.
    pub name: Option<Box<str>>,
    pub key: NodeId,
    pub value: NodeId,
}

impl Node {
    /// Whether this is a block mapping or a block sequence.
    pub fn is_block(&self) -> bool {
        match self.kind {
            NodeKind::Sequence { is_flow, .. } | NodeKind::Mapping { is_flow, .. } => !is_flow,
            NodeKind::Scalar { .. } | NodeKind::Alias(_) => false,
        }
    }

    /// Whether the node has no source text, which YAML reads as null.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}
