//! The `resources` of the sidecar, validated as the API server validates those of a container: it would refuse every
//! injected pod (`kubernetes/pkg/apis/core/validation`: `validateResourceRequirements`).

use super::quantity::Quantity;
use crate::text::{Quoted, suggest};
use core::fmt;
use serde_json::{Map, Value};

/// What to write for `resources`.
pub(super) const EXAMPLE: &str = r#"an object such as {"limits":{"memory":"16Mi"}}"#;

const GROUPS: [&str; 2] = ["requests", "limits"];

/// The resources of a container without a domain (`helper.IsStandardContainerResourceName`), beside huge pages.
const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Before the page size in the name of huge pages.
pub(super) const HUGE_PAGES: &str = "hugepages-";

/// The least memory limit. The container runtime starts inside the cgroup: runc needs 4.5 MiB and does not set a limit below
/// that, so that the sidecar, and with it the pod, would never start.
const MEMORY_LIMIT_MIN: &str = "6Mi";

/// A name without a domain has at most this many bytes (`validation.IsQualifiedName`).
const NAME_BYTES: usize = 63;

/// A DNS subdomain has at most this many bytes.
const DOMAIN_BYTES: usize = 253;
const QUOTA_PREFIX: &str = "requests.";

/// Why `resources` are invalid, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourcesError(Box<str>);

impl core::error::Error for ResourcesError {}

impl fmt::Display for ResourcesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses `resources` from JSON; `None` if it is not an object.
pub(super) fn parse(json: &str) -> Option<Result<Value, ResourcesError>> {
    let resources: Value = serde_json::from_str(json).ok()?;
    let checked = check(resources.as_object()?).map_err(|why| ResourcesError(why.into()));
    Some(checked.map(|()| resources))
}

fn check(resources: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in resources {
        if !GROUPS.contains(&&**name) {
            let what = format!("field {}", Quoted(name));
            return Err(unknown(&what, name, GROUPS, "requests and limits"));
        }
        for (resource, quantity) in entries(name, value)?.into_iter().flatten() {
            check_name(name, resource)?;
            check_quantity(name, resource, quantity)?;
        }
    }
    let group = |name: &str| resources.get(name).and_then(Value::as_object);
    check_requests(group("requests"), group("limits"))
}

fn entries<'a>(group: &str, value: &'a Value) -> Result<Option<&'a Map<String, Value>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Object(entries) => Ok(Some(entries)),
        other => Err(format!(
            "{group} is {}: write an object such as {{\"memory\":\"16Mi\"}}",
            found(other)
        )),
    }
}

fn check_name(group: &str, name: &str) -> Result<(), String> {
    let is_valid = match name.split_once('/') {
        None => STANDARD.contains(&name) || is_name(name) && page_size(name).is_some(),
        Some((domain, name)) => is_domain(domain) && is_name(name),
    };
    if is_valid {
        return Ok(());
    }
    let names = "cpu, memory, ephemeral-storage, hugepages-SIZE or DOMAIN/NAME";
    let what = format!("resource {} in {group}", Quoted(name));
    Err(unknown(&what, name, STANDARD, names))
}

/// The page size of a resource of huge pages (`helper.HugePageSizeFromResourceName`).
fn page_size(name: &str) -> Option<Quantity> {
    let size = Quantity::parse(name.strip_prefix(HUGE_PAGES)?)?;
    (size.is_positive() && size.is_integer()).then_some(size)
}

fn check_quantity(group: &str, name: &str, value: &Value) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    let wrong = |advice: &str| format!("{group}.{name} is {}: write {advice}", found(value));
    let Some(quantity) = Quantity::read(value) else {
        return Err(wrong("a quantity such as 16Mi, 100m or 0.5"));
    };
    if quantity.is_negative() {
        return Err(wrong("a quantity that is not negative"));
    }
    // Zero is no limit.
    let is_memory_limit = group == "limits" && name == "memory" && quantity.is_positive();
    if is_memory_limit && Quantity::parse(MEMORY_LIMIT_MIN).is_some_and(|least| quantity < least) {
        let reason = "less than the container runtime needs to start the sidecar";
        return Err(format!(
            "limits.memory is {}, {reason}: write at least {MEMORY_LIMIT_MIN}, such as 16Mi",
            found(value)
        ));
    }
    if !is_native(name) && !quantity.is_integer() {
        return Err(wrong("an integer"));
    }
    if page_size(name).is_some_and(|size| !quantity.is_multiple_of(size)) {
        return Err(wrong("a multiple of the page size in its name"));
    }
    Ok(())
}

/// A request is at most its limit, and equal to it for a resource of which a node cannot grant more than it has
/// (`helper.IsOvercommitAllowed`).
fn check_requests(
    requests: Option<&Map<String, Value>>,
    limits: Option<&Map<String, Value>>,
) -> Result<(), String> {
    for (name, request) in requests.into_iter().flatten() {
        let limit = limits.and_then(|limits| limits.get(name));
        let sizes = (
            Quantity::read(request),
            limit.and_then(Quantity::read),
            is_native(name) && !name.starts_with(HUGE_PAGES),
        );
        let (what, advice) = match sizes {
            (Some(request), Some(limit), _) if request > limit => {
                ("more than", "a limit that is not lower")
            }
            (Some(request), Some(limit), false) if request != limit => {
                ("less than", "the same quantity")
            }
            (Some(_), None, false) => {
                return Err(format!(
                    "requests.{name} requires limits.{name}: write the same quantity"
                ));
            }
            _ => continue,
        };
        let limit = limit.map_or_else(String::new, found);
        return Err(format!(
            "requests.{name} is {}, {what} limits.{name}, which is {limit}: write {advice}",
            found(request)
        ));
    }
    let has = |is_meant: fn(&str) -> bool| {
        let mut all = [requests, limits].into_iter().flatten().flatten();
        all.any(|(name, value)| is_meant(name) && !value.is_null())
    };
    if has(|name| name.starts_with(HUGE_PAGES)) && !has(|name| name == "cpu" || name == "memory") {
        return Err("huge pages require cpu or memory: write one of them, too".into());
    }
    Ok(())
}

/// Whether Kubernetes itself defines the resource (`helper.IsNativeResource`).
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn unknown<const N: usize>(what: &str, name: &str, known: [&str; N], names: &str) -> String {
    match suggest(name, known.into_iter()) {
        Some(suggestion) => format!("unknown {what}: did you mean {suggestion}? Write {names}"),
        None => format!("unknown {what}: write {names}"),
    }
}

/// A name without a domain (`validation.IsQualifiedName`).
fn is_name(name: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_alphanumeric();
    name.len() <= NAME_BYTES
        && name.starts_with(is_alphanumeric)
        && name.ends_with(is_alphanumeric)
        && name
            .chars()
            .all(|c| is_alphanumeric(c) || "-_.".contains(c))
}

/// A DNS subdomain (RFC 1123), also with `requests.` before it, by which quotas name the resource
/// (`helper.IsExtendedResourceName`).
fn is_domain(domain: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(is_alphanumeric)
            && label.ends_with(is_alphanumeric)
            && label.chars().all(|c| is_alphanumeric(c) || c == '-')
    };
    !domain.starts_with(QUOTA_PREFIX)
        && QUOTA_PREFIX.len() + domain.len() <= DOMAIN_BYTES
        && domain.split('.').all(is_label)
}

/// A value for an error.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::String(text) => Quoted(text).to_string(),
        Value::Object(_) => "an object".into(),
        Value::Array(_) => "a list".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resources_that_the_api_server_accepts_are_accepted() {
        for json in [
            "{}",
            r#"{"requests":{"cpu":"1m","memory":"2Mi"},"limits":{"memory":"16Mi"}}"#,
            r#"{"requests":{"cpu":0,"memory":0}}"#,
            r#"{"requests":{"cpu":0.5},"limits":{"cpu":"500m"}}"#,
            r#"{"requests":{"cpu":"1e-3"},"limits":{"cpu":"1"}}"#,
            r#"{"requests":null,"limits":{"cpu":null}}"#,
            r#"{"limits":{"memory":"6Mi"}}"#,
            r#"{"limits":{"memory":0}}"#,
            r#"{"requests":{"memory":"1Mi"}}"#,
            r#"{"limits":{"ephemeral-storage":"1Gi"}}"#,
            r#"{"limits":{"hugepages-2Mi":"4Mi","memory":"16Mi"}}"#,
            r#"{"limits":{"hugepages-1Gi":"2048Mi","cpu":1}}"#,
            r#"{"requests":{"example.com/gpu":1},"limits":{"example.com/gpu":"1"}}"#,
        ] {
            assert!(parse(json).is_some_and(|parsed| parsed.is_ok()), "{json}");
        }
    }

    #[test]
    fn errors_name_the_quantity_and_what_to_write() {
        for (json, expected) in [
            (
                r#"{"limits":{"memory":"16Mib"}}"#,
                r#"limits.memory is "16Mib": write a quantity such as 16Mi, 100m or 0.5"#,
            ),
            (
                r#"{"limits":{"memory":"1Mi"}}"#,
                r#"limits.memory is "1Mi", less than the container runtime needs to start the sidecar: write at least 6Mi"#,
            ),
            (
                r#"{"limits":{"memory":"16m"}}"#,
                r#"limits.memory is "16m", less than the container runtime needs"#,
            ),
            (
                r#"{"limits":{"memory":"-1"}}"#,
                r#"limits.memory is "-1": write a quantity that is not negative"#,
            ),
            (
                r#"{"requests":{"cpu":-0.5}}"#,
                "requests.cpu is -0.5: write a quantity that is not negative",
            ),
            (
                r#"{"requests":{"cpu":true}}"#,
                "requests.cpu is true: write a quantity such as 16Mi, 100m or 0.5",
            ),
            (
                r#"{"requests":{"cpu":{}}}"#,
                "requests.cpu is an object: write a quantity such as 16Mi, 100m or 0.5",
            ),
            (
                r#"{"limit":{"memory":"16Mi"}}"#,
                r#"unknown field "limit": did you mean limits? Write requests and limits"#,
            ),
            (
                r#"{"claims":[]}"#,
                r#"unknown field "claims": write requests and limits"#,
            ),
            (
                r#"{"limits":["16Mi"]}"#,
                r#"limits is a list: write an object such as {"memory":"16Mi"}"#,
            ),
            (
                r#"{"limits":{"memori":"16Mi"}}"#,
                r#"unknown resource "memori" in limits: did you mean memory? Write cpu, memory, "#,
            ),
            (
                r#"{"limits":{"hugepages-foo":"4Mi"}}"#,
                r#"unknown resource "hugepages-foo" in limits: write cpu, "#,
            ),
            (
                r#"{"limits":{"hugepages-0":"4Mi"}}"#,
                r#"unknown resource "hugepages-0" in limits: write cpu, "#,
            ),
            (
                r#"{"limits":{"hugepages-2Mi":"3Mi","memory":"16Mi"}}"#,
                r#"limits.hugepages-2Mi is "3Mi": write a multiple of the page size in its name"#,
            ),
            (
                r#"{"limits":{"storage":"1"}}"#,
                r#"unknown resource "storage" in limits: write cpu, memory, ephemeral-storage, hugepages-SIZE or DOMAIN/NAME"#,
            ),
            (
                r#"{"limits":{"Example.com/gpu":"1"}}"#,
                r#"unknown resource "Example.com/gpu" in limits: write cpu, "#,
            ),
            (
                r#"{"requests":{"memory":"32Mi"},"limits":{"memory":"16Mi"}}"#,
                r#"requests.memory is "32Mi", more than limits.memory, which is "16Mi": write a limit that is not lower"#,
            ),
            (
                r#"{"requests":{"example.com/gpu":1},"limits":{"example.com/gpu":2}}"#,
                "requests.example.com/gpu is 1, less than limits.example.com/gpu, which is 2: write the same quantity",
            ),
            (
                r#"{"requests":{"example.com/gpu":1}}"#,
                "requests.example.com/gpu requires limits.example.com/gpu: write the same quantity",
            ),
            (
                r#"{"limits":{"example.com/gpu":0.5}}"#,
                "limits.example.com/gpu is 0.5: write an integer",
            ),
            (
                r#"{"limits":{"hugepages-2Mi":"4Mi"}}"#,
                "huge pages require cpu or memory: write one of them, too",
            ),
        ] {
            let error = parse(json).expect("an object").expect_err(json);
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        let long = format!("{}.example/gpu", ["a"; 120].join("."));
        let json = json!({"limits": {long: 1}}).to_string();
        let error = parse(&json).expect("an object").expect_err(&json);
        assert!(
            error.to_string().starts_with("unknown resource "),
            "{error}"
        );
        for json in ["", "[]", "1", "\"16Mi\"", "{", "{}{}"] {
            assert_eq!(parse(json), None, "{json}");
        }
    }
}
