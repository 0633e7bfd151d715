//! Places in a document: the keys and indexes on the way from its root.

use core::fmt;
use serde_json::Value;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Into the entry of a mapping.
    Key(Box<str>),
    /// Into the item of a sequence, from 0.
    Item(usize),
}

/// A place in a document; it shows as a JSON Pointer (RFC 6901).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(Vec<Step>);

impl Pointer {
    /// The document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The entry of this key below it.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.keys(&[key])
    }

    /// The entries of these keys, one below the other.
    #[must_use]
    pub fn keys(&self, keys: &[&str]) -> Self {
        self.longer(keys.iter().map(|key| Step::Key((*key).into())))
    }

    /// The item of this index below it.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.longer([Step::Item(index)].into_iter())
    }

    /// The place these steps further down.
    #[must_use]
    pub fn down(&self, steps: &[Step]) -> Self {
        self.longer(steps.iter().cloned())
    }

    fn longer(&self, more: impl ExactSizeIterator<Item = Step>) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + more.len());
        steps.extend_from_slice(&self.0);
        steps.extend(more);
        Self(steps)
    }

    /// The place that these steps lead to.
    pub(super) fn from_steps(steps: Vec<Step>) -> Self {
        Self(steps)
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The place above it and the step down from there; the root has none.
    pub fn split(&self) -> Option<(Self, &Step)> {
        let (last, above) = self.0.split_last()?;
        Some((Self(above.to_vec()), last))
    }

    /// The place so many steps from the root on the way to it.
    #[must_use]
    pub fn up_to(&self, steps: usize) -> Self {
        Self(self.0.iter().take(steps).cloned().collect())
    }

    /// The same place as seen from one that is so many steps from the root on the way to it.
    #[must_use]
    pub fn below(&self, steps: usize) -> Self {
        Self(self.0.iter().skip(steps).cloned().collect())
    }

    /// What a document has there.
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            Step::Key(key) => value.as_object()?.get(&**key),
            Step::Item(index) => value.as_array()?.get(*index),
        })
    }

    /// The same, to be changed.
    pub fn find_mut<'a>(&self, document: &'a mut Value) -> Option<&'a mut Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            Step::Key(key) => value.as_object_mut()?.get_mut(&**key),
            Step::Item(index) => value.as_array_mut()?.get_mut(*index),
        })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            match step {
                Step::Key(key) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1"))?,
                Step::Item(index) => write!(f, "/{index}")?,
            }
        }
        Ok(())
    }
}
