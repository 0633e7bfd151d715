//! Edits of the lists of the spec that have an injected item: the sidecar, or the volume.

use super::Editor;
use crate::inject::view::containers::LISTS;
use crate::inject::view::saved::SavedValue;
use crate::manifest::{NewValue, Op, Pointer};
use serde_json::{Value, json};

impl Editor<'_> {
    /// Adds, updates or removes the injected item of a list of the spec.
    pub(super) fn list(&mut self, list: &str) {
        let intended = self.intent.and_then(|intent| match list {
            "volumes" => intent.volume.as_ref(),
            list => (intent.list == list).then_some(&intent.sidecar),
        });
        let at = Pointer::root().join_keys(&["spec", list]);
        let name = format!("spec.{list}");
        let current = self.view.pod["spec"].get(list);
        let items = current.and_then(Value::as_array);
        let items = items.filter(|items| !items.is_empty());
        match (intended, items, self.view.injected_item(list)) {
            (Some(intended), Some(items), Some(index)) => {
                self.retain_collection(&name);
                self.update(list, &items[index], index, intended);
            }
            (Some(intended), Some(_), None) => {
                self.edit(at.join_index(0), Op::Add(intended.clone().into()));
            }
            (Some(intended), None, _) => {
                let saved = self.create(at, current, json!([intended]));
                self.saved.collections.insert(name.into(), saved);
            }
            (None, Some(items), Some(index)) => {
                let op = match items.len() {
                    1 => self.emptied(&name),
                    _ => None,
                };
                match op {
                    Some(op) => self.edit(at, op),
                    None => self.edit(at.join_index(index), Op::Remove),
                }
            }
            (None, _, _) => {}
        }
    }

    /// Updates the item, and moves the sidecar to the front if a container before it waits for it: kubelet starts init
    /// containers one after the other, and ordinary ones after the postStart hook of the one before.
    fn update(&mut self, list: &str, current: &Value, index: usize, intended: &Value) {
        let at = Pointer::root().join_keys(&["spec", list]);
        let needs_sidecar = self.view.probes.iter().any(|probe| {
            let goals = self.intent.map(|intent| &intent.goals);
            let waits = list == LISTS[0] || probe.kind.word == "poststartz";
            waits
                && goals.is_some_and(|goals| goals.contains_key(&probe.key))
                && (0..index).any(|before| probe.container.at == at.join_index(before))
        });
        if needs_sidecar {
            self.edit(at.join_index(index), Op::Remove);
            self.edit(at.join_index(0), Op::Add(intended.clone().into()));
        } else if intended != current {
            self.edit(at.join_index(index), Op::Replace(intended.clone().into()));
        }
    }

    /// Keeps what an earlier injection saved of a collection.
    pub(super) fn retain_collection(&mut self, name: &str) {
        let old = self.view.saved.as_ref();
        if let Some(saved) = old.and_then(|old| old.collections.get(name)) {
            self.saved.collections.insert(name.into(), saved.clone());
        }
    }

    /// Gives a collection that is absent or empty its first entries. Returns what to save of it.
    pub(super) fn create(
        &mut self,
        at: Pointer,
        current: Option<&Value>,
        value: Value,
    ) -> Option<SavedValue> {
        let Some(current) = current else {
            self.edit(at, Op::Add(value.into()));
            return None;
        };
        let saved = SavedValue::new(self.view.value_text(&at), current);
        self.edit(at, Op::Replace(value.into()));
        Some(saved)
    }

    /// How to restore a collection that has no other entries than injected ones; none if it was not injection that
    /// created or filled it.
    pub(super) fn emptied(&self, name: &str) -> Option<Op> {
        let saved = self.view.saved.as_ref()?.collections.get(name)?;
        Some(match saved {
            None => Op::Remove,
            Some(SavedValue { text, value }) => Op::Replace(NewValue {
                value: value.clone().unwrap_or_default(),
                text: Some(text.clone()),
            }),
        })
    }
}
