//! The exec probes that injection would convert if the settings said so. `audit` lists them.

use super::intent::Intent;
use super::kinds::{self, Pods};
use super::options::PodOptions;
use super::options::annotations;
use super::settings::Settings;
use super::view::PodView;
use super::view::collections::SpecList;
use super::view::probe_kind::ProbeKind;
use serde_json::Value;

/// Finds exec probes that become probers with the annotation.
pub(crate) struct ConvertibleExec {
    /// Those of the injection, with `convert_exec`.
    settings: Settings,
}

impl ConvertibleExec {
    /// None if the settings convert exec probes already.
    pub(crate) fn new(settings: &Settings) -> Option<ConvertibleExec> {
        (!settings.convert_exec).then(|| ConvertibleExec {
            settings: Settings {
                convert_exec: true,
                ..settings.clone()
            },
        })
    }

    /// Those of a resource, each with its label, `livenessProbe of web`, and its command. None of a pod whose annotation says
    /// whether they are converted.
    pub(crate) fn probes(&self, resource: &Value) -> Vec<(Box<str>, Box<str>)> {
        let mut probes = Vec::new();
        for resource_of_list in kinds::resources(resource, &self.settings.kind_templates) {
            let Pods::Known(location) = resource_of_list.pods else {
                continue;
            };
            let Some(pod) = location.pod.resolve(resource) else {
                continue;
            };
            if !has_exec_probe(pod) || annotations::sets_convert_exec(&pod["metadata"]) {
                continue;
            }
            // Reasons why there are none, and warnings, are those of the injection.
            let Ok(view) = PodView::read(pod, resource, &location.pod) else {
                continue;
            };
            let options = PodOptions::read(&pod["metadata"], &self.settings, &mut Vec::new());
            let intent = options.and_then(|options| {
                Intent::new(
                    &view,
                    location.runs_to_completion,
                    &options,
                    &mut Vec::new(),
                )
            });
            let Ok(intent) = intent else { continue };
            for probe in &view.probes {
                let is_converted =
                    !probe.is_injected() && intent.destinations.contains_key(&probe.key);
                if let (Some(exec), true) = (probe.exec_handler(), is_converted) {
                    let command = Value::from(exec.fields.clone()).to_string();
                    probes.push((probe.label.clone(), command.into()));
                }
            }
        }
        probes
    }
}

/// Whether a pod has an exec probe. Few have, and the others need not be read.
fn has_exec_probe(pod: &Value) -> bool {
    let lists = SpecList::OF_CONTAINERS.into_iter();
    let mut containers =
        lists.flat_map(|list| pod["spec"][list.key()].as_array().into_iter().flatten());
    containers.any(|container| {
        let mut probes = ProbeKind::ALL.into_iter();
        probes.any(|kind| {
            kind.find(container)
                .is_some_and(|probe| probe["exec"].is_object())
        })
    })
}
