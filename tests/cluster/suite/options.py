"""Options of the sidecar: its user, its first probe, the shortest timeout; the manifests of docs/check.md; a bare pod applied twice."""

import http.server
import json
import pathlib
import threading
import time

from . import pages
from .cluster import HOST, is_injected, is_ready, sidecar, table, web_pod
from .report import BUSY, Failed, wait_for
from .setup import wait_account, wait_injected

NAMESPACE = "options"
TARGET_PORT = 18080
SLOW_QUOTA = 20  # per cent of a core
SLOW_SECONDS = 110


def create_namespace(cluster, name):
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "probelet.dev/injection=enabled")
    wait_account(cluster, name)
    wait_injected(cluster, name)


def users(cluster, report):
    """`restricted` and kubelet accept a sidecar with another user, and one without a user of its own."""
    for name, user, expected in (("any-user", "none", 1337), ("user-2000", "2000", 2000)):
        pod = web_pod(name, annotations={"probelet.dev/run-as-user": user})
        created = cluster.create_pod("strict", pod)
        report.check(f"PodSecurity `restricted` accepts run-as-user {user}", created.ok)
        report.check(f"the sidecar with run-as-user {user} has that user, or none", has_user, created.body, user)
        report.check(f"the pod with run-as-user {user} is ready", cluster.wait_ready, "strict", name)
        report.check(f"its sidecar runs as {expected}", runs_as, cluster, name, expected)


def private_token(cluster, report):
    """kubelet writes a token for the only user of a pod. With the sidecar as another user it would be root's, and unreadable."""
    pod = web_pod("token")
    pod["spec"]["securityContext"].update(runAsUser=1000)
    pod["spec"]["volumes"] = [{"name": "files", "projected": {"defaultMode": 0o400, "sources": [{"serviceAccountToken": {"path": "token"}}]}}]
    reader = {"name": "reader", "image": "localhost/busybox:1", "command": ["/bin/sh", "-c", "cat /files/token >/dev/null && sleep 1000"],
              "volumeMounts": [{"name": "files", "mountPath": "/files"}]}
    pod["spec"]["containers"].append(reader)
    report.check("a pod with a token of mode 0400 is injected", lambda: is_injected(cluster.create_pod("first-only", pod).ok()))
    report.check("its app reads the token, so that the pod is ready", cluster.wait_ready, "first-only", "token")


def has_user(pod, user):
    context = sidecar(pod)["securityContext"]
    expected = None if user == "none" else int(user)
    if (context.get("runAsUser"), context.get("runAsGroup"), context["runAsNonRoot"]) != (expected, expected, True):
        raise Failed(context)
    return True


def runs_as(cluster, app, user):
    status = cluster.pod("strict", app)["status"]
    ids = [each["containerID"].split("//")[1] for each in status["initContainerStatuses"]]
    tasks = [line.split() for line in cluster.ctr("tasks", "list").splitlines()[1:]]
    (pid,) = [task[1] for task in tasks if task[0] in ids]
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        (uids,) = [line.split()[1:] for line in file if line.startswith("Uid:")]
    if set(uids) != {str(user)}:
        raise Failed(f"it runs as {uids}")
    return True


class Healthy(http.server.BaseHTTPRequestHandler):
    """An app that always runs, on the node: only the sidecar can make its probes fail."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


def first_probes(cluster, report):
    """Without a startup probe of the sidecar no probe or hook comes before it listens: 30 pods at once, with a CPU limit."""
    create_namespace(cluster, NAMESPACE)
    server = Server((HOST, TARGET_PORT), Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        get = {"httpGet": {"path": "/", "port": TARGET_PORT}}
        resources = {"requests": {"cpu": "1m", "memory": "2Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}}
        pod = web_pod("first", annotations={"probelet.dev/target-ip": HOST, "probelet.dev/resources": json.dumps(resources)})
        # The timeout is long, because the test observes whether the sidecar listens and not how fast the node is.
        pod["spec"]["containers"][0].update(
            lifecycle={"postStart": get},
            livenessProbe={**get, "initialDelaySeconds": 0, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 30},
            readinessProbe={**get, "periodSeconds": 1, "timeoutSeconds": 30})
        pods = [{**pod, "metadata": {**pod["metadata"], "name": f"first-{number}"}} for number in range(30)]
        cluster.kubectl("create", "-n", NAMESPACE, "-f", "-",
                        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
        report.check("30 pods with a hook through the sidecar are ready", wait_for,
                     lambda: sum(map(is_ready, cluster.pods(NAMESPACE, "first"))) == 30, 120, "30 pods are ready")
        report.check("their sidecars have no startup probe",
                     lambda: not any("startupProbe" in sidecar(each) for each in cluster.pods(NAMESPACE, "first")))
        report.check("no probe and no hook of the 30 pods failed", has_no_failure, cluster)
    finally:
        server.shutdown()
        server.server_close()
        # The node has room for 110 pods.
        cluster.kubectl("delete", "pods", "--all", "-n", NAMESPACE, f"--timeout={BUSY}s")
        cluster.delete_namespace(NAMESPACE)


def has_no_failure(cluster):
    """No hook failed, no probe was refused, and no container was restarted."""
    events = cluster.get("events", NAMESPACE)["items"]
    failed = [event["message"] for event in events if event["reason"] in ("FailedPostStartHook", "Unhealthy", "Killing")]
    pods = cluster.pods(NAMESPACE, "first")
    restarts = sum(each["restartCount"] for pod in pods for key in ("containerStatuses", "initContainerStatuses")
                   for each in pod["status"][key])
    if failed or restarts:
        raise Failed("\n".join([f"{restarts} restarts", *failed]))
    return True


def exec_probe(cluster, report):
    """The first manifest of docs/check.md."""
    name = "readme"
    cluster.kubectl("create", "namespace", name)
    wait_account(cluster, name)
    copy_secret(cluster, "mesh", "app-tls", name)
    spec, *_ = [manifest["spec"] for block, manifest in pages.manifests() if block.page == "docs/check.md"]
    # The app of the test has one path.
    spec = json.loads(json.dumps(spec).replace('"web:1"', '"localhost/app:1"').replace("/healthz", "/foo"))
    (app,) = spec["containers"]
    app["args"] = ["-https", ":8443", "-control", ":9000"]
    app["volumeMounts"].append({"name": "tls", "mountPath": "/tls", "readOnly": True})
    # A busy node must not end the probe, nor kubelet the app, before the event.
    app["livenessProbe"].update(periodSeconds=1, timeoutSeconds=10, failureThreshold=60)
    spec["volumes"].append({"name": "tls", "secret": {"secretName": "app-tls"}})
    spec["terminationGracePeriodSeconds"] = 2
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "exec", "labels": {"app": "exec"}}, "spec": spec}
    report.check("the API server accepts the exec probe of docs/check.md", lambda: cluster.create_pod(name, pod).ok())
    report.check("its app is ready", cluster.wait_ready, name, "exec")
    command = app["livenessProbe"]["exec"]["command"]
    report.check("its command probes the app", lambda: "200" in cluster.kubectl("exec", "-n", name, "exec", "-c", "web", "--", *command))
    cluster.set_app(name, "exec", "code=500")
    report.check("an event has its output once the app fails", cluster.wait_event, name, "exec", "500")
    cluster.delete_namespace(name)


def copy_secret(cluster, source, secret, destination):
    found = cluster.get("secrets", source, secret)
    copy = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "data": found["data"]}
    cluster.request("POST", cluster.path("secrets", destination), copy).ok()


def applied_twice(cluster, report):
    """A bare pod cannot be applied a second time after injection by the webhook; docs/manifests.md says what works."""
    name = "applied-twice"
    create_namespace(cluster, name)
    manifest = cluster.work / "bare.yaml"
    manifest.write_text(json.dumps(web_pod("bare")))
    cluster.shell(f"kubectl apply -n {name} -f {manifest}")
    report.check("the API server refuses a bare pod that is applied twice", is_refused, cluster, f"kubectl apply -n {name} -f {manifest}")
    report.check("`kubectl replace --force` replaces it", cluster.shell, f"kubectl replace --force -n {name} -f {manifest}")
    report.check("the replaced pod is injected", lambda: table(cluster.pod(name, "bare")))
    cluster.kubectl("delete", "pod", "bare", "-n", name)
    for _ in range(2):
        report.check("`probelet-inject file` before `kubectl apply` can be repeated", cluster.shell,
                     f"probelet-inject file -f {manifest} | kubectl apply -n {name} -f -")
    cluster.kubectl("delete", "pod", "bare", "-n", name)
    apply = f"kubectl apply --server-side -n {name} -f {manifest}"
    cluster.shell(apply)
    report.check("the API server refuses the second server-side apply, too", is_refused, cluster, apply)
    cluster.delete_namespace(name)


def is_refused(cluster, script):
    try:
        output = cluster.shell(script)
    except Failed as failure:
        if "pod updates may not change fields" in str(failure):
            return True
        raise
    raise Failed(output)

def slow_node(cluster, report):
    """30 pods that start at once while all pods of the node share a fifth of a core, with timeouts of 1 s and with raised ones."""
    for name, annotations in (("timeout-1", {}), ("timeout-10", {"probelet.dev/min-timeout-seconds": "10"})):
        create_namespace(cluster, name)
        manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "slow"}, "spec": {
            "replicas": 30, "selector": {"matchLabels": {"app": "slow"}},
            "template": {"metadata": {"labels": {"app": "slow"}, "annotations": annotations}, "spec": slow_pod()}}}
        cluster.kubectl("create", "-n", name, "-f", "-", stdin=json.dumps(manifest))
        wait_for(lambda name=name: len(cluster.pods(name, "slow")) == 30, BUSY, "30 pods are created")
        set_cpu_quota(SLOW_QUOTA)
        try:
            time.sleep(SLOW_SECONDS)
            pods = cluster.pods(name, "slow")
        finally:
            set_cpu_quota(None)
        restarts = sum(each["restartCount"] for pod in pods for each in pod["status"].get("containerStatuses", []))
        report.note(f"{name}: {restarts} restarts of 30 healthy apps in {SLOW_SECONDS} s")
        if annotations:
            report.check("raised timeouts restart no healthy app", lambda restarts=restarts: restarts == 0)
        cluster.delete_namespace(name)
        wait_for(lambda name=name: not cluster.pods(name), BUSY, "the pods end")


def slow_pod():
    """An app, and a container that keeps the CPU busy at its start."""
    get = {"httpGet": {"path": "/foo", "port": 8001}}
    loop = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exec /bin/sleep 3600"
    return {"terminationGracePeriodSeconds": 1, "containers": [
        {"name": "busy", "image": "localhost/busybox:1", "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", loop]},
        {"name": "web", "image": "localhost/app:1", "imagePullPolicy": "IfNotPresent", "args": ["-http", ":8001"],
         "startupProbe": {**get, "periodSeconds": 1, "failureThreshold": 300},
         "livenessProbe": {**get, "periodSeconds": 1}}]}


def set_cpu_quota(percent):
    """Limits all Burstable pods together; cgroup v1 or v2."""
    first = pathlib.Path("/sys/fs/cgroup/cpu/kubepods/burstable/cpu.cfs_quota_us")
    if first.exists():
        first.write_text(str(percent * 1000 if percent else -1), encoding="ascii")
    else:
        limit = percent * 1000 if percent else "max"
        pathlib.Path("/sys/fs/cgroup/kubepods/burstable/cpu.max").write_text(f"{limit} 100000", encoding="ascii")
