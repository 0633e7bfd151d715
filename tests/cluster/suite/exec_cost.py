"""What exec probes cost the whole node, and the same probes converted. On request: on a machine that does nothing else."""

import os
import pathlib
import re
import shutil
import subprocess
import time

from .cluster import MANIFESTS, containers, is_injected, run
from .options import create_namespace
from .report import BUSY, Failed, wait_for

NAMESPACE = "exec-cost"
IMAGE = "localhost/probed:1"
# Each container has one probe a second.
CONTAINERS = 20
# From the start of the last container until kubelet and the runtime have nothing left to do for it.
SETTLE_SECONDS, SECONDS = 10, 40
# The two phases without probes show the noise of the machine.
PHASES = (
    ("no probes", None),
    ("curl", ["curl", "-f", "http://localhost:HTTP/foo"]),
    ("nc", ["nc", "-z", "127.0.0.1", "HTTP"]),
    ("grpc_health_probe", ["grpc_health_probe", "-addr=localhost:GRPC"]),
    ("no probes again", None),
)


def exec_cost(cluster, report):
    """Prints the CPU time of 100 probes each way."""
    import_image(cluster)
    create_namespace(cluster, NAMESPACE)
    idle, costs = [], {}
    for name, command in PHASES:
        for converted in (False, True) if command else (False,):
            used, probes = phase(cluster, command, converted)
            if command:
                costs[name, converted] = (used, probes)
            else:
                idle.append(used)
                report.note(f"{name}: {used:.2f} s of CPU in {SECONDS} s")
    for name in dict.fromkeys(name for name, _ in costs):
        by_exec, by_sidecar = ([(used - base) / probes * 100 for base in sorted(idle)] for used, probes in (costs[name, False], costs[name, True]))
        report.note(f"100 probes of {name}: {shown(by_exec, 2)} s by exec, {shown(by_sidecar, 3)} s by the sidecar")
    report.check("the phases without probes differ by less than a fiftieth of a core", lambda: abs(idle[0] - idle[1]) < SECONDS / 50)
    cluster.delete_namespace(NAMESPACE)


def shown(costs, digits):
    """With either phase without probes as the base."""
    return f"{costs[1]:.{digits}f} to {costs[0]:.{digits}f}"


def import_image(cluster):
    """The app beside the tools, with the libraries of those that have some."""
    files = [cluster.build / "app"]
    for name, path in (("curl", "curl"), ("nc", "nc"), ("grpc-health-probe", "grpc_health_probe")):
        program = shutil.which(name)
        if not program:
            raise Failed(f"exec_cost needs {name} on the PATH (apt-get install curl netcat-openbsd; `.ci/run prepare`)")
        libraries = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", program], capture_output=True, text=True).stdout)
        files += [f"{program}=usr/bin/{path}", *(f"{each}={each.lstrip('/')}" for each in libraries)]
    archive = cluster.work / "probed.tar"
    run([MANIFESTS.parent / "image", IMAGE, archive, "1000:1000", *files, "--", "/app"])
    cluster.ctr("images", "import", str(archive))


def phase(cluster, command, converted):
    """CPU time of the node in SECONDS, and the number of probes that kubelet counts in that time."""
    created = cluster.create_pod(NAMESPACE, pod(command, converted)).ok()
    if is_injected(created) != converted:
        raise Failed(f"injected: {is_injected(created)}")
    if converted and any("exec" in each.get("livenessProbe", {}) for each in containers(created)):
        raise Failed("a probe was not converted")
    cluster.wait_ready(NAMESPACE, "probed")
    time.sleep(SETTLE_SECONDS)
    uid = created["metadata"]["uid"]
    probed, before, began = probes(cluster, uid), cpu_seconds(), time.monotonic()
    time.sleep(SECONDS)
    used, elapsed, probed = cpu_seconds() - before, time.monotonic() - began, probes(cluster, uid) - probed
    if cluster.restarts(NAMESPACE, "probed"):
        raise Failed(f"{command}: a probe failed")
    cluster.kubectl("delete", "pod", "-n", NAMESPACE, "probed", "--wait=true")
    wait_for(lambda: not cluster.get("pods", NAMESPACE)["items"], BUSY, "the pod ends")
    time.sleep(SETTLE_SECONDS / 2)
    return used / elapsed * SECONDS, probed / elapsed * SECONDS


def probes(cluster, uid):
    """Liveness probes of the apps that kubelet has made: it skips those that come due while one runs."""
    text = cluster.kubectl("get", "--raw", "/api/v1/nodes/node1/proxy/metrics/probes")
    labels = (f'pod_uid="{uid}"', 'probe_type="Liveness"', 'container="app-')
    lines = (line for line in text.splitlines() if line.startswith("prober_probe_total{"))
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(label in line for label in labels))


def pod(command, converted):
    def container(n):
        ports = {"HTTP": str(8100 + n), "GRPC": str(8200 + n)}
        made = {"name": f"app-{n}", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                "args": ["-http", f":{ports['HTTP']}", "-grpc", f":{ports['GRPC']}"]}
        if command:
            words = [re.sub("HTTP|GRPC", lambda found: ports[found[0]], word) for word in command]
            made["livenessProbe"] = {"exec": {"command": words}, "periodSeconds": 1, "timeoutSeconds": 10}
        return made

    annotations = {"probelet.dev/convert-exec": "true"} if converted else {}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probed", "labels": {"app": "probed"}, "annotations": annotations},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container(n) for n in range(CONTAINERS)]}}


def cpu_seconds():
    """CPU time that all processes of the machine used, the kernel's threads and interrupts included."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
