//! Answers one AdmissionReview (`admission.k8s.io/v1`). Pure, and with the same `inject` as the command line.

use super::cluster::NamespaceTable;
use crate::inject::size::{check_review, json_value_bound};
use crate::inject::{self, Report, Settings, Task, Verdict};
use crate::limits;
use crate::manifest::json_patch;
use crate::text::EscapedLine;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::fmt;
use serde_json::{Map, Value, json};

const API_VERSION: &str = "admission.k8s.io/v1";

/// The result of a review.
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewResult {
    /// The AdmissionReview with the response, as JSON.
    pub response_body: Vec<u8>,
    /// The pod's name, or its `generateName`.
    pub pod: Box<str>,
    /// Its namespace.
    pub namespace: Box<str>,
    /// The result for the pod.
    pub outcome: Outcome,
}

/// The result for the pod of a review. The pod is always allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response has a patch, with this description.
    Patched(Box<str>),
    /// The pod needs no patch, for this reason.
    Unchanged(Box<str>),
    /// The pod is not eligible, for this reason.
    Skipped(Box<str>),
    /// The pod is eligible and cannot be injected, for this reason.
    Failed(Box<str>),
    /// The review is not of the creation of a pod.
    NotApplicable,
}

impl Outcome {
    /// The values of `outcome` in log lines and metrics.
    pub const LABELS: [&str; 5] = [
        "patched",
        "unchanged",
        "skipped",
        "failed",
        "not_applicable",
    ];

    /// The index of its label in [`Self::LABELS`].
    pub fn label_index(&self) -> usize {
        match self {
            Outcome::Patched(_) => 0,
            Outcome::Unchanged(_) => 1,
            Outcome::Skipped(_) => 2,
            Outcome::Failed(_) => 3,
            Outcome::NotApplicable => 4,
        }
    }

    /// Its label.
    pub fn label(&self) -> &'static str {
        Self::LABELS[self.label_index()]
    }

    /// A description of the patch, or the reason why there is none.
    pub fn detail(&self) -> &str {
        match self {
            Outcome::Patched(text)
            | Outcome::Unchanged(text)
            | Outcome::Skipped(text)
            | Outcome::Failed(text) => text,
            Outcome::NotApplicable => "not the creation of a pod",
        }
    }
}

/// Why a body is not a valid review of a supported version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewError {
    /// More values than `limits::REVIEW_VALUES`.
    TooManyValues,
    /// Not JSON: serde_json's error.
    NotJson(Box<str>),
    /// The document has this `kind`.
    UnexpectedKind(Box<str>),
    /// The review has this `apiVersion`.
    UnsupportedVersion(Box<str>),
    /// This member is missing or of another type.
    Missing(&'static str),
}

impl core::error::Error for ReviewError {}

impl fmt::Display for ReviewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReviewError::TooManyValues => write!(
                f,
                "the review has more than {} JSON values: send the review of a smaller object",
                limits::REVIEW_VALUES
            ),
            ReviewError::NotJson(why) => write!(f, "the body is not JSON: {why}"),
            ReviewError::UnexpectedKind(kind) => write!(
                f,
                "the body is of kind {kind}: send an AdmissionReview of {API_VERSION}"
            ),
            ReviewError::UnsupportedVersion(version) => write!(
                f,
                "the review is of version {version}: send {API_VERSION}, and set the webhook's \
                 admissionReviewVersions to [v1]"
            ),
            ReviewError::Missing(member) => write!(
                f,
                "the review has no {member}: send an AdmissionReview as the API server does"
            ),
        }
    }
}

/// Answers a review; its object is always allowed. Requests other than the creation of a pod get no patch. A pod that
/// cannot be injected gets a warning instead of a patch.
///
/// # Errors
/// The body is not a valid review of a supported version.
pub fn review(body: &[u8], settings: &Settings) -> Result<ReviewResult, ReviewError> {
    review_with(body, settings, &NamespaceTable::default())
}

/// The same, with the settings of the pod's namespace.
///
/// # Errors
/// The body is not a valid review of a supported version.
pub(super) fn review_with(
    body: &[u8],
    settings: &Settings,
    namespaces: &NamespaceTable,
) -> Result<ReviewResult, ReviewError> {
    let values = json_value_bound(body);
    if values > limits::REVIEW_VALUES {
        return Err(ReviewError::TooManyValues);
    }
    let request = AdmissionRequest::parse(body)?;
    if !request.is_pod_creation() {
        return Ok(request.respond(Outcome::NotApplicable, None, &[]));
    }
    let Some(pod @ Value::Object(_)) = request.fields.get("object") else {
        return Err(ReviewError::Missing("request.object"));
    };
    if pod["kind"] != "Pod" {
        return Err(ReviewError::Missing("request.object of kind Pod"));
    }
    if let Err(why) = check_review(pod, values) {
        return Ok(request.respond_not_injected(why.into(), Vec::new()));
    }
    let mut warnings = Vec::new();
    let settings = namespaces.apply(request.namespace(), settings, &mut warnings);
    let reports = inject::reports(pod, pod, Task::Inject, &settings);
    Ok(match reports.into_iter().next() {
        Some(report) => request.respond_with_report(report, warnings),
        None => request.respond(Outcome::NotApplicable, None, &[]),
    })
}

/// The `request` of a review.
struct AdmissionRequest {
    uid: Box<str>,
    fields: Map<String, Value>,
}

impl AdmissionRequest {
    fn parse(body: &[u8]) -> Result<AdmissionRequest, ReviewError> {
        let mut review = parse_review(body)?;
        let Some(Value::Object(fields)) = review.get_mut("request").map(Value::take) else {
            return Err(ReviewError::Missing("request"));
        };
        let uid = fields.get("uid").and_then(Value::as_str);
        let Some(uid) = uid.filter(|uid| !uid.is_empty()) else {
            return Err(ReviewError::Missing("request.uid"));
        };
        Ok(AdmissionRequest {
            uid: uid.into(),
            fields,
        })
    }

    fn string_member(&self, key: &str) -> Option<&str> {
        self.fields.get(key)?.as_str()
    }

    fn metadata_string(&self, key: &str) -> Option<&str> {
        self.fields
            .get("object")?
            .get("metadata")?
            .get(key)?
            .as_str()
    }

    fn namespace(&self) -> &str {
        self.string_member("namespace")
            .or_else(|| self.metadata_string("namespace"))
            .unwrap_or_default()
    }

    /// Whether a pod is created: not updated, evicted or bound.
    fn is_pod_creation(&self) -> bool {
        let resource = self.fields.get("resource").unwrap_or(&Value::Null);
        let is_pod = resource["group"] == ""
            && resource["version"] == "v1"
            && resource["resource"] == "pods";
        let has_subresource = self
            .string_member("subResource")
            .is_some_and(|name| !name.is_empty());
        is_pod && !has_subresource && self.string_member("operation") == Some("CREATE")
    }

    /// `warnings` are those of the namespace, which a pod gets if it is injected.
    fn respond_with_report(&self, report: Report, mut warnings: Vec<Box<str>>) -> ReviewResult {
        if !matches!(report.verdict, Verdict::Edited { .. }) {
            warnings.clear();
        }
        warnings.extend(report.warnings);
        let (outcome, patch) = match report.verdict {
            Verdict::Edited {
                details,
                effect,
                edits,
            } => {
                let message = effect.describe(&details).into();
                (Outcome::Patched(message), Some(json_patch(&edits)))
            }
            Verdict::Unchanged(what) => (Outcome::Unchanged(what), None),
            Verdict::Skipped(why) => {
                if *why == *inject::OTHER_CONTAINER {
                    warnings.insert(0, format!("not injected: {why}").into());
                }
                (Outcome::Skipped(why), None)
            }
            Verdict::NoPods | Verdict::UnknownKind { .. } => (Outcome::NotApplicable, None),
            Verdict::Refused(why) => return self.respond_not_injected(why, warnings),
        };
        self.respond(outcome, patch, &warnings)
    }

    fn respond_not_injected(&self, why: Box<str>, mut warnings: Vec<Box<str>>) -> ReviewResult {
        warnings.insert(0, format!("not injected: {why}").into());
        self.respond(Outcome::Failed(why), None, &warnings)
    }

    fn respond(
        &self,
        outcome: Outcome,
        patch: Option<Value>,
        warnings: &[Box<str>],
    ) -> ReviewResult {
        let mut response = json!({"uid": self.uid, "allowed": true});
        if let Some(patch) = patch {
            response["patchType"] = "JSONPatch".into();
            response["patch"] = STANDARD.encode(patch.to_string()).into();
        }
        let warnings = within_limits(warnings);
        if !warnings.is_empty() {
            response["warnings"] = warnings.into();
        }
        let review =
            json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response});
        ReviewResult {
            response_body: review.to_string().into(),
            pod: self
                .metadata_string("name")
                .or_else(|| self.string_member("name"))
                .filter(|name| !name.is_empty())
                .or_else(|| self.metadata_string("generateName"))
                .unwrap_or_default()
                .into(),
            namespace: self.namespace().into(),
            outcome,
        }
    }
}

fn parse_review(body: &[u8]) -> Result<Value, ReviewError> {
    let document: Value = serde_json::from_slice(body)
        .map_err(|error| ReviewError::NotJson(error.to_string().into()))?;
    if document["kind"] != "AdmissionReview" {
        return Err(ReviewError::UnexpectedKind(abbreviated(&document["kind"])));
    }
    if document["apiVersion"] != API_VERSION {
        return Err(ReviewError::UnsupportedVersion(abbreviated(
            &document["apiVersion"],
        )));
    }
    Ok(document)
}

/// A value for an error text: short, on one line.
fn abbreviated(value: &Value) -> Box<str> {
    match value {
        Value::Null => "none".into(),
        value => value.to_string().chars().take(64).collect(),
    }
}

/// The warnings that the API server forwards: it truncates long ones, stops at a total size, and drops those with
/// control characters, as each becomes a `Warning` header field of its own response. At most
/// `limits::REVIEW_WARNINGS`; the last of more says how many are left out.
fn within_limits(warnings: &[Box<str>]) -> Vec<String> {
    let shown = match warnings.len() > limits::REVIEW_WARNINGS {
        true => limits::REVIEW_WARNINGS - 1,
        false => warnings.len(),
    };
    let left_out = warnings.len() - shown;
    let mut forwarded: Vec<String> = warnings[..shown].iter().map(truncated).collect();
    if left_out > 0 {
        let advice = "run probelet-inject file --check on the manifest to see them";
        forwarded.push(format!("probelet: {left_out} more warnings: {advice}"));
    }
    forwarded
}

// The API server stops at this total.
const _: () = assert!(limits::REVIEW_WARNINGS * limits::WARNING_BYTES <= limits::WARNINGS_BYTES);

/// A warning on one line, cut to `limits::WARNING_BYTES`.
fn truncated(warning: impl AsRef<str>) -> String {
    let warning = warning.as_ref();
    // An escape makes a character longer, never shorter.
    let start = &warning[..warning.floor_char_boundary(limits::WARNING_BYTES)];
    let line = EscapedLine(["probelet: ", start].concat()).to_string();
    if line.len() <= limits::WARNING_BYTES && start.len() == warning.len() {
        return line;
    }
    let end = line.floor_char_boundary(limits::WARNING_BYTES - "…".len());
    [&line[..end], "…"].concat()
}

#[cfg(test)]
mod tests;
