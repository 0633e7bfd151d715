"""MutatingAdmissionPolicies, which the API server evaluates before webhooks, and again after one has changed the pod
(`reinvocationPolicy: IfNeeded`). Then it calls the webhook again, too."""

import json

from .cluster import containers, is_injected, table, web_pod
from .options import create_namespace
from .report import BUSY, Failed, wait_for

NAMESPACE = "mutated"
TIMEOUT = 7  # seconds, of probes that the policy `timeout` has changed
API = "admissionregistration.k8s.io/v1"
HAS_SIDECAR = "has(object.spec.initContainers) && object.spec.initContainers.exists(c, c.name == 'probelet')"
CONTAINER, PROBE = "Object.spec.containers", "Object.spec.containers.readinessProbe"
OWN_PROBE = f"{PROBE}{{periodSeconds: 1, httpGet: {PROBE}.httpGet{{path: '/foo', port: %d}}}}"


def has(lists, name):
    return f"object.spec.{lists}.exists(c, c.name == '{name}')"


def added(lists, fields, name):
    """Appends a container to a pod that has the sidecar."""
    patch = f"JSONPatch{{op: 'add', path: '/spec/{lists}/-', value: Object.spec.{lists}{{name: '{name}', {fields}}}}}"
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": f"{HAS_SIDECAR} && !{has(lists, name)} ? [{patch}] : []"}}


MUTATIONS = {
    "own-probe": {"patchType": "JSONPatch", "jsonPatch": {"expression":
        f"{HAS_SIDECAR} ? [JSONPatch{{op: 'replace', path: '/spec/containers/0/readinessProbe', value: {OWN_PROBE % 8001}}}] : []"}},
    "added-container": added("containers", f"image: 'localhost/app:1', args: ['-http', ':9001'], readinessProbe: {OWN_PROBE % 9001}", "added"),
    "added-init-container": added("initContainers", "image: 'localhost/busybox:1', command: ['/bin/sh', '-c', 'true']", "first"),
    # By server-side apply.
    "timeout": {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
        f"Object{{spec: Object.spec{{containers: object.spec.containers.map(c, {CONTAINER}{{name: c.name, "
        f"readinessProbe: {PROBE}{{timeoutSeconds: {TIMEOUT}}}}})}}}}"}},
}


def mutating_policies(cluster, report):
    """Policies that replace the app's probe, add containers and change a timeout, after the webhook."""
    create_namespace(cluster, NAMESPACE)
    cluster.kubectl("label", "namespace", NAMESPACE, f"policy={NAMESPACE}")
    for name, mutation in MUTATIONS.items():
        create(cluster, name, mutation)
    wait_for(lambda: is_mutated(cluster.create_pod(NAMESPACE, pod("trial"), dry_run=True)), BUSY, "the policies change pods")
    report.check("a pod that policies change after the webhook is created", lambda: is_injected(cluster.create_pod(NAMESPACE, pod("web")).ok()))
    report.check("all its probes are sent to the sidecar", has_table, cluster)
    report.check("it is ready", cluster.wait_ready, NAMESPACE, "web")
    report.check("its containers were not restarted", lambda: cluster.restarts(NAMESPACE, "web") == 0)
    for name in MUTATIONS:
        for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
            cluster.kubectl("delete", kind, name)
    cluster.delete_namespace(NAMESPACE)


def pod(name):
    made = web_pod(name)
    # A busybox of user 0.
    del made["spec"]["securityContext"]["runAsNonRoot"]
    return made


def is_mutated(done):
    """By all of the policies that show: the API server learns of each on its own."""
    if done.status >= 300:
        return False
    names = sorted(each["name"] for each in containers(done.body))
    return names == ["added", "first", "probelet", "web"] and all(
        each["readinessProbe"]["periodSeconds"] == 1 for each in done.body["spec"]["containers"])


def has_table(cluster):
    stored = cluster.pod(NAMESPACE, "web")
    found, probes = table(stored), {each["name"]: each["readinessProbe"] for each in stored["spec"]["containers"]}
    ports = {name: probe["httpGet"]["port"] for name, probe in probes.items()}
    # The API server evaluates policies in no fixed order, so that `own-probe` may replace the probe that `timeout` has changed.
    timeouts = {prober.pop("timeoutSeconds") for prober in found.values()}
    expected = {f"/app-health/{name}/readyz": {"httpGet": {"path": "/foo", "port": port, "scheme": "HTTP"}} for name, port in (("web", 8001), ("added", 9001))}
    if found != expected or not timeouts <= {1, TIMEOUT} or ports != {"web": 15020, "added": 15020}:
        raise Failed(f"{found} {timeouts} {probes}")
    return True


def create(cluster, name, mutation):
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded", "mutations": [mutation]}
    selected = {"namespaceSelector": {"matchLabels": {"policy": NAMESPACE}}}
    for kind, body in (("MutatingAdmissionPolicy", spec), ("MutatingAdmissionPolicyBinding", {"policyName": name, "matchResources": selected})):
        document = {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": body}
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))
