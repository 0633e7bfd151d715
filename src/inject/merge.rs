//! The edits that lead from a pod as it is found to what it is to be. Each place is known in three states: as it
//! was before any injection, as it is now, and as it is wanted; so that injection, its undoing, and the way from
//! one injection to another are one and the same.

use super::original::{Kept, Record, Was, plain_key};
use super::plan::Plan;
use super::present::Present;
use super::probes::{self, LISTS};
use crate::document::{Change, Edit, Pointer, Source, Written, in_order};
use serde_json::Value;

/// The edits for a pod at a place of the document, in order; without a plan it becomes what it was.
///
/// # Errors
/// What is written in a way that cannot be edited, and how to write it.
pub(super) fn merge(
    present: &Present<'_>,
    plan: Option<&Plan>,
    source: &dyn Source,
    at: &Pointer,
) -> Result<Vec<Edit>, Box<str>> {
    let mut merge = Merge {
        present,
        plan,
        texts: Texts { source, at },
        edits: Vec::new(),
        record: Record::default(),
    };
    for slot in probes::slots(present.pod) {
        merge.slot(&slot);
    }
    for list in LISTS {
        let wanted = plan.filter(|plan| plan.list == list);
        merge.item(list, wanted.map(|plan| &plan.container));
    }
    merge.item("volumes", plan.and_then(|plan| plan.volume.as_ref()));
    merge.carry_aliases();
    merge.expand_aliases()?;
    merge.annotations()?;
    merge.restore_aliases();
    let mut edits = merge.edits;
    for edit in &mut edits {
        edit.at = merge.texts.place(&edit.at);
    }
    in_order(&mut edits);
    Ok(edits)
}

/// How something of the pod is written.
pub(super) struct Texts<'a> {
    source: &'a dyn Source,
    /// The pod's place in the document.
    at: &'a Pointer,
}

impl Texts<'_> {
    /// The place in the document.
    pub(super) fn place(&self, in_pod: &Pointer) -> Pointer {
        self.at.down(in_pod.steps())
    }

    pub(super) fn value(&self, in_pod: &Pointer) -> Option<Box<str>> {
        self.source.value_text(&self.place(in_pod))
    }

    fn key(&self, in_pod: &Pointer) -> Option<Box<str>> {
        self.source.key_text(&self.place(in_pod))
    }

    /// The place of the alias that an edit lies below.
    ///
    /// # Errors
    /// It is above the pod, so that it could not be brought back.
    pub(super) fn alias_above(&self, edit: &Edit) -> Result<Option<Pointer>, Pointer> {
        let place = self.place(&edit.at);
        let there = match (&edit.change, place.split()) {
            (Change::Add(_), Some((above, _))) => above,
            _ => place.clone(),
        };
        let alias = self.source.shared_above(&there);
        let Some(alias) = alias.filter(|alias| *alias != place) else {
            return Ok(None);
        };
        match alias.steps().strip_prefix(self.at.steps()) {
            Some(rest) => Ok(Some(Pointer::root().down(rest))),
            None => Err(alias),
        }
    }
}

pub(super) struct Merge<'a> {
    pub(super) present: &'a Present<'a>,
    pub(super) plan: Option<&'a Plan>,
    pub(super) texts: Texts<'a>,
    /// Places are counted from the pod.
    pub(super) edits: Vec<Edit>,
    /// What is kept of the pod as it was.
    pub(super) record: Record,
}

/// A key and its value.
pub(super) type Entry = (Box<str>, Value);

/// An entry of a mapping in its three states.
pub(super) struct Row<'a> {
    pub(super) was: Option<Entry>,
    pub(super) now: Option<Entry>,
    pub(super) wanted: Option<Entry>,
    /// How it was written.
    pub(super) kept: Option<&'a Kept>,
}

impl<'a> Merge<'a> {
    pub(super) fn old(&self, place: &str) -> Option<&'a Kept> {
        self.present.record.as_ref()?.get(place)
    }

    pub(super) fn edit(&mut self, at: Pointer, change: Change) {
        self.edits.push(Edit { at, change });
    }

    /// One entry of the mapping at a place, and what is kept of it.
    pub(super) fn row(&mut self, above: &Pointer, place: &str, row: Row<'_>) {
        let Row {
            was,
            now,
            wanted,
            kept,
        } = row;
        self.keep(above, place, &was, &now, &wanted, kept);
        let was_value = was.as_ref().map(|was| &was.1);
        match (now, wanted) {
            (Some(now), Some(wanted)) => {
                let at = above.key(&now.0);
                if now.1 != wanted.1 {
                    let text = kept
                        .and_then(|kept| kept.was.as_ref())
                        .map(|was| was.text.clone());
                    let text = text.filter(|_| was_value == Some(&wanted.1));
                    let value = wanted.1;
                    self.edit(at.clone(), Change::Set(Written { value, text }));
                }
                if now.0 != wanted.0 {
                    let text = kept.and_then(|kept| kept.key.clone());
                    let text = text.filter(|text| plain_key(text) == wanted.0);
                    let key = wanted.0;
                    self.edit(at, Change::Rename { key, text });
                }
            }
            (Some(now), None) => self.edit(above.key(&now.0), Change::Remove),
            (None, Some((name, value))) => self.edit(above.key(&name), Change::Add(value.into())),
            (None, None) => {}
        }
    }

    pub(super) fn keep(
        &mut self,
        above: &Pointer,
        place: &str,
        was: &Option<Entry>,
        now: &Option<Entry>,
        wanted: &Option<Entry>,
        old: Option<&Kept>,
    ) {
        let Some(wanted) = wanted else {
            return;
        };
        let place = format!("{place}.{}", wanted.0);
        let Some(was) = was else {
            self.record.insert(&place, Kept::default());
            return;
        };
        let at = now
            .as_ref()
            .map(|now| above.key(&now.0))
            .unwrap_or_default();
        let mut kept = Kept::default();
        if was.1 != wanted.1 {
            let old = old.and_then(|old| old.was.clone());
            kept.was = old.or_else(|| Some(Was::new(self.texts.value(&at), &was.1)));
        }
        if was.0 != wanted.0 {
            let old = old.and_then(|old| old.key.clone());
            kept.key = old
                .or_else(|| self.texts.key(&at))
                .or_else(|| Some(was.0.clone()));
        }
        if !kept.is_new() {
            self.record.insert(&place, kept);
        }
    }
}
