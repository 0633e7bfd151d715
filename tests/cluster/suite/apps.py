"""Apps on the node: probes, restarts, events, hooks and Jobs as kubelet sees them."""

import json
import subprocess
import time

from .cluster import containers, is_injected, is_ready, sidecar, table, web_pod
from .golden import with_defaults
from .report import BUSY, Failed, wait_for

MESH = ("liveness-http", "self-mtls", "separate-port")
STEADY = 60  # seconds; a failing liveness probe restarts an app within 20


def mutual_tls(cluster, report):
    """Healthy apps behind mutual TLS: restarted without probelet, never with it, and restarted when they fail."""
    cluster.apply("mesh.yaml", "mesh")
    for app in MESH:
        report.check(f"without probelet, healthy {app} is restarted", cluster.wait_restarted, "mesh", app)
    cluster.kubectl("label", "namespace", "mesh", "probelet.dev/injection=enabled")
    wait_for(lambda: is_injected(cluster.dry_run("mesh", web_pod("trial"))), BUSY, "the label takes effect")
    cluster.kubectl("rollout", "restart", "deployment", "-n", "mesh")
    for app in MESH:
        report.check(f"with probelet, {app} is rolled out", roll_out, cluster, "mesh", app)
        wait_for(lambda app=app: len(cluster.pods("mesh", app)) == 1, BUSY, f"one pod of {app}")
    steady(cluster, report, "mesh", MESH)
    for app in MESH:
        cluster.set_app("mesh", app, "code=500")
    for app in MESH:
        report.check(f"failing {app} is restarted", cluster.wait_restarted, "mesh", app)
        report.check(f"restarted {app} is ready", cluster.wait_ready, "mesh", app)
    report.check("an event has the app's status code", cluster.wait_event, "mesh", "liveness-http",
                 "Liveness probe failed: HTTP probe failed with statuscode: 500")
    cluster.set_app("mesh", "liveness-http", "hang=30")
    report.check("an event has 504 for a hanging app", cluster.wait_event, "mesh", "liveness-http", "statuscode: 504")


def roll_out(cluster, namespace, deployment):
    cluster.kubectl("rollout", "status", f"deployment/{deployment}", "-n", namespace, f"--timeout={BUSY}s")
    return True


def steady(cluster, report, namespace, apps):
    """Observes that no app is restarted."""
    time.sleep(STEADY)
    for app in apps:
        report.check(f"RESTARTS of {app} is 0 after a minute", has_no_restarts, cluster, namespace, app)


def has_no_restarts(cluster, namespace, app):
    pod = cluster.pod(namespace, app)
    if not is_injected(pod):
        raise Failed("not injected")
    count = cluster.restarts(namespace, app)
    if count:
        raise Failed(f"RESTARTS is {count}")
    return True


def kinds(cluster, report):
    """Each kind of probe, through the second call of the webhook."""
    output = cluster.apply("kinds.yaml", "kinds")
    report.check("no warning for pods that are injected completely", has_no_warning, output)
    for app, paths in {"grpc": {"api/livez", "api/readyz"}, "tcp": {"web/livez", "web/readyz"}, "mixed": {"web/livez", "web/readyz"},
                       "startup": {"web/startupz", "web/livez", "web/readyz"}, "guaranteed": {"web/readyz"}}.items():
        report.check(f"all probes of {app} are sent to the sidecar", has_probers, cluster, app, paths)
    for app in ("grpc", "tcp", "mixed", "startup", "guaranteed"):
        report.check(f"{app} is ready", cluster.wait_ready, "kinds", app)
    report.check("a pod with exec probes only has no sidecar", lambda: not sidecar(cluster.pod("kinds", "liveness-command")))
    report.check("a Guaranteed pod whose annotation sets the sidecar's resources stays Guaranteed", lambda: cluster.pod("kinds", "guaranteed")["status"]["qosClass"] == "Guaranteed")
    report.check("the changes of the second webhook are in every container", has_second_changes, cluster.pod("kinds", "grpc"))
    report.check("every container has the service account's token, except the sidecar", has_token_without_sidecar, cluster.pod("kinds", "grpc"))
    steady(cluster, report, "kinds", ("grpc", "tcp", "mixed", "startup"))
    cluster.set_app("kinds", "grpc", "code=500")
    report.check("failing grpc is restarted", cluster.wait_restarted, "kinds", "grpc")
    report.check("restarted grpc is ready", cluster.wait_ready, "kinds", "grpc")
    report.check("an event has 503 for gRPC's NOT_SERVING", cluster.wait_event, "kinds", "grpc", "statuscode: 503")


def has_no_warning(output):
    warnings = [line for line in output.splitlines() if "Warning" in line]
    if warnings:
        raise Failed("\n".join(warnings))
    return True


def has_probers(cluster, app, paths):
    """The table has these paths, and every probe of the app is an HTTP probe of the status port."""
    pod = cluster.pod("kinds", app)
    expected = {f"/app-health/{path}" for path in paths}
    if set(table(pod) or {}) != expected:
        raise Failed(f"the table has {sorted(table(pod) or {})}, expected {sorted(expected)}")
    for container in pod["spec"]["containers"]:
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            if probe in container and container[probe].get("httpGet", {}).get("port") != 15020:
                raise Failed(f"{probe} is {container[probe]}")
    return True


def has_second_changes(pod):
    for container in containers(pod):
        variables = {each["name"] for each in container.get("env", [])}
        mounts = {each["name"] for each in container.get("volumeMounts", [])}
        if "SECOND_WEBHOOK" not in variables or "second-webhook" not in mounts:
            raise Failed(f"{container['name']} has the variables {sorted(variables)} and the mounts {sorted(mounts)}")
    return True


def has_token_without_sidecar(pod):
    """The API server adds its mount to the app, and not to the sidecar, where an empty volume is mounted."""
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    for container in containers(pod):
        mounts = [each["name"] for each in container.get("volumeMounts", [])
                  if each["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"]
        # The volume of the sidecar has one source, which has no files.
        sources = [source for name in mounts for source in volumes[name]["projected"]["sources"] if source != {"downwardAPI": {}}]
        has_token = any("serviceAccountToken" in source for source in sources)
        is_app = container["name"] != "probelet"
        if len(mounts) != 1 or has_token != is_app or bool(sources) != is_app:
            raise Failed(f"{container['name']} mounts {mounts} with {sources}")
    return True


def added_container(cluster, report):
    """The second webhook adds a container with a probe; ours rewrites it when it is called again."""
    pod = web_pod("added")
    cluster.create_pod("added", pod).ok()
    expected = {"/app-health/web/readyz": {"httpGet": {"path": "/foo", "port": 8001, "scheme": "HTTP"}, "timeoutSeconds": 1},
                "/app-health/added/readyz": {"tcpSocket": {"port": 9001}, "timeoutSeconds": 1}}

    def merged():
        found = with_defaults(table(cluster.pod("added", "added")) or {})
        if found != expected:
            raise Failed(f"the table is {found}")
        return True
    report.check("the probe of a container that the second webhook adds is sent to the sidecar", merged)
    report.check("the pod with the added container is ready", cluster.wait_ready, "added", "added")


def ended_within(seconds, least, most):
    if not least <= seconds <= most:
        raise Failed(f"ended after {seconds:.1f} s")
    return True


def hook(cluster, report):
    """A preStop hook through the sidecar."""
    cluster.apply("hook.yaml", "kinds")
    report.check("hook is ready", cluster.wait_ready, "kinds", "hook")
    app_log, sidecar_log = cluster.work / "hook-web.log", cluster.work / "hook-probelet.log"
    with app_log.open("wb") as app_out, sidecar_log.open("wb") as sidecar_out:
        follow = [*cluster.kubectl_command, "logs", "-n", "kinds", "-f", "hook", "-c"]
        readers = [subprocess.Popen([*follow, "web"], stdout=app_out), subprocess.Popen([*follow, "probelet"], stdout=sidecar_out)]
        try:
            wait_for(lambda: app_log.stat().st_size and sidecar_log.stat().st_size, BUSY, "the logs are followed")
            began = time.monotonic()
            cluster.kubectl("delete", "pod", "hook", "-n", "kinds", f"--timeout={BUSY}s")
            seconds = time.monotonic() - began
        finally:
            for reader in readers:
                # The stream ends with the container.
                try:
                    reader.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    reader.kill()
                    reader.wait()
    report.check("the pod ends after the hook's 8 s and the app's 2 s", ended_within, seconds, 10, 45)
    text = app_log.read_text()
    report.check("the app is drained before SIGTERM", lambda: in_order(text, "drain begins", "drain ends", "SIGTERM", "exit"))
    report.check("the hook's request comes from the sidecar, with kubelet's User-Agent", lambda: "kube-lifecycle/" in text)
    report.check("the app is not restarted while it drains", lambda: text.count("listening") == 1)
    report.check("the sidecar ends after the app", lambda: "stopped" in sidecar_log.read_text())


def in_order(text, *parts):
    start = 0
    for part in parts:
        start = text.find(part, start)
        if start < 0:
            raise Failed(f"no {part!r} in its place: {text}")
    return True


def jobs(cluster, report):
    """A sidecar does not keep a Job from completing."""
    cluster.apply("job.yaml", "kinds")
    cluster.kubectl("create", "job", "now", "--from=cronjob/every-minute", "-n", "kinds")
    for job in ("once", "now"):
        report.check(f"Job {job} completes with a sidecar", job_completes, cluster, job)


def job_completes(cluster, name):
    wait_for(lambda: cluster.get("jobs", "kinds", name)["status"].get("succeeded"), BUSY, f"Job {name} completes")
    pods = cluster.get("pods", "kinds", labelSelector=f"job-name={name}")["items"]
    return all(is_injected(pod) for pod in pods)


def policies(cluster, report):
    """Pods in namespaces with rules for every container."""
    output = cluster.apply("strict.yaml")
    report.check("PodSecurity `restricted` accepts an injected pod", has_no_warning, output)
    report.check("the restricted pod is ready", roll_out, cluster, "strict", "web")
    report.check("the restricted pod is injected", lambda: is_injected(cluster.pod("strict", "web")))
    report.check("a quota of CPU and memory accepts a pod whose annotation sets the sidecar's resources", in_quota, cluster)
    report.check("a LimitRange with a minimum accepts a pod whose annotation sets the sidecar's resources",
                 lambda: created(cluster, "limits", with_sidecar_resources(web_pod("limits"))))
    report.check("the pod under the LimitRange is ready", cluster.wait_ready, "limits", "limits")


def created(cluster, namespace, pod):
    return is_injected(cluster.create_pod(namespace, pod).ok())


def with_sidecar_resources(pod):
    resources = {"cpu": "50m", "memory": "16Mi"}
    annotations = pod["metadata"].setdefault("annotations", {})
    annotations["probelet.dev/resources"] = json.dumps({"requests": resources, "limits": resources})
    return pod


def in_quota(cluster):
    pod = with_sidecar_resources(web_pod("quota"))
    resources = {"cpu": "20m", "memory": "64Mi"}
    pod["spec"]["containers"][0]["resources"] = {"requests": resources, "limits": resources}
    return created(cluster, "quota", pod)


def node_addresses(cluster, report):
    """As with flannel, kubelet's probes do not come from `status.hostIP`."""
    cluster.create_pod("plain", web_pod("addresses")).ok()
    cluster.wait_ready("plain", "addresses")
    log = cluster.kubectl("logs", "-n", "plain", "addresses", "-c", "web")
    report.check("probes come from the bridge", lambda: "from 10.88.0.1:" in log and "kube-probe/" in log)
    report.check("status.hostIP is the node's own address",
                 lambda: cluster.pod("plain", "addresses")["status"]["hostIP"] == "10.89.0.1")


def static_pod(cluster, report):
    """The mirror pod of a static pod is not changed: kubelet runs the pod of the file."""
    manifest = cluster.folder / "static-pods/static.yaml"
    pod = web_pod("static")
    pod["metadata"]["namespace"] = "first-only"
    # kubelet reads a file as soon as it appears, so it has to appear complete.
    complete = cluster.work / "static.yaml"
    complete.write_text(json.dumps(pod))
    complete.rename(manifest)
    try:
        report.check("a static pod in an injected namespace is ready", cluster.wait_ready, "first-only", "static")
        report.check("its mirror pod has no sidecar", lambda: not sidecar(cluster.pod("first-only", "static")))
    finally:
        manifest.unlink()
    wait_for(lambda: not cluster.pods("first-only", "static"), BUSY, "the static pod ends")


def memory(cluster, report):
    """What a sidecar is charged for, with kubelet's probes running."""
    charged = [charge(pid) for pid in cluster.processes("/probelet")]
    report.note(f"{len(charged)} sidecars; most charged: {max(charged, default=0) // 1024} KiB, least: {min(charged, default=0) // 1024} KiB")
    report.check("every sidecar is charged for less than 2 MiB", lambda: len(charged) >= 5 and max(charged) < 2 << 20)


def charge(pid):
    """Bytes in the memory cgroup of a process; cgroup v1 or v2."""
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        groups = dict(line.strip().split(":", 2)[1:] for line in file)
    if "memory" in groups:
        path = f"/sys/fs/cgroup/memory{groups['memory']}/memory.usage_in_bytes"
    else:
        path = f"/sys/fs/cgroup{groups['']}/memory.current"
    with open(path, encoding="ascii") as file:
        return int(file.read())


def many(cluster, report):
    """Thirty more pods at once."""
    cluster.apply("many.yaml", "kinds")
    report.check("30 pods are rolled out at once", lambda: cluster.kubectl("rollout", "status", "deployment/many", "-n", "kinds", f"--timeout={BUSY}s"))
    report.check("all 30 are injected and ready", lambda: len([p for p in cluster.pods("kinds", "many") if is_injected(p) and is_ready(p)]) == 30)
