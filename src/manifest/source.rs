//! Looks up the source texts of values and keys.

use super::document::Document;
use super::pointer::{Pointer, Segment};
use serde_json::Value;

/// A document whose values and keys have a source text.
pub trait SourceText {
    /// The source text of a value. It starts with the blanks or the line break before the value, unless these are one
    /// space. `None` for a value that an alias or a merge key supplies.
    fn value_text(&self, pointer: &Pointer) -> Option<Box<str>>;

    /// The source text of an entry's key.
    fn key_text(&self, pointer: &Pointer) -> Option<Box<str>>;

    /// The outermost shared node on the path to a node, itself included: an alias, or a mapping whose merge key
    /// supplies the next key of the path. An edit below a shared node replaces all of it.
    fn outermost_shared(&self, _pointer: &Pointer) -> Option<Pointer> {
        None
    }
}

impl SourceText for Document {
    fn value_text(&self, pointer: &Pointer) -> Option<Box<str>> {
        let found = self.resolve(pointer)?;
        (!found.is_shared()).then(|| self.node_text_with_gap(found.node).into())
    }

    fn key_text(&self, pointer: &Pointer) -> Option<Box<str>> {
        let found = self.resolve(pointer)?;
        if found.is_shared() {
            return None;
        }
        let key = self.node(self.entry(found.slot?)?.key);
        Some(self.text[key.start..key.end].into())
    }

    fn outermost_shared(&self, pointer: &Pointer) -> Option<Pointer> {
        Document::outermost_shared(self, pointer)
    }
}

/// A value that has no source text other than compact JSON.
impl SourceText for Value {
    fn value_text(&self, pointer: &Pointer) -> Option<Box<str>> {
        Some(pointer.resolve(self)?.to_string().into())
    }

    fn key_text(&self, pointer: &Pointer) -> Option<Box<str>> {
        pointer.resolve(self)?;
        match pointer.split_last()?.1 {
            Segment::Key(key) => Some(Value::from(&**key).to_string().into()),
            Segment::Index(_) => None,
        }
    }
}
