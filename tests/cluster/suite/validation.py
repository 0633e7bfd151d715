"""Invalid probes: the API server's verdict on a pod is the same with and without injection."""

import copy
import json
import subprocess

from .cluster import web_pod
from .report import Failed

PORTS = ("8001", "08001", "http", "other", "UPPER", "a_b", "longer-than-fifteen", "-a", "a-", "a--b", "1-2", "", 0, -1, 65535, 65536, 2**31, 80.5, True, [], {}, None)
TEXTS = ("", " ", "http", "Https", "FTP", "\u0001", "a b", "bad host!", "127.0.0.1", 5, True, [], None)
HEADERS = ([{"name": "X-Probe", "value": "yes"}], [{"name": "X-Probe"}], [{"name": "X-Probe", "value": None}], [{"name": "X-Probe", "value": 5}],
           [{"name": "X-Probe", "value": "a\nb"}], [{"name": "", "value": "x"}], [{"name": "X Y", "value": "x"}], [{"name": "X_Y", "value": "x"}],
           [{"name": "X:Y", "value": "x"}], [{"name": "X!Y", "value": "x"}], [{"name": "X.Y", "value": "x"}], [{"value": "x"}], [{"name": None, "value": "x"}], [{}], [None], ["x"], {}, "x", [], None)
NUMBERS = (-1, 0, 1, 2, 2**31, 1.5, "3", True, None)
NUMBER_FIELDS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold", "terminationGracePeriodSeconds")
HTTP, TCP, GRPC = {"httpGet": {"path": "/foo", "port": 8001}}, {"tcpSocket": {"port": 8001}}, {"grpc": {"port": 8001}}
TEXTS_OF_PORTS = ("8001.0", "8.001e3", "80010e-1", "0x1f41", "8_001", "017501", "8001.5", "65536.0", "1e9")
YAML = """apiVersion: v1
kind: Pod
metadata: {name: trial}
spec:
  containers:
  - name: web
    image: image
    readinessProbe:
      timeoutSeconds: SECONDS
      httpGet: {path: /foo, port: PORT}
"""
JSON = """{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trial"}, "spec": {"containers": [{"name": "web", "image": "image",
"readinessProbe": {"timeoutSeconds": SECONDS, "httpGet": {"path": "/foo", "port": PORT}}}]}}"""
EXEC = {"exec": {"command": ["true"]}}
KINDS = ("livenessProbe", "readinessProbe", "startupProbe")


def cases():
    """Names and pods."""
    for handler in (HTTP, TCP, GRPC):
        [(kind, fields)] = handler.items()
        for name, values in {"port": PORTS, "host": TEXTS, "path": TEXTS, "scheme": TEXTS, "httpHeaders": HEADERS, "service": TEXTS, "unknown": (1,)}.items():
            if name in ("path", "scheme", "httpHeaders") and kind != "httpGet" or (name == "service") != (kind == "grpc") and name == "service":
                continue
            for value in values:
                yield probed({kind: {**fields, name: value}})
        yield probed({kind: {}})
        yield probed({kind: None})
        yield probed({**handler, **EXEC})
    yield probed({**HTTP, **TCP})
    yield probed({})
    for kind in KINDS:
        for name in NUMBER_FIELDS:
            for value in NUMBERS:
                yield probed({**HTTP, name: value}, kind)
    for value in NUMBERS:
        yield probed({**HTTP, "timeoutSeconds": value}, "livenessProbe", {"probelet.dev/min-timeout-seconds": "5"})
    for port in ("8001", 8001, 0):
        yield probed({"httpGet": {"port": port}}, "livenessProbe", {"probelet.dev/forward": "8001=15032"})
    for handler in ({"httpGet": {"path": "/foo", "port": "8001"}}, {"httpGet": {"path": "/foo", "port": 8001, "scheme": "http"}}, {**HTTP, **EXEC}, TCP, {}):
        yield hooked(handler)


def probed(probe, kind="livenessProbe", annotations=None):
    """The readiness probe of the pod is valid, so that the pod is injected in any case."""
    pod = web_pod("trial", annotations=annotations or {})
    pod["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 8001}]
    pod["spec"]["containers"][0][kind] = copy.deepcopy(probe)
    return f"{kind} {json.dumps(probe)} {json.dumps(annotations) if annotations else ''}".strip(), pod


def hooked(handler):
    pod = web_pod("trial")
    pod["spec"]["containers"][0]["lifecycle"] = {"preStop": handler}
    return f"preStop {json.dumps(handler)}", pod


def invalid_probes(cluster, report):
    report.check("the API server accepts the same probes with and without the webhook", same_verdicts, cluster, report, by_webhook)
    report.check("the API server accepts the same probes with and without the command line", same_verdicts, cluster, report, by_file)
    report.check("`kubectl` accepts the same numbers of ports and seconds with and without the command line", same_numbers, cluster)


def same_verdicts(cluster, report, inject):
    differing, accepted, total = [], 0, 0
    for name, pod in cases():
        without = cluster.create_pod("plain", pod, dry_run=True)
        is_accepted, message = inject(cluster, pod)
        total += 1
        accepted += is_accepted
        if is_accepted != (without.status < 300):
            differing.append(f"{name}: {without.status} {without.body.get('message', '')[:150]} but {is_accepted} {message[:150]}")
    report.note(f"{inject.__name__}: {accepted} of {total} pods are accepted")
    for each in differing:
        report.note(each)
    if differing:
        raise Failed("\n".join(differing))
    return 0 < accepted < total


def same_numbers(cluster):
    """kubectl sends a float without a fraction as an integer, so the API server accepts it."""
    differing, accepted = [], []
    for field, text in [("port", each) for each in TEXTS_OF_PORTS] + [("timeoutSeconds", each) for each in ("1.0", "1e1", "1.5")]:
        probe = {"port": "8001", "timeoutSeconds": "1", field: text}
        for template in (YAML, JSON):
            manifest = template.replace("PORT", probe["port"]).replace("SECONDS", probe["timeoutSeconds"])
            done = subprocess.run([cluster.injector, "file", "-f", "-"], input=manifest, capture_output=True, text=True)
            injected = done.stdout if done.returncode == 0 else manifest
            verdicts = [kubectl_accepts(cluster, each) for each in (manifest, injected)]
            accepted.append(verdicts[0])
            # A probe that is accepted has to be rewritten.
            if verdicts[0] != verdicts[1] or verdicts[0] and "/app-health/web/readyz" not in injected:
                differing.append(f"{field}: {text} in {manifest[:20]!r}: {verdicts} {done.stderr}")
    if differing:
        raise Failed("\n".join(differing))
    return True in accepted and False in accepted


def kubectl_accepts(cluster, manifest):
    command = [*cluster.kubectl_command, "create", "-n", "plain", "--dry-run=server", "-f", "-"]
    return subprocess.run(command, input=manifest, capture_output=True, text=True).returncode == 0


def by_webhook(cluster, pod):
    done = cluster.create_pod("first-only", pod, dry_run=True)
    return done.status < 300, done.body.get("message", "")


def by_file(cluster, pod):
    """A pod that the command line refuses stays as it is."""
    done = subprocess.run([cluster.injector, "file", "-f", "-"], input=json.dumps(pod), capture_output=True, text=True)
    injected = json.loads(done.stdout) if done.returncode == 0 else pod
    done = cluster.create_pod("plain", injected, dry_run=True)
    return done.status < 300, done.body.get("message", "")
