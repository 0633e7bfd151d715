//! What a tree stands for, as JSON has it: aliases followed, `<<` merged.

use super::build::Tree;
use super::error::{DocumentError, Problem};
use super::tree::{Entry, Id, Kind};
use crate::limits;
use serde_json::{Map, Value};

/// The value of the tree of this text.
pub(super) fn value(text: &str, tree: &Tree) -> Result<Value, DocumentError> {
    let mut reader = Reader {
        text,
        tree,
        aliased: 0,
        bytes: 0,
        inside: 0,
    };
    tree.root
        .map_or(Ok(Value::Null), |root| reader.node(root, 0))
}

struct Reader<'a> {
    text: &'a str,
    tree: &'a Tree,
    /// Values that came by way of an alias so far.
    aliased: usize,
    /// Bytes of them, keys among them.
    bytes: usize,
    /// Aliases around the value that is read.
    inside: usize,
}

impl Reader<'_> {
    fn node(&mut self, id: Id, depth: usize) -> Result<Value, DocumentError> {
        let node = &self.tree.nodes[id];
        if depth > limits::DOCUMENT_NESTING {
            return self.refuse(id, Problem::Nesting);
        }
        if self.inside > 0 {
            self.aliased += 1;
            if self.aliased > limits::ALIASED_VALUES {
                return self.refuse(id, Problem::Aliases);
            }
        }
        match &node.kind {
            Kind::Scalar { value, .. } => {
                self.charge(id, value.as_str().map_or(0, str::len))?;
                Ok(value.clone())
            }
            Kind::Alias(None) => Ok(Value::Null),
            Kind::Alias(Some(target)) => {
                self.inside += 1;
                let value = self.node(*target, depth);
                self.inside -= 1;
                value
            }
            Kind::Sequence { items, .. } => items
                .iter()
                .map(|item| self.node(item.value, depth + 1))
                .collect(),
            Kind::Mapping { entries, .. } => self.mapping(entries, depth),
        }
    }

    /// A clone each of what is behind an alias is made, however many aliases lead there.
    fn charge(&mut self, id: Id, bytes: usize) -> Result<(), DocumentError> {
        if self.inside > 0 {
            self.bytes += bytes;
            if self.bytes > limits::ALIASED_BYTES {
                return self.refuse(id, Problem::AliasedBytes);
            }
        }
        Ok(())
    }

    fn mapping(&mut self, entries: &[Entry], depth: usize) -> Result<Value, DocumentError> {
        let mut map = Map::new();
        for entry in entries {
            let value = self.node(entry.value, depth + 1)?;
            match &entry.name {
                Some(name) => {
                    self.charge(entry.key, name.len())?;
                    map.insert((**name).into(), value);
                }
                None => self.merge(&mut map, value, entry)?,
            }
        }
        Ok(map.into())
    }

    /// What comes first of several wins, and a key that is written out wins over all.
    fn merge(
        &self,
        map: &mut Map<String, Value>,
        value: Value,
        entry: &Entry,
    ) -> Result<(), DocumentError> {
        let sources = match value {
            Value::Array(sources) => sources,
            one => vec![one],
        };
        let above: Vec<String> = map.keys().cloned().collect();
        for source in sources {
            let source = match source {
                Value::Object(source) => source,
                // The mapping behind an alias whose anchor is not in this piece of text.
                Value::Null if self.tree.loose => continue,
                _ => return self.refuse(entry.value, Problem::Merge),
            };
            if let Some(key) = above.iter().find(|key| source.contains_key(*key)) {
                let key = key.as_str().into();
                return self.refuse(entry.key, Problem::MergeOrder { key });
            }
            for (key, value) in source {
                map.entry(key).or_insert(value);
            }
        }
        Ok(())
    }

    fn refuse<T>(&self, id: Id, problem: Problem) -> Result<T, DocumentError> {
        let start = self.tree.nodes[id].start;
        Err(DocumentError::at(self.text, start, problem))
    }
}
