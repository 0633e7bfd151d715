//! The note about exec probes that the agent could replace.

use crate::inject::annotation_names::CONVERT_EXEC;
use std::collections::HashSet;

/// The most exec probes that the note names.
const NAMED: usize = 3;

/// An exec probe that could become a probe by the sidecar.
pub(super) struct ConvertibleProbe {
    /// The resource that has it: `pod/web-1`.
    pub(super) resource: Box<str>,
    /// `livenessProbe of web`
    pub(super) label: Box<str>,
    pub(super) command: Box<str>,
    /// The uid of the controller whose replicas have it, too.
    pub(super) controller: Option<Box<str>>,
}

impl ConvertibleProbe {
    /// The bytes of its texts.
    pub(super) fn len(&self) -> usize {
        let controller = self.controller.as_ref().map_or(0, |uid| uid.len());
        self.resource.len() + self.label.len() + self.command.len() + controller
    }
}

/// Says how many exec probes the agent could replace, and names the first. The replicas of a controller count once.
pub(super) fn note(probes: &[&ConvertibleProbe]) -> Option<String> {
    let mut of_controllers = HashSet::new();
    let mut names = Vec::new();
    for probe in probes {
        let controller = probe.controller.as_deref();
        if controller.is_none_or(|uid| of_controllers.insert((uid, &*probe.label, &*probe.command)))
        {
            names.push(format!("{} {}", probe.resource, probe.label));
        }
    }
    let (named, more) = names.split_at(names.len().min(NAMED));
    let named = named.join(", ");
    let more = match more.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = match names.len() {
        0 => return None,
        1 => "1 exec probe".into(),
        count => format!("{count} exec probes"),
    };
    Some(format!(
        "note: {what} could become probes by the sidecar, with annotation {CONVERT_EXEC}: {named}{more}"
    ))
}
