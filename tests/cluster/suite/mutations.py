"""MutatingAdmissionPolicies, which the API server evaluates before webhooks, and again after one has changed the pod
(`reinvocationPolicy: IfNeeded`). Then it calls the webhook again, too."""

import json

from .cluster import is_injected, table, web_pod
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
    expected = {f"/app-health/{name}/readyz": {"httpGet": {"path": "/foo", "port": port, "scheme": "HTTP"}, "timeoutSeconds": TIMEOUT}
                for name, port in (("web", 8001), ("added", 9001))}
    wait_for(lambda: is_mutated(cluster.create_pod(NAMESPACE, pod("trial"), dry_run=True)), BUSY, "the policies change pods")
    report.check("a pod that policies change after the webhook is created", lambda: is_injected(cluster.create_pod(NAMESPACE, pod("web")).ok()))
    report.check("all its probes are sent to the sidecar", has_table, cluster, expected)
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
    """By all of the policies: the API server learns of each on its own."""
    spec = done.body.get("spec", {})
    names = [each["name"] for each in spec.get("initContainers", []) + spec.get("containers", [])]
    return {"added", "first", "probelet", "web"} == set(names) and len(names) == 4 and all(
        (probe["periodSeconds"], probe["timeoutSeconds"]) == (1, TIMEOUT) for probe in (each["readinessProbe"] for each in spec["containers"]))


def has_table(cluster, expected):
    stored = cluster.pod(NAMESPACE, "web")
    found, probes = table(stored), {each["name"]: each.get("readinessProbe") for each in stored["spec"]["containers"]}
    ports = {name: probe["httpGet"]["port"] for name, probe in probes.items()}
    if found != expected or set(ports.values()) != {15020} or len(ports) != 2:
        raise Failed(f"{found} {probes}")
    return True


def create(cluster, name, mutation):
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded", "mutations": [mutation]}
    selected = {"namespaceSelector": {"matchLabels": {"policy": NAMESPACE}}}
    for kind, body in (("MutatingAdmissionPolicy", spec), ("MutatingAdmissionPolicyBinding", {"policyName": name, "matchResources": selected})):
        document = {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": body}
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))
