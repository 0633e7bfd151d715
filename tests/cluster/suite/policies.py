"""Admission policies in CEL that read fields of all containers and volumes, some without has()."""

import json
import subprocess

from .apps import roll_out
from .cluster import is_injected, sidecar, web_pod
from .report import BUSY, Failed, wait_for
from .setup import wait_account

CONTAINERS = "(object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : []))"
# Each holds for the pod of the test without the sidecar. An expression that errs refuses the pod, as `failurePolicy` is Fail.
POLICIES = {
    "volume-types": "!has(object.spec.volumes) || object.spec.volumes.all(v, has(v.projected) || has(v.emptyDir))",
    "projected-sources": "!has(object.spec.volumes) || object.spec.volumes.all(v, !has(v.projected) || v.projected.sources.all(s, !has(s.secret) && !has(s.clusterTrustBundle)))",
    "projected-mode": "!has(object.spec.volumes) || object.spec.volumes.all(v, !has(v.projected) || v.projected.defaultMode == 420)",
    "environment": f"{CONTAINERS}.all(c, c.env.all(e, !has(e.valueFrom) || !has(e.valueFrom.secretKeyRef)))",
    "environment-names": f"{CONTAINERS}.all(c, c.env.all(e, e.name != 'LD_PRELOAD'))",
    "mounts": f"{CONTAINERS}.all(c, c.volumeMounts.all(m, m.mountPath != '/' && m.readOnly))",
    "ports": f"{CONTAINERS}.all(c, c.ports.all(p, p.containerPort > 1024 && p.protocol == 'TCP' && (!has(p.hostPort) || p.hostPort == 0)))",
    "port-names": f"{CONTAINERS}.all(c, c.ports.all(p, p.name != ''))",
    "privileged": f"{CONTAINERS}.all(c, !c.securityContext.privileged)",
    "escalation": f"{CONTAINERS}.all(c, !c.securityContext.allowPrivilegeEscalation)",
    "capabilities": f"{CONTAINERS}.all(c, c.securityContext.capabilities.drop.exists(d, d == 'ALL'))",
    "read-only": f"{CONTAINERS}.all(c, c.securityContext.readOnlyRootFilesystem)",
    "user": f"{CONTAINERS}.all(c, c.securityContext.runAsNonRoot && c.securityContext.runAsUser > 0 && c.securityContext.runAsGroup > 0)",
    "seccomp": f"{CONTAINERS}.all(c, c.securityContext.seccompProfile.type in ['RuntimeDefault', 'Localhost'])",
    "image": f"{CONTAINERS}.all(c, c.image.contains(':') && !c.image.endsWith(':latest') && c.imagePullPolicy in ['IfNotPresent', 'Always'])",
    "arguments": f"{CONTAINERS}.all(c, c.args.all(a, a != '--privileged'))",
    "termination-message": f"{CONTAINERS}.all(c, c.terminationMessagePath == '/dev/termination-log' && c.terminationMessagePolicy == 'File')",
    "resources": f"{CONTAINERS}.all(c, ['cpu', 'memory', 'ephemeral-storage'].all(r, r in c.resources.requests && r in c.resources.limits))",
    "memory": f"{CONTAINERS}.all(c, c.resources.requests.memory == c.resources.limits.memory)",
    "storage": f"{CONTAINERS}.all(c, quantity(c.resources.limits['ephemeral-storage']).isLessThan(quantity('2Gi')))",
}


def admission_policies(cluster, report):
    """Each policy in a namespace of its own, in which the pod is accepted without the sidecar, and then injected."""
    for name, expression in POLICIES.items():
        create(cluster, name, expression)
    for name in POLICIES:
        wait_for(lambda name=name: cluster.create_pod(f"policy-{name}", bad_pod(), dry_run=True).status >= 300, BUSY, f"policy {name} is in force")
        report.check(f"policy {name} accepts the pod without the sidecar", accepts, cluster, name, False)
        report.check(f"policy {name} accepts the injected pod", accepts, cluster, name, True)
    report.check("policy projected-sources accepts a pod of an earlier version whose volume has no sources", accepts_earlier, cluster)
    for name in POLICIES:
        remove(cluster, name)


def required_probes(cluster, report):
    """A policy that requires a probe of each of `containers`, as Kyverno's require-pod-probes. A native sidecar is none of them."""
    name = "required-probes"
    create(cluster, name, "object.spec.containers.all(c, has(c.livenessProbe) || has(c.readinessProbe) || has(c.startupProbe))")
    wait_for(lambda: cluster.create_pod(f"policy-{name}", bad_pod(), dry_run=True).status >= 300, BUSY, f"policy {name} is in force")
    ordinary = {"probelet.dev/sidecar": "container"}
    for title, annotations, is_accepted in (
            ("accepts a native sidecar", {}, True), ("rejects an ordinary sidecar, as documented", ordinary, False),
            ("accepts an ordinary sidecar with a startup probe", {**ordinary, "probelet.dev/startup-probe": "true"}, True)):
        done = cluster.create_pod(f"policy-{name}", web_pod("web", annotations=annotations), dry_run=True)
        report.check(f"a policy that requires probes {title}", lambda done=done, expected=is_accepted: (done.status < 300 and is_injected(done.body)) == expected)
    remove(cluster, name)


def earlier_volume(cluster, report):
    """A Deployment with the volume of an earlier version, which has no sources, by the command line."""
    namespace = "earlier-volume"
    cluster.kubectl("create", "namespace", namespace)
    wait_account(cluster, namespace)
    pod = web_pod("web")
    template = {"metadata": {"labels": pod["metadata"]["labels"]}, "spec": pod["spec"]}
    original = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"selector": {"matchLabels": pod["metadata"]["labels"]}, "template": template}}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(without_sources(cluster, original)))
    report.check("a Deployment with a volume without sources is rolled out", roll_out, cluster, namespace, "web")
    report.check("its volume is stored with null in place of sources", lambda: sources(cluster, namespace) is None)
    command = f"kubectl get deployment web -n {namespace} -o json | probelet-inject file -f - {{}} | kubectl apply -n {namespace} -f -"
    cluster.shell(command.format(""))
    report.check("`file` adds a source to the volume", lambda: sources(cluster, namespace) == [{"downwardAPI": {}}])
    report.check("the updated Deployment is rolled out", roll_out, cluster, namespace, "web")
    # `kubectl apply` of a stored object changes its annotation, and with that the generation.
    spec = deployment(cluster, namespace)["spec"]
    cluster.shell(command.format(""))
    report.check("`file` and `kubectl apply` again change nothing", lambda: deployment(cluster, namespace)["spec"] == spec)
    cluster.shell(command.format("--uninject"))
    report.check("`file --uninject` removes the volume", lambda: volumes(cluster, namespace) is None)
    report.check("the Deployment without the sidecar is rolled out", roll_out, cluster, namespace, "web")
    cluster.delete_namespace(namespace)


def deployment(cluster, namespace):
    return cluster.get("deployments", namespace, "web")


def volumes(cluster, namespace):
    return deployment(cluster, namespace)["spec"]["template"]["spec"].get("volumes")


def sources(cluster, namespace):
    [volume] = volumes(cluster, namespace)
    return volume["projected"]["sources"]


def without_sources(cluster, document):
    """The document as an earlier version injected it."""
    done = subprocess.run([cluster.injector, "file", "-f", "-"], input=json.dumps(document), capture_output=True, text=True, check=True)
    injected = json.loads(done.stdout)
    spec = injected["spec"] if injected["kind"] == "Pod" else injected["spec"]["template"]["spec"]
    for volume in spec["volumes"]:
        if volume["name"] == "probelet-no-token":
            del volume["projected"]["sources"]
    return injected


def accepts_earlier(cluster):
    pod = without_sources(cluster, strict_pod(True))
    done = cluster.create_pod("policy-projected-sources", pod, dry_run=True)
    return is_injected(done.ok())


def strict_pod(inject):
    """A pod whose container states everything that the policies read."""
    pod = web_pod("strict", annotations={"probelet.dev/inject": str(inject).lower()})
    container = pod["spec"]["containers"][0]
    amounts = {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "1Gi"}
    container.update(
        env=[{"name": "MODE", "value": "edge"}], ports=[{"name": "http", "containerPort": 8001}],
        volumeMounts=[{"name": "tmp", "mountPath": "/tmp", "readOnly": True}],
        resources={"requests": {**amounts, "cpu": "50m"}, "limits": amounts})
    container["securityContext"].update(
        privileged=False, readOnlyRootFilesystem=True, runAsNonRoot=True, runAsUser=1000, runAsGroup=1000, seccompProfile={"type": "RuntimeDefault"})
    pod["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    return pod


def bad_pod():
    """The pod of a policy that is in force is refused if it has the label."""
    pod = strict_pod(False)
    pod["metadata"]["labels"]["bad"] = "yes"
    return pod


def create(cluster, name, expression):
    namespace = f"policy-{name}"
    labels = {"probelet.dev/injection": "enabled", "policy": name}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}))
    wait_account(cluster, namespace)
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    api = "admissionregistration.k8s.io/v1"
    # Without the container's name, as many policies write it.
    policy = {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
        "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": expression, "message": f"{name} of each container is restricted"},
                        {"expression": "!('bad' in object.metadata.labels)"}]}}
    binding = {"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {
        "policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": {"matchLabels": {"policy": name}}}}}
    for each in (policy, binding):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(each))


def accepts(cluster, name, inject):
    done = cluster.create_pod(f"policy-{name}", strict_pod(inject), dry_run=True)
    if is_injected(done.ok()) != inject:
        raise Failed(f"{sidecar(done.body)} {done.warnings}")
    return True


def remove(cluster, name):
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        cluster.kubectl("delete", kind, name)
    cluster.delete_namespace(f"policy-{name}")
