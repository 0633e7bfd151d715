//! Finds pods that cannot be created or started because of the sidecar: in the API server's messages, which controllers
//! repeat in Events and conditions, and in the statuses of pods.

use crate::inject::annotation_names::{RESOURCES, RUN_AS_USER};
use crate::inject::quantity::Quantity;
use crate::inject::{SIDECAR_NAME, Sidecar, pod_sums};
use serde_json::Value;

/// Characters of a message that a line has. Those of Events have no more (`pkg/apis/core/validation/events.go`).
const MESSAGE_CHARS: usize = 1024;

/// Why pods cannot be created: the object that creates them, and the message.
pub(super) struct Rejection<'a> {
    /// `replicaset/web-5d4`
    pub(super) object: Box<str>,
    pub(super) namespace: &'a str,
    /// The message, cut off.
    pub(super) message: &'a str,
    /// Whether it is an Event, which stays for an hour after the cause has ended.
    pub(super) is_event: bool,
}

impl<'a> Rejection<'a> {
    /// The rejection of which an Event or the condition of a controller informs. `name` is that of the resource, and
    /// `namespace` its own.
    pub(super) fn read(resource: &'a Value, name: &str, namespace: &'a str) -> Option<Self> {
        if name.starts_with("event/") {
            return Self::read_event(resource, namespace);
        }
        let conditions = resource["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let failure = conditions.find(|condition| {
            condition["type"] == "ReplicaFailure" && condition["status"] == "True"
        })?;
        Some(Self {
            object: name.into(),
            namespace,
            message: cut_off(failure["message"].as_str()?),
            is_event: false,
        })
    }

    /// Reads an Event of `v1`, or of `events.k8s.io`.
    fn read_event(event: &'a Value, namespace: &'a str) -> Option<Self> {
        let either = |one: &str, other: &str| event.get(one).or_else(|| event.get(other));
        let object = either("involvedObject", "regarding")?;
        let kind = object["kind"].as_str()?.to_lowercase();
        let message = either("message", "note")?.as_str()?;
        (event["reason"] == "FailedCreate").then_some(())?;
        Some(Self {
            object: format!("{kind}/{}", object["name"].as_str()?).into(),
            namespace: object["namespace"].as_str().unwrap_or(namespace),
            message: cut_off(message.strip_prefix("Error creating: ").unwrap_or(message)),
            is_event: true,
        })
    }

    /// Whether the sidecar may be the cause. What it is depends on the pod.
    pub(super) fn may_be_of_sidecar(&self) -> bool {
        let message = self.message;
        let by_amounts = [
            "exceeded quota: ",
            " usage per ",
            " max limit to request ratio per ",
        ];
        let mut by_amounts = by_amounts.into_iter();
        by_amounts.any(|part| message.contains(part))
            || is_of_policy(message)
            || remedy(message, &PossibleSidecars::NONE).is_some()
    }

    /// The message without the name of the pod, which each try has another one of.
    pub(super) fn cause(&self) -> &'a str {
        let cause = self.message.split_once(" is forbidden: ");
        cause.map_or(self.message, |(_, cause)| cause)
    }
}

/// The first characters of a message.
fn cut_off(message: &str) -> &str {
    let end = message.char_indices().nth(MESSAGE_CHARS);
    end.map_or(message, |(end, _)| &message[..end])
}

/// The sidecars that the pods of a controller may have. A message does not show which they have.
pub(super) struct PossibleSidecars {
    /// The resources of each.
    pub(super) resources: Vec<Value>,
    /// The list of containers that has the sidecar.
    pub(super) kind: Sidecar,
    /// The pod without the sidecar, if it is known.
    pub(super) apps: Option<Value>,
}

impl PossibleSidecars {
    const NONE: Self = Self {
        resources: Vec::new(),
        kind: Sidecar::Native,
        apps: None,
    };

    /// The reason of a message, with the remedy, if the sidecar is or may be the cause.
    pub(super) fn describe(&self, message: &str) -> Option<String> {
        if let Some(remedy) = remedy(message, self) {
            return Some(format!(
                "cannot create pods with the sidecar: {message}: {remedy}"
            ));
        }
        is_of_policy(message).then(|| {
            let trial = "if `kubectl create --dry-run=server` accepts the pod without the sidecar, as with the label \
                         probelet.dev/inject: \"false\"";
            format!(
                "cannot create pods, possibly because of the sidecar: {message}: {trial}, exempt container probelet from this \
                 policy"
            )
        })
    }

    fn any(&self, is_cause: impl Fn(&Value) -> bool) -> bool {
        self.resources.iter().any(is_cause)
    }
}

/// What to change, if the sidecar is the cause of a rejection.
fn remedy(message: &str, sidecars: &PossibleSidecars) -> Option<String> {
    let set_resources = format!(
        "set the sidecar's resources by annotation {RESOURCES} on the pod template, or by probelet.resources of the \
         injector's ConfigMap"
    );
    let names_sidecar = names_sidecar(message);
    if message.contains("failed calling webhook \"injector.probelet.dev\"") {
        return Some("repair the webhook, or set its failurePolicy to Ignore".into());
    }
    if message.contains("exceeded quota: ") {
        return sidecars
            .any(|resources| exceeds_quota_by_sidecar(message, resources))
            .then(|| format!("raise the quota, or {set_resources}"));
    }
    let is_of_limit_range = sidecars.any(|resources| violates_limit_range(message, resources))
        || sidecars.any(|resources| exceeds_ratio_by_sidecar(message, resources, sidecars));
    let is_of_pod_resources = message.contains("aggregate container ");
    let is_of_quota = message.contains("must specify ") && names_sidecar;
    if is_of_quota && names_other_container(message) {
        // A quota of the scope `NotBestEffort` does not count the pod without its sidecar.
        return Some(format!(
            "state these resources in each container; if the app needs none without the sidecar, because the quota has the \
             scope NotBestEffort, set annotation {RESOURCES} to {{}} on the pod template or the namespace"
        ));
    }
    if is_of_limit_range || is_of_pod_resources || is_of_quota {
        return Some(set_resources);
    }
    // OpenShift's security context constraints do not name the container.
    if message.contains("runAsUser: Invalid value: 1337") {
        return Some(format!(
            "set annotation {RUN_AS_USER} to none on the pod template, or probelet.runAsUser in the injector's ConfigMap"
        ));
    }
    names_sidecar.then(|| {
        "exempt container probelet from this policy, or inject the pods again with a newer probelet-inject, whose sidecar \
         PodSecurity `restricted` admits"
            .into()
    })
}

/// Whether a message is that of an admission policy or of a validating webhook, which may name neither the container nor the
/// field (`pkg/admission/plugin/policy/validating` and `pkg/admission/plugin/webhook/errors` of apiserver).
fn is_of_policy(message: &str) -> bool {
    message.contains("ValidatingAdmissionPolicy '") && message.contains(" denied request: ")
        || message.contains("admission webhook \"") && message.contains(" denied the request")
}

/// Whether the sidecar's name is a word of a message, not a part of another name.
fn names_sidecar(message: &str) -> bool {
    let is_part_of_name = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    let mut found = message.match_indices(SIDECAR_NAME);
    found.any(|(start, name)| {
        let before = message[..start].chars().next_back();
        let after = message[start + name.len()..].chars().next();
        !before.is_some_and(is_part_of_name) && !after.is_some_and(is_part_of_name)
    })
}

/// Whether a message of a quota names another container than the sidecar: `must specify limits.cpu for: app,probelet`.
fn names_other_container(message: &str) -> bool {
    let lists = message.split(" for: ").skip(1);
    let mut names = lists.flat_map(|list| list.split(';').next().unwrap_or_default().split(','));
    names.any(|name| name.trim() != SIDECAR_NAME)
}

/// The quantity of a resource in a message: `1m` of `but request is 1m, minimum ...`.
fn leading_quantity(text: &str) -> Option<Quantity> {
    let end = text.find([',', ']', ' ']).unwrap_or(text.len());
    Quantity::parse(text[..end].trim_end_matches('.'))
}

/// Whether a pod exceeds a quota that it would not exceed without the sidecar (`exceeded quota: NAME, requested:
/// limits.memory=116Mi, used: ..., limited: ...`, `plugin/pkg/admission/resourcequota/controller.go` of apiserver).
fn exceeds_quota_by_sidecar(message: &str, resources: &Value) -> bool {
    let list = |label: &str| -> Option<Vec<(&str, i128)>> {
        let (_, rest) = message.split_once(label)?;
        // The next list begins after `, `, and items are separated by commas alone.
        let list = rest.split(", ").next()?;
        list.split(',').map(named_quantity).collect()
    };
    let (Some(requested), Some(used), Some(limited)) =
        (list("requested: "), list("used: "), list("limited: "))
    else {
        return false;
    };
    let of = |list: &[(&str, i128)], name: &str| {
        let mut items = list.iter();
        items
            .find(|(key, _)| *key == name)
            .map_or(0, |(_, nanos)| *nanos)
    };
    let exceeds = |sidecar: &dyn Fn(&str) -> i128| {
        let mut items = requested.iter();
        items.any(|(name, nanos)| {
            let total = nanos
                .saturating_add(of(&used, name))
                .saturating_sub(sidecar(name));
            total > of(&limited, name)
        })
    };
    let of_sidecar = |name: &str| {
        let (list, resource) = name.split_once('.').unwrap_or(("requests", name));
        Quantity::read(&resources[list][resource]).map_or(0, Quantity::nanos)
    };
    exceeds(&|_| 0) && !exceeds(&of_sidecar)
}

/// `limits.memory=116Mi`
fn named_quantity(item: &str) -> Option<(&str, i128)> {
    let (name, quantity) = item.split_once('=')?;
    Some((name.trim(), leading_quantity(quantity)?.nanos()))
}

/// Whether the sidecar's resources violate a LimitRange, whose messages name no container
/// (`plugin/pkg/admission/limitranger/admission.go`).
fn violates_limit_range(message: &str, resources: &Value) -> bool {
    let value = |list: &str, resource: &str| Quantity::read(&resources[list][resource]);
    let is_by_sidecar = |rejected: Rejected<'_>| {
        let list = match rejected.label {
            "request" => "requests",
            "limit" => "limits",
            _ => return false,
        };
        let Some(own) = value(list, rejected.resource) else {
            return false;
        };
        let (bound, total) = (rejected.bound.nanos(), rejected.amount.nanos());
        match rejected.scope {
            "Container" => own == rejected.amount,
            "Pod" => total > bound && total.saturating_sub(own.nanos()) <= bound,
            _ => false,
        }
    };
    Rejected::find_all(message, Rejected::USAGE).any(is_by_sidecar)
}

/// Whether a ratio that a LimitRange rejects is that of the sidecar, or that of a pod that has another one without it.
fn exceeds_ratio_by_sidecar(message: &str, resources: &Value, sidecars: &PossibleSidecars) -> bool {
    let ratio = |[request, limit]: [Option<Quantity>; 2]| {
        let request = request.filter(|request| request.is_positive())?;
        // The message has six decimal places.
        limit?
            .nanos()
            .checked_mul(1_000_000)?
            .checked_div(request.nanos())
    };
    let is_by_sidecar = |rejected: Rejected<'_>| {
        let is_rejected = |ratio: i128| ratio.abs_diff(rejected.amount.nanos() / 1000) <= 1;
        let amounts = ["requests", "limits"];
        let own = amounts.map(|group| Quantity::read(&resources[group][rejected.resource]));
        match (rejected.scope, &sidecars.apps) {
            ("Container", _) => ratio(own).is_some_and(is_rejected),
            ("Pod", Some(apps)) => {
                let [without, with] = pod_sums(apps, own, sidecars.kind, rejected.resource);
                ratio(with).is_some_and(is_rejected)
                    && ratio(without).is_some_and(|ratio| ratio <= rejected.bound.nanos() / 1000)
            }
            _ => false,
        }
    };
    Rejected::find_all(message, Rejected::RATIO).any(is_by_sidecar)
}

/// An amount or a ratio that a LimitRange rejects: `maximum cpu usage per Pod is 1, but limit is 1050m`,
/// `cpu max limit to request ratio per Pod is 2, but provided ratio is 3.500000`.
struct Rejected<'m> {
    resource: &'m str,
    /// `Container` or `Pod`
    scope: &'m str,
    bound: Quantity,
    /// `request`, `limit` or `provided ratio`
    label: &'m str,
    amount: Quantity,
}

impl<'m> Rejected<'m> {
    const USAGE: &'static str = " usage per ";
    const RATIO: &'static str = " max limit to request ratio per ";

    /// All in a message, of the kind that the marker selects.
    fn find_all(message: &'m str, marker: &'static str) -> impl Iterator<Item = Self> {
        let found = message.match_indices(marker);
        found.filter_map(move |(start, _)| {
            let resource = message[..start].rsplit([' ', '[']).next()?;
            let (scope, rest) = message[start + marker.len()..].split_once(" is ")?;
            let (bound, rest) = rest.split_once(", but ")?;
            let (label, rest) = rest.split_once(" is ")?;
            Some(Self {
                resource,
                scope,
                bound: Quantity::parse(bound)?,
                label,
                amount: leading_quantity(rest)?,
            })
        })
    }
}

/// Why the sidecar of a pod does not run, with the remedy.
pub(super) fn start_failure(pod: &Value) -> Option<String> {
    let statuses = ["initContainerStatuses", "containerStatuses"].into_iter();
    let statuses = statuses.filter_map(|list| pod["status"][list].as_array());
    let mut statuses = statuses.flatten();
    let waiting = &statuses.find(|status| status["name"] == SIDECAR_NAME)?["state"]["waiting"];
    let reason = waiting["reason"].as_str()?;
    let remedy = match reason {
        "PodInitializing" | "ContainerCreating" => return None,
        "CrashLoopBackOff" => "read `kubectl logs -c probelet --previous`",
        "ErrImageNeverPull" | "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => {
            "import the image on the node, or set probelet.image of the injector's ConfigMap to one that the node can pull, \
             and recreate the pod"
        }
        _ => "read `kubectl describe pod`",
    };
    let message = cut_off(waiting["message"].as_str().unwrap_or_default());
    let colon = if message.is_empty() { "" } else { ": " };
    Some(format!(
        "cannot start: container probelet waits with {reason}{colon}{message}: {remedy}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::possible_resources;
    use serde_json::json;

    fn sidecars(resources: impl Into<Vec<Value>>) -> PossibleSidecars {
        PossibleSidecars {
            resources: resources.into(),
            ..PossibleSidecars::NONE
        }
    }

    fn is_attributed(message: &str) -> bool {
        let resources =
            json!({"requests": {"cpu": "1m", "memory": "2Mi"}, "limits": {"memory": "16Mi"}});
        remedy(message, &sidecars(possible_resources(&resources))).is_some()
    }

    #[test]
    fn the_message_and_the_cause_of_a_rejection_are_cut_off() {
        let message = format!("pods \"web-1\" is forbidden: {}", "ä".repeat(1 << 20));
        let event = json!({
            "reason": "FailedCreate",
            "involvedObject": {"kind": "ReplicaSet", "name": "web"},
            "message": format!("Error creating: {message}"),
        });
        let condition = json!({"type": "ReplicaFailure", "status": "True", "message": message});
        let replica_set = json!({"status": {"conditions": [condition]}});
        for (resource, name) in [(event, "event/web.1"), (replica_set, "replicaset/web")] {
            let rejection = Rejection::read(&resource, name, "shop").expect("a rejection");
            assert_eq!(rejection.message.chars().count(), MESSAGE_CHARS);
            let cause = rejection.cause();
            assert!(rejection.message.ends_with(cause) && cause.starts_with('ä'));
        }
    }

    #[test]
    fn a_rejection_is_attributed_to_the_sidecar() {
        for message in [
            "pods \"web-1\" is forbidden: failed quota: q: must specify limits.cpu for: probelet",
            "pods \"web-1\" is forbidden: failed quota: q: must specify limits.cpu for: app,probelet; limits.memory for: app",
            "pods \"web-1\" is forbidden: exceeded quota: q, requested: limits.memory=116Mi, used: limits.memory=0, limited: \
             limits.memory=100Mi",
            "pods \"web-1\" is forbidden: exceeded quota: q, requested: cpu=101m,requests.memory=3Mi, used: \
             cpu=0,requests.memory=7Mi, limited: cpu=100m,requests.memory=8Mi",
            // A CPU limit, and those of a Guaranteed pod, which the settings do not have.
            "pods \"web-1\" is forbidden: exceeded quota: q, requested: limits.cpu=150m, used: limits.cpu=0, limited: \
             limits.cpu=100m",
            "pods \"web-1\" is forbidden: exceeded quota: q, requested: requests.memory=116Mi, used: requests.memory=0, \
             limited: requests.memory=100Mi",
            "pods \"web-1\" is forbidden: maximum cpu usage per Container is 20m, but limit is 50m",
            "pods \"web-1\" is forbidden: minimum cpu usage per Container is 100m, but request is 50m",
            "pods \"web-1\" is forbidden: maximum cpu usage per Pod is 1, but limit is 1050m",
            // Zero, which keeps the class of a pod.
            "pods \"web-1\" is forbidden: minimum memory usage per Container is 4Mi, but request is 0",
            "pods \"web-1\" is forbidden: minimum ephemeral-storage usage per Container is 4Mi, but limit is 0",
            "pods \"web-1\" is forbidden: [maximum memory usage per Pod is 1Gi, but limit is 2Gi, maximum cpu usage per Pod \
             is 1, but request is 1001m]",
            "pods \"web-1\" is forbidden: minimum cpu usage per Container is 10m, but request is 1m",
            "pods \"web-1\" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, minimum memory usage per \
             Container is 4Mi, but request is 2Mi]",
            "pods \"web-1\" is forbidden: memory max limit to request ratio per Container is 2, but provided ratio is 8.000000",
            "pods \"web-1\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false \
             (containers \"app\", \"probelet\" must set securityContext.allowPrivilegeEscalation=false)",
            "Pod \"web-1\" is invalid: spec.resources.requests[cpu]: Invalid value: \"100m\": must be greater than or equal to \
             aggregate container requests of 101m",
            "Internal error occurred: failed calling webhook \"injector.probelet.dev\": failed to call webhook: Post",
            "pods \"web-1\" is forbidden: unable to validate against any security context constraint: \
             .initContainers[0].runAsUser: Invalid value: 1337: must be in the ranges: [1000680000, 1000689999]",
            "admission webhook \"validate.kyverno.svc-fail\" denied the request: container probelet has no owner",
        ] {
            assert!(is_attributed(message), "{message}");
        }
    }

    #[test]
    fn a_quota_that_counts_the_pod_because_of_the_sidecar_has_a_remedy_of_its_own() {
        let remedy = |message| remedy(message, &PossibleSidecars::NONE).unwrap_or_default();
        let both = "failed quota: q: must specify limits.cpu for: app,probelet; limits.memory for: app,probelet";
        assert!(remedy(both).contains("the scope NotBestEffort"));
        let sidecar =
            "failed quota: q: must specify limits.cpu for: probelet; limits.memory for: probelet";
        assert!(!remedy(sidecar).contains("NotBestEffort"));
    }

    #[test]
    fn a_ratio_of_the_pod_is_attributed_to_the_sidecar_that_raises_it() {
        let app = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}});
        let apps = json!({"spec": {"containers": [{"name": "app", "resources": app}]}});
        let own = json!({"requests": {"cpu": "1m"}, "limits": {"cpu": "50m"}});
        let sidecars = PossibleSidecars {
            apps: Some(apps),
            ..sidecars([own])
        };
        let message = |bound: &str, ratio: &str| {
            format!(
                "pods \"web-1\" is forbidden: cpu max limit to request ratio per Pod is {bound}, but provided ratio is {ratio}"
            )
        };
        assert!(remedy(&message("2", "2.475248"), &sidecars).is_some());
        // Without the sidecar it is 2.
        assert!(remedy(&message("1500m", "2.475248"), &sidecars).is_none());
        assert!(remedy(&message("2", "3.000000"), &sidecars).is_none());
        assert!(remedy(&message("2", "2.475248"), &PossibleSidecars::NONE).is_none());
    }

    #[test]
    fn a_rejection_by_a_policy_may_be_because_of_the_sidecar() {
        let described = |message: &str| PossibleSidecars::NONE.describe(message);
        for message in [
            "pods \"web-1\" is forbidden: ValidatingAdmissionPolicy 'sources' with binding 'sources' denied request: expression \
             'object.spec.volumes.all(v, v.projected.sources.all(s, true))' resulted in error: no such overload",
            "admission webhook \"validate.kyverno.svc-fail\" denied the request: \n\nresource Pod/shop/web-1 was blocked",
            "admission webhook \"validation.gatekeeper.sh\" denied the request without explanation",
        ] {
            let described = described(message).expect(message);
            assert!(described.starts_with("cannot create pods, possibly because of the sidecar: "));
        }
        let named = described(
            "admission webhook \"a.b\" denied the request: container probelet has no owner",
        );
        assert!(
            named.is_some_and(|text| text.starts_with("cannot create pods with the sidecar: "))
        );
        for message in [
            "admission webhook \"a.b\" does not support dry run",
            "Internal error occurred: failed calling webhook \"a.b\": failed to call webhook: Post",
        ] {
            assert_eq!(described(message), None);
        }
    }

    #[test]
    fn a_rejection_of_the_app_is_not_attributed_to_the_sidecar() {
        for message in [
            "pods \"web-1\" is forbidden: failed quota: q: must specify limits.cpu for: app",
            "pods \"web-1\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3",
            "pods \"web-1\" is forbidden: exceeded quota: q, requested: count/pods=1, used: count/pods=1, limited: count/pods=1",
            "replicasets.apps \"web-1\" is forbidden: exceeded quota: q, requested: count/replicasets.apps=1, used: \
             count/replicasets.apps=1, limited: count/replicasets.apps=1",
            // Without the sidecar, there is no room for the pod either.
            "pods \"web-1\" is forbidden: exceeded quota: q, requested: limits.memory=80Mi,pods=1, used: \
             limits.memory=0,pods=1, limited: limits.memory=64Mi,pods=1",
            "pods \"web-1\" is forbidden: exceeded quota: probelet, requested: pods=1, used: pods=1, limited: pods=1",
            "pods \"web-1\" is forbidden: exceeded quota: q, requested: limits.memory=216Mi, used: limits.memory=0, limited: \
             limits.memory=100Mi",
            "pods \"web-1\" is forbidden: exceeded quota: q",
            "pods \"web-1\" is forbidden: exceeded quota: q, requested: limits.cpu=151m, used: limits.cpu=0, limited: \
             limits.cpu=100m",
            "pods \"web-1\" is forbidden: minimum cpu usage per Container is 100m, but request is 40m",
            "pods \"web-1\" is forbidden: maximum cpu usage per Pod is 1, but limit is 1051m",
            "pods \"web-1\" is forbidden: minimum cpu usage per Pod is 1, but request is 50m",
            "pods \"web-1\" is forbidden: maximum memory usage per Pod is 8Mi.  No limit is specified",
            "pods \"web-1\" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi",
            "pods \"web-1\" is forbidden: memory max limit to request ratio per Container is 2, but provided ratio is 4.000000",
            "pods \"web-1\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true (container \"app\")",
            "pods \"web-1\" is forbidden: error looking up service account probelet-system/web: serviceaccount \"web\" not found",
        ] {
            assert!(!is_attributed(message), "{message}");
        }
    }
}
