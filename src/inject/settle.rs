//! A container or volume of ours that is there already, brought to what it should be: with all that others
//! have put into it, such as the API server's defaults and a service account's mount.

use super::probes::OURS;
use super::sidecar::VOLUME;
use super::table::VARIABLE;
use serde_json::{Map, Value};

/// Members that we do not always want, and nobody else adds.
const GONE: [&str; 1] = ["restartPolicy"];
/// Lists whose items are not always wanted.
const LISTS: [&str; 2] = ["env", "volumeMounts"];
/// Items of lists, by name: the same.
const GONE_ITEMS: [&str; 4] = ["POD_IP", VARIABLE, VOLUME, OURS];

/// What is wanted wins; what was ours and is no longer wanted goes; the rest stays.
pub(super) fn settle(now: &Value, wanted: &Value) -> Value {
    match (now, wanted) {
        (Value::Object(now), Value::Object(wanted)) => object(now, wanted).into(),
        (Value::Array(now), Value::Array(wanted)) => list(now, wanted).into(),
        _ => wanted.clone(),
    }
}

fn object(now: &Map<String, Value>, wanted: &Map<String, Value>) -> Map<String, Value> {
    let mut settled = Map::new();
    for (key, value) in now {
        let value = match (wanted.get(key), value) {
            (Some(wanted), _) => settle(value, wanted),
            (None, Value::Array(items)) if LISTS.contains(&&**key) => {
                let rest = list(items, &[]);
                if rest.is_empty() {
                    continue;
                }
                rest.into()
            }
            (None, _) if GONE.contains(&&**key) => continue,
            (None, _) => value.clone(),
        };
        settled.insert(key.clone(), value);
    }
    for (key, value) in wanted {
        settled.entry(key.clone()).or_insert_with(|| value.clone());
    }
    settled
}

/// Items with names are told by them, and those of others stay where they are; other lists are as they are
/// wanted, but for what was put into their items.
fn list(now: &[Value], wanted: &[Value]) -> Vec<Value> {
    if now
        .iter()
        .chain(wanted)
        .any(|item| item["name"].is_string())
    {
        return named(now, wanted);
    }
    let old = |index: usize| now.get(index).filter(|_| now.len() == wanted.len());
    let settled = |(index, item): (usize, &Value)| {
        old(index).map_or_else(|| item.clone(), |old| settle(old, item))
    };
    wanted.iter().enumerate().map(settled).collect()
}

fn named(now: &[Value], wanted: &[Value]) -> Vec<Value> {
    let find = |list: &[Value], name: &Value| list.iter().position(|item| item["name"] == *name);
    let mut settled = Vec::new();
    for item in now {
        let name = &item["name"];
        match find(wanted, name) {
            Some(index) => settled.push(settle(item, &wanted[index])),
            None if GONE_ITEMS.iter().any(|gone| name == gone) => {}
            None => settled.push(item.clone()),
        }
    }
    // What is missing comes behind the one it is wanted behind.
    for (index, item) in wanted.iter().enumerate() {
        if find(&settled, &item["name"]).is_none() {
            let before = index.checked_sub(1).map(|before| &wanted[before]["name"]);
            let before = before.and_then(|name| find(&settled, name));
            settled.insert(before.map_or(0, |before| before + 1), item.clone());
        }
    }
    settled
}
