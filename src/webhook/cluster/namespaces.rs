//! What namespaces say about the sidecars of their pods: the annotation `probelet.dev/resources`, LimitRanges and
//! ResourceQuotas.

use crate::inject::size::json_value_bound;
use crate::inject::values::{InvalidText, Values};
use crate::inject::{ContainerBounds, Settings, annotation_names};
use crate::limits;
use crate::text::Quoted;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// The settings of the namespaces that have any.
#[derive(Debug, Default)]
pub struct NamespaceTable {
    resources: HashMap<Box<str>, Box<str>>,
    bounds: HashMap<Box<str>, ContainerBounds>,
    /// The namespaces with a quota that counts pods by their QoS class.
    qos_quotas: HashSet<Box<str>>,
}

impl NamespaceTable {
    /// A table of one annotated namespace.
    #[cfg(test)]
    pub fn with_resources(namespace: &str, resources: &str) -> NamespaceTable {
        let resources = [(namespace.into(), resources.into())].into_iter();
        NamespaceTable {
            resources: resources.collect(),
            ..NamespaceTable::default()
        }
    }

    /// Replaces the annotations of all namespaces.
    pub fn set_resources(&mut self, annotations: NamespaceAnnotations) {
        self.resources = annotations.resources;
    }

    /// Replaces the LimitRanges of all namespaces.
    pub fn set_limit_ranges(&mut self, limit_ranges: LimitRanges) {
        self.bounds = limit_ranges.into_bounds();
    }

    /// Replaces the ResourceQuotas of all namespaces.
    pub fn set_quotas(&mut self, quotas: QosQuotas) {
        self.qos_quotas = quotas.namespaces;
    }

    /// The settings for the pods of a namespace. An annotation that is not valid is ignored, with a warning.
    pub fn apply<'s>(
        &self,
        namespace: &str,
        settings: &'s Settings,
        warnings: &mut Vec<Box<str>>,
    ) -> Cow<'s, Settings> {
        let mut applied = Cow::Borrowed(settings);
        if let Some(text) = self.resources.get(namespace) {
            match parse_resources(text) {
                Ok(resources) => applied.to_mut().resources = resources,
                Err(error) => warnings.push(describe(namespace, text, &error).into()),
            }
        }
        if let Some(bounds) = self.bounds.get(namespace) {
            applied.to_mut().container_bounds = bounds.clone();
        }
        if self.qos_quotas.contains(namespace) {
            applied.to_mut().keeps_best_effort = true;
        }
        applied
    }
}

fn parse_resources(text: &str) -> Result<Value, InvalidText> {
    let mut values = Values::default();
    values.set_from_text("resources", text)?;
    Ok(values.resources.unwrap_or_default())
}

fn describe(namespace: &str, text: &str, error: &InvalidText) -> String {
    let name = annotation_names::RESOURCES;
    let name = format_args!("annotation {name} of namespace {namespace}");
    let error = error.describe(&name, &Quoted(text));
    format!("{error}; it is ignored")
}

/// The memory of what is listed of one kind.
#[derive(Debug, Default)]
struct TableMemory {
    bytes: usize,
    ignored: usize,
}

impl TableMemory {
    /// Takes the memory of an entry. Counts the entry as ignored and returns false if `is_short` is false or the table is full.
    fn take(&mut self, bytes: usize, is_short: bool) -> bool {
        let is_kept = is_short && self.bytes + bytes <= limits::NAMESPACE_TABLE_BYTES;
        match is_kept {
            true => self.bytes += bytes,
            false => self.ignored += 1,
        }
        is_kept
    }
}

/// The annotations of namespaces that are listed.
#[derive(Debug, Default)]
pub struct NamespaceAnnotations {
    resources: HashMap<Box<str>, Box<str>>,
    memory: TableMemory,
}

impl NamespaceAnnotations {
    /// Adds a namespace.
    pub fn add(&mut self, namespace: &Value) {
        let metadata = &namespace["metadata"];
        let name = metadata["name"].as_str();
        let resources = metadata["annotations"][annotation_names::RESOURCES].as_str();
        let (Some(name), Some(resources)) = (name, resources) else {
            return;
        };
        let is_short = resources.len() <= limits::NAMESPACE_RESOURCES_BYTES;
        if self.memory.take(name.len() + resources.len(), is_short) {
            self.resources.insert(name.into(), resources.trim().into());
        }
    }

    /// The number of namespaces whose annotation is too long, or that exceed the memory of the table.
    pub fn ignored(&self) -> usize {
        self.memory.ignored
    }
}

/// LimitRanges that are listed, reduced to what bounds containers and pods.
#[derive(Debug, Default)]
pub struct LimitRanges {
    /// By namespace, as JSON, which takes a tenth of the memory of its values.
    reduced: HashMap<Box<str>, Vec<Box<str>>>,
    values: usize,
    memory: TableMemory,
}

impl LimitRanges {
    /// Adds a LimitRange.
    pub fn add(&mut self, limit_range: &Value) {
        let Some(namespace) = limit_range["metadata"]["namespace"].as_str() else {
            return;
        };
        let items = limit_range["spec"]["limits"]
            .as_array()
            .into_iter()
            .flatten();
        let bounds_pods = |item: &&Value| item["type"] == "Container" || item["type"] == "Pod";
        let items: Vec<&Value> = items.filter(bounds_pods).collect();
        if items.is_empty() {
            return;
        }
        let name = &limit_range["metadata"]["name"];
        let reduced = json!({"metadata": {"name": name}, "spec": {"limits": items}}).to_string();
        let values = self.values + json_value_bound(&reduced);
        let is_short =
            reduced.len() <= limits::LIMIT_RANGE_BYTES && values <= limits::LIMIT_RANGE_VALUES;
        if self.memory.take(namespace.len() + reduced.len(), is_short) {
            self.values = values;
            let of_namespace = self.reduced.entry(namespace.into()).or_default();
            of_namespace.push(reduced.into());
        }
    }

    /// The number of LimitRanges that are too long, or that exceed the memory of the table.
    pub fn ignored(&self) -> usize {
        self.memory.ignored
    }

    fn into_bounds(self) -> HashMap<Box<str>, ContainerBounds> {
        let reduced = self.reduced.into_iter();
        let bounds = reduced.map(|(namespace, limit_ranges)| {
            let values = limit_ranges
                .iter()
                .filter_map(|json| serde_json::from_str(json).ok());
            let values: Vec<Value> = values.collect();
            (namespace, ContainerBounds::from_limit_ranges(&values))
        });
        bounds.collect()
    }
}

/// The namespaces of the ResourceQuotas that are listed and that count pods by their QoS class.
#[derive(Debug, Default)]
pub struct QosQuotas {
    namespaces: HashSet<Box<str>>,
    memory: TableMemory,
}

impl QosQuotas {
    /// Adds a ResourceQuota.
    pub fn add(&mut self, quota: &Value) {
        let Some(namespace) = quota["metadata"]["namespace"].as_str() else {
            return;
        };
        if !counts_by_qos_class(&quota["spec"]) || self.namespaces.contains(namespace) {
            return;
        }
        if self.memory.take(namespace.len(), true) {
            self.namespaces.insert(namespace.into());
        }
    }

    /// The number of ResourceQuotas that exceed the memory of the table.
    pub fn ignored(&self) -> usize {
        self.memory.ignored
    }
}

/// Whether a ResourceQuota counts a BestEffort pod and a Burstable one differently (`ResourceQuotaScope` of the core API).
fn counts_by_qos_class(spec: &Value) -> bool {
    let is_of_class = |scope: &Value| *scope == "BestEffort" || *scope == "NotBestEffort";
    let mut scopes = spec["scopes"].as_array().into_iter().flatten();
    let expressions = spec["scopeSelector"]["matchExpressions"].as_array();
    let mut expressions = expressions.into_iter().flatten();
    scopes.any(is_of_class) || expressions.any(|expression| is_of_class(&expression["scopeName"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str, resources: &str) -> Value {
        json!({"metadata": {"name": name, "annotations": {annotation_names::RESOURCES: resources}}})
    }

    fn limit_range(namespace: &str, name: &str, limits: &Value) -> Value {
        json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"limits": limits}})
    }

    #[test]
    fn the_annotation_of_a_namespace_sets_the_resources_of_its_pods() {
        let mut annotations = NamespaceAnnotations::default();
        annotations.add(&namespace("web", r#" {"limits":{"memory":"32Mi"}} "#));
        annotations.add(&namespace("typo", r#"{"limits":{"memory":"32Mib"}}"#));
        annotations.add(&json!({"metadata": {"name": "none"}}));
        let mut table = NamespaceTable::default();
        table.set_resources(annotations);
        let (settings, mut warnings) = (Values::default().with_defaults(), Vec::new());
        let applied = table.apply("web", &settings, &mut warnings);
        assert_eq!(applied.resources, json!({"limits": {"memory": "32Mi"}}));
        for other in ["none", "unknown"] {
            assert_eq!(*table.apply(other, &settings, &mut warnings), settings);
        }
        assert!(warnings.is_empty());
        assert_eq!(*table.apply("typo", &settings, &mut warnings), settings);
        let [warning] = &*warnings else {
            panic!("{warnings:?}");
        };
        let start = "annotation probelet.dev/resources of namespace typo: limits.memory is \"32Mib\": write a quantity";
        assert!(
            warning.starts_with(start) && warning.ends_with("; it is ignored"),
            "{warning}"
        );
    }

    #[test]
    fn limit_ranges_bound_the_pods_of_their_namespace() {
        let of_containers = json!([{"type": "Container", "min": {"cpu": "10m"}}]);
        let mut limit_ranges = LimitRanges::default();
        limit_ranges.add(&limit_range("web", "a", &of_containers));
        limit_ranges.add(&limit_range(
            "web",
            "b",
            &json!([{"type": "Pod", "max": {"cpu": "1"}}]),
        ));
        let of_claims = json!([{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]);
        limit_ranges.add(&limit_range("claims", "a", &of_claims));
        let mut table = NamespaceTable::default();
        table.set_limit_ranges(limit_ranges);
        let settings = Values::default().with_defaults();
        let bounds = |namespace| {
            let applied = table.apply(namespace, &settings, &mut Vec::new());
            applied.container_bounds.clone()
        };
        let expected = ContainerBounds::from_limit_ranges(&[
            limit_range("web", "a", &of_containers),
            limit_range("web", "b", &json!([{"type": "Pod", "max": {"cpu": "1"}}])),
        ]);
        assert_eq!(bounds("web"), expected);
        assert_eq!(bounds("claims"), ContainerBounds::default());
    }

    #[test]
    fn a_quota_of_a_qos_class_keeps_the_class_of_best_effort_pods() {
        let quota = |namespace: &str, spec: Value| json!({"metadata": {"name": "quota", "namespace": namespace}, "spec": spec});
        let select = |scope: &str| {
            let expression = json!({"scopeName": scope, "operator": "Exists"});
            json!({"scopeSelector": {"matchExpressions": [expression]}})
        };
        let mut quotas = QosQuotas::default();
        for quota in [
            quota(
                "of-others",
                json!({"scopes": ["Terminating", "NotBestEffort"]}),
            ),
            quota("of-best-effort", json!({"scopes": ["BestEffort"]})),
            quota("selecting", select("NotBestEffort")),
            quota("all", json!({"hard": {"pods": 1}})),
            quota("terminating", select("Terminating")),
        ] {
            quotas.add(&quota);
        }
        let mut table = NamespaceTable::default();
        table.set_quotas(quotas);
        let settings = Values::default().with_defaults();
        let keeps = |namespace| {
            let applied = table.apply(namespace, &settings, &mut Vec::new());
            applied.keeps_best_effort
        };
        assert!(
            ["of-others", "of-best-effort", "selecting"]
                .into_iter()
                .all(keeps)
        );
        assert!(!["all", "terminating", "none"].into_iter().any(keeps));
    }

    #[test]
    fn what_exceeds_the_memory_of_the_table_is_ignored_and_counted() {
        let mut annotations = NamespaceAnnotations::default();
        annotations.add(&namespace(
            "a",
            &"x".repeat(limits::NAMESPACE_RESOURCES_BYTES + 1),
        ));
        assert_eq!(annotations.ignored(), 1);
        let long = "x".repeat(limits::NAMESPACE_RESOURCES_BYTES);
        let count = limits::NAMESPACE_TABLE_BYTES / long.len() + 10;
        for index in 0..count {
            annotations.add(&namespace(&format!("n{index}"), &long));
        }
        assert!(
            annotations.ignored() > 10 && annotations.memory.bytes <= limits::NAMESPACE_TABLE_BYTES
        );
        let mut quotas = QosQuotas::default();
        for index in 0..count {
            let namespace = format!("{index}{long}");
            let metadata = json!({"name": "quota", "namespace": namespace});
            quotas.add(&json!({"metadata": metadata, "spec": {"scopes": ["BestEffort"]}}));
        }
        assert!(quotas.ignored() > 10 && quotas.memory.bytes <= limits::NAMESPACE_TABLE_BYTES);
        let mut limit_ranges = LimitRanges::default();
        let many: Vec<Value> = (0..400).map(|_| json!({"type": "Pod"})).collect();
        limit_ranges.add(&limit_range("a", "long", &json!(many)));
        assert_eq!(limit_ranges.ignored(), 1);
        let nested: Vec<Value> = (0..100).map(|_| json!({"type": "Pod", "": {}})).collect();
        for index in 0..1000 {
            limit_ranges.add(&limit_range(&format!("n{index}"), "nested", &json!(nested)));
        }
        assert!(limit_ranges.values <= limits::LIMIT_RANGE_VALUES);
        assert!(limit_ranges.ignored() > 100);
    }
}
