//! Converts a tree to its JSON value: resolves aliases and applies merge keys.

use super::error::{ParseError, ParseErrorKind};
use super::tree::{Entry, NodeId, NodeKind, Tree};
use crate::limits;
use serde_json::{Map, Value};

/// Converts a tree to its JSON value.
///
/// # Errors
/// A merge key is invalid, or aliases expand beyond `limits`.
pub(super) fn to_json(text: &str, tree: &Tree) -> Result<Value, ParseError> {
    let mut converter = Converter {
        text,
        tree,
        aliased_values: 0,
        aliased_bytes: 0,
        alias_depth: 0,
    };
    tree.root
        .map_or(Ok(Value::Null), |root| converter.convert_node(root, 0))
}

struct Converter<'a> {
    text: &'a str,
    tree: &'a Tree,
    /// Number of values copied because of aliases.
    aliased_values: usize,
    /// Bytes of text copied because of aliases, keys included.
    aliased_bytes: usize,
    /// Number of aliases around the current node.
    alias_depth: usize,
}

impl Converter<'_> {
    fn convert_node(&mut self, id: NodeId, depth: usize) -> Result<Value, ParseError> {
        let node = &self.tree.nodes[id];
        if depth > limits::DOCUMENT_NESTING {
            return self.error(id, ParseErrorKind::TooDeep);
        }
        if self.alias_depth > 0 {
            self.aliased_values += 1;
            if self.aliased_values > limits::ALIASED_VALUES {
                return self.error(id, ParseErrorKind::TooManyAliasedValues);
            }
        }
        match &node.kind {
            NodeKind::Scalar { value, .. } => {
                self.count_bytes(id, value.as_str().map_or(0, str::len))?;
                Ok(value.clone())
            }
            NodeKind::Alias(None) => Ok(Value::Null),
            NodeKind::Alias(Some(target)) => {
                self.alias_depth += 1;
                let value = self.convert_node(*target, depth);
                self.alias_depth -= 1;
                value
            }
            NodeKind::Sequence { items, .. } => items
                .iter()
                .map(|item| self.convert_node(item.value, depth + 1))
                .collect(),
            NodeKind::Mapping { entries, .. } => self.convert_mapping(entries, depth),
        }
    }

    /// Counts text below an alias: each alias copies it once more.
    fn count_bytes(&mut self, id: NodeId, bytes: usize) -> Result<(), ParseError> {
        if self.alias_depth > 0 {
            self.aliased_bytes += bytes;
            if self.aliased_bytes > limits::ALIASED_BYTES {
                return self.error(id, ParseErrorKind::TooManyAliasedBytes);
            }
        }
        Ok(())
    }

    fn convert_mapping(&mut self, entries: &[Entry], depth: usize) -> Result<Value, ParseError> {
        let mut map = Map::new();
        for entry in entries {
            let value = self.convert_node(entry.value, depth + 1)?;
            match &entry.name {
                Some(name) => {
                    self.count_bytes(entry.key, name.len())?;
                    map.insert((**name).into(), value);
                }
                None => self.merge(&mut map, value, entry)?,
            }
        }
        Ok(map.into())
    }

    /// Merges the value of a merge key. The first of several mappings takes precedence, and explicit keys take
    /// precedence over all of them.
    fn merge(
        &self,
        map: &mut Map<String, Value>,
        value: Value,
        entry: &Entry,
    ) -> Result<(), ParseError> {
        let merged_mappings = match value {
            Value::Array(mappings) => mappings,
            mapping => vec![mapping],
        };
        let preceding_keys: Vec<String> = map.keys().cloned().collect();
        for mapping in merged_mappings {
            let mapping = match mapping {
                Value::Object(mapping) => mapping,
                // An alias whose anchor is not in this fragment.
                Value::Null if self.tree.has_unresolved_aliases => continue,
                _ => return self.error(entry.value, ParseErrorKind::InvalidMerge),
            };
            if let Some(key) = preceding_keys.iter().find(|key| mapping.contains_key(*key)) {
                let key = key.as_str().into();
                return self.error(entry.key, ParseErrorKind::MergeOrder { key });
            }
            for (key, value) in mapping {
                map.entry(key).or_insert(value);
            }
        }
        Ok(())
    }

    fn error<T>(&self, id: NodeId, kind: ParseErrorKind) -> Result<T, ParseError> {
        let start = self.tree.nodes[id].start;
        Err(ParseError::at(self.text, start, kind))
    }
}
