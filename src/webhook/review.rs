//! One AdmissionReview (`admission.k8s.io/v1`) to its answer: pure, and the same `inject` as the command line's.

use crate::inject::{self, Report, Settings, Task, Verdict};
use crate::limits;
use crate::manifest::json_patch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::fmt;
use serde_json::{Map, Value, json};

const API_VERSION: &str = "admission.k8s.io/v1";

/// A review that has its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reviewed {
    /// The AdmissionReview to send back, as JSON.
    pub answer: Vec<u8>,
    /// The pod's name, or what its name is generated from.
    pub pod: Box<str>,
    /// Its namespace.
    pub namespace: Box<str>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a review's pod. It is let through in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It comes back with a patch: what was done.
    Patched(Box<str>),
    /// It is as it would be: why.
    Unchanged(Box<str>),
    /// It is left alone: why.
    Skipped(Box<str>),
    /// It cannot be injected and should be: why.
    Refused(Box<str>),
    /// It is no pod that is created, so nobody asked for anything.
    NotAsked,
}

impl Outcome {
    /// The word for it in logs and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Patched(_) => "patched",
            Outcome::Unchanged(_) => "unchanged",
            Outcome::Skipped(_) => "skipped",
            Outcome::Refused(_) => "refused",
            Outcome::NotAsked => "not_asked",
        }
    }

    /// What was done, or why not.
    pub fn detail(&self) -> &str {
        match self {
            Outcome::Patched(text)
            | Outcome::Unchanged(text)
            | Outcome::Skipped(text)
            | Outcome::Refused(text) => text,
            Outcome::NotAsked => "no pod is created",
        }
    }
}

/// Why a body is no review that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewError {
    /// More values than `limits::REVIEW_VALUES`.
    TooManyValues,
    /// Not JSON: what is wrong, and where.
    NotJson(Box<str>),
    /// JSON of another kind, which is named.
    OtherKind(Box<str>),
    /// A review of another version, which is named.
    OtherVersion(Box<str>),
    /// This is missing, or not of the type it must be.
    Lacks(&'static str),
}

impl fmt::Display for ReviewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReviewError::TooManyValues => write!(
                f,
                "the review has more than {} values: no pod has as many",
                limits::REVIEW_VALUES
            ),
            ReviewError::NotJson(why) => write!(f, "the body is not JSON: {why}"),
            ReviewError::OtherKind(kind) => write!(
                f,
                "the body is of kind {kind}: send an AdmissionReview of {API_VERSION}"
            ),
            ReviewError::OtherVersion(version) => write!(
                f,
                "the review is of version {version}: send {API_VERSION}, and name v1 alone in the webhook's \
                 admissionReviewVersions"
            ),
            ReviewError::Lacks(what) => write!(
                f,
                "the review has no {what}: send one as the API server writes it"
            ),
        }
    }
}

/// Answers a review. What is no pod being created is let through as it is, and so is what cannot be injected:
/// nobody's pod is to wait for us, and a warning says why.
///
/// # Errors
/// Why the body is no review that can be answered.
pub fn review(body: &[u8], settings: &Settings) -> Result<Reviewed, ReviewError> {
    let mut document = parse(body)?;
    let Some(Value::Object(request)) = document.get_mut("request").map(Value::take) else {
        return Err(ReviewError::Lacks("request"));
    };
    let Some(uid) = text(&request, "uid").filter(|uid| !uid.is_empty()) else {
        return Err(ReviewError::Lacks("request.uid"));
    };
    if !asks_for_pod(&request) {
        return Ok(reviewed(&request, uid, Outcome::NotAsked, None, &[]));
    }
    let Some(pod @ Value::Object(_)) = request.get("object") else {
        return Err(ReviewError::Lacks("request.object"));
    };
    if pod["kind"] != "Pod" {
        return Err(ReviewError::Lacks("request.object of kind Pod"));
    }
    if containers(pod) > limits::REVIEW_CONTAINERS {
        let most = limits::REVIEW_CONTAINERS;
        let why = format!("it has more than {most} containers: split it into several pods");
        return Ok(refused(&request, uid, why.into(), Vec::new()));
    }
    let report = inject::resources(pod, pod, Task::Inject, settings)
        .into_iter()
        .next();
    Ok(answer(&request, uid, report))
}

fn parse(body: &[u8]) -> Result<Value, ReviewError> {
    if values(body) > limits::REVIEW_VALUES {
        return Err(ReviewError::TooManyValues);
    }
    let document: Value = serde_json::from_slice(body)
        .map_err(|error| ReviewError::NotJson(error.to_string().into()))?;
    if document["kind"] != "AdmissionReview" {
        return Err(ReviewError::OtherKind(shown(&document["kind"])));
    }
    if document["apiVersion"] != API_VERSION {
        return Err(ReviewError::OtherVersion(shown(&document["apiVersion"])));
    }
    Ok(document)
}

/// How many values there can be at most: one, and one more for each bracket and comma outside of strings.
fn values(body: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (1, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

/// A value in an error: short, on one line.
fn shown(value: &Value) -> Box<str> {
    match value {
        Value::Null => "none".into(),
        value => value.to_string().chars().take(64).collect(),
    }
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key)?.as_str()
}

/// Whether a pod is created: not updated, and not an eviction or a binding of it.
fn asks_for_pod(request: &Map<String, Value>) -> bool {
    let resource = &request.get("resource").unwrap_or(&Value::Null);
    let of_pods = resource["group"] == "" && resource["version"] == "v1";
    let whole = text(request, "subResource").unwrap_or_default().is_empty();
    let created = text(request, "operation") == Some("CREATE");
    of_pods && resource["resource"] == "pods" && whole && created
}

fn answer(request: &Map<String, Value>, uid: &str, report: Option<Report>) -> Reviewed {
    let Some(report) = report else {
        return reviewed(request, uid, Outcome::NotAsked, None, &[]);
    };
    let warnings = report.warnings;
    let (outcome, patch) = match report.verdict {
        Verdict::Edited { what, done, edits } => {
            let message = done.describe(&what).into();
            (Outcome::Patched(message), Some(json_patch(&edits)))
        }
        Verdict::Unchanged(what) => (Outcome::Unchanged(what), None),
        Verdict::Skipped(why) => (Outcome::Skipped(why), None),
        Verdict::NoPods => (Outcome::NotAsked, None),
        Verdict::Refused(why) => return refused(request, uid, why, warnings),
    };
    reviewed(request, uid, outcome, patch, &warnings)
}

fn refused(
    request: &Map<String, Value>,
    uid: &str,
    why: Box<str>,
    mut warnings: Vec<Box<str>>,
) -> Reviewed {
    warnings.insert(0, format!("not injected: {why}").into());
    reviewed(request, uid, Outcome::Refused(why), None, &warnings)
}

/// How many containers a pod has, of all kinds.
fn containers(pod: &Value) -> usize {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let count = |list| pod["spec"][list].as_array().map_or(0, Vec::len);
    lists.into_iter().map(count).sum()
}

fn reviewed(
    request: &Map<String, Value>,
    uid: &str,
    outcome: Outcome,
    patch: Option<Value>,
    warnings: &[Box<str>],
) -> Reviewed {
    let mut response = json!({"uid": uid, "allowed": true});
    if let Some(patch) = patch {
        response["patchType"] = "JSONPatch".into();
        response["patch"] = STANDARD.encode(patch.to_string()).into();
    }
    let warnings = fitting(warnings);
    if !warnings.is_empty() {
        response["warnings"] = warnings.into();
    }
    let answer =
        json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response});
    let metadata = request.get("object").and_then(|pod| pod.get("metadata"));
    let named = |key| metadata.and_then(|metadata| metadata.get(key)?.as_str());
    Reviewed {
        answer: answer.to_string().into(),
        pod: named("name")
            .or_else(|| text(request, "name"))
            .filter(|name| !name.is_empty())
            .or_else(|| named("generateName"))
            .unwrap_or_default()
            .into(),
        namespace: text(request, "namespace")
            .or_else(|| named("namespace"))
            .unwrap_or_default()
            .into(),
        outcome,
    }
}

/// As many warnings as the API server passes on, each as long as it passes on, and in one line: it drops those with
/// control characters, as they go into a header of its answer.
fn fitting(warnings: &[Box<str>]) -> Vec<String> {
    let mut room = limits::WARNINGS_BYTES;
    let cut = warnings.iter().map(|warning| {
        let warning = ["probelet: ", warning].concat();
        let warning = warning.replace(char::is_control, " ");
        if warning.len() <= limits::WARNING_BYTES {
            return warning;
        }
        let end = warning.floor_char_boundary(limits::WARNING_BYTES - "…".len());
        [&warning[..end], "…"].concat()
    });
    cut.take_while(|warning| match room.checked_sub(warning.len()) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    })
    .collect()
}

#[cfg(test)]
mod tests;
