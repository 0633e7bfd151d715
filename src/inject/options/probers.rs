//! The annotation with probers in place of the pod's own handlers.

use super::{Reader, invalid};
use crate::inject::annotation_names::PROBERS;
use serde_json::{Map, Value};

/// The probes that the annotation may name.
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// A prober in place of the handler of a probe.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::inject) struct AnnotationProber {
    pub(in crate::inject) container: Box<str>,
    /// `livenessProbe`
    pub(in crate::inject) probe: Box<str>,
    /// Its members, as the agent's table has them.
    pub(in crate::inject) members: Map<String, Value>,
}

impl AnnotationProber {
    /// The annotation and the probe: the start of a message.
    pub(in crate::inject) fn label(&self) -> String {
        format!(
            "annotation {PROBERS} has {} of {}",
            self.probe, self.container
        )
    }
}

impl Reader<'_> {
    /// Reads `{"web": {"livenessProbe": {"all": [...]}}}`.
    pub(super) fn probers(&self) -> Result<Vec<AnnotationProber>, String> {
        let Some(text) = self.text(PROBERS).filter(|text| !text.is_empty()) else {
            return Ok(Vec::new());
        };
        let advice = r#"write JSON by container and probe, such as {"web":{"livenessProbe":{"httpGet":{"path":"/","port":8080},"expect":{"status":"200,401"}}}}"#;
        let containers: Map<String, Value> =
            serde_json::from_str(&text).map_err(|error| match error.is_data() {
                true => invalid(PROBERS, &text, advice),
                false => format!("annotation {PROBERS} is not JSON ({error}): {advice}"),
            })?;
        let mut found = Vec::new();
        for (container, probes) in containers {
            let Value::Object(probes) = probes else {
                let what = format!("annotation {PROBERS} has {container}, which is no object");
                return Err(format!("{what}: {advice}"));
            };
            for (probe, members) in probes {
                if !PROBES.contains(&&*probe) {
                    let what = format!("annotation {PROBERS} has {probe} of {container}");
                    let advice = "write livenessProbe, readinessProbe or startupProbe";
                    return Err(format!("{what}: {advice}"));
                }
                let Value::Object(members) = members else {
                    let what = format!(
                        "annotation {PROBERS} has {probe} of {container}, which is no object"
                    );
                    return Err(format!("{what}: {advice}"));
                };
                found.push(AnnotationProber {
                    container: (*container).into(),
                    probe: probe.into(),
                    members,
                });
            }
        }
        Ok(found)
    }
}
