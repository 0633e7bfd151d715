"""Kinds that the injector does not know, and pods that the API server rejects because of the sidecar."""

import copy
import json
import subprocess

from .apps import roll_out
from .cluster import web_pod
from .report import BUSY, Failed, NotYet, wait_for
from .setup import wait_account

KIND = "rollouts.argoproj.io=spec.template"


def unknown_kinds(cluster, report):
    """A custom resource with a pod template, and a PodTemplate."""
    namespace = "unknown-kinds"
    cluster.kubectl("create", "namespace", namespace)
    wait_account(cluster, namespace)
    create_definition(cluster)
    pod = web_pod("rollout")
    template = {"metadata": {"labels": pod["metadata"]["labels"]}, "spec": pod["spec"]}
    rollout = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"}, "spec": {"template": template}}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(rollout))
    rollouts = cluster.kubectl("get", "rollouts", "-n", namespace, "-o", "yaml")
    line = f"rollout/web namespace={namespace} not injected: Rollout has a pod template at spec.template and is not a known kind: " \
           f"write --kind-template {KIND}\n"
    report.check("audit lists a Rollout and names the flag", audits, cluster, rollouts, 1, line)
    report.check("`file --check` fails for a Rollout", fails_check, cluster, rollouts)
    report.check("the API server accepts a Rollout that --kind-template injects", cluster.shell,
                 f"kubectl get rollout web -n {namespace} -o yaml | probelet-inject file -f - --kind-template {KIND} | kubectl apply -f -")
    rollouts = cluster.kubectl("get", "rollouts", "-n", namespace, "-o", "yaml")
    report.check("audit with the flag finds it injected", audits, cluster, rollouts, 0, "", f"--kind-template={KIND}")
    pod_template = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "web"}, "template": copy.deepcopy(template)}
    source = cluster.work / "pod-template.json"
    source.write_text(json.dumps(pod_template))
    report.check("the API server accepts an injected PodTemplate", cluster.shell,
                 f"probelet-inject file -f {source} | kubectl apply --validate=strict -n {namespace} -f -")
    cluster.delete_namespace(namespace)


def create_definition(cluster):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Rollout", "plural": "rollouts", "singular": "rollout"}
    definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "rollouts.argoproj.io"},
                  "spec": {"group": "argoproj.io", "scope": "Namespaced", "names": names, "versions": [version]}}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(definition))
    cluster.kubectl("wait", "--for=condition=Established", "crd/rollouts.argoproj.io", f"--timeout={BUSY}s")


def audit(cluster, text, *args):
    return subprocess.run([cluster.injector, "audit", "-f", "-", *args], input=text, capture_output=True, text=True)


def audits(cluster, text, code, expected, *args):
    """Audit exits with this code and prints this."""
    done = audit(cluster, text, *args)
    if (done.returncode, done.stdout) != (code, expected):
        raise Failed(f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    return True


def fails_check(cluster, text):
    done = subprocess.run([cluster.injector, "file", "--check", "-f", "-"], input=text, capture_output=True, text=True)
    if done.returncode != 1 or KIND not in done.stderr:
        raise Failed(f"exit code {done.returncode}: {done.stderr}")
    return True


def rejected_pods(cluster, report):
    """A ResourceQuota that has room for the app, and not for the sidecar."""
    namespace = "full"
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "memory", "namespace": namespace},
             "spec": {"hard": {"limits.memory": "64Mi"}}}
    labels = {"probelet.dev/injection": "enabled"}
    for each in ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}, quota):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(each))
    wait_account(cluster, namespace)
    pod = web_pod("web")
    pod["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "200m", "memory": "64Mi"}}
    template = {"metadata": {"labels": pod["metadata"]["labels"]}, "spec": pod["spec"]}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                  "spec": {"selector": {"matchLabels": pod["metadata"]["labels"]}, "template": template}}
    wait_for(lambda: cluster.get("resourcequotas", namespace, "memory").get("status", {}).get("used"), BUSY, "the quota is counted")
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(deployment))
    wait_for(lambda: cluster.get("events", namespace, fieldSelector="reason=FailedCreate")["items"], BUSY, "a pod is rejected")
    report.check("audit lists a ReplicaSet whose pods exceed a quota because of the sidecar", lists_rejected, cluster, namespace)
    quota["spec"]["hard"]["limits.memory"] = "256Mi"
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(quota))
    # The controller tries again after a growing delay; a rollout tries at once.
    cluster.kubectl("rollout", "restart", "deployment/web", "-n", namespace)
    report.check("with a larger quota the Deployment is rolled out", roll_out, cluster, namespace, "web")
    report.check("audit does not list the ReplicaSet any longer", wait_for, lambda: audit(cluster, state(cluster, namespace)).returncode == 0,
                 60, "audit finds nothing", lambda: audit(cluster, state(cluster, namespace)).stdout)
    cluster.delete_namespace(namespace)
    report.check("audit lists controllers whose pods a policy rejects as possibly because of the sidecar", lists_policy, cluster)
    report.check("audit does not attribute a quota of pods to the sidecar", finds_nothing_by_pods, cluster)
    report.check("audit lists a ReplicaSet whose pods have a ratio that a LimitRange rejects because of the sidecar", lists_ratio, cluster)


def lists_policy(cluster):
    """A policy whose message names neither the container nor a field, and a controller of each kind that creates pods."""
    namespace = "full-policy"
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": namespace, "labels": {"probelet.dev/injection": "enabled", "policy": namespace}}}))
    wait_account(cluster, namespace)
    api = "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    policy = {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": namespace}, "spec": {
        "matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "!has(object.spec.initContainers)", "message": "too many"}]}}
    binding = {"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": namespace}, "spec": {
        "policyName": namespace, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": {"matchLabels": {"policy": namespace}}}}}
    for each in (policy, binding):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(each))
    wait_for(lambda: cluster.create_pod(namespace, web_pod("trial"), dry_run=True).status >= 300, BUSY, "the policy is in force")
    pod = web_pod("web")
    template = {"metadata": {"labels": pod["metadata"]["labels"]}, "spec": pod["spec"]}
    spec = {"selector": {"matchLabels": pod["metadata"]["labels"]}, "template": template}
    once = {"template": {**template, "spec": {**pod["spec"], "restartPolicy": "Never"}}}
    for kind, group, own in (("Deployment", "apps", spec), ("StatefulSet", "apps", {**spec, "serviceName": "web"}), ("DaemonSet", "apps", spec), ("Job", "batch", once)):
        cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(
            {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "web"}, "spec": own}))
    command = ("get", "ns,pods,rs,sts,ds,jobs,events", "-n", namespace, "-o", "yaml")

    def listed():
        done = audit(cluster, cluster.kubectl(*command))
        lines = sorted(line for line in done.stdout.splitlines() if "cannot create pods, possibly because of the sidecar: " in line)
        kinds = [line.split("/")[0] for line in lines if "denied request: too many: if `kubectl create" in line]
        if (done.returncode, kinds) != (1, ["daemonset", "job", "replicaset", "statefulset"]):
            raise NotYet(f"exit code {done.returncode}: {done.stdout}{done.stderr}")
        return True
    wait_for(listed, BUSY, "audit lists the four controllers")
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        cluster.kubectl("delete", kind, namespace)
    cluster.delete_namespace(namespace)
    return True


def finds_nothing_by_pods(cluster):
    namespace = "full-of-pods"
    rejected(cluster, namespace, {"probelet.dev/injection": "enabled"}, {
        "kind": "ResourceQuota", "metadata": {"name": "pods"}, "spec": {"hard": {"pods": "0", "count/pods": "0"}}}, web_pod("web"))
    done = audit(cluster, state(cluster, namespace))
    cluster.delete_namespace(namespace)
    if (done.returncode, done.stdout) != (0, ""):
        raise Failed(f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    return True


def lists_ratio(cluster):
    """The command line does not know the LimitRange: 200m of 100m have the ratio 2, and with the sidecar 250m of 101m."""
    namespace = "full-ratio"
    pod = web_pod("web")
    pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
    done = subprocess.run([cluster.injector, "file", "-f", "-"], input=json.dumps(pod), capture_output=True, text=True, check=True)
    rejected(cluster, namespace, {}, {"kind": "LimitRange", "metadata": {"name": "ratio"}, "spec": {"limits": [
        {"type": "Pod", "maxLimitRequestRatio": {"cpu": "2"}}]}}, json.loads(done.stdout))
    done = audit(cluster, cluster.kubectl("get", "rs,events", "-n", namespace, "-o", "yaml"))
    cluster.delete_namespace(namespace)
    parts = ("replicaset/web-", "cpu max limit to request ratio per Pod is 2, but provided ratio is 2.475248: set the sidecar's resources")
    if done.returncode != 1 or done.stdout.count("\n") != 1 or not all(part in done.stdout for part in parts):
        raise Failed(f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    return True


def rejected(cluster, namespace, labels, bound, pod):
    """A Deployment whose pod the API server rejects because of an object of the namespace."""
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}))
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps({"apiVersion": "v1", **bound}))
    wait_account(cluster, namespace)
    if bound["kind"] == "ResourceQuota":
        name = bound["metadata"]["name"]
        wait_for(lambda: cluster.get("resourcequotas", namespace, name).get("status", {}).get("used"), BUSY, "the quota is counted")
    metadata = {key: pod["metadata"][key] for key in ("labels", "annotations") if key in pod["metadata"]}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "selector": {"matchLabels": pod["metadata"]["labels"]}, "template": {"metadata": metadata, "spec": pod["spec"]}}}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(deployment))
    wait_for(lambda: cluster.get("events", namespace, fieldSelector="reason=FailedCreate")["items"], BUSY, "a pod is rejected")


def state(cluster, namespace):
    return cluster.kubectl("get", "ns,pods,rs,events", "-n", namespace, "-o", "yaml")


def lists_rejected(cluster, namespace):
    done = audit(cluster, state(cluster, namespace))
    parts = ("replicaset/web-", f" namespace={namespace} cannot create pods with the sidecar: ", "exceeded quota: memory",
             ": raise the quota, or set the sidecar's resources by annotation probelet.dev/resources")
    if done.returncode != 1 or done.stdout.count("\n") != 1 or not all(part in done.stdout for part in parts):
        raise Failed(f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    return True
