//! Edits made up at random for a document, and those that take them back.

use super::{Op, Document, Edit, Pointer, Source, Segment, NewValue};
use serde_json::{Value, json};

/// A generator of numbers (Marsaglia's xorshift64), the same numbers each time.
pub struct Dice(u64);

impl Dice {
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

    /// Whether, so many times out of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// All places of a value, the root among them.
pub fn places(value: &Value) -> Vec<Pointer> {
    let mut all = Vec::new();
    gather(value, &Pointer::root(), &mut all);
    all
}

fn gather(value: &Value, at: &Pointer, all: &mut Vec<Pointer>) {
    all.push(at.clone());
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| gather(value, &at.join_key(key), all)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| gather(value, &at.join_index(index), all)),
        _ => {}
    }
}

/// A value such as an injector writes, or worse.
pub fn value(dice: &mut Dice) -> Value {
    match dice.below(14) {
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

/// One edit that a document has room for, if the dice find one.
pub fn edit(dice: &mut Dice, document: &Document, places: &[Pointer]) -> Option<Edit> {
    let at = places[dice.below(places.len())].clone();
    let written = NewValue::from(value(dice));
    match at.resolve(document.value())? {
        Value::Object(map) if !map.is_empty() && dice.chance(60) => {
            let at = at.join_key("added here");
            let change = Op::Add(written);
            at.resolve(document.value())
                .is_none()
                .then_some(Edit { pointer: at, op: change })
        }
        Value::Array(items) if !items.is_empty() && dice.chance(60) => {
            let index = if dice.chance(70) {
                0
            } else {
                dice.below(items.len() + 1)
            };
            let change = Op::Add(written);
            Some(Edit {
                pointer: at.join_index(index),
                op: change,
            })
        }
        _ => {
            let (above, step) = at.split_last()?;
            let change = match step {
                Segment::Key(key) if dice.chance(25) => {
                    let key: Box<str> = format!("{key}-renamed").into();
                    above
                        .join_key(&key)
                        .resolve(document.value())
                        .is_none()
                        .then_some(())?;
                    Op::Rename { key, text: None }
                }
                _ => Op::Replace(written),
            };
            Some(Edit { pointer: at, op: change })
        }
    }
}

/// The edits that take these back from the document that they made of this one; none where it does not say
/// how it was written.
pub fn inverse(document: &Document, edits: &[Edit]) -> Option<Vec<Edit>> {
    let back = |edit: &Edit| {
        let at = moved(edit, edits);
        let change = match &edit.op {
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
        Some(Edit { pointer: at, op: change })
    };
    edits.iter().map(back).collect()
}

/// Where the place of an edit is once all are done.
fn moved(edit: &Edit, edits: &[Edit]) -> Pointer {
    let mut now = Pointer::root();
    let mut was = Pointer::root();
    for (depth, step) in edit.pointer.segments().iter().enumerate() {
        let own = depth + 1 == edit.pointer.segments().len() && matches!(edit.op, Op::Add(_));
        let next = match step {
            Segment::Key(key) => was.join_key(key),
            Segment::Index(index) => was.join_index(*index),
        };
        now = match step {
            Segment::Key(key) => now.join_key(renamed(&next, edits).unwrap_or(key)),
            Segment::Index(index) => now.join_index(index + added_before(&was, *index, own, edits)),
        };
        was = next;
    }
    now
}

fn renamed<'a>(at: &Pointer, edits: &'a [Edit]) -> Option<&'a str> {
    edits.iter().find_map(|edit| match &edit.op {
        Op::Rename { key, .. } if edit.pointer == *at => Some(&**key),
        _ => None,
    })
}

fn added_before(above: &Pointer, index: usize, own: bool, edits: &[Edit]) -> usize {
    let before = |edit: &&Edit| {
        let Op::Add(_) = edit.op else {
            return false;
        };
        let added = (0..=index).any(|at| above.join_index(at) == edit.pointer);
        added && !(own && edit.pointer == above.join_index(index))
    };
    edits.iter().filter(before).count()
}

/// Whether two edits are about different places, neither inside what the other one writes or renames.
pub fn apart(one: &Edit, other: &Edit) -> bool {
    let inside = |one: &Edit, other: &Edit| {
        one.pointer.segments().starts_with(other.pointer.segments()) && !matches!(other.op, Op::Add(_))
            || one.pointer == other.pointer
    };
    !inside(one, other) && !inside(other, one)
}
