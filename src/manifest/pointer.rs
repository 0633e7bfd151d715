//! JSON Pointers (RFC 6901): the keys and indexes from the root of a document to a node.

use core::fmt;
use serde_json::Value;

/// A segment of a pointer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// The key of an entry of a mapping.
    Key(Box<str>),
    /// The index of an item of a sequence, from 0.
    Index(usize),
}

/// A JSON Pointer. [`fmt::Display`] writes it as RFC 6901 does: `/spec/containers/0`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer(Vec<Segment>);

impl Pointer {
    /// The pointer to the root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Appends a key.
    #[must_use]
    pub fn join_key(&self, key: &str) -> Self {
        self.join_keys(&[key])
    }

    /// Appends several keys.
    #[must_use]
    pub fn join_keys(&self, keys: &[&str]) -> Self {
        self.extended(keys.iter().map(|key| Segment::Key((*key).into())))
    }

    /// Appends an index.
    #[must_use]
    pub fn join_index(&self, index: usize) -> Self {
        self.extended([Segment::Index(index)].into_iter())
    }

    /// Appends segments.
    #[must_use]
    pub fn join(&self, segments: &[Segment]) -> Self {
        self.extended(segments.iter().cloned())
    }

    fn extended(&self, more: impl ExactSizeIterator<Item = Segment>) -> Self {
        let mut segments = Vec::with_capacity(self.0.len() + more.len());
        segments.extend_from_slice(&self.0);
        segments.extend(more);
        Self(segments)
    }

    /// The segments, from the root down.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The pointer to the parent, and the last segment; `None` for the root.
    pub fn split_last(&self) -> Option<(Self, &Segment)> {
        let (last, parent) = self.0.split_last()?;
        Some((Self(parent.to_vec()), last))
    }

    /// The first `len` segments: a pointer to an ancestor.
    #[must_use]
    pub fn prefix(&self, len: usize) -> Self {
        Self(self.0.iter().take(len).cloned().collect())
    }

    /// The pointer without its first `len` segments: relative to that ancestor.
    #[must_use]
    pub fn without_prefix(&self, len: usize) -> Self {
        Self(self.0.iter().skip(len).cloned().collect())
    }

    /// The pointer for an error text. That of the root is empty, so it is named.
    pub(super) fn describe(&self) -> String {
        match self.0.is_empty() {
            true => "the document".into(),
            false => self.to_string(),
        }
    }

    /// The value at this pointer.
    pub fn resolve<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0
            .iter()
            .try_fold(document, |value, segment| match segment {
                Segment::Key(key) => value.as_object()?.get(&**key),
                Segment::Index(index) => value.as_array()?.get(*index),
            })
    }

    /// The mutable value at this pointer.
    pub fn resolve_mut<'a>(&self, document: &'a mut Value) -> Option<&'a mut Value> {
        self.0
            .iter()
            .try_fold(document, |value, segment| match segment {
                Segment::Key(key) => value.as_object_mut()?.get_mut(&**key),
                Segment::Index(index) => value.as_array_mut()?.get_mut(*index),
            })
    }
}

impl From<Vec<Segment>> for Pointer {
    fn from(segments: Vec<Segment>) -> Self {
        Self(segments)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Key(key) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1"))?,
                Segment::Index(index) => write!(f, "/{index}")?,
            }
        }
        Ok(())
    }
}
