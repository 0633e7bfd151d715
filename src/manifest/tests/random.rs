//! Random edits of a document, and their inverses.

use crate::manifest::{Document, Edit, NewValue, Op, Pointer, Segment, SourceText};
use serde_json::{Value, json};

/// A pseudorandom generator (Marsaglia's xorshift64) with a fixed seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below this one.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end.max(1)
    }

    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    /// Returns true in this percentage of calls.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Pointers to all nodes of a value, the root included.
pub fn pointers(value: &Value) -> Vec<Pointer> {
    let mut all = Vec::new();
    collect(value, &Pointer::root(), &mut all);
    all
}

fn collect(value: &Value, pointer: &Pointer, all: &mut Vec<Pointer>) {
    all.push(pointer.clone());
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| collect(value, &pointer.join_key(key), all)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| collect(value, &pointer.join_index(index), all)),
        _ => {}
    }
}

/// A value that injection may write, or one that is hard to render.
pub fn value(rng: &mut Random) -> Value {
    match rng.below(14) {
        0 => json!(15020),
        1 => json!("/app-health/web/livez"),
        2 => json!({}),
        3 => json!([]),
        4 => json!(null),
        5 => json!("yes"),
        6 => json!("15020"),
        7 => json!("it's #1: \"a\"\n\tb\u{e4}\u{7f}"),
        8 => {
            json!({"name": "probelet", "args": ["--a=b", ""], "env": [{"name": "A", "value": "{\"b\":1}"}]})
        }
        9 => json!([{"name": "x", "image": "i:1"}, [1, [2.5]], {}]),
        10 => json!({"a": {"b": {"c": []}}, "1": true, "": -3}),
        11 => json!(" # "),
        12 => json!("- x"),
        _ => json!("HTTP"),
    }
}

/// A random edit of one of these nodes; none if it does not apply.
pub fn edit(rng: &mut Random, document: &Document, pointers: &[Pointer]) -> Option<Edit> {
    let pointer = pointers[rng.below(pointers.len())].clone();
    let new = NewValue::from(value(rng));
    match pointer.resolve(document.value())? {
        Value::Object(map) if !map.is_empty() && rng.chance(60) => {
            let pointer = pointer.join_key("added here");
            let op = Op::Add(new);
            pointer
                .resolve(document.value())
                .is_none()
                .then_some(Edit { pointer, op })
        }
        Value::Array(items) if !items.is_empty() && rng.chance(60) => {
            let index = if rng.chance(70) {
                0
            } else {
                rng.below(items.len() + 1)
            };
            let pointer = pointer.join_index(index);
            let op = Op::Add(new);
            Some(Edit { pointer, op })
        }
        _ => {
            let (parent, segment) = pointer.split_last()?;
            let op = match segment {
                Segment::Key(key) if rng.chance(25) => {
                    let key: Box<str> = format!("{key}-renamed").into();
                    parent
                        .join_key(&key)
                        .resolve(document.value())
                        .is_none()
                        .then_some(())?;
                    Op::Rename { key, text: None }
                }
                _ => Op::Replace(new),
            };
            Some(Edit { pointer, op })
        }
    }
}

/// The edits that restore a document from its edited text; none if it has no source text for a node.
pub fn inverse(document: &Document, edits: &[Edit]) -> Option<Vec<Edit>> {
    let invert = |edit: &Edit| {
        let pointer = moved(edit, edits);
        let op = match &edit.op {
            Op::Add(_) => Op::Remove,
            Op::Replace(_) => Op::Replace(NewValue {
                value: edit.pointer.resolve(document.value())?.clone(),
                text: Some(document.value_text(&edit.pointer)?),
            }),
            Op::Rename { .. } => match edit.pointer.split_last()?.1 {
                Segment::Key(key) => Op::Rename {
                    key: key.clone(),
                    text: Some(document.key_text(&edit.pointer)?),
                },
                Segment::Index(_) => return None,
            },
            Op::Remove => return None,
        };
        Some(Edit { pointer, op })
    };
    edits.iter().map(invert).collect()
}

/// The pointer of an edit in the edited document.
fn moved(edit: &Edit, edits: &[Edit]) -> Pointer {
    let mut new = Pointer::root();
    let mut old = Pointer::root();
    for (depth, segment) in edit.pointer.segments().iter().enumerate() {
        let is_added = depth + 1 == edit.pointer.segments().len() && matches!(edit.op, Op::Add(_));
        let next = match segment {
            Segment::Key(key) => old.join_key(key),
            Segment::Index(index) => old.join_index(*index),
        };
        new = match segment {
            Segment::Key(key) => new.join_key(renamed(&next, edits).unwrap_or(key)),
            Segment::Index(index) => {
                new.join_index(index + added_before(&old, *index, is_added, edits))
            }
        };
        old = next;
    }
    new
}

fn renamed<'a>(pointer: &Pointer, edits: &'a [Edit]) -> Option<&'a str> {
    edits.iter().find_map(|edit| match &edit.op {
        Op::Rename { key, .. } if edit.pointer == *pointer => Some(&**key),
        _ => None,
    })
}

/// The number of items that edits add before an index. `is_added` says that the item of this index is added too.
fn added_before(parent: &Pointer, index: usize, is_added: bool, edits: &[Edit]) -> usize {
    let is_before = |edit: &&Edit| {
        let Op::Add(_) = edit.op else {
            return false;
        };
        let is_in_front = (0..=index).any(|index| parent.join_index(index) == edit.pointer);
        is_in_front && !(is_added && edit.pointer == parent.join_index(index))
    };
    edits.iter().filter(is_before).count()
}

/// Whether two edits concern different nodes, and neither node is inside a value or key that the other edit changes.
pub fn are_independent(one: &Edit, other: &Edit) -> bool {
    let is_inside = |one: &Edit, other: &Edit| {
        one.pointer.segments().starts_with(other.pointer.segments())
            && !matches!(other.op, Op::Add(_))
            || one.pointer == other.pointer
    };
    !is_inside(one, other) && !is_inside(other, one)
}
