//! Edits of the lists of the spec that have an injected item: the sidecar, or the volume.

use super::Editor;
use crate::inject::view::collections::{Collection, SpecList};
use crate::inject::view::probe_kind::ProbeKind;
use crate::inject::view::saved::SavedValue;
use crate::manifest::{NewValue, Op, Pointer};
use serde_json::{Value, json};

impl Editor<'_> {
    /// Adds, updates or removes the injected item of a list.
    pub(super) fn edit_list(&mut self, list: SpecList) {
        let intended = self.intent.and_then(|intent| match list {
            SpecList::Volumes => intent.volume.as_ref(),
            SpecList::InitContainers | SpecList::Containers => {
                (intent.list == list).then_some(&intent.sidecar)
            }
        });
        let pointer = list.pointer();
        let collection = Collection::List(list);
        let current = self.view.pod["spec"].get(list.key());
        let items = current.and_then(Value::as_array);
        let items = items.filter(|items| !items.is_empty());
        match (intended, items, self.view.injected_item(list)) {
            (Some(intended), Some(items), Some(index)) => {
                self.retain_collection(collection);
                self.update_item(list, &items[index], index, intended);
            }
            (Some(intended), Some(_), None) => {
                self.push(pointer.join_index(0), Op::Add(intended.clone().into()));
            }
            (Some(intended), None, _) => {
                let saved = self.fill_collection(pointer, current, json!([intended]));
                self.saved.collections.insert(collection, saved);
            }
            (None, Some(items), Some(index)) => {
                let op = match items.len() {
                    1 => self.restore_collection_op(collection),
                    _ => None,
                };
                match op {
                    Some(op) => self.push(pointer, op),
                    None => self.push(pointer.join_index(index), Op::Remove),
                }
            }
            (None, _, _) => {}
        }
    }

    /// Updates the item. Moves the sidecar to the front if a container before it waits for it: kubelet starts init
    /// containers one after the other, and ordinary ones after the postStart hook of the previous one.
    fn update_item(&mut self, list: SpecList, current: &Value, index: usize, intended: &Value) {
        let pointer = list.pointer();
        let needs_sidecar = self.view.probes.iter().any(|probe| {
            let destinations = self.intent.map(|intent| &intent.destinations);
            let waits = list == SpecList::InitContainers || probe.kind == ProbeKind::PostStart;
            waits
                && destinations.is_some_and(|destinations| destinations.contains_key(&probe.key))
                && probe.container.list == list
                && probe.container.index < index
        });
        if needs_sidecar {
            self.push(pointer.join_index(index), Op::Remove);
            self.push(pointer.join_index(0), Op::Add(intended.clone().into()));
        } else if intended != current {
            let replace = Op::Replace(intended.clone().into());
            self.push(pointer.join_index(index), replace);
        }
    }

    /// Retains the original of a collection that an earlier injection saved.
    pub(super) fn retain_collection(&mut self, collection: Collection) {
        let old = self.view.saved.as_ref();
        if let Some(original) = old.and_then(|old| old.collections.get(&collection)) {
            self.saved.collections.insert(collection, original.clone());
        }
    }

    /// Sets a collection that is absent or empty. Returns its original, none if it was absent.
    pub(super) fn fill_collection(
        &mut self,
        pointer: Pointer,
        current: Option<&Value>,
        value: Value,
    ) -> Option<SavedValue> {
        let Some(current) = current else {
            self.push(pointer, Op::Add(value.into()));
            return None;
        };
        let original = SavedValue::new(self.view.value_text(&pointer), current);
        self.push(pointer, Op::Replace(value.into()));
        Some(original)
    }

    /// The operation that restores a collection without its injected entries; none if injection did not create or fill
    /// the collection.
    pub(super) fn restore_collection_op(&self, collection: Collection) -> Option<Op> {
        let original = self.view.saved.as_ref()?.collections.get(&collection)?;
        Some(match original {
            None => Op::Remove,
            Some(SavedValue { text, value }) => Op::Replace(NewValue {
                value: value.clone().unwrap_or_default(),
                text: Some(text.clone()),
            }),
        })
    }
}
