"""The agent between pods: which peers it answers, and containers of one pod that must not affect each other."""

import http.client
import sys
import time

from .cluster import is_ready, run, sidecar, web_pod
from .pages import documented
from .report import BUSY, Failed, wait_for

BRIDGE, NODE = "10.88.0.1", "10.89.0.1"
NAMESPACE = "first-only"
REJECTED = 'probelet_requests_rejected_total{reason="peer_not_allowed"}'
# Containers whose two probes hang together with the app of the container `hung`.
WAITING = 30


def allowed_peers(cluster, report):
    """kubelet asks from the bridge: a pod that allows only the bridge's address stays ready, and other pods are rejected."""
    cluster.create_pod(NAMESPACE, web_pod("allowed", annotations={"probelet.dev/allow-from": BRIDGE})).ok()
    cluster.create_pod(NAMESPACE, web_pod("node-only", annotations={"probelet.dev/allow-from": NODE})).ok()
    cluster.create_pod("plain", web_pod("client")).ok()
    report.check("the network of the annotation is an argument of the sidecar",
                 lambda: f"--allow-from={BRIDGE}/32" in sidecar(cluster.pod(NAMESPACE, "allowed"))["args"])
    report.check("a pod that allows the bridge's address is ready", cluster.wait_ready, NAMESPACE, "allowed")
    cluster.wait_ready("plain", "client")
    address, other = (cluster.pod(*pod)["status"]["podIP"] for pod in ((NAMESPACE, "allowed"), ("plain", "client")))
    report.check("a request from the bridge's address is answered", lambda: get(address, "/healthz/ready").startswith("200 "))
    report.check("a request from loopback of the pod is answered",
                 lambda: request_in(cluster, NAMESPACE, "allowed", "127.0.0.1") == "200")
    report.check("a request of another pod is reset",
                 lambda: request_in(cluster, "plain", "client", address) == "ConnectionResetError")
    report.check("the rejected peer is counted", lambda: f"{REJECTED} 1\n" in get(address, "/metrics"))
    report.check("the rejected peer is logged", lambda: f"client={other}" in log(cluster, "allowed"))
    report.check("a pod that allows only status.hostIP rejects kubelet, which has the bridge's address",
                 lambda: wait_for(lambda: f"client={BRIDGE}" in log(cluster, "node-only"), BUSY, "a rejected probe"))
    logs = documented("kubectl logs POD -c probelet | grep allow-from").replace("POD", f"node-only -n {NAMESPACE}")
    report.check("the documented command finds the bridge's address in the log", lambda: f"client={BRIDGE}" in cluster.shell(logs))
    report.check("it is not ready", lambda: not is_ready(cluster.pod(NAMESPACE, "node-only")))
    report.check("the pod that allows the bridge's address is still ready", lambda: is_ready(cluster.pod(NAMESPACE, "allowed")))
    policy = str(cluster.repository / "deploy/network-policy.yaml")
    report.check("the API server accepts the example of a NetworkPolicy",
                 lambda: "created" in cluster.kubectl("apply", "--dry-run=server", "-n", NAMESPACE, "-f", policy))
    for name in ("allowed", "node-only"):
        cluster.kubectl("delete", "pod", name, "-n", NAMESPACE, "--wait=false")


def get(address, path):
    """The status code and the body of a response of the status port."""
    connection = http.client.HTTPConnection(address, 15020, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return f"{response.status} {response.read().decode()}"
    finally:
        connection.close()


def request_in(cluster, namespace, app, address):
    """The status code of a request from the pod's network namespace, or the name of the error."""
    script = f"""
import http.client
connection = http.client.HTTPConnection({address!r}, 15020, timeout=5)
try:
    connection.request("GET", "/healthz/ready")
    print(connection.getresponse().status)
except OSError as error:
    print(type(error).__name__)
"""
    pid = process(cluster, cluster.pod(namespace, app)["metadata"]["uid"])
    return run(["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", script]).strip()


def process(cluster, uid):
    """The process id of the app's container in the pod with this uid."""
    for pid in cluster.processes("/app"):
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
            if uid in file.read():
                return pid
    raise Failed(f"no process of the pod {uid}")


def log(cluster, pod):
    return cluster.kubectl("logs", "-n", NAMESPACE, pod, "-c", "probelet")


def hung_container(cluster, report):
    """A pod with a container that hangs and one that is healthy: kubelet restarts only the one that hangs."""
    pod = web_pod("hung")
    template = pod["spec"]["containers"][0]

    def container(name, args, **probes):
        return {**{key: template[key] for key in ("image", "securityContext")}, "name": name, "args": args, **probes}

    def probe(port, period, timeout, failures):
        return {"httpGet": {"path": "/foo", "port": port}, "periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": failures}

    # Their probes never restart them: they only keep the agent busy for as long as the app hangs.
    waiting = [container(f"waiting-{number}", ["pause"], livenessProbe=probe(8001, 10, 10, 1000), readinessProbe=probe(8001, 10, 10, 1000))
               for number in range(WAITING)]
    pod["spec"]["containers"] = [
        container("hung", ["-http", ":8001", "-control", ":9000"], livenessProbe=probe(8001, 10, 5, 3)),
        container("healthy", ["-http", ":8002"], livenessProbe=probe(8002, 1, 1, 3), readinessProbe=probe(8002, 1, 1, 3)),
        *waiting]
    cluster.create_pod(NAMESPACE, pod).ok()
    report.check(f"a pod with {2 * WAITING + 3} probes of its containers is ready", cluster.wait_ready, NAMESPACE, "hung")
    cluster.set_app(NAMESPACE, "hung", "hang=600")
    begun = time.monotonic()
    report.check("the container that hangs is restarted", lambda: wait_for(
        lambda: restarts(cluster)["hung"], BUSY, "the container is restarted", lambda: restarts(cluster)))
    report.note(f"the container was restarted {time.monotonic() - begun:.0f} s after it began to hang")
    report.check("the healthy container is not restarted", lambda: restarts(cluster)["healthy"] == 0)
    report.check("no probe of the healthy container lacked a slot of the agent", has_no_rejection, cluster)
    report.check("no other container is restarted", lambda: [name for name, count in restarts(cluster).items() if count] == ["hung"])
    report.check("the pod is ready again", cluster.wait_ready, NAMESPACE, "hung")
    cluster.kubectl("delete", "pod", "hung", "-n", NAMESPACE, "--wait=false")


def has_no_rejection(cluster):
    """The agent answers 503 without a free slot; the app never does."""
    events = cluster.get("events", NAMESPACE, fieldSelector="involvedObject.name=hung")["items"]
    events = [event for event in events if event["involvedObject"].get("fieldPath") == "spec.containers{healthy}"]
    rejected = [event["message"] for event in events if "statuscode: 503" in event["message"]]
    if rejected:
        raise Failed("\n".join(rejected))
    return True


def restarts(cluster):
    """The number of restarts of each container of the pod, and of the sidecar."""
    status = cluster.pod(NAMESPACE, "hung")["status"]
    return {each["name"]: each["restartCount"] for each in status["initContainerStatuses"] + status["containerStatuses"]}
