//! Which pods the API server sends to the webhook: the selectors of its MutatingWebhookConfiguration.

use serde_json::Value;

/// The selectors of the webhooks of a configuration that receive new pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSelectors(Vec<PodSelector>);

/// The webhooks of a configuration that select a namespace: a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectingWebhooks(u32);

/// Webhooks of a configuration that are evaluated: as many as [`SelectingWebhooks`] has bits. It is deployed with one.
const WEBHOOKS: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
struct PodSelector {
    namespace: LabelSelector,
    object: LabelSelector,
}

/// A label selector. Without requirements it selects everything.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: Box<str>,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    In(Vec<Box<str>>),
    NotIn(Vec<Box<str>>),
    Exists,
    DoesNotExist,
}

impl PodSelectors {
    /// Reads the selectors of a MutatingWebhookConfiguration. A webhook with `matchConditions`, which are CEL, or with a selector
    /// that cannot be evaluated is left out: its pods are not known.
    pub fn of_configuration(configuration: &Value) -> PodSelectors {
        let webhooks = configuration["webhooks"].as_array().into_iter().flatten();
        let webhooks = webhooks.filter(|webhook| {
            let conditions = webhook["matchConditions"].as_array();
            receives_pods(webhook) && conditions.is_none_or(Vec::is_empty)
        });
        let selectors = webhooks.filter_map(|webhook| {
            Some(PodSelector {
                namespace: LabelSelector::parse(&webhook["namespaceSelector"])?,
                object: LabelSelector::parse(&webhook["objectSelector"])?,
            })
        });
        PodSelectors(selectors.take(WEBHOOKS).collect())
    }

    /// Whether no pod is selected, whatever its labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The webhooks that select a namespace with these labels; none if no pod of it can be selected.
    pub fn in_namespace(&self, labels: &Value) -> Option<SelectingWebhooks> {
        let selectors = self.0.iter().enumerate();
        let selecting = selectors.filter(|(_, selector)| selector.namespace.matches(labels));
        let bits = selecting.fold(0, |bits, (index, _)| bits | 1 << index);
        (bits != 0).then_some(SelectingWebhooks(bits))
    }

    /// Whether one of these webhooks selects a pod with these labels.
    pub fn selects(&self, webhooks: SelectingWebhooks, labels: &Value) -> bool {
        let mut selectors = self.0.iter().enumerate();
        selectors.any(|(index, selector)| {
            webhooks.0 & 1 << index != 0 && selector.object.matches(labels)
        })
    }
}

/// Whether the rules of a webhook include the creation of pods.
fn receives_pods(webhook: &Value) -> bool {
    let has = |list: &Value, wanted: &[&str]| {
        let items = list.as_array().into_iter().flatten();
        items
            .filter_map(Value::as_str)
            .any(|item| wanted.contains(&item))
    };
    let mut rules = webhook["rules"].as_array().into_iter().flatten();
    rules.any(|rule| {
        has(&rule["operations"], &["CREATE", "*"])
            && has(&rule["resources"], &["pods", "*", "*/*"])
            && has(&rule["apiGroups"], &["", "*"])
    })
}

impl LabelSelector {
    /// Reads a selector; none selects everything. `None` for an unknown operator.
    fn parse(selector: &Value) -> Option<LabelSelector> {
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            requirements.push(Requirement {
                key: key.as_str().into(),
                operator: Operator::In(vec![value.as_str()?.into()]),
            });
        }
        for expression in selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.map(|value| value.as_str().map(Into::into));
            let values: Option<Vec<Box<str>>> = values.collect();
            requirements.push(Requirement {
                key: expression["key"].as_str()?.into(),
                operator: match expression["operator"].as_str()? {
                    "In" => Operator::In(values?),
                    "NotIn" => Operator::NotIn(values?),
                    "Exists" => Operator::Exists,
                    "DoesNotExist" => Operator::DoesNotExist,
                    _ => return None,
                },
            });
        }
        Some(LabelSelector(requirements))
    }

    fn matches(&self, labels: &Value) -> bool {
        self.0.iter().all(|requirement| {
            let label = labels.get(&*requirement.key).and_then(Value::as_str);
            match &requirement.operator {
                Operator::In(values) => label.is_some_and(|label| contains(values, label)),
                // A missing label matches, too (`k8s.io/apimachinery/pkg/labels/selector.go`: `Matches`).
                Operator::NotIn(values) => label.is_none_or(|label| !contains(values, label)),
                Operator::Exists => label.is_some(),
                Operator::DoesNotExist => label.is_none(),
            }
        })
    }
}

fn contains(values: &[Box<str>], label: &str) -> bool {
    values.iter().any(|value| **value == *label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn webhook(namespace: &Value, object: &Value) -> Value {
        json!({
            "rules": [{"apiGroups": [""], "operations": ["CREATE"], "resources": ["pods"]}],
            "namespaceSelector": namespace,
            "objectSelector": object,
        })
    }

    fn selects(selectors: &PodSelectors, namespace: &Value, pod: &Value) -> bool {
        let webhooks = selectors.in_namespace(namespace);
        webhooks.is_some_and(|webhooks| selectors.selects(webhooks, pod))
    }

    fn configuration(webhooks: &[Value]) -> PodSelectors {
        PodSelectors::of_configuration(&json!({"webhooks": webhooks}))
    }

    #[test]
    fn the_selectors_as_deployed_select_pods_of_labelled_namespaces() {
        let namespace = json!({
            "matchLabels": {"probelet.dev/injection": "enabled"},
            "matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]},
            ],
        });
        let object = json!({"matchExpressions": [
            {"key": "sidecar.istio.io/inject", "operator": "NotIn", "values": ["false"]},
        ]});
        let selectors = configuration(&[webhook(&namespace, &object)]);
        let enabled = |name| json!({"probelet.dev/injection": "enabled", "kubernetes.io/metadata.name": name});
        for (labels, pod, expected) in [
            (enabled("web"), json!({"app": "web"}), true),
            (enabled("web"), Value::Null, true),
            (
                enabled("web"),
                json!({"sidecar.istio.io/inject": "true"}),
                true,
            ),
            (
                enabled("web"),
                json!({"sidecar.istio.io/inject": "false"}),
                false,
            ),
            (enabled("kube-system"), Value::Null, false),
            (
                json!({"probelet.dev/injection": "disabled"}),
                Value::Null,
                false,
            ),
            (Value::Null, Value::Null, false),
        ] {
            assert_eq!(
                selects(&selectors, &labels, &pod),
                expected,
                "{labels} {pod}"
            );
        }
        assert!(selectors.in_namespace(&enabled("web")).is_some());
        assert!(selectors.in_namespace(&enabled("kube-system")).is_none());
    }

    #[test]
    fn all_operators_are_evaluated_as_in_the_api_server() {
        for (expression, without, with_a) in [
            (
                json!({"key": "k", "operator": "In", "values": ["a", "b"]}),
                false,
                true,
            ),
            (
                json!({"key": "k", "operator": "NotIn", "values": ["a"]}),
                true,
                false,
            ),
            (json!({"key": "k", "operator": "Exists"}), false, true),
            (json!({"key": "k", "operator": "DoesNotExist"}), true, false),
        ] {
            let selector = json!({"matchExpressions": [expression]});
            let selectors = configuration(&[webhook(&selector, &Value::Null)]);
            assert_eq!(
                selects(&selectors, &json!({}), &Value::Null),
                without,
                "{selector}"
            );
            assert_eq!(
                selects(&selectors, &json!({"k": "a"}), &Value::Null),
                with_a,
                "{selector}"
            );
        }
    }

    #[test]
    fn a_pod_is_selected_by_the_webhook_that_selects_its_namespace() {
        let [a, b] = ["a", "b"].map(|name| json!({"matchLabels": {"k": name}}));
        let selectors = configuration(&[webhook(&a, &a), webhook(&b, &b)]);
        for (namespace, pod, expected) in [("a", "a", true), ("a", "b", false), ("b", "b", true)] {
            let [namespace, pod] = [namespace, pod].map(|name| json!({"k": name}));
            assert_eq!(
                selects(&selectors, &namespace, &pod),
                expected,
                "{namespace} {pod}"
            );
        }
    }

    #[test]
    fn webhooks_whose_pods_are_not_known_select_none() {
        let mut of_services = webhook(&Value::Null, &Value::Null);
        of_services["rules"][0]["resources"] = json!(["services"]);
        let mut with_conditions = webhook(&Value::Null, &Value::Null);
        with_conditions["matchConditions"] = json!([{"name": "a", "expression": "true"}]);
        let unknown =
            json!({"matchExpressions": [{"key": "k", "operator": "Gt", "values": ["1"]}]});
        let with_unknown = webhook(&unknown, &Value::Null);
        assert!(configuration(&[of_services, with_conditions, with_unknown]).is_empty());
        assert!(PodSelectors::of_configuration(&Value::Null).is_empty());
        assert!(!configuration(&[webhook(&Value::Null, &Value::Null)]).is_empty());
    }
}
