//! Reconciles the injected sidecar or volume with the intended one. Retains what others have added: the API server's
//! defaults, variables and mounts of another webhook.

use super::table;
use crate::inject::agent_args::AgentArgs;
use crate::inject::quantity;
use crate::inject::settings::RunAsUser;
use crate::inject::view::{
    IDENTITY_VOLUME, NO_TOKEN_VOLUME, POD_IP, PORT_NAMES, PROBERS, TLS_VOLUME, table_text,
};
use serde_json::{Map, Value, json};

/// The path of the agent's own health, which the sidecar's startup probe requests.
pub(super) const READY_PATH: &str = "/healthz/ready";
/// The startup probe of a sidecar with this status port.
pub(super) fn startup_probe(status_port: u16) -> Value {
    json!({
        "httpGet": {"path": READY_PATH, "port": status_port},
        "periodSeconds": 1,
        "failureThreshold": 30,
    })
}

/// The startup probe after the API server's defaults (`pkg/apis/core/v1/defaults.go`: `SetDefaults_Probe`).
fn defaulted_startup_probe(status_port: u16) -> Value {
    let mut probe = startup_probe(status_port);
    probe["httpGet"]["scheme"] = "HTTP".into();
    probe["timeoutSeconds"] = 1.into();
    probe["successThreshold"] = 1.into();
    probe
}

/// Whether all fields of a value are those of another.
fn is_part_of(value: &Value, other: &Value) -> bool {
    match (value, other) {
        (Value::Object(value), Value::Object(other)) => value.iter().all(|(name, value)| {
            let other = other.get(name);
            other.is_some_and(|other| is_part_of(value, other))
        }),
        _ => value == other,
    }
}

/// Fields of the sidecar that only some settings write, and that others do not add.
const OPTIONAL: [&str; 1] = ["restartPolicy"];
/// Lists of the sidecar with items that only some settings write.
const MERGED_LISTS: [&str; 2] = ["env", "volumeMounts"];
/// The names of items that only some settings write.
const OPTIONAL_ITEMS: [&str; 7] = [
    POD_IP,
    PROBERS,
    TLS_VOLUME,
    IDENTITY_VOLUME,
    NO_TOKEN_VOLUME,
    PORT_NAMES[0],
    PORT_NAMES[1],
];
/// Fields that a setting writes or the API server defaults. The annotation saves those that injection wrote.
const SETTINGS: [&str; 2] = [PULL_POLICY, "resources"];
const PULL_POLICY: &str = "imagePullPolicy";
const STARTUP_PROBE: &str = "startupProbe";
/// In `securityContext`, and in the annotation unless it is the default.
const USER: &str = "runAsUser";

/// In `securityContext`, and in the annotation if injection wrote it.
pub(super) const APP_ARMOR: &str = "appArmorProfile";

/// The fields of `securityContext` with the user. A cluster may assign them, as OpenShift does.
const USER_FIELDS: [&str; 2] = [USER, "runAsGroup"];

/// The settings of a sidecar that the annotation saves, so that injection can remove one that is no longer set.
pub(in crate::inject) fn settings_of(sidecar: &Value) -> Value {
    let members = SETTINGS
        .iter()
        .filter_map(|name| Some((String::from(*name), sidecar.get(name)?.clone())));
    let user = sidecar["securityContext"].get(USER);
    let user = user.filter(|user| **user != default_user());
    let user = user.map(|user| (USER.into(), user.clone()));
    let app_armor = sidecar["securityContext"].get(APP_ARMOR);
    let app_armor = app_armor.map(|profile| (APP_ARMOR.into(), profile.clone()));
    Value::Object(members.chain(user).chain(app_armor).collect())
}

/// The user that the annotation does not save.
fn default_user() -> Value {
    match RunAsUser::DEFAULT {
        RunAsUser::Id(user) => user.into(),
        RunAsUser::Unset => Value::Null,
    }
}

/// Removes the user, the AppArmor profile and the startup probe that an earlier injection wrote, if they are no longer
/// intended. Retains a startup probe that a person has edited, at the intended status port.
fn remove_unset(current: &mut Value, intended: &Value, applied: Option<&Value>) {
    let applied_user = applied.and_then(|applied| applied.get(USER)).cloned();
    let applied_user = applied_user.unwrap_or_else(default_user);
    let context = current.get_mut("securityContext");
    if let Some(context) = context.and_then(Value::as_object_mut) {
        context.retain(|name, value| {
            let is_intended = intended["securityContext"].get(name).is_some();
            let is_applied_user = USER_FIELDS.contains(&&**name) && *value == applied_user;
            let is_applied_profile = name == APP_ARMOR
                && applied.and_then(|applied| applied.get(APP_ARMOR)) == Some(&*value);
            is_intended || !is_applied_user && !is_applied_profile
        });
    }
    let status_port = |sidecar: &Value| AgentArgs::read(sidecar).ports()[0];
    let (old_port, new_port) = (status_port(current), status_port(intended));
    if let Some(members) = current.as_object_mut()
        && intended.get(STARTUP_PROBE).is_none()
        && let Some(probe) = members.get_mut(STARTUP_PROBE)
        && probe["httpGet"]["path"] == READY_PATH
    {
        let written = startup_probe(old_port);
        if is_part_of(&written, probe) && is_part_of(probe, &defaulted_startup_probe(old_port)) {
            members.remove(STARTUP_PROBE);
        } else if probe["httpGet"]["port"] == old_port {
            probe["httpGet"]["port"] = new_port.into();
        }
    }
}

/// The reconciled sidecar. `applied` are the settings that an earlier injection saved.
pub(in crate::inject) fn sidecar(
    current: &Value,
    intended: &Value,
    applied: Option<&Value>,
) -> Value {
    let mut intended = intended.clone();
    retain_same_table(current, &mut intended);
    let mut current = current.clone();
    remove_unset(&mut current, &intended, applied);
    let is_unset = intended.get(PULL_POLICY).is_none();
    let was_applied = applied.is_some_and(|applied| applied.get(PULL_POLICY).is_some());
    let is_outdated = current["image"] != intended["image"]
        && current[PULL_POLICY] == default_pull_policy(&current["image"]);
    if is_unset
        && (was_applied || is_outdated)
        && let Some(members) = current.as_object_mut()
    {
        members.remove(PULL_POLICY);
    }
    let resources = resources(
        &current["resources"],
        &intended["resources"],
        applied.map(|applied| &applied["resources"]),
    );
    intended["resources"] = resources;
    if let Some(members) = current.as_object_mut() {
        members.remove("resources");
    }
    merge(&current, &intended)
}

/// The API server's default of `imagePullPolicy` (`pkg/apis/core/v1/defaults.go`: `SetDefaults_Container`).
fn default_pull_policy(image: &Value) -> &'static str {
    let image = image.as_str().unwrap_or_default();
    let (name, digest) = image
        .split_once('@')
        .map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':'), digest) {
        (Some((_, "latest")), _) | (None, None) => "Always",
        _ => "IfNotPresent",
    }
}

/// The reconciled volume.
pub(in crate::inject) fn volume(current: &Value, intended: &Value) -> Value {
    merge(current, intended)
}

/// Retains the text of the current table of probers if it has the intended probers.
fn retain_same_table(current: &Value, intended: &mut Value) {
    let parse = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
    let Some(text) = table_text(current) else {
        return;
    };
    let variables = intended["env"].as_array_mut().into_iter().flatten();
    for variable in variables.filter(|variable| variable["name"] == PROBERS) {
        let intended = variable["value"].as_str().and_then(parse);
        if let (Some(current), Some(intended)) = (parse(text), intended)
            && table::is_same(&current, &intended)
        {
            variable["value"] = text.into();
        }
    }
}

/// The reconciled `resources`: intended quantities, in the current spelling if it is the same quantity, and quantities
/// that others have added.
fn resources(current: &Value, intended: &Value, applied: Option<&Value>) -> Value {
    let empty = json!({});
    let current = if current.is_object() { current } else { &empty };
    let mut merged = current.clone();
    for group in ["limits", "requests"] {
        let entries = |resources: &Value| resources[group].as_object().cloned();
        let current = entries(current).unwrap_or_default();
        let intended_entries = entries(intended).unwrap_or_default();
        let mut members = Map::new();
        for (name, value) in &current {
            let was_applied = applied.is_some_and(|applied| {
                // The API server defaults a request to the limit.
                let is_limit = |resources: &Value| {
                    let limit = resources["limits"].get(name);
                    limit.is_some_and(|limit| quantity::is_same(limit, value))
                };
                applied[group].get(name).is_some() || is_limit(applied) && !is_limit(intended)
            });
            match intended_entries.get(name) {
                Some(intended) if quantity::is_same(value, intended) => {
                    members.insert(name.clone(), value.clone());
                }
                None if !was_applied => {
                    members.insert(name.clone(), value.clone());
                }
                _ => {}
            }
        }
        for (name, value) in intended_entries {
            members.entry(name).or_insert(value);
        }
        match members.is_empty() {
            false => merged[group] = members.into(),
            true => drop(merged.as_object_mut().and_then(|all| all.remove(group))),
        }
    }
    for (name, value) in intended.as_object().into_iter().flatten() {
        if name != "limits" && name != "requests" {
            merged[&**name] = value.clone();
        }
    }
    let applied = applied.and_then(Value::as_object).into_iter().flatten();
    for (name, _) in applied {
        if name != "limits" && name != "requests" && intended.get(name).is_none() {
            merged.as_object_mut().and_then(|all| all.remove(name));
        }
    }
    merged
}

fn merge(current: &Value, intended: &Value) -> Value {
    match (current, intended) {
        (Value::Object(current), Value::Object(intended)) => {
            merge_objects(current, intended).into()
        }
        (Value::Array(current), Value::Array(intended)) => merge_lists(current, intended).into(),
        _ => intended.clone(),
    }
}

fn merge_objects(
    current: &Map<String, Value>,
    intended: &Map<String, Value>,
) -> Map<String, Value> {
    let mut merged = Map::new();
    for (key, value) in current {
        let value = match (intended.get(key), value) {
            (Some(intended), _) => merge(value, intended),
            (None, Value::Array(items)) if MERGED_LISTS.contains(&&**key) => {
                let others = merge_lists(items, &[]);
                if others.is_empty() {
                    continue;
                }
                others.into()
            }
            (None, _) if OPTIONAL.contains(&&**key) => continue,
            (None, _) => value.clone(),
        };
        merged.insert(key.clone(), value);
    }
    for (key, value) in intended {
        merged.entry(key.clone()).or_insert_with(|| value.clone());
    }
    merged
}

/// Merges items by name if they have names, and retains items of others in their positions. Without names, the list
/// becomes the intended one, with what others have added to its items.
fn merge_lists(current: &[Value], intended: &[Value]) -> Vec<Value> {
    let has_name = |item: &Value| item["name"].is_string();
    if current.iter().chain(intended).any(has_name) {
        return merge_named_items(current, intended);
    }
    let same_length = current.len() == intended.len();
    let merged = |(index, item): (usize, &Value)| match current.get(index).filter(|_| same_length) {
        Some(current) => merge(current, item),
        None => item.clone(),
    };
    intended.iter().enumerate().map(merged).collect()
}

/// The name of a port on which the sidecar terminates mutual TLS.
pub(super) fn inbound_port_name(port: u16) -> String {
    format!("inbound-{port}")
}

/// Whether an item is a port that injection named.
fn is_inbound_port(item: &Value) -> bool {
    let port = item["containerPort"].as_u64();
    let port = port.and_then(|port| u16::try_from(port).ok());
    port.is_some_and(|port| item["name"] == inbound_port_name(port))
}

fn merge_named_items(current: &[Value], intended: &[Value]) -> Vec<Value> {
    let find = |list: &[Value], name: &Value| list.iter().position(|item| item["name"] == *name);
    // The status port has no name if the app has both of its names.
    let is_unnamed_port = |item: &Value| {
        let port = &item["containerPort"];
        let mut intended = intended.iter();
        item["name"].is_null() && intended.any(|other| other.get("containerPort") == Some(port))
    };
    // The API server rejects two mounts at one path. Earlier injectors left the mount of the service account's token.
    let is_replaced_mount = |item: &Value| {
        let path = item.get("mountPath").filter(|path| path.is_string());
        path.is_some_and(|path| {
            let mut intended = intended.iter();
            intended.any(|other| other.get("mountPath") == Some(path))
        })
    };
    let mut merged = Vec::new();
    for item in current {
        let name = &item["name"];
        match find(intended, name) {
            Some(index) => merged.push(merge(item, &intended[index])),
            None if OPTIONAL_ITEMS.iter().any(|optional| name == optional) => {}
            None if is_inbound_port(item) => {}
            None if is_unnamed_port(item) || is_replaced_mount(item) => {}
            None => merged.push(item.clone()),
        }
    }
    // A missing item goes after its predecessor in the intended list.
    for (index, item) in intended.iter().enumerate() {
        if find(&merged, &item["name"]).is_none() {
            let before = index.checked_sub(1).map(|before| &intended[before]["name"]);
            let before = before.and_then(|name| find(&merged, name));
            merged.insert(before.map_or(0, |before| before + 1), item.clone());
        }
    }
    merged
}
