//! Edits of the lists of the spec that have injected items: the sidecar, and its volumes.

use super::Editor;
use crate::inject::view::VOLUMES;
use crate::inject::view::collections::{Collection, SpecList};
use crate::inject::view::containers::SIDECAR_NAME;
use crate::inject::view::probe_kind::ProbeKind;
use crate::inject::view::saved::SavedValue;
use crate::manifest::{NewValue, Op, Pointer};
use serde_json::{Value, json};

impl<'a> Editor<'a> {
    /// Adds, updates or removes the injected items of a list.
    pub(super) fn edit_list(&mut self, list: SpecList) {
        let pointer = list.pointer();
        let collection = Collection::List(list);
        let intended = self.intended_items(list);
        let current = self.view.pod["spec"].get(list.key());
        let items = current.and_then(Value::as_array);
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            if !intended.is_empty() {
                let saved = self.fill_collection(pointer, current, json!(intended));
                self.saved.collections.insert(collection, saved);
            }
            return;
        };
        let names = injected_names(list).iter();
        let injected: Vec<usize> = names
            .filter_map(|name| self.view.injected_item(list, name))
            .collect();
        if !intended.is_empty() && !injected.is_empty() {
            self.retain_collection(collection);
        }
        if intended.is_empty()
            && injected.len() == items.len()
            && let Some(op) = self.restore_collection_op(collection)
        {
            self.push(pointer, op);
            return;
        }
        let index_of = |item: &Value| {
            let mut injected = injected.iter().copied();
            injected.find(|index| items[*index]["name"] == item["name"])
        };
        let mut removed = injected.clone();
        let mut added = Vec::new();
        for item in intended {
            match index_of(item) {
                Some(index) => {
                    removed.retain(|removed| *removed != index);
                    self.update_item(list, &items[index], index, item);
                }
                None => added.push(item),
            }
        }
        // An added item takes the place of a removed one, so that the list is never empty in between.
        for index in removed {
            let op = added
                .pop()
                .map_or(Op::Remove, |item| Op::Replace(item.clone().into()));
            self.push(pointer.join_index(index), op);
        }
        // Of several items that are added at one index, the last one comes first.
        for item in added.into_iter().rev() {
            self.push(pointer.join_index(0), Op::Add(item.clone().into()));
        }
    }

    /// The items of a list that the intent has.
    fn intended_items(&self, list: SpecList) -> Vec<&'a Value> {
        let Some(intent) = self.intent else {
            return Vec::new();
        };
        match list {
            SpecList::Volumes => intent.volumes.iter().collect(),
            SpecList::InitContainers | SpecList::Containers => {
                let sidecar = (intent.list == list).then_some(&intent.sidecar);
                sidecar.into_iter().collect()
            }
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

/// The names of the items that injection puts into a list.
fn injected_names(list: SpecList) -> &'static [&'static str] {
    match list {
        SpecList::Volumes => &VOLUMES,
        SpecList::InitContainers | SpecList::Containers => &[SIDECAR_NAME],
    }
}
