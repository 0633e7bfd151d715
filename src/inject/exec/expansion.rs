//! `$(VAR)` in the command of an exec probe, as kubelet expands it (`third_party/forked/golang/expansion`,
//! `pkg/kubelet/container/helpers.go`: `ExpandContainerCommandOnlyStatic`).

use super::conversion::{Reason, quoted};
use serde_json::Value;

pub(super) fn expand(command: &[&str], env: &Value) -> Result<Vec<String>, Reason> {
    command.iter().map(|word| expand_word(word, env)).collect()
}

fn expand_word(word: &str, env: &Value) -> Result<String, Reason> {
    let mut expanded = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        expanded += &rest[..at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix('(').and_then(|rest| rest.split_once(')'))
        {
            match value_of(name, env)? {
                Some(value) => expanded += value,
                None => expanded += &format!("$({name})"),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    Ok(expanded + rest)
}

/// The last variable of this name, as in Go's map.
fn value_of<'e>(name: &str, env: &'e Value) -> Result<Option<&'e str>, Reason> {
    let variables = env.as_array().map_or(&[][..], Vec::as_slice);
    let Some(variable) = variables
        .iter()
        .rev()
        .find(|variable| variable["name"] == name)
    else {
        return Ok(None);
    };
    if !variable["valueFrom"].is_null() {
        return Err(format!(
            "has the variable {}, whose value the pod does not have",
            quoted(name)
        )
        .into());
    }
    let value = variable["value"].as_str().unwrap_or_default();
    match value.contains("$(") {
        true => Err(format!(
            "has the variable {}, whose value has another variable",
            quoted(name)
        )
        .into()),
        false => Ok(Some(value)),
    }
}
