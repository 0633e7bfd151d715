//! A running pod: whether it should be injected and is not, whether its probes fail, and whether its owner replaces it.

use super::lists::ListItem;
use crate::inject::size::check_review;
use crate::inject::{Effect, Settings, Task, Verdict, reports};
use crate::limits;
use crate::pem::{UnixSeconds, parse_rfc3339, rfc3339};
use core::time::Duration;
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
    /// Its `resourceVersion` in the list.
    pub version: Box<str>,
    /// The probes that injection would rewrite, as `livez, readyz`.
    pub details: Box<str>,
    /// How it is created again.
    pub recreation: Recreation,
}

/// How a pod is created again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recreation {
    /// By its controller, when it is deleted.
    ByController,
    /// By its controller, for its next run: a deleted pod counts as a failure of its Job.
    AtNextRun,
    /// By the user: it has no controller.
    ByUser,
}

/// The controller of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its UID.
    pub uid: Box<str>,
    /// Its namespace, which is that of its pods.
    pub namespace: Box<str>,
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
    /// The pod of a list, whose `details` injection would rewrite. `None` if it lacks a name or a version.
    pub fn new(pod: &Value, details: Box<str>) -> Option<FoundPod> {
        let metadata = &pod["metadata"];
        Some(FoundPod {
            namespace: metadata["namespace"].as_str()?.into(),
            name: metadata["name"].as_str()?.into(),
            uid: metadata["uid"].as_str()?.into(),
            version: metadata["resourceVersion"].as_str()?.into(),
            details,
            recreation: recreation_of(pod),
        })
    }

    /// The Event that says what to do. Its name depends on the pod's UID alone, so that replicas and later searches do not
    /// create it twice.
    pub fn event(&self, now: UnixSeconds) -> Value {
        let end = self.details.floor_char_boundary(limits::EVENT_DETAIL_BYTES);
        let remedy = match self.recreation {
            Recreation::ByController => format!(
                "To inject it, create it again: kubectl rollout restart its workload, or kubectl delete pod {}.",
                self.name
            ),
            Recreation::AtNextRun => "It ends by itself; its next pod is injected.".to_owned(),
            Recreation::ByUser => {
                "To inject it, delete and create it again: kubectl replace --force -f FILE."
                    .to_owned()
            }
        };
        let message = format!(
            "The pod has no probelet sidecar: the webhook was not available when the pod was created, or did not select it. \
             Injection would rewrite {}. {remedy}",
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

    /// The Eviction of this pod, and of no other with its name. The API server rejects it with 409 if the pod has changed since
    /// it was listed: it may have become Ready.
    pub fn eviction(&self) -> Value {
        json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "deleteOptions": {"preconditions": {"uid": self.uid, "resourceVersion": self.version}},
        })
    }
}

/// The time of a pod's creation in RFC 3339. In UTC without fractions, as the API server writes it, later times are greater
/// texts.
pub fn creation_time(pod: &Value) -> &str {
    let time = pod["metadata"]["creationTimestamp"].as_str();
    time.unwrap_or_default()
}

fn controller_of(pod: &Value) -> Option<&Value> {
    let owners = pod["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)
}

fn recreation_of(pod: &Value) -> Recreation {
    match controller_of(pod) {
        None => Recreation::ByUser,
        Some(_) if pod["spec"]["restartPolicy"] == "Always" => Recreation::ByController,
        Some(_) => Recreation::AtNextRun,
    }
}

/// The controller that creates another pod if this one is evicted: one of Kubernetes' own. The pods of others may have a role
/// that another pod does not take, and a Job counts an eviction as a failure.
pub fn replacing_owner(pod: &Value) -> Option<Owner> {
    if pod["spec"]["restartPolicy"] != "Always" {
        return None;
    }
    let owner = controller_of(pod)?;
    let kind = owner["kind"].as_str()?;
    match (owner["apiVersion"].as_str()?, kind) {
        ("v1", "ReplicationController")
        | ("apps/v1", "ReplicaSet" | "StatefulSet" | "DaemonSet") => {}
        _ => return None,
    }
    let name = owner["name"].as_str()?;
    Some(Owner {
        uid: owner["uid"].as_str()?.into(),
        namespace: pod["metadata"]["namespace"].as_str()?.into(),
        name: format!("{}/{name}", kind.to_lowercase()).into(),
    })
}

/// Whether the user lets the pod be evicted: `kubectl drain` and the cluster autoscaler delete its `emptyDir` volumes too, and
/// this annotation of the autoscaler keeps a pod.
pub fn allows_eviction(pod: &Value) -> bool {
    pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] != "false"
}

/// The condition `ContainersReady`. Not `Ready`, which the node controller also sets to False on an unreachable node
/// (`MarkPodsNotReady`), and which readiness gates affect.
fn containers_ready(pod: &Value) -> Option<&Value> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let mut conditions = conditions.iter();
    conditions.find(|condition| condition["type"] == "ContainersReady")
}

/// Whether all containers of a pod are ready.
pub fn has_ready_containers(pod: &Value) -> bool {
    containers_ready(pod).is_some_and(|condition| condition["status"] == "True")
}

/// Whether the probes of a running pod fail, as they do without the sidecar: its containers were never ready although one of
/// them runs, or kubelet restarts a container again and again.
pub fn has_failing_probes(pod: &Value, now: UnixSeconds) -> bool {
    let status = &pod["status"];
    if status["phase"] != "Running" {
        return false;
    }
    let was_never_ready = was_never_ready(pod);
    let containers = status["containerStatuses"].as_array().into_iter().flatten();
    let mut containers = containers.filter_map(|container| {
        let specs = pod["spec"]["containers"].as_array()?;
        let spec = specs
            .iter()
            .find(|spec| spec["name"] == container["name"])?;
        Some((container, spec))
    });
    containers.any(|(container, spec)| {
        let has = |probe: &str| !spec[probe].is_null();
        let is_killed = (has("livenessProbe") || has("startupProbe"))
            && is_killed_again_and_again(container, now);
        let is_unready = (has("readinessProbe") || has("startupProbe"))
            && was_never_ready
            && runs_without_becoming_ready(container, now);
        is_killed || is_unready
    })
}

/// Whether no moment is known at which all containers of a pod were ready. kubelet sets `startTime` and the condition at the
/// same time, and later changes the condition's time only with its status (`updateLastTransitionTime` of status_manager.go). A
/// pod that was ready once does not need the sidecar for that.
fn was_never_ready(pod: &Value) -> bool {
    let Some(condition) = containers_ready(pod) else {
        return false;
    };
    let started = seconds(&pod["status"]["startTime"]);
    let changed = seconds(&condition["lastTransitionTime"]);
    condition["status"] == "False"
        && started.is_some_and(|started| {
            let end = started + limits::REPAIR_READY_TOLERANCE.as_secs();
            changed.is_some_and(|changed| changed <= end)
        })
}

/// Whether a container that is not ready has been running for a while. One whose first run is still in its startup probe may
/// only be slow.
fn runs_without_becoming_ready(container: &Value, now: UnixSeconds) -> bool {
    let running = seconds(&container["state"]["running"]["startedAt"]);
    let is_starting = container["started"] == false && container["restartCount"] == 0;
    container["ready"] == false
        && !is_starting
        && running.is_some_and(|started| started < before(now, limits::REPAIR_START_TIME))
}

/// Whether a container was stopped more than once, recently, and soon after its start, as kubelet does when probes fail. One that
/// ran for days was stopped with its node; one that crashes or lacks memory does so with the sidecar too; and one that has run
/// for longer than the time before has recovered.
fn is_killed_again_and_again(container: &Value, now: UnixSeconds) -> bool {
    let ended = &container["lastState"]["terminated"];
    let times = (seconds(&ended["startedAt"]), seconds(&ended["finishedAt"]));
    let (Some(started), Some(finished)) = times else {
        return false;
    };
    // After SIGTERM or SIGKILL. 2: Go's runtime as process 1 (`dieFromSignal`), on which signals have no default effect.
    let is_stopped = matches!(ended["exitCode"].as_u64(), Some(0 | 2 | 137 | 143))
        && ended["reason"] != "OOMKilled";
    let has_recovered = seconds(&container["state"]["running"]["startedAt"]).is_some_and(|again| {
        let last_run = finished.saturating_sub(started);
        now.saturating_sub(again) > last_run + limits::REPAIR_START_TIME.as_secs()
    });
    container["restartCount"].as_u64() > Some(1)
        && is_stopped
        && finished > before(now, limits::REPAIR_RESTART_TIME)
        && started > before(now, 2 * limits::REPAIR_RESTART_TIME)
        && !has_recovered
}

fn seconds(time: &Value) -> Option<UnixSeconds> {
    parse_rfc3339(time.as_str()?)
}

fn before(now: UnixSeconds, duration: Duration) -> UnixSeconds {
    now.saturating_sub(duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::values::Values;

    /// 2026-11-28T14:00:00Z
    const NOW: UnixSeconds = 1_795_874_400;

    fn pod() -> Value {
        json!({
            "metadata": {"name": "web-1", "namespace": "demo", "uid": "u-1", "resourceVersion": "7",
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "o-1", "controller": true}]},
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
        assert_eq!(
            found.eviction()["deleteOptions"]["preconditions"],
            json!({"uid": "u-1", "resourceVersion": "7"})
        );
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
            with("/metadata/ownerReferences/0/kind", json!("RayCluster")),
            with("/metadata/ownerReferences/0/apiVersion", json!("ray.io/v1")),
        ] {
            assert_eq!(replacing_owner(&other), None, "{other}");
        }
        for kind in ["ReplicaSet", "StatefulSet", "DaemonSet"] {
            let pod = with("/metadata/ownerReferences/0/kind", json!(kind));
            assert!(replacing_owner(&pod).is_some(), "{kind}");
        }
        assert!(allows_eviction(&pod()));
        let kept = json!({"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"});
        assert!(!allows_eviction(&with("/metadata/annotations", kept)));
    }

    #[test]
    fn the_event_says_how_the_pod_is_created_again() {
        let mut job = with("/metadata/ownerReferences/0/kind", json!("Job"));
        job["spec"]["restartPolicy"] = "OnFailure".into();
        let bare = with("/metadata/ownerReferences", Value::Null);
        for (pod, expected) in [
            (pod(), "kubectl delete pod web-1."),
            (job, "It ends by itself; its next pod is injected."),
            (bare, "kubectl replace --force -f FILE."),
        ] {
            let event = FoundPod::new(&pod, "livez".into())
                .expect("a pod")
                .event(NOW);
            let message = event["message"].as_str().expect("a message");
            assert!(message.ends_with(expected), "{message}");
        }
    }

    /// A pod whose containers are not ready since its start 10 minutes ago, with a container that runs.
    fn never_ready() -> Value {
        let mut pod = pod();
        pod["spec"]["containers"][0]["readinessProbe"] =
            json!({"httpGet": {"path": "/", "port": 80}});
        pod["status"] = json!({
            "phase": "Running",
            "startTime": "2026-11-28T13:50:00Z",
            "conditions": [
                {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-28T13:50:00Z"},
                {"type": "ContainersReady", "status": "False", "lastTransitionTime": "2026-11-28T13:50:01Z"},
            ],
            "containerStatuses": [{"name": "web", "ready": false, "started": true, "restartCount": 0,
                "state": {"running": {"startedAt": "2026-11-28T13:58:00Z"}}}],
        });
        pod
    }

    /// A pod whose containers are ready, with one that kubelet restarts again and again.
    fn restarting() -> Value {
        let mut pod = never_ready();
        pod["status"]["conditions"][1]["status"] = "True".into();
        pod["status"]["containerStatuses"][0] = json!({"name": "web", "ready": true, "started": true, "restartCount": 2,
            "state": {"running": {"startedAt": "2026-11-28T13:59:50Z"}},
            "lastState": {"terminated": {"startedAt": "2026-11-28T13:54:00Z", "finishedAt": "2026-11-28T13:55:00Z",
                "exitCode": 143, "reason": "Error"}}});
        pod
    }

    #[track_caller]
    fn assert_failing(mut pod: Value, changes: &[(&str, Value)], expected: bool) {
        for (pointer, value) in changes {
            *pod.pointer_mut(pointer).expect("a member") = value.clone();
        }
        assert_eq!(has_failing_probes(&pod, NOW), expected, "{changes:?}");
    }

    const CONTAINER: &str = "/status/containerStatuses/0";

    #[test]
    fn a_pod_that_was_never_ready_although_it_runs_has_failing_probes() {
        let container = |member: &str| [CONTAINER, "/", member].concat();
        let never = |changes: &[(&str, Value)], expected| {
            assert_failing(never_ready(), changes, expected);
        };
        never(&[], true);
        never(&[("/status/phase", json!("Pending"))], false);
        // Only kubelet's condition counts: the node is not reachable, or a readiness gate is not met.
        never(&[("/status/conditions/1/status", json!("True"))], false);
        never(&[("/status/conditions", Value::Null)], false);
        // It was ready for a while, such as before its node was restarted.
        let later = json!("2026-11-28T13:52:00Z");
        never(&[("/status/conditions/1/lastTransitionTime", later)], false);
        // It has just started.
        let running = container("state/running/startedAt");
        never(&[(&running, json!("2026-11-28T13:59:30Z"))], false);
        never(
            &[(
                &container("state"),
                json!({"waiting": {"reason": "ImagePullBackOff"}}),
            )],
            false,
        );
        // Its startup probe has not ended.
        let starting = (&*container("started"), json!(false));
        never(core::slice::from_ref(&starting), false);
        never(&[starting, (&container("restartCount"), json!(1))], true);
        // Another container is not ready, and it has no probe.
        never(&[("/spec/containers/0/readinessProbe", Value::Null)], false);
        never(&[(&container("ready"), json!(true))], false);
    }

    #[test]
    fn a_pod_with_a_container_that_is_killed_again_and_again_has_failing_probes() {
        let ended = |member: &str| [CONTAINER, "/lastState/terminated/", member].concat();
        let restarts = |changes: &[(&str, Value)], expected| {
            assert_failing(restarting(), changes, expected);
        };
        restarts(&[], true);
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        restarts(&[(&[CONTAINER, "/state"].concat(), waiting)], true);
        restarts(&[(&[CONTAINER, "/restartCount"].concat(), json!(1))], false);
        // It ran for a day and was stopped with its node.
        restarts(
            &[(&ended("startedAt"), json!("2026-11-27T13:00:00Z"))],
            false,
        );
        let long_ago = json!("2026-11-28T13:45:00Z");
        restarts(
            &[
                (&ended("startedAt"), long_ago.clone()),
                (&ended("finishedAt"), long_ago),
            ],
            false,
        );
        restarts(&[(&ended("exitCode"), json!(1))], false);
        restarts(&[(&ended("exitCode"), json!(137))], true);
        let killed = [
            (&*ended("exitCode"), json!(137)),
            (&*ended("reason"), json!("OOMKilled")),
        ];
        restarts(&killed, false);
        // It has run for longer than the time before.
        let running = [CONTAINER, "/state/running/startedAt"].concat();
        restarts(&[(&running, json!("2026-11-28T13:57:00Z"))], false);
        restarts(&[("/spec/containers/0/livenessProbe", Value::Null)], false);
        assert!(has_ready_containers(&restarting()) && !has_ready_containers(&never_ready()));
    }
}
