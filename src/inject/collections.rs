//! Our items of the spec's lists: the container, and the volume.

use super::merge::Merge;
use super::original::{Kept, Was};
use super::probes::{self, Slot};
use super::settle::settle;
use crate::document::{Change, Pointer, Written};
use serde_json::{Value, json};

impl Merge<'_> {
    /// Our item of one of the spec's lists.
    pub(super) fn item(&mut self, list: &'static str, wanted: Option<&Value>) {
        let at = Pointer::root().keys(&["spec", list]);
        let place = format!("spec.{list}");
        let now = self.present.pod["spec"].get(list);
        let items = now
            .and_then(Value::as_array)
            .filter(|items| !items.is_empty());
        let kept = self.old(&place);
        match (wanted, items, self.present.ours(list)) {
            (Some(wanted), Some(items), Some(index)) => {
                self.carry(&place, kept);
                self.update(list, &items[index], index, wanted);
            }
            (Some(wanted), Some(_), None) => {
                self.edit(at.item(0), Change::Add(wanted.clone().into()));
            }
            (Some(wanted), None, _) => {
                let kept = self.parent(at, now, json!([wanted]));
                self.record.insert(&place, kept);
            }
            (None, Some(items), Some(index)) => {
                let change = match items.len() {
                    1 => emptied(kept),
                    _ => None,
                };
                match change {
                    Some(change) => self.edit(at, change),
                    None => self.edit(at.item(index), Change::Remove),
                }
            }
            (None, _, _) => {}
        }
    }

    /// Our item as it should be; to the front, if what starts before it waits for it.
    fn update(&mut self, list: &str, now: &Value, index: usize, wanted: &Value) {
        let at = Pointer::root().keys(&["spec", list]);
        let settled = settle(now, wanted);
        let waits = |slot: &Slot<'_>| {
            let goes = self
                .plan
                .is_some_and(|plan| plan.probes.contains_key(&slot.key));
            goes && (0..index).any(|before| slot.container.at == at.item(before))
        };
        if list != "volumes" && probes::slots(self.present.pod).iter().any(waits) {
            self.edit(at.item(index), Change::Remove);
            self.edit(at.item(0), Change::Add(settled.into()));
        } else if settled != *now {
            self.edit(at.item(index), Change::Set(settled.into()));
        }
    }

    pub(super) fn carry(&mut self, place: &str, kept: Option<&Kept>) {
        if let Some(kept) = kept.filter(|kept| !kept.is_alias()) {
            self.record.insert(place, kept.clone());
        }
    }

    /// A collection that is not there, or empty, with its first entries. What is kept of it.
    pub(super) fn parent(&mut self, at: Pointer, now: Option<&Value>, value: Value) -> Kept {
        let Some(now) = now else {
            self.edit(at, Change::Add(value.into()));
            return Kept::default();
        };
        let was = Some(Was::new(self.texts.value(&at), now));
        self.edit(at, Change::Set(value.into()));
        Kept { was, key: None }
    }
}

/// What becomes of a collection that has nothing left, and was made or filled for ours.
pub(super) fn emptied(kept: Option<&Kept>) -> Option<Change> {
    match kept {
        Some(Kept { was: None, .. }) => Some(Change::Remove),
        Some(kept) if kept.is_alias() => None,
        Some(Kept { was: Some(was), .. }) => Some(Change::Set(Written {
            value: was.value.clone(),
            text: Some(was.text.clone()),
        })),
        None => None,
    }
}
