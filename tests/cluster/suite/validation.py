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


def by_webhook(cluster, pod):
    done = cluster.create_pod("first-only", pod, dry_run=True)
    return done.status < 300, done.body.get("message", "")


def by_file(cluster, pod):
    """A pod that the command line refuses stays as it is."""
    done = subprocess.run([cluster.injector, "file", "-f", "-"], input=json.dumps(pod), capture_output=True, text=True)
    injected = json.loads(done.stdout) if done.returncode == 0 else pod
    done = cluster.create_pod("plain", injected, dry_run=True)
    return done.status < 300, done.body.get("message", "")
