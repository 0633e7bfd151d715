"""Where the files of the workload's identity come from: a sidecar that starts after the agent, and a CSI driver that is not
installed."""

import yaml

from .certificates import Authority
from .cluster import MANIFESTS
from .inbound import WEB, Callers, Connection, is_refused, renew, wait_served, write_secret
from .report import Failed, NotYet, wait_for
from .setup import wait_account, wait_injected

LATE, CSI = "late-identity", "identity-csi"
DRIVER = "spiffe.csi.cert-manager.io"


def late_identity(cluster, report):
    cluster.kubectl("create", "namespace", LATE)
    wait_account(cluster, LATE)
    cluster.apply("late-identity.yaml", LATE)
    cluster.create_pod(LATE, unreadable()).ok()
    folder = cluster.work / LATE
    folder.mkdir()
    ca = Authority(folder, "ca")
    callers = Callers(ca, Authority(folder, "other-ca"))
    for app in ("late", "unreadable"):
        report.check(f"{app} is ready without a file of its identity", cluster.wait_ready, LATE, app)
    address = cluster.pod(LATE, "late")["status"]["podIP"]
    service = cluster.get("services", LATE, "late")["spec"]["clusterIP"]
    report.check("without files, a caller with a certificate is refused", is_refused, callers.web, address)
    write_secret(cluster, ca.sign("leaf-0", WEB), ca, namespace=LATE)
    report.check("with the files of a later sidecar, a caller with a certificate is served", wait_served, callers.web, address)
    report.check("the same through a Service", wait_served, callers.web, service, 443)
    for name, caller in callers.refused.items():
        report.check(f"a caller {name} is refused through a Service", is_refused, caller, service, 443)
    with Connection(callers.web, address) as kept:
        kept.get()
        renew(cluster, report, callers, address, "the later sidecar renews leaf and key", ca.sign("leaf-1", WEB), ca, namespace=LATE)
        report.check("a connection from before is still served", lambda: kept.get()[0] == 200)
    report.check("the log names the key that cannot be read, its owner, and the cure", wait_for,
                 lambda: is_explained(cluster.kubectl("logs", "-n", LATE, "unreadable", "-c", "probelet")), 60, "a line of the log")
    for app in ("late", "unreadable"):
        report.check(f"no container of {app} was restarted", has_no_restarts, cluster, app)
    cluster.delete_namespace(LATE)


def unreadable():
    """The same pod, with a helper of another user, which alone may read the key."""
    documents = yaml.safe_load_all((MANIFESTS / "late-identity.yaml").read_text())
    pod = next(each for each in documents if each["kind"] == "Pod")
    pod["metadata"] = {"name": "unreadable", "labels": {"app": "unreadable"}}
    helper = next(each for each in pod["spec"]["initContainers"] if each["name"] == "helper")
    helper["securityContext"]["runAsUser"] = 1000
    return pod


def is_explained(log):
    """Whether a line has the reason; before the helper has written the key, one says that it does not exist."""
    words = ("/identity/tls.key", "0600", "1000", "fsGroup")
    if not any(all(word in line for word in words) for line in log.splitlines()):
        raise NotYet(log)
    return True


def has_no_restarts(cluster, app):
    status = cluster.pod(LATE, app)["status"]
    counts = {each["name"]: each["restartCount"] for each in status["initContainerStatuses"] + status["containerStatuses"]}
    if any(counts.values()):
        raise Failed(str(counts))
    return True


def identity_csi(cluster, report):
    """The API server accepts the injected volume; kubelet does not start the pod, and an event names the driver."""
    cluster.kubectl("create", "namespace", CSI)
    cluster.kubectl("label", "namespace", CSI, "probelet.dev/injection=enabled")
    wait_account(cluster, CSI)
    wait_injected(cluster, CSI)
    pod = {"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {
               "probelet.dev/inbound": "8001", "probelet.dev/app-listens": "loopback", "probelet.dev/allow-id": "any",
               "probelet.dev/identity-csi": DRIVER}},
           "spec": {"terminationGracePeriodSeconds": 1, "containers": [
               {"name": "web", "image": "localhost/app:1", "args": ["-http", "127.0.0.1:8001"], "ports": [{"containerPort": 8001}],
                "livenessProbe": {"httpGet": {"path": "/foo", "port": 8001}}}]}}
    done = cluster.create_pod(CSI, pod)
    report.check("a pod with the volume of a CSI driver is accepted", lambda: bool(done.ok()))
    report.note(f"warnings: {done.warnings}")
    report.check("without the driver, an event of kubelet names it", cluster.wait_event, CSI, "web", f"driver name {DRIVER} not found")
    report.note(cluster.event(CSI, "web", DRIVER)["message"])
    cluster.delete_namespace(CSI)
