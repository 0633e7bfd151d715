//! Manifests as text and as values: where each value is written, and edits that leave every other byte as it
//! is. Knows YAML and JSON, and nothing of Kubernetes.
//!
//! A file is a [`Stream`] of documents' texts, a text a [`Document`], its value serde_json's.

mod build;
mod change;
mod edit;
mod error;
mod kept;
mod pointer;
mod refusal;
mod render;
mod scalar;
mod splice;
mod stream;
mod text;
mod tree;
mod value;
mod walk;

#[cfg(test)]
mod tests;

pub use change::EditError;
pub use edit::{Change, Edit, Misfit, Written, apply, in_order, json_patch};
pub use error::{DocumentError, Problem};
pub use pointer::{Pointer, Step};
pub use stream::{Piece, Stream, StreamError, StreamProblem};

use build::{Aliases, Tree};
use serde_json::Value;

/// Looks up how something of a document is written.
pub trait Source {
    /// The source text of the value at a place, without what surrounds it. Where that is not one space, it
    /// begins with the blanks or the line break in front of the value. There is none behind an alias or `<<`.
    fn value_text(&self, at: &Pointer) -> Option<Box<str>>;
    /// The source text of the key of the entry at a place.
    fn key_text(&self, at: &Pointer) -> Option<Box<str>>;
    /// The highest place on the way to this one, itself included, whose content is written elsewhere: an alias
    /// (`*name`), or a mapping whose `<<` brings the next key of the way. An edit below it replaces the whole
    /// of it.
    fn shared_above(&self, at: &Pointer) -> Option<Pointer> {
        let _ = at;
        None
    }
}

/// One document of a manifest: its text, where each value is in it, and the value of the whole.
pub struct Document {
    text: Box<str>,
    tree: Tree,
    value: Value,
}

impl Document {
    /// Reads a document. A text of comments alone is one, too; its value is null.
    ///
    /// # Errors
    /// It is not YAML, or is such YAML as readers do not agree on.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        Self::read(text, Aliases::Known)
    }

    fn read(text: &str, aliases: Aliases) -> Result<Self, DocumentError> {
        let tree = build::tree(text, aliases)?;
        let value = value::value(text, &tree)?;
        let text = text.into();
        Ok(Self { text, tree, value })
    }

    /// What it stands for: scalars as kubectl reads them, aliases followed, `<<` merged.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is nothing in it but comments.
    pub fn is_empty(&self) -> bool {
        self.tree.root.is_none()
    }

    /// The line of the entry or item at a place, from 1; where it is not there, of the nearest one above. Where the
    /// content of the place is written elsewhere, the line of the alias or the `<<`.
    pub fn line(&self, at: &Pointer) -> usize {
        let start = self.entry_start(&self.nearest(at));
        text::position(&self.text, start.unwrap_or_default()).0
    }

    /// The text with these edits done; every byte that they do not concern stays.
    ///
    /// # Errors
    /// The edits do not fit, or their places are such that the text would come to stand for something else.
    pub fn edit(&self, edits: &[Edit]) -> Result<String, EditError> {
        change::edit(self, edits)
    }
}

impl Source for Document {
    fn value_text(&self, at: &Pointer) -> Option<Box<str>> {
        let walk = self.walk(at)?;
        walk.is_here().then(|| self.written(walk.node).into())
    }

    fn key_text(&self, at: &Pointer) -> Option<Box<str>> {
        let walk = self.walk(at)?;
        let key = &self.tree.nodes[self.entry(walk.is_here().then_some(walk.within)??)?.key];
        Some(self.text[key.start..key.end].into())
    }

    fn shared_above(&self, at: &Pointer) -> Option<Pointer> {
        let walk = self.walk(at)?;
        let is_alias = matches!(self.tree.nodes[walk.node].kind, tree::Kind::Alias(_));
        let own = is_alias.then(|| at.steps().len());
        Some(at.up_to(walk.shared.or(own)?))
    }
}

/// The value of a piece of source text that [`Source::value_text`] returned; none if it is no value by itself,
/// as an alias is.
pub fn read_text(text: &str) -> Option<Value> {
    kept::read_text(text)
}

/// Whether a piece of source text has its content elsewhere: an alias, or a mapping with a `<<`. Its value is not
/// the text's own, and an edit below replaces the whole of it ([`Source::shared_above`]).
pub fn is_shared_text(text: &str) -> bool {
    kept::is_shared(text)
}

/// A value that came as compact JSON, or might as well have.
impl Source for serde_json::Value {
    fn value_text(&self, at: &Pointer) -> Option<Box<str>> {
        Some(at.find(self)?.to_string().into())
    }

    fn key_text(&self, at: &Pointer) -> Option<Box<str>> {
        at.find(self)?;
        match at.split()?.1 {
            Step::Key(key) => Some(serde_json::Value::from(&**key).to_string().into()),
            Step::Item(_) => None,
        }
    }
}
