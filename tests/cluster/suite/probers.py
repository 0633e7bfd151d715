"""Probers of the annotation probelet.dev/probers, which have several handlers."""

import json

from .cluster import is_ready, table, web_pod
from .options import create_namespace
from .report import BUSY, Failed, NotYet, wait_for

NAMESPACE = "probers"
SECOND_CONTROL = 9001
# A busy node must not fail it.
TIMEOUTS = {"periodSeconds": 1, "timeoutSeconds": 20}


def several_handlers(cluster, report):
    """A prober with `all` fails with either of its handlers, each of which probes another container."""
    create_namespace(cluster, NAMESPACE)
    cluster.create_pod(NAMESPACE, pod_of_two()).ok()
    report.check("a probe with two handlers succeeds if both do", cluster.wait_ready, NAMESPACE, "both")
    report.check("its table has both", has_handlers, cluster)
    cluster.set_app(NAMESPACE, "both", "code=500")
    report.check("a liveness probe with two handlers restarts the app if the first fails", cluster.wait_restarted, NAMESPACE, "both")
    report.check("the restarted app is ready", cluster.wait_ready, NAMESPACE, "both")
    restarts = cluster.restarts(NAMESPACE, "both")
    cluster.set_app(NAMESPACE, "both", "code=500", port=SECOND_CONTROL)
    report.check("a readiness probe with two handlers fails if the second does", wait_unready, cluster)
    report.check("the log has the index of the handler that failed", wait_index, cluster)
    cluster.set_app(NAMESPACE, "both", port=SECOND_CONTROL)
    report.check("it succeeds again once both do", cluster.wait_ready, NAMESPACE, "both")
    report.check("a failed readiness probe has restarted nothing", lambda: cluster.restarts(NAMESPACE, "both") == restarts)
    cluster.delete_namespace(NAMESPACE)


def pod_of_two():
    """The readiness probe of web requires both apps to be healthy, its liveness probe that web is and the other one accepts connections."""
    http, rpc = {"httpGet": {"path": "/foo", "port": 8001}}, {"grpc": {"port": 8002}}
    probers = {"readinessProbe": {"all": [http, rpc]}, "livenessProbe": {"all": [http, {"tcpSocket": {"port": 8002}}]}}
    pod = web_pod("both", annotations={"probelet.dev/probers": json.dumps({"web": probers})})
    (web,) = pod["spec"]["containers"]
    second = {**web, "name": "rpc", "args": ["-grpc", ":8002", "-control", f":{SECOND_CONTROL}"]}
    del second["readinessProbe"]
    web["args"] = [*web["args"], "-control", ":9000"]
    web["readinessProbe"] = {**http, **TIMEOUTS}
    web["livenessProbe"] = {**http, **TIMEOUTS}
    # The probes start with web, perhaps before the other app listens.
    web["startupProbe"] = {"tcpSocket": {"port": 8002}, **TIMEOUTS, "failureThreshold": 60}
    pod["spec"]["containers"].append(second)
    return pod


def has_handlers(cluster):
    found = {path.rsplit("/", 1)[1]: len(prober.get("all", ())) for path, prober in table(cluster.pod(NAMESPACE, "both")).items()}
    if found != {"livez": 2, "readyz": 2, "startupz": 0}:
        raise Failed(json.dumps(found))
    return True


def wait_unready(cluster):
    return wait_for(lambda: not is_ready(cluster.pod(NAMESPACE, "both")), BUSY, "the pod is not ready")


def wait_index(cluster):
    def found():
        log = cluster.kubectl("logs", "-n", NAMESPACE, "both", "-c", "probelet")
        if not any("readyz" in line and "handler=1" in line for line in log.splitlines()):
            raise NotYet(log)
        return True
    return wait_for(found, BUSY, "the index in the log")
