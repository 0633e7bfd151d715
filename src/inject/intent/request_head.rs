//! The head of kubelet's request to the agent, which the agent rejects with 431 beyond its limits.

use crate::inject::annotation_names::EXCLUDE_CONTAINERS;
use crate::inject::view::handler::{Handler, HandlerKind};
use crate::inject::view::probes::Probe;
use crate::limits;
use serde_json::Value;

/// The fields that kubelet adds unless `httpHeaders` has them (`pkg/probe/http/request.go`: `newProbeRequest`), with the
/// longest values. A pod's address is written with its port.
const ADDED: [(&str, &str); 3] = [
    ("Host", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
    ("User-Agent", "kube-lifecycle/1.999+"),
    ("Accept", "*/*"),
];
/// The field that Go's client adds to each probe; a hook has `Accept-Encoding: gzip` in its place.
const CONNECTION: [&str; 2] = ["Connection: close", "Accept-Encoding: gzip"];
const LINE_END: &str = "\r\n";

/// Checks that the agent reads kubelet's request for a rewritten probe.
///
/// # Errors
/// The reason, and what to write instead.
pub(super) fn check(probe: &Probe<'_>, handler: &Handler) -> Result<(), String> {
    if handler.kind != HandlerKind::HttpGet {
        return Ok(());
    }
    let headers = handler.field("httpHeaders").and_then(Value::as_array);
    let headers = headers.map_or(&[][..], Vec::as_slice);
    let text = |header: &Value, field| header[field].as_str().unwrap_or_default().len();
    let has = |name: &str| {
        let mut names = headers.iter().filter_map(|header| header["name"].as_str());
        names.any(|other| other.eq_ignore_ascii_case(name))
    };
    let added: Vec<usize> = ADDED
        .into_iter()
        .filter(|(name, _)| !has(name))
        .map(|(name, value)| field_bytes(name.len(), value.len()))
        .collect();
    let fields = headers.len() + added.len() + 1;
    let given = headers
        .iter()
        .map(|header| field_bytes(text(header, "name"), text(header, "value")));
    let request_line = "GET ".len() + probe.path.len() + " HTTP/1.1\r\n".len();
    let connection = CONNECTION[usize::from(probe.kind.is_hook())].len() + LINE_END.len();
    let bytes = request_line
        + given.sum::<usize>()
        + added.into_iter().sum::<usize>()
        + connection
        + LINE_END.len();
    if bytes <= limits::REQUEST_HEAD_BYTES && fields <= limits::REQUEST_FIELDS {
        return Ok(());
    }
    Err(format!(
        "kubelet's request for {} has {bytes} bytes and {fields} header fields, and the agent's limits are {} and {}: shorten \
         httpHeaders, or leave out the container (annotation {EXCLUDE_CONTAINERS})",
        probe.label,
        limits::REQUEST_HEAD_BYTES,
        limits::REQUEST_FIELDS
    ))
}

/// Bytes of a field line.
fn field_bytes(name: usize, value: usize) -> usize {
    name + ": ".len() + value + LINE_END.len()
}
