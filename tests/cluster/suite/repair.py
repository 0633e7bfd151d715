"""A power cut: pods that were created while the webhook was down. And a node that is older than the API server."""

import copy
import json
import os
import re
import ssl
import urllib.request

from .cluster import containers, is_injected, is_ready, sidecar, web_pod
from .instances import KUSTOMIZE, Instance
from .report import BUSY, Failed, wait_for
from .setup import NAME, SYSTEM, wait_injected

OLD_NODE = "old-node"
RESOURCES = {"limits": {"memory": "24Mi"}, "requests": {"cpu": "2m", "memory": "4Mi"}}


def repair(cluster, report):
    """The webhook finds the pods when it is back, and evicts those that suffer and that an owner replaces."""
    instance = Instance(cluster, kustomization(cluster), "repair")
    instance.install()
    wait_injected(cluster, instance.pods)
    instance.scale(0)
    annotation = {"probelet.dev/resources": json.dumps(RESOURCES)}
    cluster.patch("namespaces", None, instance.pods, {"metadata": {"annotations": annotation}})
    create_pods(cluster, instance.pods)
    for app in ("web", "budget"):
        wait_for(lambda app=app: all(restarts(pod) > 1 for pod in pods_of(cluster, instance.pods, app)), BUSY,
                 f"the pods of {app} are restarted twice")
    before = {pod["metadata"]["uid"]: pod for pod in cluster.pods(instance.pods)}
    report.check("while the webhook is down, five pods start without the sidecar",
                 lambda: len(before) == 5 and not any(map(is_injected, before.values())))
    instance.scale(1)
    report.check("each of them gets one Event that says what to do", wait_for,
                 lambda: events(cluster, instance.pods) == sorted(before), 60, "an Event for each pod",
                 lambda: events(cluster, instance.pods))
    # The review shows that the API server reaches the webhook: it evicts nothing before.
    wait_injected(cluster, instance.pods)
    report.check("the pods that restart are replaced by injected ones, which are ready", wait_for,
                 lambda: is_repaired(pods_of(cluster, instance.pods, "web")), 120, "two injected pods",
                 lambda: log(cluster, instance))
    report.check("they are not restarted", lambda: not any(map(restarts, pods_of(cluster, instance.pods, "web"))))
    report.check("they have the resources of their namespace's annotation", has_resources, cluster, instance)
    report.check("a PodDisruptionBudget keeps its pod", keeps, cluster, instance, before, "budget")
    report.check("its refused eviction is counted", lambda: metric(cluster, instance, 'evictions_total{result="refused"}') >= 1)
    report.check("a pod that is healthy without the sidecar stays", keeps, cluster, instance, before, "healthy")
    report.check("a pod without an owner stays", keeps, cluster, instance, before, "bare")
    report.check("the metric has the pods that stay", wait_for,
                 lambda: metric(cluster, instance, "not_injected_pods") == 3, 60, "three pods")
    instance.remove()


def kustomization(cluster):
    """The webhook with the components that find and evict pods."""
    folder = cluster.work / "repair"
    folder.mkdir()
    base = os.path.relpath(cluster.repository / KUSTOMIZE, folder)
    components = [f"{base}/components/{name}" for name in ("find-pods", "repair")]
    own = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [f"{base}/self-signed"],
           "components": components}
    (folder / "kustomization.yaml").write_text(json.dumps(own))
    return folder


def create_pods(cluster, namespace):
    """Apps that listen on loopback, which kubelet reaches only through the sidecar; and a healthy one."""
    local = local_pod("bare")
    healthy = web_pod("healthy")
    objects = [deployment("web", 2, local_pod("web")), deployment("budget", 1, local_pod("budget")), deployment("healthy", 1, healthy),
               {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "budget"},
                "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "budget"}}}}, local]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=text)
    wait_for(lambda: len(cluster.pods(namespace)) == 5, BUSY, "five pods")
    wait_for(lambda: all(map(is_ready, pods_of(cluster, namespace, "healthy"))), BUSY, "the healthy app is ready")


def local_pod(name):
    pod = web_pod(name, annotations={"probelet.dev/target-ip": "127.0.0.1"})
    container = pod["spec"]["containers"][0]
    container["args"] = ["-http", "127.0.0.1:8001"]
    container["livenessProbe"] = {**copy.deepcopy(container["readinessProbe"]), "periodSeconds": 2, "failureThreshold": 2}
    return pod


def deployment(name, replicas, pod):
    template = {"metadata": pod["metadata"], "spec": {**pod["spec"], "restartPolicy": "Always"}}
    del template["metadata"]["name"]
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}}


def pods_of(cluster, namespace, app):
    return cluster.pods(namespace, app)


def restarts(pod):
    return sum(each["restartCount"] for each in pod["status"].get("containerStatuses", []))


def events(cluster, namespace):
    """The UIDs of the pods with an Event, once for each Event."""
    found = cluster.get("events", namespace, fieldSelector="reason=NotInjected")["items"]
    return sorted(each["involvedObject"]["uid"] for each in found if each["type"] == "Warning" and "To inject it" in each["message"])


def is_repaired(pods):
    return len(pods) == 2 and all(is_injected(pod) and is_ready(pod) for pod in pods)


def has_resources(cluster, instance):
    for pod in pods_of(cluster, instance.pods, "web"):
        if sidecar(pod)["resources"] != RESOURCES:
            raise Failed(f"the sidecar has {sidecar(pod)['resources']}")
    return True


def keeps(cluster, instance, before, app):
    pod = cluster.pod(instance.pods, app)
    if pod["metadata"]["uid"] not in before:
        raise Failed(f"{app} has another pod: {log(cluster, instance)}")
    return True


def log(cluster, instance):
    return cluster.kubectl("logs", "-n", instance.namespace, f"deployment/{NAME}")


def metric(cluster, instance, name):
    (pod,) = cluster.pods(instance.namespace)
    trusting = ssl._create_unverified_context()
    with urllib.request.urlopen(f"https://{pod['status']['podIP']}:8443/metrics", context=trusting, timeout=10) as response:
        page = response.read().decode()
    found = re.search(rf"^probelet_webhook_{re.escape(name)} (\d+)$", page, re.MULTILINE)
    if not found:
        raise Failed(f"no {name} in {page}")
    return int(found[1])


def old_node(cluster, report):
    """A Ready node with a kubelet of 1.27 makes the sidecar an ordinary container. Run last: the webhook holds that for an hour."""
    report.check("without an old node the sidecar is native", lambda: is_native(cluster.dry_run("first-only", web_pod("trial"))))
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": OLD_NODE}, "spec": {"unschedulable": True}}
    cluster.request("POST", cluster.path("nodes"), node).ok()
    status = {"nodeInfo": node_info(cluster), "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": ""}]}
    path = cluster.path("nodes", None, f"{OLD_NODE}/status")
    cluster.request("PATCH", path, {"status": status}, "application/strategic-merge-patch+json").ok()
    cluster.kubectl("rollout", "restart", f"deployment/{NAME}", "-n", SYSTEM)
    cluster.kubectl("rollout", "status", f"deployment/{NAME}", "-n", SYSTEM, f"--timeout={BUSY}s")
    report.check("with an old node the sidecar is an ordinary container", wait_for, lambda: is_ordinary(cluster), 60, "an ordinary container",
                 lambda: cluster.kubectl("logs", "-n", SYSTEM, f"deployment/{NAME}"))
    cluster.request("DELETE", cluster.path("nodes", None, OLD_NODE)).ok()


def node_info(cluster):
    (node,) = [each for each in cluster.get("nodes")["items"] if each["metadata"]["name"] != OLD_NODE]
    return {**node["status"]["nodeInfo"], "kubeletVersion": "v1.27.1-kubeedge-v1.17.0"}


def is_native(pod):
    return any(each["name"] == "probelet" for each in pod["spec"].get("initContainers", []))


def is_ordinary(cluster):
    pod = cluster.dry_run("first-only", web_pod("trial"))
    return not is_native(pod) and any(each["name"] == "probelet" for each in containers(pod))
