//! The exec probes that injection would convert if the settings said so. `audit` lists them.

use super::annotation_names::CONVERT_EXEC;
use super::intent::Intent;
use super::kinds::{self, Pods};
use super::options::PodOptions;
use super::settings::Settings;
use super::view::PodView;
use serde_json::Value;

/// The labels of the exec probes of a resource that become probers with the annotation: `livenessProbe of web`. None if the
/// settings or the pod's annotation say whether they are converted.
pub(crate) fn convertible_exec_probes(resource: &Value, settings: &Settings) -> Vec<Box<str>> {
    if settings.convert_exec {
        return Vec::new();
    }
    let settings = Settings {
        convert_exec: true,
        ..settings.clone()
    };
    let mut labels = Vec::new();
    for resource_of_list in kinds::resources(resource, &settings.kind_templates) {
        let Pods::Known(location) = resource_of_list.pods else {
            continue;
        };
        let Some(pod) = location.pod.resolve(resource) else {
            continue;
        };
        if pod["metadata"]["annotations"].get(CONVERT_EXEC).is_some() {
            continue;
        }
        // Reasons why there are none, and warnings, are those of the injection.
        let Ok(view) = PodView::read(pod, resource, &location.pod) else {
            continue;
        };
        let options = PodOptions::read(&pod["metadata"], &settings, &mut Vec::new());
        let intent = options.and_then(|options| {
            Intent::new(
                &view,
                location.runs_to_completion,
                &options,
                &mut Vec::new(),
            )
        });
        let Ok(intent) = intent else { continue };
        let found = view.probes.iter().filter(|probe| {
            let is_exec = probe.exec_handler().is_some();
            is_exec && !probe.is_injected() && intent.destinations.contains_key(&probe.key)
        });
        labels.extend(found.map(|probe| probe.label.clone()));
    }
    labels
}
