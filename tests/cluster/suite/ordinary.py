"""An ordinary sidecar, as before Kubernetes 1.29: one of the pod's containers, which gets SIGTERM with the app."""

import json
import time

from .cluster import web_pod
from .options import create_namespace
from .report import Failed, wait_for

NAMESPACE, GRACE = "ordinary", 240
APP_SECONDS = 8  # for which the app keeps serving after SIGTERM


def ordinary(cluster, report):
    create_namespace(cluster, NAMESPACE)
    pod = web_pod("web", annotations={"probelet.dev/sidecar": "container"})
    pod["spec"]["terminationGracePeriodSeconds"] = GRACE
    pod["spec"]["containers"][0].update(args=["-http", ":8001", "-grace", f"{APP_SECONDS}s"], ports=[{"containerPort": 8001}])
    cluster.create_pod(NAMESPACE, pod).ok()
    cluster.kubectl("expose", "pod", "web", "-n", NAMESPACE, "--port=8001")
    report.check("a pod with an ordinary sidecar is ready", cluster.wait_ready, NAMESPACE, "web")
    stored = cluster.pod(NAMESPACE, "web")
    report.check("the sidecar is the first container", lambda: stored["spec"]["containers"][0]["name"] == "probelet")
    # As Go's `log` writes it; a line of the agent has a level.
    report.check("`kubectl logs` takes the app", logs_of_app, cluster)
    report.check("`kubectl expose` without --port takes 15020 as well, as documented", exposes, cluster)
    report.check("the pod stays ready, and its endpoint serving, until the app has stopped", serves_to_the_end, cluster, stored["metadata"]["uid"])
    cluster.delete_namespace(NAMESPACE)


def logs_of_app(cluster):
    lines = cluster.kubectl("logs", "-n", NAMESPACE, "web").splitlines()
    if not any(line.endswith(" listening") for line in lines):
        raise Failed("\n".join(lines[:5]))
    return True


def exposes(cluster):
    service = json.loads(cluster.kubectl("expose", "pod", "web", "-n", NAMESPACE, "--name=all", "--dry-run=client", "-o", "json"))
    ports = [port["port"] for port in service["spec"]["ports"]]
    if sorted(ports) != [8001, 15020]:
        raise Failed(ports)
    return True


def serves_to_the_end(cluster, uid):
    """kubelet's status has the state of the app and the readiness of the pod; the EndpointSlice follows."""
    began, samples = time.monotonic(), []
    cluster.kubectl("delete", "pod", "web", "-n", NAMESPACE, "--wait=false")

    def is_gone():
        # Before the pod: a pod that still runs afterwards was to be served.
        is_serving = serving(cluster)
        done = cluster.request("GET", cluster.path("pods", NAMESPACE, "web"))
        if done.status == 404 or done.ok()["metadata"]["uid"] != uid:
            return True
        states = {each["name"]: each for each in done.body["status"]["containerStatuses"]}
        if "running" in states["web"]["state"]:
            samples.append((time.monotonic() - began, states["web"]["ready"], "running" in states["probelet"]["state"], is_serving))
        return False
    wait_for(is_gone, GRACE, "the pod is gone")
    seconds = time.monotonic() - began
    # Later the app may have stopped without kubelet having noticed it.
    while_serving = {tuple(states) for second, *states in samples if second < APP_SECONDS}
    if while_serving != {(True, True, True)}:
        raise Failed(f"seconds, ready, sidecar, serving: {samples}")
    # Long before the end of the grace period.
    if not APP_SECONDS <= seconds < GRACE / 2:
        raise Failed(f"the pod took {seconds:.0f} s to end")
    return True


def serving(cluster):
    slices = json.loads(cluster.kubectl("get", "endpointslices", "-n", NAMESPACE, "-l", "kubernetes.io/service-name=web", "-o", "json"))
    endpoints = [endpoint for each in slices["items"] for endpoint in each["endpoints"] or []]
    return all(endpoint["conditions"]["serving"] for endpoint in endpoints)
