//! Places that are written as an alias of YAML (`livenessProbe: *probe`): below one there is nothing to edit, so
//! the alias gives way to what it stands for, and comes back when that is undone.

use super::merge::Merge;
use super::original::Was;
use super::probes::{self, LISTS};
use crate::document::{Change, Edit, Pointer, Written, apply, in_order};

impl Merge<'_> {
    /// Aliases that gave way earlier, and still have to.
    pub(super) fn carry_aliases(&mut self) {
        let Some(old) = &self.present.record else {
            return;
        };
        for (place, kept) in old.iter().filter(|(_, kept)| kept.is_alias()) {
            let is_ours = self
                .plan
                .is_some_and(|plan| match place.strip_prefix("spec.") {
                    Some("volumes") => plan.volume.is_some(),
                    Some(list) => plan.list == list,
                    None => place == "metadata.annotations",
                });
            if let Some(was) = kept.was.clone()
                && (is_ours || self.record.has_below(place))
            {
                self.record.insert_was(place, was);
            }
        }
    }

    /// # Errors
    /// An alias that stands for too much to be brought back.
    pub(super) fn expand_aliases(&mut self) -> Result<(), Box<str>> {
        for edit in self.edits.clone() {
            self.keep_alias(&edit)?;
        }
        self.expand_from(0);
        Ok(())
    }

    /// Keeps the alias above a place that is edited.
    pub(super) fn keep_alias(&mut self, edit: &Edit) -> Result<(), Box<str>> {
        let advice =
            "shares its content by a YAML alias or a merge key (<<): write the content out";
        let too_much = |at: &Pointer| Box::from(format!("{at} {advice}"));
        let alias = self.texts.alias_above(edit);
        let Some(alias) = alias.map_err(|alias| too_much(&alias))? else {
            return Ok(());
        };
        let name = self.names().into_iter().find(|(_, at)| *at == alias);
        let (Some((name, _)), Some(value)) = (name, alias.find(self.present.pod)) else {
            return Err(too_much(&self.texts.place(&alias)));
        };
        if self.plan.is_some() {
            let was = Was::new(self.texts.value(&alias), value);
            self.record.insert_was(&name, was);
        }
        Ok(())
    }

    /// In place of the edits below an alias, one of all that it stands for.
    pub(super) fn expand_from(&mut self, from: usize) {
        while let Some(alias) = self.edits[from..]
            .iter()
            .find_map(|edit| self.texts.alias_above(edit).ok()?)
        {
            if !self.gather(&alias, from, None) {
                return;
            }
        }
    }

    /// Aliases that gave way earlier, and need to no longer.
    pub(super) fn restore_aliases(&mut self) {
        let Some(old) = &self.present.record else {
            return;
        };
        for (place, at) in self.names() {
            let is_kept = self.record.get(&place).is_some_and(|kept| kept.is_alias());
            let was = old.get(&place).filter(|kept| kept.is_alias() && !is_kept);
            if let Some(was) = was.and_then(|kept| kept.was.as_ref()) {
                self.gather(&at, 0, Some(was.text.clone()));
            }
        }
    }

    /// Makes one edit of those below a place; false if there are none.
    fn gather(&mut self, place: &Pointer, from: usize, text: Option<Box<str>>) -> bool {
        let is_below = |edit: &Edit| {
            let steps = edit.at.steps();
            steps.len() > place.steps().len() && steps.starts_with(place.steps())
        };
        let late = self.edits.split_off(from);
        let (mut below, rest): (Vec<Edit>, Vec<Edit>) = late.into_iter().partition(is_below);
        self.edits.extend(rest);
        in_order(&mut below);
        let mut pod = self.present.pod.clone();
        if below.is_empty() || apply(&mut pod, &below).is_err() {
            self.edits.extend(below);
            return false;
        }
        let value = place.find(&pod).cloned().unwrap_or_default();
        // Before a renaming of the same place.
        let set = Change::Set(Written { value, text });
        let at = place.clone();
        self.edits.insert(from, Edit { at, change: set });
        true
    }

    /// Places that may be an alias as a whole, as the record names them.
    fn names(&self) -> Vec<(Box<str>, Pointer)> {
        let mut names: Vec<(Box<str>, Pointer)> = Vec::new();
        let root = Pointer::root();
        for list in LISTS.into_iter().chain(["volumes"]) {
            names.push((format!("spec.{list}").into(), root.keys(&["spec", list])));
        }
        names.push((
            "metadata.annotations".into(),
            root.keys(&["metadata", "annotations"]),
        ));
        for slot in probes::slots(self.present.pod) {
            if let (true, Some((above, _))) = (slot.is_hook, slot.at.split()) {
                names.push((format!("{}.lifecycle", slot.container.name).into(), above));
            }
            if let Some((kind, _)) = slot.handler() {
                names.push((format!("{}.httpGet", slot.key).into(), slot.at.key(kind)));
            }
            names.push((slot.key, slot.at));
        }
        names
    }
}
