"""The sidecar's resources in namespaces with quotas and limit ranges, and in pods with resources of their own."""

import json
import subprocess

from .apps import roll_out
from .cluster import is_injected, sidecar, web_pod
from .report import BUSY, Failed, wait_for
from .setup import wait_account

LIST_INTERVAL = 90  # seconds within which the webhook has listed a new LimitRange
OF_APP = {"cpu": "20m", "memory": "64Mi"}
QUOTA = {"limits.cpu": "4", "limits.memory": "4Gi", "requests.cpu": "4", "requests.memory": "4Gi"}


def resources(cluster, report):
    """Pods whose sidecar states what the API server requires, without an annotation."""
    namespace(cluster, "sized", {"probelet.dev/injection": "enabled"})
    namespace(cluster, "sized-defaults", {"probelet.dev/injection": "enabled"})
    namespace(cluster, "quota-webhook", {"probelet.dev/injection": "enabled"})
    namespace(cluster, "quota-file", {})
    create(cluster, "limitranges", "sized-defaults", "LimitRange", {"limits": [
        {"type": "Container", "defaultRequest": {"cpu": "20m", "memory": "32Mi"}, "default": {"cpu": "200m", "memory": "128Mi"}}]})
    namespace(cluster, "sized-bounds", {"probelet.dev/injection": "enabled"})
    create(cluster, "limitranges", "sized-bounds", "LimitRange", {"limits": [
        {"type": "Container", "min": {"cpu": "10m", "memory": "4Mi"}, "maxLimitRequestRatio": {"memory": "2"}}]})
    namespace(cluster, "sized-storage", {"probelet.dev/injection": "enabled"})
    create(cluster, "limitranges", "sized-storage", "LimitRange", {"limits": [
        {"type": "Container", "max": {"ephemeral-storage": "10Ti"}, "maxLimitRequestRatio": {"ephemeral-storage": "2"}}]})
    for name in ("quota-webhook", "quota-file"):
        create(cluster, "resourcequotas", name, "ResourceQuota", {"hard": QUOTA})
    for scope, hard in (("NotBestEffort", {"pods": "0", **QUOTA}), ("BestEffort", {"pods": "1"})):
        name = f"quota-{scope.lower()}"
        namespace(cluster, name, {"probelet.dev/injection": "enabled"})
        create(cluster, "resourcequotas", name, "ResourceQuota", {"hard": hard, "scopes": [scope]})

    for name in ("sized", "sized-defaults"):
        report.check(f"a pod with resources equal to the sum of its containers is created in {name}", created, cluster, name, equal_to_sum("sum"))
        report.check(f"that pod is ready in {name}", cluster.wait_ready, name, "sum")
    report.check("its sidecar requests nothing", has_requests, cluster, "sized", "sum", {"cpu": "0", "memory": "0"})
    report.check("a pod with limits of its own alone is created", created, cluster, "sized", with_own_limits("own-limits"))
    report.check("its requests are its limits, so that it is Guaranteed", has_class, cluster, "sized", "own-limits", "Guaranteed")

    summed = guaranteed("summed")
    summed["spec"]["resources"] = {"limits": {"memory": OF_APP["memory"]}}
    report.check("a pod whose limit of memory alone is its own is created", created, cluster, "sized", summed)
    report.check("it is Guaranteed by the CPU limit of its container", has_class, cluster, "sized", "summed", "Guaranteed")

    report.check("a Guaranteed pod is created", created, cluster, "sized", guaranteed("guaranteed"))
    report.check("it stays Guaranteed", has_class, cluster, "sized", "guaranteed", "Guaranteed")
    report.check("it is ready", cluster.wait_ready, "sized", "guaranteed")

    deployment = json.dumps(deployment_of(guaranteed("web")))
    cluster.kubectl("apply", "-n", "quota-webhook", "-f", "-", stdin=deployment)
    report.check("a Deployment under a quota of limits is rolled out by the webhook", roll_out, cluster, "quota-webhook", "web")
    report.check("its pod is injected", lambda: is_injected(cluster.pod("quota-webhook", "web")))
    file = cluster.work / "quota.json"
    file.write_text(deployment)
    cluster.shell(f"probelet-inject file -f {file} | kubectl apply -n quota-file -f -")
    report.check("a Deployment under a quota of limits is rolled out by the command line", roll_out, cluster, "quota-file", "web")
    report.check("both have the same resources", same_resources, cluster)
    pod = guaranteed("bounds")
    wait_for(lambda: cluster.create_pod("sized-bounds", pod, dry_run=True).status < 300, LIST_INTERVAL,
             "a pod under a LimitRange with a minimum and a ratio is accepted")
    report.check("a pod under a LimitRange with a minimum and a ratio is created", created, cluster, "sized-bounds", pod)
    report.check("it is ready", cluster.wait_ready, "sized-bounds", "bounds")
    best_effort(cluster, report)
    small_quota(cluster, report)
    # A request of the LimitRange's default, which is its maximum, fits no node.
    pod = web_pod("storage")
    pod["spec"]["containers"][0]["resources"] = {"requests": {"ephemeral-storage": "1Mi"}, "limits": {"ephemeral-storage": "2Mi"}}
    wait_for(lambda: cluster.create_pod("sized-storage", pod, dry_run=True).status < 300, LIST_INTERVAL,
             "a pod under a LimitRange of ephemeral storage is accepted")
    report.check("a pod under a LimitRange of ephemeral storage is created", created, cluster, "sized-storage", pod)
    report.check("it is ready", cluster.wait_ready, "sized-storage", "storage")


def small_quota(cluster, report):
    """A quota of ephemeral storage that has less left than the sidecar's default."""
    namespace(cluster, "quota-storage", {"probelet.dev/injection": "enabled"})
    create(cluster, "resourcequotas", "quota-storage", "ResourceQuota", {"hard": {"limits.ephemeral-storage": "100Mi"}})
    pod = web_pod("storage")
    pod["spec"]["containers"][0]["resources"] = {"requests": {"ephemeral-storage": "1Mi"}, "limits": {"ephemeral-storage": "64Mi"}}
    wait_for(lambda: "exceeded quota" in cluster.create_pod("quota-storage", pod, dry_run=True).body.get("message", ""), BUSY,
             "a quota with less than 64Mi left rejects the sidecar, as documented")
    resources = '{"requests": {"ephemeral-storage": "1Mi"}, "limits": {"memory": "16Mi", "ephemeral-storage": "16Mi"}}'
    pod["metadata"]["annotations"] = {"probelet.dev/resources": resources}
    report.check("under a quota with 36Mi left, a pod with resources of its own for the sidecar is created", created, cluster, "quota-storage", pod)
    report.check("it is ready", cluster.wait_ready, "quota-storage", "storage")


def best_effort(cluster, report):
    """Pods without resources where a ResourceQuota counts pods by their QoS class."""
    for name in ("quota-notbesteffort", "quota-besteffort"):
        pod = web_pod("none")
        wait_for(lambda name=name, pod=pod: has_no_resources(cluster.create_pod(name, pod, dry_run=True)), LIST_INTERVAL,
                 f"the sidecar of a BestEffort pod has no resources in {name}")
        report.check(f"a BestEffort pod is created in {name}", created, cluster, name, pod)
        report.check(f"it stays BestEffort in {name}", has_class, cluster, name, "none", "BestEffort")
        report.check(f"it is ready in {name}", cluster.wait_ready, name, "none")
    done = cluster.create_pod("quota-besteffort", web_pod("second"), dry_run=True)
    report.check("a second BestEffort pod exceeds the quota of BestEffort pods, as it does without the sidecar",
                 lambda: "exceeded quota" in done.body.get("message", ""))


    namespace(cluster, "quota-file-class", {})
    create(cluster, "resourcequotas", "quota-file-class", "ResourceQuota", {"hard": {"pods": "0", **QUOTA}, "scopes": ["NotBestEffort"]})
    report.check("without resources, the command line's pod is created under a quota of NotBestEffort", created_by_file, cluster, "--resources={}")
    report.check("with the default ones it is rejected", lambda: not created_by_file(cluster))


def created_by_file(cluster, *args):
    """The command line does not know quotas."""
    file = [str(cluster.injector), "file", "-f", "-", *args]
    done = subprocess.run(file, input=json.dumps(web_pod("file")), capture_output=True, text=True, check=True)
    created = cluster.create_pod("quota-file-class", json.loads(done.stdout), dry_run=True)
    return created.status < 300 and is_injected(created.body)


def has_no_resources(done):
    return done.status < 300 and not (sidecar(done.body) or {"resources": True}).get("resources")


def namespace(cluster, name, labels):
    create(cluster, "namespaces", None, "Namespace", None, {"name": name, "labels": labels})
    wait_account(cluster, name)


def create(cluster, resource, namespace, kind, spec, metadata=None):
    body = {"apiVersion": "v1", "kind": kind, "metadata": metadata or {"name": namespace}}
    if spec:
        body["spec"] = spec
    cluster.request("POST", cluster.path(resource, namespace), body).ok()


def created(cluster, namespace, pod):
    response = cluster.create_pod(namespace, pod)
    if response.warnings:
        raise Failed(str(response.warnings))
    return is_injected(response.ok())


def guaranteed(name):
    pod = web_pod(name)
    pod["spec"]["containers"][0]["resources"] = {"requests": OF_APP, "limits": OF_APP}
    return pod


def equal_to_sum(name):
    pod = web_pod(name)
    pod["spec"]["containers"][0]["resources"] = {"requests": OF_APP}
    pod["spec"]["resources"] = {"requests": OF_APP, "limits": {"cpu": "500m", "memory": "256Mi"}}
    return pod


def with_own_limits(name):
    pod = web_pod(name)
    pod["spec"]["resources"] = {"limits": {"cpu": "50m", "memory": "64Mi"}}
    return pod


def deployment_of(pod):
    metadata = {"name": pod["metadata"]["name"], "labels": pod["metadata"]["labels"]}
    template = {"metadata": {"labels": metadata["labels"]}, "spec": pod["spec"]}
    spec = {"selector": {"matchLabels": metadata["labels"]}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def has_requests(cluster, namespace, app, expected):
    found = sidecar(cluster.pod(namespace, app))["resources"]
    if found.get("requests") != expected:
        raise Failed(f"the sidecar has {found}")
    return True


def has_class(cluster, namespace, app, expected):
    pod = cluster.pod(namespace, app)
    if pod["status"]["qosClass"] != expected:
        found = [(each["name"], each.get("resources")) for each in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]]
        raise Failed(f"{pod['status']['qosClass']}: {pod['spec'].get('resources')} {found}")
    return True


def same_resources(cluster):
    found = [sidecar(cluster.pod(name, "web"))["resources"] for name in ("quota-webhook", "quota-file")]
    if found[0] != found[1]:
        raise Failed(str(found))
    return True
