"""The commands of README.md against the cluster."""

import copy
import json
import subprocess

from .apps import roll_out
from .cluster import MANIFESTS, is_injected, sidecar, table, web_pod
from .instances import finds
from .pages import documented
from .report import BUSY, Failed, wait_for
from .setup import NAME, SYSTEM


def command_line(cluster, report):
    """Injection without the webhook, and back."""
    manifest = MANIFESTS / "tcp-deployment.yaml"
    report.check("`kubectl apply -f <(probelet-inject kube-inject ...)` with strict validation", cluster.shell,
                 f"kubectl apply -n plain --validate=strict -f <(probelet-inject kube-inject -f {manifest})")
    report.check("the Deployment by kube-inject is rolled out", roll_out, cluster, "plain", "tcp")
    report.check("its probes are in the table", has_tcp_table, cluster)
    report.check("the API server accepts `--uninject` of `kubectl get -o yaml`", uninject, cluster)
    report.check("another field manager applies the same injected manifest without a conflict", apply_by_two_managers, cluster)


def has_tcp_table(cluster):
    found = table(cluster.pod("plain", "tcp"))
    if found != {"/app-health/web/livez": {"tcpSocket": {"port": 8001}}, "/app-health/web/readyz": {"tcpSocket": {"port": 8001}}}:
        raise Failed(f"the table is {found}")
    return True


def apply_by_two_managers(cluster):
    """With both volumes of the sidecar. No pod is created, so that the Secret does not have to exist."""
    pod = web_pod("applied", annotations={"probelet.dev/client-cert-secret": "none"})
    template = {"metadata": {key: pod["metadata"][key] for key in ("labels", "annotations")}, "spec": pod["spec"]}
    spec = {"replicas": 0, "selector": {"matchLabels": pod["metadata"]["labels"]}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "applied"}, "spec": spec}
    done = subprocess.run([cluster.injector, "file", "-f", "-"], input=json.dumps(deployment), capture_output=True, text=True, check=True)
    for manager in ("first", "second"):
        cluster.kubectl("apply", "-n", "plain", "--server-side", f"--field-manager={manager}", "-f", "-", stdin=done.stdout)
    volumes = cluster.get("deployments", "plain", "applied")["spec"]["template"]["spec"]["volumes"]
    cluster.kubectl("delete", "deployment", "applied", "-n", "plain")
    return {volume["name"] for volume in volumes} == {"probelet-tls", "probelet-no-token"}


def uninject(cluster):
    out = cluster.work / "uninjected.yaml"
    cluster.shell(f"kubectl get deployment tcp -n plain -o yaml | probelet-inject file --uninject -f - >{out}")
    output = cluster.shell(f"kubectl apply -n plain --dry-run=server -o yaml -f {out}")
    if "app-health" in output.split("status:")[0].replace("last-applied-configuration", ""):
        raise Failed(output)
    return True


def selectors(cluster, report):
    """Pods that the API server does not send to the webhook."""
    cluster.kubectl("label", "namespace", "kube-system", "probelet.dev/injection=enabled")
    cluster.kubectl("label", "namespace", SYSTEM, "probelet.dev/injection=enabled")
    wait_for(lambda: is_injected(cluster.dry_run("first-only", web_pod("trial"))), BUSY, "the webhook injects")
    opted_out = web_pod("opted-out", labels={"probelet.dev/inject": "false"})
    for what, namespace, pod in (("a namespace without the label", "plain", web_pod("trial")), ("kube-system", "kube-system", web_pod("trial")),
                                 ("the webhook's own namespace", SYSTEM, web_pod("trial")), ("a pod that opts out", "first-only", opted_out)):
        report.check(f"not injected: {what}", lambda namespace=namespace, pod=pod: not sidecar(cluster.dry_run(namespace, copy.deepcopy(pod))))
    for namespace in ("kube-system", SYSTEM):
        cluster.kubectl("label", "namespace", namespace, "probelet.dev/injection-")


def audit_all(cluster, report):
    """Audit of a cluster in which every pod was created while the webhook was up."""
    pods = cluster.kubectl("get", "ns,pods", "-A", "-o", "yaml")
    done = subprocess.run([cluster.injector, "audit", "-f", "-"], input=pods, capture_output=True, text=True)
    output = done.stdout + done.stderr

    def is_clean():
        if done.returncode:
            raise Failed(output)
        return True
    report.check("audit finds every pod injected", is_clean)
    report.check("audit has no probe that is not rewritten", lambda: "is not rewritten" not in output)


def uninstall(cluster, report):
    """Without the webhook pods start without the sidecar; then it is uninstalled."""
    cluster.kubectl("scale", "deployment", NAME, "-n", SYSTEM, "--replicas=0")
    wait_for(lambda: not cluster.get("pods", SYSTEM)["items"], BUSY, "the webhook's pod ends")
    created = cluster.create_pod("kinds", web_pod("bare"))
    report.check("a pod is created while the webhook is down", created.ok)
    report.check("it has no sidecar", lambda: not sidecar(created.body))
    report.check("it is ready", cluster.wait_ready, "kinds", "bare")
    pods = cluster.kubectl("get", "ns,pods", "-A", "-o", "yaml")
    report.check("audit finds it", finds, [cluster.injector, "audit", "-f", "-"], pods, "pod/bare namespace=kinds not injected")
    report.check("the webhook is uninstalled", lambda: cluster.shell(
        f"cd {cluster.repository} && timeout 90 " + documented("kubectl delete -k deploy/webhook/kustomize/self-signed")))
    report.check("nothing of it remains", nothing_remains, cluster)


def nothing_remains(cluster):
    kinds = "mutatingwebhookconfigurations,clusterroles,clusterrolebindings,namespaces"

    def remaining():
        return [line for line in cluster.kubectl("get", kinds, "-o", "name").splitlines() if "probelet" in line]
    # The namespaces of the other installations are deleted in the background.
    return wait_for(lambda: not remaining(), BUSY, f"{remaining()} is deleted")
