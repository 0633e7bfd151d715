//! A running pod: whether it should be injected and is not, and whether its owner replaces it.

use super::lists::ListItem;
use crate::inject::size::check_review;
use crate::inject::{Effect, Settings, Task, Verdict, reports};
use crate::limits;
use crate::pem::{UnixSeconds, rfc3339};
use serde_json::{Value, json};

/// The state of injection of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Injection {
    /// It should be injected and is not. Has the probes that injection would rewrite.
    Missing(Box<str>),
    /// It is injected.
    Present,
    /// It is not eligible, cannot be injected, or ends.
    NotNeeded,
}

/// A pod that should be injected and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPod {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Box<str>,
    /// The probes that injection would rewrite, as `livez, readyz`.
    pub details: Box<str>,
}

/// The controller of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its UID.
    pub uid: Box<str>,
    /// `replicaset/web-5d9c7`
    pub name: Box<str>,
}

/// The state of injection of a pod, evaluated as in a review.
pub fn injection_of(item: &mut ListItem, settings: &Settings) -> Injection {
    let pod = &mut item.object;
    let phase = &pod["status"]["phase"];
    let has_ended = phase == "Succeeded" || phase == "Failed";
    if has_ended || !pod["metadata"]["deletionTimestamp"].is_null() || !pod.is_object() {
        return Injection::NotNeeded;
    }
    // Items of a list have neither.
    pod["kind"] = "Pod".into();
    pod["apiVersion"] = "v1".into();
    if check_review(pod, item.values).is_err() {
        return Injection::NotNeeded;
    }
    let report = reports(pod, pod, Task::Inject, settings).into_iter().next();
    match report.map(|report| report.verdict) {
        Some(Verdict::Edited {
            details,
            effect: Effect::Injected,
            ..
        }) => Injection::Missing(details),
        Some(Verdict::Edited { .. } | Verdict::Unchanged(_)) => Injection::Present,
        Some(
            Verdict::Skipped(_)
            | Verdict::Refused(_)
            | Verdict::NoPods
            | Verdict::UnknownKind { .. },
        )
        | None => Injection::NotNeeded,
    }
}

impl FoundPod {
    /// The pod of a list, whose `details` injection would rewrite. `None` if it lacks a name.
    pub fn new(pod: &Value, details: Box<str>) -> Option<FoundPod> {
        let metadata = &pod["metadata"];
        Some(FoundPod {
            namespace: metadata["namespace"].as_str()?.into(),
            name: metadata["name"].as_str()?.into(),
            uid: metadata["uid"].as_str()?.into(),
            details,
        })
    }

    /// The Event that says what to do. Its name depends on the pod's UID alone, so that replicas and later searches do not
    /// create it twice.
    pub fn event(&self, now: UnixSeconds) -> Value {
        let end = self.details.floor_char_boundary(limits::EVENT_DETAIL_BYTES);
        let message = format!(
            "The pod has no probelet sidecar: the webhook was not available when the pod was created, or did not select it. \
             Injection would rewrite {}. To inject it, create it again: kubectl rollout restart its workload, or kubectl \
             delete the pod if it has an owner.",
            &self.details[..end]
        );
        let now = rfc3339(now);
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": format!("probelet-not-injected.{}", self.uid),
                "namespace": self.namespace,
            },
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": self.namespace,
                "name": self.name,
                "uid": self.uid,
            },
            "type": "Warning",
            "reason": "NotInjected",
            "message": message,
            "source": {"component": "probelet-inject"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        })
    }

    /// The Eviction of this pod, and of no other with its name.
    pub fn eviction(&self) -> Value {
        json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "deleteOptions": {"preconditions": {"uid": self.uid}},
        })
    }
}

/// The time of a pod's creation in RFC 3339. In UTC without fractions, as the API server writes it, later times are greater
/// texts.
pub fn creation_time(pod: &Value) -> &str {
    let time = pod["metadata"]["creationTimestamp"].as_str();
    time.unwrap_or_default()
}

/// The controller that creates another pod if this one is evicted. A pod that runs to completion has none: its eviction
/// counts as a failure of its Job.
pub fn replacing_owner(pod: &Value) -> Option<Owner> {
    if pod["spec"]["restartPolicy"] != "Always" {
        return None;
    }
    let mut owners = pod["metadata"]["ownerReferences"].as_array()?.iter();
    let owner = owners.find(|owner| owner["controller"] == true)?;
    let kind = owner["kind"].as_str()?;
    // The owner of a mirror pod: kubelet reads its manifest from a file.
    if kind == "Node" || kind == "Job" {
        return None;
    }
    let name = owner["name"].as_str()?;
    Some(Owner {
        uid: owner["uid"].as_str()?.into(),
        name: format!("{}/{name}", kind.to_lowercase()).into(),
    })
}

/// Whether a running pod seems to suffer from probes that fail: it is not Ready some time after its start, or a container of it
/// was restarted recently. A healthy pod needs no injection to stay healthy.
pub fn is_unhealthy(pod: &Value, now: UnixSeconds) -> bool {
    let status = &pod["status"];
    if status["phase"] != "Running" {
        return false;
    }
    let before = |duration: core::time::Duration| rfc3339(now.saturating_sub(duration.as_secs()));
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let is_ready = conditions
        .filter(|condition| condition["type"] == "Ready")
        .any(|condition| condition["status"] == "True");
    let containers = status["containerStatuses"].as_array().into_iter().flatten();
    let mut restarted = containers.filter(|container| container["restartCount"].as_u64() > Some(0));
    if is_ready {
        let since = before(limits::REPAIR_RESTART_TIME);
        return restarted.any(|container| {
            let ended = container["lastState"]["terminated"]["finishedAt"].as_str();
            ended.is_some_and(|ended| *ended > *since)
        });
    }
    let started = status["startTime"].as_str().unwrap_or_default();
    restarted.next().is_some() || *started < *before(limits::REPAIR_START_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::values::Values;

    /// 2026-11-28T14:00:00Z
    const NOW: UnixSeconds = 1_795_874_400;

    fn pod() -> Value {
        json!({
            "metadata": {"name": "web-1", "namespace": "demo", "uid": "u-1",
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "uid": "o-1", "controller": true}]},
            "spec": {"restartPolicy": "Always", "containers": [
                {"name": "web", "image": "web", "livenessProbe": {"httpGet": {"path": "/", "port": 80}}},
            ]},
            "status": {"phase": "Running"},
        })
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut pod = pod();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        pod.pointer_mut(parent).expect("a parent")[key] = value;
        pod
    }

    #[test]
    fn an_eligible_pod_without_the_sidecar_misses_it() {
        let settings = Values::default().with_defaults();
        let injection = |object: Value| {
            let mut item = ListItem { object, values: 50 };
            injection_of(&mut item, &settings)
        };
        assert_eq!(injection(pod()), Injection::Missing("livez".into()));
        for other in [
            with("/metadata/deletionTimestamp", json!("2026-11-28T14:00:00Z")),
            with(
                "/metadata/annotations",
                json!({"sidecar.istio.io/inject": "false"}),
            ),
            with(
                "/metadata/annotations",
                json!({"kubernetes.io/config.mirror": "0"}),
            ),
            with(
                "/metadata/annotations",
                json!({"probelet.dev/resources": "{"}),
            ),
            with("/status/phase", json!("Succeeded")),
            with("/status/phase", json!("Failed")),
            with("/spec/containers/0/livenessProbe", Value::Null),
            json!({}),
            json!("text"),
        ] {
            assert_eq!(injection(other.clone()), Injection::NotNeeded, "{other}");
        }
        let mut injected = pod();
        injected["kind"] = "Pod".into();
        let report = reports(&injected, &injected, Task::Inject, &settings).remove(0);
        let Verdict::Edited { edits, .. } = report.verdict else {
            panic!("{report:?}");
        };
        let injected =
            crate::inject::tests::patched(&injected, &crate::manifest::json_patch(&edits));
        assert_eq!(injection(injected), Injection::Present);
    }

    #[test]
    fn the_event_names_the_pod_and_depends_on_its_uid() {
        let found = FoundPod::new(&pod(), "livez".into()).expect("a pod");
        let event = found.event(NOW);
        assert_eq!(event["metadata"]["name"], "probelet-not-injected.u-1");
        assert_eq!(event["involvedObject"]["uid"], "u-1");
        assert_eq!(event["firstTimestamp"], "2026-11-28T14:00:00Z");
        let long = FoundPod::new(&pod(), "ä".repeat(1000).into()).expect("a pod");
        let event = long.event(NOW);
        assert!(
            event["message"]
                .as_str()
                .is_some_and(|text| text.len() < 1024)
        );
        assert_eq!(FoundPod::new(&json!({}), "".into()), None);
    }

    #[test]
    fn only_pods_that_a_controller_replaces_have_an_owner_to_replace_them() {
        let owner = replacing_owner(&pod()).expect("an owner");
        assert_eq!((&*owner.uid, &*owner.name), ("o-1", "replicaset/web"));
        for other in [
            with("/spec/restartPolicy", json!("OnFailure")),
            with("/metadata/ownerReferences", Value::Null),
            with("/metadata/ownerReferences/0/controller", json!(false)),
            with("/metadata/ownerReferences/0/kind", json!("Node")),
            with("/metadata/ownerReferences/0/kind", json!("Job")),
        ] {
            assert_eq!(replacing_owner(&other), None, "{other}");
        }
    }

    #[test]
    fn a_pod_that_is_not_ready_or_was_restarted_recently_is_unhealthy() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let restarted = |count: u32, finished: &str| json!([{"restartCount": count, "lastState": {"terminated": {"finishedAt": finished}}}]);
        let recently = "2026-11-28T13:55:00Z";
        for (what, phase, conditions, containers, started, expected) in [
            (
                "just started",
                "Running",
                &json!(null),
                json!(null),
                "2026-11-28T13:59:30Z",
                false,
            ),
            (
                "not ready",
                "Running",
                &json!(null),
                json!(null),
                "2026-11-28T13:58:00Z",
                true,
            ),
            (
                "restarts",
                "Running",
                &json!(null),
                restarted(1, recently),
                "2026-11-28T13:59:30Z",
                true,
            ),
            (
                "pending",
                "Pending",
                &json!(null),
                json!(null),
                "2026-11-28T13:58:00Z",
                false,
            ),
            (
                "ready",
                "Running",
                &ready,
                json!(null),
                "2026-11-28T13:00:00Z",
                false,
            ),
            (
                "ready again",
                "Running",
                &ready,
                restarted(3, recently),
                "2026-11-28T13:00:00Z",
                true,
            ),
            (
                "ready for long",
                "Running",
                &ready,
                restarted(3, "2026-11-28T13:40:00Z"),
                "2026-11-28T13:00:00Z",
                false,
            ),
        ] {
            let pod = json!({"status": {"phase": phase, "conditions": conditions, "containerStatuses": containers,
                "startTime": started}});
            assert_eq!(is_unhealthy(&pod, NOW), expected, "{what}");
        }
    }
}
