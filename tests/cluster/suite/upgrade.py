"""An upgrade from 0.1.0, whose manifest is kept: pods that run stay, and recreated ones differ in the sidecar only."""

import copy
import json

from .apps import roll_out
from .cluster import MANIFESTS, is_ready, load, sidecar, table, web_pod
from .golden import with_defaults
from .instances import Instance
from .report import BUSY, Failed, wait_for
from .setup import NAME, wait_account, wait_injected

APPS = ("first", "bare")
FIRST_IMAGE, NEWER_IMAGE = "localhost/probelet:0.1.0", "localhost/probelet:newer"


def upgrade(cluster, report):
    """Pods of 0.1.0 while a newer webhook is installed, its settings change and it is replaced; then recreated pods."""
    current = sidecar(cluster.dry_run("first-only", web_pod("trial")))["image"]
    for image in {FIRST_IMAGE, NEWER_IMAGE} - {current}:
        cluster.ctr("images", "tag", "--force", current, image)
    instance = Instance(cluster, "self-signed", "upgrade")
    cluster.kubectl("create", "namespace", instance.pods)
    wait_account(cluster, instance.pods)
    cluster.apply("upgraded-0.1.0.yaml", instance.pods)
    for app in APPS:
        report.check(f"{app}, injected by 0.1.0, is ready", cluster.wait_ready, instance.pods, app)
    before = {app: cluster.pod(instance.pods, app) for app in APPS}
    instance.install()
    report.check("the newer webhook injects new pods", wait_injected, cluster, instance.pods)
    report.check("pods of 0.1.0 are the same after the webhook is installed", are_unchanged, cluster, instance.pods, before)
    set_image(cluster, instance, NEWER_IMAGE)
    cluster.kubectl("rollout", "restart", f"deployment/{NAME}", "-n", instance.namespace)
    instance.wait_rolled_out()
    wait_for(lambda: sidecar(cluster.dry_run(instance.pods, web_pod("trial")))["image"] == NEWER_IMAGE, BUSY, "the webhook has the new image")
    for app in APPS:
        cluster.kubectl("label", "pod", before[app]["metadata"]["name"], "touched=yes", "-n", instance.pods)
    report.check("pods of 0.1.0 are the same after the webhook is upgraded and they are updated", are_unchanged, cluster, instance.pods, before)
    cluster.kubectl("rollout", "restart", "deployment/first", "-n", instance.pods)
    report.check("the Deployment of 0.1.0 is rolled out again", roll_out, cluster, instance.pods, "first")
    wait_for(lambda: len(cluster.pods(instance.pods, "first")) == 1, BUSY, "one pod of first")
    report.check("`rollout restart` replaces image and settings of the sidecar only", is_upgraded, cluster, instance.pods, before["first"])
    by_command_line(cluster, report)
    instance.remove()


def set_image(cluster, instance, image):
    """Changes the image in the webhook's ConfigMap."""
    config = cluster.get("configmaps", instance.namespace, NAME)
    values = json.loads(config["data"]["values"])
    values["probelet"]["image"] = image
    cluster.patch("configmaps", instance.namespace, NAME, {"data": {"values": json.dumps(values)}})


def are_unchanged(cluster, namespace, before):
    for app, old in before.items():
        new = cluster.pod(namespace, app)
        if new["metadata"]["uid"] != old["metadata"]["uid"] or new["spec"] != old["spec"]:
            raise Failed(f"{app} has the spec {new['spec']}, before {old['spec']}")
        statuses = new["status"].get("initContainerStatuses", []) + new["status"]["containerStatuses"]
        if not is_ready(new) or any(each["restartCount"] for each in statuses):
            raise Failed(f"{app}: {cluster.conditions(namespace, app)}")
    return True


def app_spec(pod):
    """The pod's spec without what the injector, the scheduler and ServiceAccount admission add."""
    spec = copy.deepcopy(pod["spec"])
    for key in ("initContainers", "volumes", "nodeName"):
        spec.pop(key, None)
    for container in spec["containers"]:
        container.pop("volumeMounts", None)
    return spec


def is_upgraded(cluster, namespace, before):
    """A pod that replaces one of 0.1.0 has the new image, the same probers, and the same app."""
    after = cluster.pod(namespace, before["metadata"]["labels"]["app"])
    if sidecar(after)["image"] != NEWER_IMAGE:
        raise Failed(f"the image is {sidecar(after)['image']}")
    if app_spec(after) != app_spec(before):
        raise Failed(f"the app is {app_spec(after)}, before {app_spec(before)}")
    found, expected = with_defaults(table(after)), with_defaults(table(before))
    if found != expected:
        raise Failed(f"the table is {found}, before {expected}")
    return True


def by_command_line(cluster, report):
    """The same by `probelet-inject file`, in a namespace without a webhook."""
    namespace = "upgrade-files"
    cluster.kubectl("create", "namespace", namespace)
    wait_account(cluster, namespace)
    manifest = MANIFESTS / "upgraded-0.1.0.yaml"
    deployment = next(each for each in load(manifest.read_text()) if each["kind"] == "Deployment")
    cluster.kubectl("apply", "-f", "-", "-n", namespace, stdin=json.dumps(deployment))
    cluster.wait_ready(namespace, "first")
    before = cluster.pod(namespace, "first")
    source = cluster.work / "first.json"
    source.write_text(json.dumps(deployment))
    report.check("the API server accepts a manifest of 0.1.0 that `probelet-inject file` has updated", cluster.shell,
                 f"probelet-inject file -f {source} --image {NEWER_IMAGE} | kubectl apply --validate=strict -n {namespace} -f -")
    report.check("the updated Deployment is rolled out", roll_out, cluster, namespace, "first")
    wait_for(lambda: len(cluster.pods(namespace, "first")) == 1, BUSY, "one pod of first")
    report.check("`probelet-inject file` replaces image and settings of the sidecar only", is_upgraded, cluster, namespace, before)
    cluster.delete_namespace(namespace)
