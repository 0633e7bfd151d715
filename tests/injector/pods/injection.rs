//! Injection of one pod through the public API.

use probelet::inject::{Report, Settings, Task, Verdict, reports};
use probelet::manifest::{Edit, apply, json_patch};
use serde_json::Value;

/// The result of an injection or uninjection.
pub struct Injected {
    /// The pod after the edits.
    pub pod: Value,
    /// The reason or the action.
    pub verdict: Verdict,
    /// Warnings.
    pub warnings: Vec<Box<str>>,
}

impl Injected {
    /// Whether there are edits.
    pub fn is_edited(&self) -> bool {
        matches!(self.verdict, Verdict::Edited { .. })
    }

    /// The verdict without the edits: `unchanged`, `edited (Updated): image`.
    pub fn verdict_text(&self) -> String {
        match &self.verdict {
            Verdict::Edited {
                details, effect, ..
            } => format!("edited ({effect:?}): {details}"),
            Verdict::Unchanged(why) => format!("unchanged: {why}"),
            Verdict::Skipped(why) => format!("skipped: {why}"),
            Verdict::Refused(why) => format!("refused: {why}"),
            Verdict::UnknownKind { advice, .. } => format!("unknown kind: {advice}"),
            Verdict::NoPods => "no pods".into(),
        }
    }

    /// The verdict's variant.
    pub fn verdict_name(&self) -> &'static str {
        match &self.verdict {
            Verdict::Edited { .. } => "edited",
            Verdict::Unchanged(_) => "unchanged",
            Verdict::Skipped(_) => "skipped",
            Verdict::Refused(_) => "refused",
            Verdict::UnknownKind { .. } => "unknown kind",
            Verdict::NoPods => "no pods",
        }
    }
}

/// The report on a document with one resource.
pub fn report(document: &Value, task: Task, settings: &Settings) -> Report {
    let mut reports = reports(document, document, task, settings);
    assert_eq!(reports.len(), 1, "{document}");
    reports.remove(0)
}

/// Injects a pod.
pub fn inject(pod: &Value, settings: &Settings) -> Injected {
    run(pod, Task::Inject, settings)
}

/// Removes the injection from a pod.
pub fn uninject(pod: &Value, settings: &Settings) -> Injected {
    run(pod, Task::Uninject, settings)
}

fn run(pod: &Value, task: Task, settings: &Settings) -> Injected {
    let Report {
        verdict, warnings, ..
    } = report(pod, task, settings);
    let pod = match &verdict {
        Verdict::Edited { edits, .. } => edited(pod, edits),
        _ => pod.clone(),
    };
    Injected {
        pod,
        verdict,
        warnings,
    }
}

/// The document after its edits, which JSON Patch must agree with.
pub fn edited(document: &Value, edits: &[Edit]) -> Value {
    let mut after = document.clone();
    apply(&mut after, edits).unwrap_or_else(|misfit| panic!("{misfit:?} of {document}"));
    assert_eq!(
        patched(document, &json_patch(edits)),
        after,
        "JSON Patch and apply differ"
    );
    after
}

/// RFC 6902, without `copy` and `test`.
pub fn patched(document: &Value, patch: &Value) -> Value {
    let mut after = document.clone();
    for operation in patch.as_array().expect("a patch") {
        let path = operation["path"].as_str().expect("a path");
        let op = operation["op"].as_str().expect("an op");
        let value = match op {
            "move" => take(&mut after, operation["from"].as_str().expect("a from")),
            _ => operation["value"].clone(),
        };
        if op == "remove" || op == "replace" {
            take(&mut after, path);
        }
        if op != "remove" {
            put(&mut after, path, value);
        }
    }
    after
}

fn parent<'a>(document: &'a mut Value, path: &str) -> (&'a mut Value, String) {
    let (parent, last) = path.rsplit_once('/').expect("not the root");
    let last = last.replace("~1", "/").replace("~0", "~");
    let parent = document.pointer_mut(parent);
    (
        parent.unwrap_or_else(|| panic!("no parent of {path}")),
        last,
    )
}

fn take(document: &mut Value, path: &str) -> Value {
    match parent(document, path) {
        (Value::Object(map), key) => map.remove(&key).unwrap_or_else(|| panic!("{path}")),
        (Value::Array(items), index) => items.remove(index.parse().expect("an index")),
        (other, _) => panic!("{path} in {other}"),
    }
}

fn put(document: &mut Value, path: &str, value: Value) {
    match parent(document, path) {
        (Value::Object(map), key) => drop(map.insert(key, value)),
        (Value::Array(items), index) => items.insert(index.parse().expect("an index"), value),
        (other, _) => panic!("{path} in {other}"),
    }
}
