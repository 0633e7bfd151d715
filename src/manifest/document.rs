//! A parsed document: its source text, its nodes and its JSON value.

#[cfg(doc)]
use super::edit::Edit;
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
        let by_ratio = text.len() * limits::DOCUMENT_VALUES_RATIO;
        Self::parse_within(text, aliases, limits::DOCUMENT_VALUES_BYTES.max(by_ratio))
    }

    /// Parses the edited text of a document. [`Document::max_edit_bytes`] limits its values.
    pub(super) fn parse_edited(text: &str, aliases: UnresolvedAliases) -> Result<Self, ParseError> {
        Self::parse_within(text, aliases, usize::MAX)
    }

    /// The limit of the estimated memory of edits ([`Edit::memory_bytes`]), so that editing fits
    /// `limits::DOCUMENT_MEMORY_BYTES`. Memory has the values of the document twice, and once more without their nodes: as
    /// read, as intended, and as parsed from the edited text; the edits are in each of the latter two as well.
    pub fn max_edit_bytes(&self) -> usize {
        let by_ratio = self.text.len() * limits::DOCUMENT_MEMORY_RATIO;
        let memory = limits::DOCUMENT_MEMORY_BYTES.max(by_ratio);
        let free = memory.saturating_sub(self.tree.value_bytes * 5 / 2);
        limits::DOCUMENT_EDITS_BYTES_MIN.max(free / 3)
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
