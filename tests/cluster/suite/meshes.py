"""Pods of other meshes, and pods that only the agent's own limits could harm. Most requests are dry runs."""

import json
import subprocess

from .cluster import containers, is_injected, sidecar, table, web_pod
from .report import Failed

NAMESPACE = "first-only"
HEAD_BYTES, HEAD_FIELDS = 16 * 1024, 100
# Bytes of kubelet's request beside the header's value, with the longest values of the fields that kubelet adds.
OTHER_BYTES = 171


def meshes(cluster, report):
    marks = {"Kuma": {"kuma.io/sidecar-injected": "true"}, "Consul": {"consul.hashicorp.com/connect-inject-status": "injected"},
             "NGINX Service Mesh": {"injector.nsm.nginx.com/status": "injected"}}
    for mesh, annotations in marks.items():
        report.check(f"a pod that {mesh} has injected is not changed", lambda annotations=annotations: not is_injected(
            cluster.dry_run(NAMESPACE, web_pod("meshed", annotations=annotations))))
    report.check("a pod that opts out of Istio and into probelet is injected", lambda: is_injected(cluster.dry_run(
        NAMESPACE, web_pod("opted-in", labels={"sidecar.istio.io/inject": "false", "probelet.dev/inject": "true"}))))
    report.check("of a pod that Linkerd has injected, the app's probe is rewritten and the proxy's is not", linkerd, cluster)
    report.check("a pod that Istio injects after probelet is as Istio leaves it", istio_afterwards, cluster)
    report.check("a pod of which Istio's webhook is called after ours, and both again, is injected by Istio alone", istio_reinvoked, cluster)
    report.check("a probe of a port that another container declares is rewritten", other_containers_port, cluster)
    report.check("the pod is ready", cluster.wait_ready, NAMESPACE, "two-containers")
    report.check("a probe with as many header fields as the agent accepts is rewritten", lambda: is_injected(
        cluster.create_pod(NAMESPACE, with_headers("most-fields", ["x"] * (HEAD_FIELDS - 4))).ok()))
    report.check("so is one with as long a header", lambda: is_injected(
        cluster.create_pod(NAMESPACE, with_headers("longest-head", ["x" * (HEAD_BYTES - OTHER_BYTES)])).ok()))
    for name in ("most-fields", "longest-head"):
        report.check(f"{name} is ready", cluster.wait_ready, NAMESPACE, name)
    report.check("one more header field is refused with the reason", refused, cluster,
                 with_headers("fields", ["x"] * (HEAD_FIELDS - 3)), "101 header fields")
    report.check("a longer header is refused with the reason", refused, cluster,
                 with_headers("long", ["x" * (HEAD_BYTES - OTHER_BYTES + 1)]), "has 16385 bytes")
    long_path = web_pod("path")
    long_path["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] = "/" + "x" * (128 * 1024)
    report.check("a table that the kernel does not pass to the agent is refused with the reason", refused, cluster, long_path,
                 "the kernel passes at most 131048")
    few_ports = web_pod("few-ports")
    few_ports["spec"]["securityContext"]["sysctls"] = [{"name": "net.ipv4.ip_local_port_range", "value": "40000 40059"}]
    report.check("a range of local ports that the agent's probes would use up is refused with the reason", refused, cluster, few_ports,
                 "need 61")
    for name in ("two-containers", "most-fields", "longest-head"):
        cluster.kubectl("delete", "pod", name, "-n", NAMESPACE, "--wait=false")


def linkerd(cluster):
    """As `pkg/inject` of Linkerd leaves it, without what has no effect on probes."""
    pod = web_pod("linkerd", annotations={"linkerd.io/proxy-version": "edge-25.11.1"})
    proxy = {"name": "linkerd-proxy", "image": "localhost/app:1", "restartPolicy": "Always",
             "ports": [{"name": "linkerd-proxy", "containerPort": 4143}, {"name": "linkerd-admin", "containerPort": 4191}],
             "livenessProbe": {"httpGet": {"path": "/live", "port": 4191}}, "readinessProbe": {"httpGet": {"path": "/ready", "port": 4191}}}
    pod["spec"]["initContainers"] = [proxy]
    done = cluster.create_pod(NAMESPACE, pod, dry_run=True)
    after = {each["name"]: each for each in containers(done.ok())}
    ports = {probe: after["linkerd-proxy"][probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")}
    if ports != {"livenessProbe": 4191, "readinessProbe": 4191}:
        raise Failed(f"the proxy's probes are of {ports}")
    if not any("set annotation config.linkerd.io/skip-inbound-ports to" in warning for warning in done.warnings):
        raise Failed(f"the warnings are {done.warnings}")
    return set(table(done.body)) == {"/app-health/web/readyz"}


def istio_afterwards(cluster):
    """The webhook is called again after Istio's, with a pod that has both sidecars."""
    pod = web_pod("both")
    done = subprocess.run([cluster.injector, "file", "-f", "-"], input=json.dumps(pod), capture_output=True, text=True, check=True)
    both = json.loads(done.stdout)
    both["metadata"]["annotations"]["sidecar.istio.io/status"] = '{"initContainers":["istio-proxy"]}'
    proxy = {"name": "istio-proxy", "image": "localhost/app:1", "restartPolicy": "Always",
             "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}}}
    both["spec"]["initContainers"].insert(0, proxy)
    done = cluster.create_pod(NAMESPACE, both, dry_run=True)
    after = done.ok()
    if sidecar(after) or "probelet" in json.dumps([after["metadata"].get("annotations"), after["spec"].get("volumes")]):
        raise Failed(json.dumps(after))
    probe = next(each for each in after["spec"]["containers"] if each["name"] == "web")["readinessProbe"]
    if (probe["httpGet"]["path"], probe["httpGet"]["port"]) != ("/foo", 8001):
        raise Failed(f"the probe is {probe}")
    return any("Istio has injected the pod after probelet" in warning for warning in done.warnings)


def istio_reinvoked(cluster):
    """The API server calls our webhook, Istio's, ours again and Istio's again. Ours injects, and is undone at its second call, so
    that Istio's table has the app's probe."""
    done = cluster.create_pod("istio", web_pod("reinvoked"), dry_run=True)
    after = done.ok()
    if sidecar(after) or "probelet" in json.dumps([after["metadata"].get("annotations"), after["spec"].get("volumes")]):
        raise Failed(json.dumps(after))
    each = {container["name"]: container for container in containers(after)}
    get, tables = each["web"]["readinessProbe"]["httpGet"], [json.loads(env["value"]) for env in each["istio-proxy"].get("env", [])]
    if (get["path"], get["port"]) != ("/app-health/web/readyz", 15020) or len(tables) != 1:
        raise Failed(f"the probe is {get}, and the tables are {tables}")
    prober = tables[0]["/app-health/web/readyz"]["httpGet"]
    if (prober["path"], prober["port"]) != ("/foo", 8001):
        raise Failed(f"Istio's agent probes {prober}")
    return any("Istio has injected the pod after probelet" in warning for warning in done.warnings)


def other_containers_port(cluster):
    """As php-fpm behind nginx: the first container is probed through the second one's port."""
    pod = web_pod("two-containers")
    web, = pod["spec"]["containers"]
    front = {**web, "name": "front", "ports": [{"containerPort": 8001}]}
    back = {**web, "name": "back", "args": ["-http", "127.0.0.1:9000"]}
    front.pop("readinessProbe")
    pod["spec"]["containers"] = [back, front]
    done = cluster.create_pod(NAMESPACE, pod)
    if done.warnings:
        raise Failed(f"the warnings are {done.warnings}")
    return set(table(done.ok())) == {"/app-health/back/readyz"}


def with_headers(name, values):
    pod = web_pod(name)
    pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]["httpHeaders"] = [{"name": "X-Test", "value": value} for value in values]
    return pod


def refused(cluster, pod, reason):
    """The pod starts without the sidecar, and the user is warned."""
    done = cluster.create_pod(NAMESPACE, pod, dry_run=True)
    if is_injected(done.ok()):
        raise Failed("injected")
    if not any("not injected: " in warning and reason in warning for warning in done.warnings):
        raise Failed(f"the warnings are {[warning[:300] for warning in done.warnings]}")
    return True


def pod_features(cluster, report):
    """Pods with fields that restrict what containers may have: what the API server accepts, it accepts with the sidecar."""
    profile = {"type": "RuntimeDefault"}
    specs = {
        "shareProcessNamespace": {"shareProcessNamespace": True}, "hostPID": {"hostPID": True}, "hostIPC": {"hostIPC": True},
        "hostUsers": {"hostUsers": False}, "os": {"os": {"name": "linux"}}, "enableServiceLinks": {"enableServiceLinks": False},
        "schedulingGates": {"schedulingGates": [{"name": "example.com/gate"}]}, "setHostnameAsFQDN": {"setHostnameAsFQDN": True},
        "automountServiceAccountToken": {"automountServiceAccountToken": False}, "restartPolicy": {"restartPolicy": "Never"},
        "terminationGracePeriodSeconds": {"terminationGracePeriodSeconds": 0}, "activeDeadlineSeconds": {"activeDeadlineSeconds": 60},
        "supplementalGroupsPolicy": {"securityContext": {"supplementalGroupsPolicy": "Strict", "supplementalGroups": [5000]}},
        "fsGroup": {"securityContext": {"fsGroup": 2000, "fsGroupChangePolicy": "OnRootMismatch"}},
        "appArmorProfile": {"securityContext": {"appArmorProfile": profile, "seccompProfile": profile}},
        "seccompProfile": {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}}},
        "windowsOptions": {"securityContext": {"windowsOptions": {"runAsUserName": "ContainerUser"}}},
        "sysctls": {"securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}},
        "a hundred volumes": {"volumes": [{"name": f"v{number}", "emptyDir": {}} for number in range(100)]},
    }
    of_container = {
        "resizePolicy": {"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]},
        "a name of 63 bytes": {"name": "x" * 63}, "stdin": {"stdin": True, "tty": True},
        "readOnlyRootFilesystem": {"securityContext": {"readOnlyRootFilesystem": True}},
        "an own restartPolicy": {"restartPolicy": "OnFailure"},
    }
    pods = {name: web_pod("features") for name in (*specs, *of_container)}
    for name, fields in specs.items():
        pods[name]["spec"].update(fields)
    for name, fields in of_container.items():
        pods[name]["spec"]["containers"][0].update(fields)
    for name, pod in pods.items():
        bare = cluster.create_pod("plain", pod, dry_run=True)
        if bare.status >= 300:
            report.note(f"the API server rejects a pod with {name}: {bare.body.get('message', '')[:200]}")
            continue
        report.check(f"with {name}, the API server accepts the sidecar",
                     lambda pod=pod: is_injected(cluster.create_pod(NAMESPACE, pod, dry_run=True).ok()))
    security_contexts(cluster, report)


def security_contexts(cluster, report):
    """Pods whose sidecar inherits a field of the pod's `securityContext`: if one is ready without it, it is ready with it."""
    profiles = cluster.folder / "kubelet/seccomp"
    profiles.mkdir(exist_ok=True)
    (profiles / "app.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}))
    contexts = {
        "group": {"runAsUser": 1000, "runAsGroup": 3000}, "fs-group": {"fsGroup": 2000, "fsGroupChangePolicy": "OnRootMismatch"},
        "groups": {"supplementalGroups": [5000]}, "strict": {"supplementalGroups": [5000], "supplementalGroupsPolicy": "Strict"},
        "seccomp": {"seccompProfile": {"type": "Localhost", "localhostProfile": "app.json"}},
        "sysctl": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
        "selinux": {"seLinuxOptions": {"level": "s0:c123,c456"}}, "unconfined": {"appArmorProfile": {"type": "Unconfined"}},
        "windows": {"windowsOptions": {"runAsUserName": "ContainerUser"}},
    }
    for name, context in contexts.items():
        for namespace in ("plain", NAMESPACE):
            pod = web_pod(f"context-{name}")
            pod["spec"]["securityContext"].update(context)
            cluster.create_pod(namespace, pod).ok()
    for name in contexts:
        app = f"context-{name}"
        try:
            cluster.wait_ready("plain", app, 30)
        except Failed as failure:
            report.note(f"{app} is not ready without the sidecar: {str(failure)[:200]}")
            continue
        report.check(f"{app} is ready with the sidecar", lambda app=app: is_injected(cluster.pod(NAMESPACE, app)) and
                     cluster.wait_ready(NAMESPACE, app))
    for name in contexts:
        for namespace in ("plain", NAMESPACE):
            cluster.kubectl("delete", "pod", f"context-{name}", "-n", namespace, "--wait=false")
    pod = web_pod("app-armor")
    pod["spec"]["securityContext"]["appArmorProfile"] = {"type": "Localhost", "localhostProfile": "app"}
    report.check("of a pod with an AppArmor profile of a file, the sidecar has the default profile", lambda: sidecar(
        cluster.dry_run(NAMESPACE, pod))["securityContext"]["appArmorProfile"] == {"type": "RuntimeDefault"})
