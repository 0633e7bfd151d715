//! Ways from the root of a document to a place in it.

use super::pointer::{Pointer, Step};
use super::text;
use super::tree::{Entry, Id, Item, Kind, Node};
use super::{Document, Source};

/// Where a way led.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    /// The value there, an alias if it is one.
    pub node: Id,
    /// The collection it is in, and its number there; the root is in none.
    pub within: Option<(Id, usize)>,
    /// The number of steps to the highest value on the way that is written elsewhere: an alias, or a mapping
    /// whose `<<` brings the next key.
    pub shared: Option<usize>,
}

impl Walk {
    /// Whether the value is written at its place, and not behind an alias or a `<<`.
    pub fn is_here(&self) -> bool {
        self.shared.is_none()
    }
}

impl Document {
    /// The way to a place; none if nothing is there.
    pub(super) fn walk(&self, at: &Pointer) -> Option<Walk> {
        let mut walk = Walk {
            node: self.tree.root?,
            within: None,
            shared: None,
        };
        for (steps, step) in at.steps().iter().enumerate() {
            let behind = self.behind(walk.node);
            let (within, is_merged) = self.step(behind, step)?;
            if is_merged || behind != walk.node {
                walk.shared = walk.shared.or(Some(steps));
            }
            walk.node = self.child(within)?;
            walk.within = Some(within);
        }
        Some(walk)
    }

    /// The collection that has the next value of a way, its number in there, and whether a `<<` brings it.
    fn step(&self, from: Id, step: &Step) -> Option<((Id, usize), bool)> {
        match (step, &self.tree.nodes[from].kind) {
            (Step::Item(index), Kind::Sequence { items, .. }) => {
                (*index < items.len()).then_some(((from, *index), false))
            }
            (Step::Key(key), Kind::Mapping { entries, .. }) => {
                let named = |entry: &Entry| entry.name.as_deref() == Some(key);
                if let Some(index) = entries.iter().position(named) {
                    return Some(((from, index), false));
                }
                let merge = entries.iter().find(|entry| entry.name.is_none())?;
                self.merged(merge.value)
                    .find_map(|source| self.step(source, step))
                    .map(|(within, _)| (within, true))
            }
            _ => None,
        }
    }

    /// The value of an entry or an item.
    fn child(&self, (within, index): (Id, usize)) -> Option<Id> {
        let entry = self.entries(within).get(index);
        let item = self.items(within).get(index);
        entry
            .map(|entry| entry.value)
            .or_else(|| item.map(|item| item.value))
    }

    /// The mappings that the value of a `<<` brings.
    fn merged(&self, value: Id) -> impl Iterator<Item = Id> {
        let value = self.behind(value);
        let items = match &self.tree.nodes[value].kind {
            Kind::Sequence { items, .. } => &items[..],
            _ => &[],
        };
        let one = items.is_empty().then_some(value);
        let several = items.iter().map(|item| self.behind(item.value));
        one.into_iter().chain(several)
    }

    /// What a node stands for: that of an alias is elsewhere.
    pub(super) fn behind(&self, node: Id) -> Id {
        match self.tree.nodes[node].kind {
            Kind::Alias(Some(target)) => target,
            _ => node,
        }
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.tree.nodes[id]
    }

    pub(super) fn entry(&self, (within, index): (Id, usize)) -> Option<&Entry> {
        match &self.tree.nodes[within].kind {
            Kind::Mapping { entries, .. } => entries.get(index),
            _ => None,
        }
    }

    pub(super) fn entries(&self, id: Id) -> &[Entry] {
        match &self.tree.nodes[id].kind {
            Kind::Mapping { entries, .. } => entries,
            _ => &[],
        }
    }

    pub(super) fn items(&self, id: Id) -> &[Item] {
        match &self.tree.nodes[id].kind {
            Kind::Sequence { items, .. } => items,
            _ => &[],
        }
    }

    /// How many entries or items a collection has.
    pub(super) fn len(&self, id: Id) -> usize {
        self.entries(id).len() + self.items(id).len()
    }

    /// From where to where an entry or item is written, its key or dash included.
    pub(super) fn extent(&self, id: Id, index: usize) -> (usize, usize) {
        if let Some(entry) = self.entries(id).get(index) {
            let (key, value) = (self.node(entry.key), self.node(entry.value));
            return (key.start, value.end.max(key.end));
        }
        let item = self.items(id)[index];
        (item.start, self.node(item.value).end.max(item.start + 1))
    }

    /// The source text of a value: from its first byte, or from where it could have begun if it is not there
    /// after one space.
    pub(super) fn written(&self, id: Id) -> &str {
        let node = self.node(id);
        let gap = &self.text[node.lead..node.start];
        let from = if gap == " " { node.start } else { node.lead };
        &self.text[from..node.end]
    }

    /// The place itself, or the nearest one above it that is there.
    pub(super) fn nearest(&self, at: &Pointer) -> Pointer {
        let places = (0..=at.steps().len()).rev().map(|steps| at.up_to(steps));
        let mut there = places.filter(|place| self.walk(place).is_some());
        there.next().unwrap_or_default()
    }

    /// Where the value of a place begins that is there; of what is written elsewhere, the alias or the `<<`.
    pub(super) fn value_start(&self, at: &Pointer) -> Option<usize> {
        let place = self.shared_above(at);
        let walk = self.walk(place.as_ref().unwrap_or(at))?;
        let mut entries = self.entries(walk.node).iter();
        let merge = entries.find(|entry| place.is_some() && entry.name.is_none());
        Some(self.node(merge.map_or(walk.node, |merge| merge.key)).start)
    }

    /// Where the entry or item of a place begins that is there; of what is written elsewhere, that of the alias,
    /// or the `<<`.
    pub(super) fn entry_start(&self, at: &Pointer) -> Option<usize> {
        let place = self.shared_above(at);
        let walk = self.walk(place.as_ref().unwrap_or(at))?;
        let is_merge = place.is_some() && !self.entries(walk.node).is_empty();
        match walk.within.filter(|_| !is_merge) {
            Some((within, index)) => Some(self.extent(within, index).0),
            None => self.value_start(at),
        }
    }

    /// The deepest place whose entry or item includes a position.
    pub(super) fn place_at(&self, offset: usize) -> Pointer {
        let mut steps = Vec::new();
        let mut deepest = self.tree.root;
        while let Some(id) = deepest {
            let includes = |index: &usize| {
                let (from, to) = self.extent(id, *index);
                (from..=to).contains(&offset)
            };
            deepest = (0..self.len(id)).find(includes).and_then(|index| {
                steps.push(match self.entry((id, index)) {
                    Some(entry) => Step::Key(entry.name.clone()?),
                    None => Step::Item(index),
                });
                self.child((id, index))
            });
        }
        Pointer::from_steps(steps)
    }

    /// The column of the keys or dashes of a block collection.
    pub(super) fn column(&self, id: Id) -> usize {
        text::column(&self.text, self.extent(id, 0).0)
    }
}
