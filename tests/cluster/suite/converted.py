"""Exec probes that become probes by the sidecar. The app's image has none of their tools, so that they fail unless converted."""

import json

from .cluster import is_injected, table, web_pod
from .options import create_namespace
from .report import Failed

NAMESPACE = "converted"
CONVERT = {"probelet.dev/convert-exec": "true"}


def converted_exec(cluster, report):
    """Converted probes keep the pod ready, and restart its app when that fails."""
    create_namespace(cluster, NAMESPACE)
    pod = web_pod("curl", annotations=CONVERT)
    (app,) = pod["spec"]["containers"]
    app["args"] = ["-http", ":8001", "-grpc", ":8002", "-control", ":9000"]
    app["livenessProbe"] = probe("/bin/sh", "-c", "curl -fsS http://localhost:8001/foo || exit 1")
    app["readinessProbe"] = probe("grpc_health_probe", "-addr=localhost:8002", "-rpc-timeout=20s")
    app["startupProbe"] = {**probe("nc", "-z", "127.0.0.1", "8001"), "failureThreshold": 60}
    created = cluster.create_pod(NAMESPACE, pod)
    report.check("a pod whose probes are exec probes is injected", lambda: is_injected(created.ok()))
    report.check("its table has the three probes on loopback", has_probes, created.body)
    report.check("its probes succeed without their tools", cluster.wait_ready, NAMESPACE, "curl")
    report.check("its app was not restarted", lambda: cluster.restarts(NAMESPACE, "curl") == 0)
    cluster.set_app(NAMESPACE, "curl", "code=500")
    report.check("a converted probe restarts an app that fails", cluster.wait_restarted, NAMESPACE, "curl")
    report.check("the restarted app is ready", cluster.wait_ready, NAMESPACE, "curl")
    pod = web_pod("cat", annotations=CONVERT)
    pod["spec"]["containers"][0]["readinessProbe"] = probe("cat", "/tmp/ready")
    report.check("a pod whose command cannot be converted stays as it is", lambda: not is_injected(cluster.create_pod(NAMESPACE, pod).ok()))
    cluster.delete_namespace(NAMESPACE)


def probe(*command):
    """A busy node must not fail it."""
    return {"exec": {"command": list(command)}, "periodSeconds": 1, "timeoutSeconds": 20}


def has_probes(pod):
    found = {path.rsplit("/", 1)[1]: prober["target"] for path, prober in table(pod).items()}
    if found != {"livez": "localhost", "readyz": "localhost", "startupz": "loopback"}:
        raise Failed(json.dumps(found))
    return True
