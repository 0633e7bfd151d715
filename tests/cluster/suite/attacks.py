"""The webhook while a pod of the cluster attacks it: every pod is injected."""

import base64
import pathlib
import subprocess
import sys
import time

from .agent import process
from .certificates import Authority
from .cluster import encode, is_injected, web_pod
from .report import Failed, wait_for
from .setup import NAME, SYSTEM, wait_account

NAMESPACE, ATTACKER = "attacked", "attacker"
DEPLOYMENTS, REPLICAS = 10, 10
SCRIPT = pathlib.Path(__file__).with_name("attack.py")
SECONDS = 90  # an attack ends by itself after this time


def attacks(cluster, report):
    """A rollout restart of a hundred pods under each attack."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {"probelet.dev/injection": "enabled"}}}
    cluster.request("POST", cluster.path("namespaces"), namespace).ok()
    wait_account(cluster, NAMESPACE)
    cluster.create_pod("plain", web_pod(ATTACKER)).ok()
    cluster.wait_ready("plain", ATTACKER)
    attacker = process(cluster, cluster.pod("plain", ATTACKER)["metadata"]["uid"])
    address = cluster.get("services", SYSTEM, NAME)["spec"]["clusterIP"]
    restarts = webhook_restarts(cluster)
    for number in range(DEPLOYMENTS):
        cluster.request("POST", cluster.path("deployments", NAMESPACE), unscheduled(f"web-{number}")).ok()
    report.check("100 pods are injected", lambda: all_injected(cluster, set()))
    for kind in ("none", "bodies", "silent", "handshakes", "reviews"):
        attack = None if kind == "none" else begin(kind, attacker, address)
        try:
            replace_connections(cluster, kind)
            before, began = webhook_calls(cluster), time.monotonic()
            report.check(f"attack {kind}: 100 pods of a rollout restart are injected", restart_all, cluster)
            seconds, mean = time.monotonic() - began, mean_milliseconds(before, webhook_calls(cluster))
            report.note(f"attack {kind}: {seconds:.1f} s until all pods exist, {mean:.0f} ms for a call of the webhook on average")
            if attack:
                report.check(f"attack {kind} lasts as long as the rollout", lambda: attack.poll() is None)
        finally:
            if attack:
                attack.kill()
                attack.wait()
    report.check("the webhook is not restarted under any attack", lambda: webhook_restarts(cluster) == restarts)
    cluster.delete_namespace(NAMESPACE)
    cluster.kubectl("delete", "pod", ATTACKER, "-n", "plain", "--wait=false")


def replace_connections(cluster, kind):
    """With another caBundle the API server connects anew: during the attack, when it has to."""
    configuration = cluster.get("mutatingwebhookconfigurations", None, NAME)
    bundle = base64.b64decode(configuration["webhooks"][0]["clientConfig"]["caBundle"])
    other = Authority(cluster.work, f"unused-{kind}").cert.read_bytes()
    patch = [{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": encode(bundle + other)}]
    cluster.patch("mutatingwebhookconfigurations", None, NAME, patch)


def unscheduled(name):
    """A Deployment whose pods no node takes: admission needs none, and a node has room for 110. With `Recreate` a restart
    does not wait until new pods are ready."""
    pod = web_pod(name)
    pod["spec"]["nodeSelector"] = {"no-node": "has-this-label"}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod["spec"]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": REPLICAS, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": {"app": name}}, "template": template}}


def restart_all(cluster):
    before = {pod["metadata"]["uid"] for pod in cluster.pods(NAMESPACE)}
    cluster.kubectl("rollout", "restart", "deployment", "-n", NAMESPACE)
    return all_injected(cluster, before)


def all_injected(cluster, before):
    """Waits for the pods that are not among those before, and checks each."""
    def created():
        pods = [pod for pod in cluster.pods(NAMESPACE) if pod["metadata"]["uid"] not in before]
        return pods if len(pods) == DEPLOYMENTS * REPLICAS else None
    pods = wait_for(created, 80, f"{DEPLOYMENTS * REPLICAS} new pods")
    bare = [pod["metadata"]["name"] for pod in pods if not is_injected(pod)]
    if bare:
        raise Failed(f"{len(bare)} pods of {len(pods)} are not injected")
    return True


def webhook_calls(cluster):
    """Total seconds and number of the API server's calls of the webhook so far."""
    text = cluster.kubectl("get", "--raw", "/metrics")
    name = "apiserver_admission_webhook_admission_duration_seconds_"
    lines = [line for line in text.splitlines() if line.startswith(name) and 'name="injector.probelet.dev"' in line]
    return tuple(sum(float(line.split()[-1]) for line in lines if line.startswith(name + kind)) for kind in ("sum", "count"))


def mean_milliseconds(before, after):
    return 1000 * (after[0] - before[0]) / max(after[1] - before[1], 1)


def webhook_restarts(cluster):
    return [(pod["metadata"]["name"], status["restartCount"]) for pod in cluster.pods(SYSTEM) for status in pod["status"]["containerStatuses"]]


def begin(kind, attacker, address):
    """Starts the attack in the network namespace of this process. Returns when it is at full strength."""
    command = ["nsenter", f"--net=/proc/{attacker}/ns/net", sys.executable, SCRIPT, kind, address, "443", str(SECONDS)]
    attack = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if attack.stdout.readline() != "begun\n":
        attack.kill()
        raise Failed(f"attack {kind} did not begin")
    return attack
