//! The nodes of a document, and the bytes each is written in.

use serde_json::Value;

/// A node's number in its document.
pub(super) type Id = usize;

/// A value, or a key.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where a value could begin: behind the colon, the dash or the anchor; in a flow sequence, and for the
    /// root, its first byte.
    pub lead: usize,
    /// The first byte, tag included; of an empty value, `lead`.
    pub start: usize,
    /// Behind the last byte, without the line break.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A scalar, and what it stands for; `merge` if it is a plain `<<`.
    Scalar { value: Value, merge: bool },
    /// An alias of a node; of none in a piece of text whose anchors are elsewhere.
    Alias(Option<Id>),
    /// A sequence; its nodes, and where the dashes are if it is a block.
    Sequence { flow: bool, items: Vec<Item> },
    /// A mapping.
    Mapping { flow: bool, entries: Vec<Entry> },
}

/// An item of a sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Where its dash is; in flow, where it begins.
    pub start: usize,
    /// Its value.
    pub value: Id,
}

/// An entry of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key as JSON has it; `<<` has none.
    pub name: Option<Box<str>>,
    /// The key's node.
    pub key: Id,
    /// The value's node.
    pub value: Id,
}

impl Node {
    /// Whether it is a block mapping or block sequence.
    pub fn is_block(&self) -> bool {
        match self.kind {
            Kind::Sequence { flow, .. } | Kind::Mapping { flow, .. } => !flow,
            _ => false,
        }
    }

    /// Whether nothing is written, which reads as null.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}
