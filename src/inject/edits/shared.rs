//! Parts of a pod that are written elsewhere in YAML: aliases (`livenessProbe: *probe`) and mappings with a merge key
//! (`<<: *probe`). An edit below one writes it out; its source text is saved and comes back when that is undone.

use super::Editor;
use crate::inject::report::Refusal;
use crate::inject::view::SPEC_LISTS;
use crate::inject::view::handler::{Handler, HandlerKind};
use crate::inject::view::saved::SavedProbe;
use crate::manifest::{Edit, NewValue, Op, Pointer, apply, sort_edits};
use serde_json::Value;

/// The place of the annotations, as the annotation names it.
const ANNOTATIONS: &str = "metadata.annotations";

/// A place that injection may write out.
enum Shared {
    /// Collections of the pod, and `lifecycle` of a container.
    Named(Box<str>),
    /// A probe.
    Probe(Box<str>),
    /// The handler of a probe.
    Handler(Box<str>),
}

impl Editor<'_> {
    /// Keeps the sources of an earlier injection below which there are injected parts still.
    pub(super) fn retain_sources(&mut self) {
        let (Some(old), Some(intent)) = (&self.view.saved, self.intent) else {
            return;
        };
        for (place, source) in &old.sources {
            let is_injected = match place.strip_prefix("spec.") {
                Some("volumes") => intent.volume.is_some(),
                Some(list) => list == intent.list || self.has_probe_in(list),
                None => {
                    let container = place.strip_suffix(".lifecycle");
                    container.is_none_or(|container| self.has_hook(container))
                }
            };
            if is_injected {
                self.saved.sources.insert(place.clone(), source.clone());
            }
        }
        for probe in &self.view.probes {
            if let (Some(injected), Some(saved)) =
                (probe.injected(), self.saved.probes.get_mut(&probe.key))
            {
                let old = &injected.saved;
                saved.source = saved.source.take().or_else(|| old.source.clone());
                saved.has_null |= old.has_null;
                saved.handler_source = old.handler_source.clone();
            }
        }
    }

    /// Whether a probe of a container in this list is injected.
    fn has_probe_in(&self, list: &str) -> bool {
        let at = Pointer::root().join_keys(&["spec", list]);
        self.view.probes.iter().any(|probe| {
            self.saved.probes.contains_key(&probe.key)
                && probe.container.at.segments().starts_with(at.segments())
        })
    }

    /// Whether a hook of this container is injected.
    fn has_hook(&self, container: &str) -> bool {
        let prefix = format!("{container}.lifecycle.");
        let mut probes = self.saved.probes.keys();
        probes.any(|key| key.starts_with(&prefix))
    }

    /// Saves the source text of each shared place that an edit writes out.
    ///
    /// # Errors
    /// The shared place has more than injection may write out.
    pub(super) fn save_sources(&mut self) -> Result<(), Refusal> {
        let is_added = |edit: &Edit| matches!(edit.op, Op::Add(_));
        let places = self
            .edits
            .iter()
            .map(|edit| (edit.pointer.clone(), is_added(edit)));
        for (at, is_added) in places.collect::<Vec<_>>() {
            self.save_source(&at, is_added)?;
        }
        Ok(())
    }

    /// Saves the source text of the shared place above one that is edited, or added.
    ///
    /// # Errors
    /// The shared place has more than injection may write out.
    pub(super) fn save_source(&mut self, edited: &Pointer, is_added: bool) -> Result<(), Refusal> {
        let place = match edited.split_last() {
            Some((above, _)) if is_added => above,
            _ => edited.clone(),
        };
        let shared = self.view.shared_ancestor(&place);
        let shared = shared.map_err(|at| shares_too_much(&at))?;
        let Some(shared) = shared.filter(|shared| shared != edited) else {
            return Ok(());
        };
        let places = self.places().into_iter();
        let mut places = places.filter(|(_, at)| *at == shared);
        let (Some((place, _)), Some(text)) = (places.next(), self.view.value_text(&shared)) else {
            return Err(shares_too_much(&self.view.place(&shared)));
        };
        if self.intent.is_some() {
            self.save(&place, text);
        }
        Ok(())
    }

    fn save(&mut self, place: &Shared, text: Box<str>) {
        let probes = &mut self.saved.probes;
        match place {
            Shared::Named(name) => drop(self.saved.sources.insert(name.clone(), text)),
            Shared::Probe(key) => {
                if let Some(saved) = probes.get_mut(key) {
                    saved.source = Some(text);
                }
            }
            Shared::Handler(key) => {
                if let Some(saved) = probes.get_mut(key) {
                    saved.handler_source = Some(text);
                }
            }
        }
    }

    /// Restores sources below which nothing is injected any more.
    pub(super) fn restore_sources(&mut self) {
        let Some(old) = &self.view.saved else {
            return;
        };
        for (place, at) in self.places() {
            let source = match &place {
                Shared::Named(name) => {
                    let is_kept = self.saved.sources.contains_key(name);
                    old.sources.get(name).filter(|_| !is_kept).cloned()
                }
                Shared::Probe(key) | Shared::Handler(key)
                    if self.saved.probes.contains_key(key) =>
                {
                    None
                }
                Shared::Probe(key) => self.injected(key).and_then(|saved| saved.source.clone()),
                Shared::Handler(key) => self
                    .injected(key)
                    .and_then(|saved| saved.handler_source.clone()),
            };
            if let Some(source) = source
                && let Some(current) = at.resolve(self.view.pod).cloned()
            {
                let has_null = match &place {
                    Shared::Probe(key) => self.injected(key).is_some_and(|saved| saved.has_null),
                    _ => false,
                };
                self.collapse(&at, current, Some(source));
                if has_null {
                    self.add_null(&at);
                }
            }
        }
    }

    /// What an earlier injection saved of a probe, if it is injected.
    fn injected(&self, key: &str) -> Option<&SavedProbe> {
        let mut probes = self.view.probes.iter();
        let probe = probes.find(|probe| *probe.key == *key)?;
        Some(&probe.injected()?.saved)
    }

    /// Adds the null under `httpGet` to the value that an edit sets.
    fn add_null(&mut self, at: &Pointer) {
        let mut edits = self.edits.iter_mut();
        if let Some(Edit {
            op: Op::Replace(written),
            ..
        }) = edits.find(|edit| edit.pointer == *at)
            && let Some(probe) = written.value.as_object_mut()
        {
            probe
                .entry(HandlerKind::HttpGet.key())
                .or_insert(Value::Null);
        }
    }

    /// Replaces all edits below a place by one that sets the place. `current` is the value there, before the edits.
    pub(super) fn collapse(&mut self, at: &Pointer, current: Value, source: Option<Box<str>>) {
        let is_below = |edit: &Edit| {
            let steps = edit.pointer.segments();
            steps.len() > at.segments().len() && steps.starts_with(at.segments())
        };
        let edits = core::mem::take(&mut self.edits);
        let (below, others): (Vec<Edit>, Vec<Edit>) = edits.into_iter().partition(is_below);
        self.edits = others;
        let mut relative = below.clone();
        for edit in &mut relative {
            edit.pointer = edit.pointer.without_prefix(at.segments().len());
        }
        sort_edits(&mut relative);
        let mut value = current;
        if relative.is_empty() || apply(&mut value, &relative).is_err() {
            self.edits.extend(below);
            return;
        }
        let new = NewValue {
            value,
            text: source,
        };
        // In front of a renaming of the same place.
        let pointer = at.clone();
        let op = Op::Replace(new);
        self.edits.insert(0, Edit { pointer, op });
    }

    /// The places that injection may write out as a whole.
    fn places(&self) -> Vec<(Shared, Pointer)> {
        let mut places = Vec::new();
        let root = Pointer::root();
        for list in SPEC_LISTS {
            let name = format!("spec.{list}").into();
            places.push((Shared::Named(name), root.join_keys(&["spec", list])));
        }
        let annotations = root.join_keys(&["metadata", "annotations"]);
        places.push((Shared::Named(ANNOTATIONS.into()), annotations));
        for probe in &self.view.probes {
            if let (true, Some((above, _))) = (probe.kind.is_hook, probe.at.split_last()) {
                let name = format!("{}.lifecycle", probe.container.name).into();
                places.push((Shared::Named(name), above));
            }
            if let Ok(handler) = Handler::of(probe.value) {
                let at = probe.at.join_key(handler.kind.key());
                places.push((Shared::Handler(probe.key.clone()), at));
            }
            places.push((Shared::Probe(probe.key.clone()), probe.at.clone()));
        }
        places
    }
}

fn shares_too_much(at: &Pointer) -> Refusal {
    Refusal {
        why: format!(
            "{at} shares its content by a YAML alias or a merge key (<<): write the content out"
        )
        .into(),
        at: Some(at.clone()),
    }
}
