//! The pod template of a controller, reduced to the fields that determine its pods' resources.

use crate::inject::SIDECAR_NAME;
use crate::inject::annotation_names::RESOURCES;
use serde_json::{Value, json};

/// A pod template.
pub(super) struct PodTemplate {
    /// Whether its pods have the sidecar.
    pub(super) has_sidecar: bool,
    /// The annotation that sets the sidecar's resources.
    pub(super) annotation: Option<Box<str>>,
    /// The resources of the sidecar in the template.
    pub(super) sidecar: Option<Value>,
    /// A pod with its other containers: their names, kinds and resources.
    pub(super) apps: Value,
}

impl PodTemplate {
    /// Reduces a pod template. `would_be_edited` says that a webhook adds the sidecar to its pods, or changes it.
    pub(super) fn of(template: &Value, would_be_edited: bool) -> Self {
        let annotation = template["metadata"]["annotations"][RESOURCES].as_str();
        let mut sidecar = None;
        let mut spec = json!({"resources": template["spec"]["resources"]});
        for list in ["initContainers", "containers"] {
            let containers = template["spec"][list].as_array();
            let (sidecars, apps): (Vec<_>, Vec<_>) = containers
                .into_iter()
                .flatten()
                .partition(|container| container["name"] == SIDECAR_NAME);
            sidecar = sidecars
                .first()
                .map(|container| container["resources"].clone())
                .or(sidecar);
            let reduced = apps.into_iter().map(|app| {
                json!({"name": app["name"], "restartPolicy": app["restartPolicy"], "resources": app["resources"]})
            });
            spec[list] = reduced.collect();
        }
        Self {
            has_sidecar: would_be_edited || sidecar.is_some(),
            annotation: annotation.map(Into::into),
            sidecar,
            apps: json!({"spec": spec}),
        }
    }

    pub(super) fn into_json(self) -> Box<str> {
        let Self {
            has_sidecar,
            annotation,
            sidecar,
            apps,
        } = self;
        json!([has_sidecar, annotation, sidecar, apps])
            .to_string()
            .into()
    }

    pub(super) fn from_json(mut json: Value) -> Self {
        Self {
            has_sidecar: json[0] == true,
            annotation: json[1].as_str().map(Into::into),
            sidecar: Some(json[2].take()).filter(|sidecar| !sidecar.is_null()),
            apps: json[3].take(),
        }
    }
}
