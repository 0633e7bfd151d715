//! A parsed document: its source text, its nodes and its JSON value.

use super::error::ParseError;
use super::parser::{self, UnresolvedAliases};
use super::to_json::to_json;
use super::tree::Tree;
use crate::limits;
use serde_json::Value;

/// A document of a manifest.
pub struct Document {
    pub(super) text: Box<str>,
    pub(super) tree: Tree,
    value: Value,
}

impl Document {
    /// Parses a document. The value of a text with only comments is null.
    ///
    /// # Errors
    /// The text is not YAML, or YAML that readers interpret differently.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, UnresolvedAliases::Reject)
    }

    pub(super) fn parse_with(text: &str, aliases: UnresolvedAliases) -> Result<Self, ParseError> {
        Self::parse_within(text, aliases, limits::DOCUMENT_VALUES_BYTES)
    }

    /// Parses the edited text of a document.
    pub(super) fn parse_edited(text: &str, aliases: UnresolvedAliases) -> Result<Self, ParseError> {
        Self::parse_within(text, aliases, limits::EDITED_VALUES_BYTES)
    }

    fn parse_within(
        text: &str,
        aliases: UnresolvedAliases,
        max_value_bytes: usize,
    ) -> Result<Self, ParseError> {
        let tree = parser::parse(text, aliases, max_value_bytes)?;
        let value = to_json(text, &tree)?;
        let text = text.into();
        Ok(Self { text, tree, value })
    }

    /// The value, with scalars as kubectl reads them, aliases resolved and merge keys applied.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The source text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the document has only comments.
    pub fn is_empty(&self) -> bool {
        self.tree.root.is_none()
    }
}
