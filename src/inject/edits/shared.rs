//! Shared nodes of a pod: YAML aliases (`livenessProbe: *probe`) and mappings with a merge key (`<<: *probe`). An edit
//! below one expands it, which replaces it by its content; the annotation saves its source text, and uninjection restores it.

use super::Editor;
use crate::inject::report::Refusal;
use crate::inject::view::collections::{Collection, SpecList};
use crate::inject::view::handler::{Handler, HandlerKind};
use crate::inject::view::saved::{SavedProbe, SourceKey};
use crate::manifest::{Edit, NewValue, Op, Pointer, apply, sort_edits};
use serde_json::Value;

/// A node that injection may expand.
struct SharedNode {
    pointer: Pointer,
    part: SharedPart,
}

/// The part of the pod that a shared node is.
enum SharedPart {
    /// A collection, or `lifecycle` of a container.
    Source(SourceKey),
    /// The probe with this key.
    Probe(Box<str>),
    /// The handler of the probe with this key.
    Handler(Box<str>),
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
                    intent.volume.is_some()
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
        let prefix = format!("{container}.lifecycle.");
        let mut probes = self.saved.probes.keys();
        probes.any(|key| key.starts_with(&prefix))
    }

    /// Saves the source text of each shared node that an edit expands.
    ///
    /// # Errors
    /// A shared node has more parts than injection may expand.
    pub(super) fn save_sources(&mut self) -> Result<(), Refusal> {
        for index in 0..self.edits.len() {
            let edit = &self.edits[index];
            let (pointer, is_added) = (edit.pointer.clone(), matches!(edit.op, Op::Add(_)));
            self.save_source(&pointer, is_added)?;
        }
        Ok(())
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
        let mut nodes = self.shared_nodes().into_iter();
        let node = nodes.find(|node| node.pointer == shared);
        let (Some(node), Some(text)) = (node, self.view.value_text(&shared)) else {
            return Err(shares_too_much(&self.view.pointer_in_document(&shared)));
        };
        if self.intent.is_some() {
            self.save(node.part, text);
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
        let mut probes = self.view.probes.iter();
        let probe = probes.find(|probe| *probe.key == *key)?;
        Some(&probe.injected()?.saved)
    }

    /// Adds the null under `httpGet` to the value with which an edit replaces a probe.
    fn add_null(&mut self, pointer: &Pointer) {
        let mut edits = self.edits.iter_mut();
        if let Some(Edit {
            op: Op::Replace(new),
            ..
        }) = edits.find(|edit| edit.pointer == *pointer)
            && let Some(probe) = new.value.as_object_mut()
        {
            probe
                .entry(HandlerKind::HttpGet.key())
                .or_insert(Value::Null);
        }
    }

    /// Merges all edits below a node into one that replaces the node. `current` is the value of the node before the edits.
    pub(super) fn collapse(&mut self, pointer: &Pointer, current: Value, text: Option<Box<str>>) {
        let is_below = |edit: &Edit| {
            let segments = edit.pointer.segments();
            segments.len() > pointer.segments().len() && segments.starts_with(pointer.segments())
        };
        let edits = core::mem::take(&mut self.edits);
        let (below, others): (Vec<Edit>, Vec<Edit>) = edits.into_iter().partition(is_below);
        self.edits = others;
        let mut relative = below.clone();
        for edit in &mut relative {
            edit.pointer = edit.pointer.without_prefix(pointer.segments().len());
        }
        sort_edits(&mut relative);
        let mut value = current;
        if relative.is_empty() || apply(&mut value, &relative).is_err() {
            self.edits.extend(below);
            return;
        }
        // Before a rename of the same node.
        let pointer = pointer.clone();
        let op = Op::Replace(NewValue { value, text });
        self.edits.insert(0, Edit { pointer, op });
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
