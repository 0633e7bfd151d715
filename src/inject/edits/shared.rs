//! Shared nodes of a pod: YAML aliases (`livenessProbe: *probe`) and mappings with a merge key (`<<: *probe`). An edit
//! below one expands it, which replaces it by its content; the annotation saves its source text, and uninjection restores it.

use super::{Editor, SharedPart};
use crate::inject::report::Refusal;
use crate::inject::view::collections::{Collection, SpecList};
use crate::inject::view::handler::{Handler, HandlerKind};
use crate::inject::view::saved::{SavedProbe, SourceKey};
use crate::manifest::{Edit, NewValue, Op, Pointer, apply, sort_edits};
use core::ops::Bound;
use serde_json::Value;
use std::collections::HashMap;

/// A node that injection may expand.
struct SharedNode {
    pointer: Pointer,
    part: SharedPart,
}

impl Editor<'_> {
    /// Retains the source texts that an earlier injection saved, of nodes that still have injected parts.
    pub(super) fn retain_sources(&mut self) {
        let (Some(old), Some(intent)) = (&self.view.saved, self.intent) else {
            return;
        };
        for (key, source) in &old.sources {
            let is_injected = match key {
                SourceKey::Collection(Collection::List(SpecList::Volumes)) => {
                    !intent.volumes.is_empty()
                }
                SourceKey::Collection(Collection::List(list)) => {
                    *list == intent.list || self.has_probe_in(*list)
                }
                SourceKey::Collection(Collection::Metadata | Collection::Annotations) => true,
                SourceKey::Lifecycle(container) => self.has_hook(container),
            };
            if is_injected {
                self.saved.sources.insert(key.clone(), source.clone());
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
    fn has_probe_in(&self, list: SpecList) -> bool {
        let mut probes = self.view.probes.iter();
        probes
            .any(|probe| self.saved.probes.contains_key(&probe.key) && probe.container.list == list)
    }

    /// Whether a hook of this container is injected.
    fn has_hook(&self, container: &str) -> bool {
        let prefix: Box<str> = format!("{container}.lifecycle.").into();
        let mut probes = self.saved.probes.range(prefix.clone()..);
        probes
            .next()
            .is_some_and(|(key, _)| key.starts_with(&*prefix))
    }

    /// Saves the source text of each shared node that an edit expands.
    ///
    /// # Errors
    /// A shared node has more parts than injection may expand.
    pub(super) fn save_sources(&mut self) -> Result<(), Refusal> {
        let edits = self.edits.iter().flat_map(|(pointer, ops)| {
            let is_added = |op: &Op| matches!(op, Op::Add(_));
            ops.iter().map(move |op| (pointer.clone(), is_added(op)))
        });
        let edits: Vec<(Pointer, bool)> = edits.collect();
        let mut edits = edits.iter();
        edits.try_for_each(|(pointer, is_added)| self.save_source(pointer, *is_added))
    }

    /// Saves the source text of the shared node that an edit is below. `is_added` says that the edit adds its node.
    ///
    /// # Errors
    /// The shared node has more parts than injection may expand.
    pub(super) fn save_source(&mut self, edited: &Pointer, is_added: bool) -> Result<(), Refusal> {
        let existing = match edited.split_last() {
            Some((parent, _)) if is_added => parent,
            _ => edited.clone(),
        };
        let shared = self.view.outermost_shared(&existing);
        let shared = shared.map_err(|pointer| shares_too_much(&pointer))?;
        let Some(shared) = shared.filter(|shared| shared != edited) else {
            return Ok(());
        };
        let part = self.shared_part(&shared).cloned();
        let (Some(part), Some(text)) = (part, self.view.value_text(&shared)) else {
            return Err(shares_too_much(&self.view.pointer_in_document(&shared)));
        };
        if self.intent.is_some() {
            self.save(part, text);
        }
        Ok(())
    }

    fn save(&mut self, part: SharedPart, text: Box<str>) {
        let probes = &mut self.saved.probes;
        match part {
            SharedPart::Source(key) => drop(self.saved.sources.insert(key, text)),
            SharedPart::Probe(key) => {
                if let Some(saved) = probes.get_mut(&key) {
                    saved.source = Some(text);
                }
            }
            SharedPart::Handler(key) => {
                if let Some(saved) = probes.get_mut(&key) {
                    saved.handler_source = Some(text);
                }
            }
        }
    }

    /// Restores the source texts of nodes that no longer have injected parts.
    pub(super) fn restore_sources(&mut self) {
        let Some(old) = &self.view.saved else {
            return;
        };
        for SharedNode { pointer, part } in self.shared_nodes() {
            let source = match &part {
                SharedPart::Source(key) => {
                    let is_retained = self.saved.sources.contains_key(key);
                    old.sources.get(key).filter(|_| !is_retained).cloned()
                }
                SharedPart::Probe(key) | SharedPart::Handler(key)
                    if self.saved.probes.contains_key(key) =>
                {
                    None
                }
                SharedPart::Probe(key) => {
                    self.saved_probe(key).and_then(|saved| saved.source.clone())
                }
                SharedPart::Handler(key) => self
                    .saved_probe(key)
                    .and_then(|saved| saved.handler_source.clone()),
            };
            if let Some(source) = source
                && let Some(current) = pointer.resolve(self.view.pod).cloned()
            {
                let has_null = match &part {
                    SharedPart::Probe(key) => {
                        self.saved_probe(key).is_some_and(|saved| saved.has_null)
                    }
                    SharedPart::Source(_) | SharedPart::Handler(_) => false,
                };
                self.collapse(&pointer, current, Some(source));
                if has_null {
                    self.add_null(&pointer);
                }
            }
        }
    }

    /// The original that an earlier injection saved of a probe, if the probe is injected.
    fn saved_probe(&self, key: &str) -> Option<&SavedProbe> {
        let by_key = self.injected_probes.get_or_init(|| {
            let mut by_key = HashMap::new();
            for probe in &self.view.probes {
                let saved = probe.injected().map(|injected| &injected.saved);
                by_key.entry(&*probe.key).or_insert(saved);
            }
            let saved = by_key.into_iter();
            saved
                .filter_map(|(key, saved)| Some((key, saved?)))
                .collect()
        });
        by_key.get(key).copied()
    }

    /// Adds the null under `httpGet` to the value with which an edit replaces a probe.
    fn add_null(&mut self, pointer: &Pointer) {
        if let Some(ops) = self.edits.get_mut(pointer)
            && let Some(Op::Replace(new)) = ops.first_mut()
            && let Some(probe) = new.value.as_object_mut()
        {
            probe
                .entry(HandlerKind::HttpGet.key())
                .or_insert(Value::Null);
        }
    }

    /// Merges all edits below a node into one that replaces the node. `current` is the value of the node before the edits.
    pub(super) fn collapse(&mut self, pointer: &Pointer, current: Value, text: Option<Box<str>>) {
        // Pointers are ordered like their segments, so those below a node follow it.
        let bounds = (Bound::Excluded(pointer), Bound::Unbounded);
        let below = self.edits.range::<Pointer, _>(bounds);
        let below =
            below.take_while(|(edited, _)| edited.segments().starts_with(pointer.segments()));
        let (mut relative, mut edited) = (Vec::new(), Vec::new());
        for (below, ops) in below {
            let at = below.without_prefix(pointer.segments().len());
            let edit = |op: &Op| Edit {
                pointer: at.clone(),
                op: op.clone(),
            };
            relative.extend(ops.iter().map(edit));
            edited.push(below.clone());
        }
        sort_edits(&mut relative);
        let mut value = current;
        if relative.is_empty() || apply(&mut value, &relative).is_err() {
            return;
        }
        for below in &edited {
            self.edits.remove(below);
        }
        // Before a rename of the same node.
        let op = Op::Replace(NewValue { value, text });
        self.edits.entry(pointer.clone()).or_default().insert(0, op);
    }

    /// The part of the pod that the shared node at a pointer is.
    fn shared_part(&self, pointer: &Pointer) -> Option<&SharedPart> {
        let by_pointer = self.shared.get_or_init(|| {
            let mut by_pointer = HashMap::new();
            for SharedNode { pointer, part } in self.shared_nodes() {
                by_pointer.entry(pointer).or_insert(part);
            }
            by_pointer
        });
        by_pointer.get(pointer)
    }

    /// The nodes that injection may expand as a whole.
    fn shared_nodes(&self) -> Vec<SharedNode> {
        let collections = SpecList::ALL.map(Collection::List);
        let collections = collections.into_iter().chain([Collection::Annotations]);
        let mut nodes: Vec<SharedNode> = collections
            .map(|collection| SharedNode {
                pointer: collection.pointer(),
                part: SharedPart::Source(SourceKey::Collection(collection)),
            })
            .collect();
        let mut add = |pointer, part| nodes.push(SharedNode { pointer, part });
        for probe in &self.view.probes {
            if let (true, Some((parent, _))) = (probe.kind.is_hook(), probe.pointer.split_last()) {
                let key = SourceKey::Lifecycle(probe.container.name.into());
                add(parent, SharedPart::Source(key));
            }
            if let Ok(handler) = Handler::of(probe.value) {
                let pointer = probe.pointer.join_key(handler.kind.key());
                add(pointer, SharedPart::Handler(probe.key.clone()));
            }
            add(probe.pointer.clone(), SharedPart::Probe(probe.key.clone()));
        }
        nodes
    }
}

fn shares_too_much(pointer: &Pointer) -> Refusal {
    let reason = format!(
        "{pointer} shares its content through a YAML alias or a merge key (<<): replace it by its content"
    );
    Refusal {
        reason: reason.into(),
        pointer: Some(pointer.clone()),
    }
}
