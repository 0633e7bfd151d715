"""The cluster of `start`: kubectl, the API server over HTTPS, and the containers on the node."""

import base64
import copy
import http.client
import json
import os
import pathlib
import re
import ssl
import subprocess
import urllib.parse
from typing import NamedTuple

import yaml

from .report import BUSY, Failed, NotYet, wait_for

HOST, PORT = "10.89.0.1", 6443
MANIFESTS = pathlib.Path(__file__).parent.parent / "manifests"
# Where the API server has the resources that the test uses; all others are under /api/v1.
GROUPS = {
    "cronjobs": "apis/batch/v1",
    "deployments": "apis/apps/v1",
    "jobs": "apis/batch/v1",
    "mutatingwebhookconfigurations": "apis/admissionregistration.k8s.io/v1",
    "poddisruptionbudgets": "apis/policy/v1",
}
TABLE = "ISTIO_KUBE_APP_PROBERS"


class Response(NamedTuple):
    status: int
    body: dict
    warnings: list

    def ok(self):
        if self.status >= 300:
            raise Failed(f"{self.status}: {self.body.get('message', self.body)}")
        return self.body


class Cluster:
    """DIR of `start`, a checkout with the built images, and BUILD of `build`."""

    def __init__(self, folder, repository, build):
        self.folder, self.repository, self.build = folder, repository, build
        self.work = folder / "e2e"
        self.work.mkdir(exist_ok=True)
        self.injector = repository / "target/inject/x86_64-unknown-linux-musl/release/probelet-inject"
        self.kubectl_command = [str(folder / "bin/kubectl"), f"--kubeconfig={folder / 'kubeconfig'}"]
        self.tls = ssl.create_default_context(cafile=str(folder / "pki/ca.crt"))
        self.tls.load_cert_chain(folder / "pki/admin.crt", folder / "pki/admin.key")

    # The API server.

    def request(self, method, path, body=None, content_type="application/json"):
        connection = http.client.HTTPSConnection(HOST, PORT, timeout=60, context=self.tls)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": content_type, "Accept": "application/json"})
            response = connection.getresponse()
            text = response.read()
            warnings = [re.sub(r'^299 \S+ "(.*)"$', r"\1", value) for value in response.headers.get_all("Warning") or []]
            return Response(response.status, json.loads(text), warnings)
        finally:
            connection.close()

    def path(self, resource, namespace=None, name=None, **query):
        parts = [GROUPS.get(resource, "api/v1"), *(["namespaces", namespace] if namespace else []), resource]
        parts += [name] if name else []
        return "/" + "/".join(parts) + ("?" + urllib.parse.urlencode(query) if query else "")

    def get(self, resource, namespace=None, name=None, **query):
        return self.request("GET", self.path(resource, namespace, name, **query)).ok()

    def patch(self, resource, namespace, name, patch):
        """A JSON patch if it is a list, else a merge patch."""
        kind = "json-patch" if isinstance(patch, list) else "merge-patch"
        return self.request("PATCH", self.path(resource, namespace, name), patch, f"application/{kind}+json").ok()

    def create_pod(self, namespace, pod, dry_run=False):
        query = {"dryRun": "All"} if dry_run else {}
        return self.request("POST", self.path("pods", namespace, **query), pod)

    def dry_run(self, namespace, pod):
        """The pod as the API server would store it."""
        return self.create_pod(namespace, pod, dry_run=True).ok()

    # Pods.

    def pods(self, namespace, app=None):
        """Pods that are not being deleted."""
        query = {"labelSelector": f"app={app}"} if app else {}
        items = self.get("pods", namespace, **query)["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def pod(self, namespace, app):
        pods = self.pods(namespace, app)
        if len(pods) != 1:
            raise NotYet(f"{len(pods)} pods of {app} in {namespace}")
        return pods[0]

    def restarts(self, namespace, app):
        """Restarts of the app's containers; those of the sidecar are in initContainerStatuses."""
        status = self.pod(namespace, app)["status"]
        return sum(each["restartCount"] for each in status.get("containerStatuses", []))

    def wait_restarted(self, namespace, app):
        return wait_for(lambda: self.restarts(namespace, app) > 0, BUSY, f"{app} is restarted")

    def wait_ready(self, namespace, app, seconds=BUSY):
        return wait_for(lambda: is_ready(self.pod(namespace, app)), seconds, f"{app} is ready",
                        lambda: self.conditions(namespace, app))

    def conditions(self, namespace, app):
        """What kubelet reports about a pod's containers, for an error message."""
        status = self.pod(namespace, app)["status"]
        return [(each["name"], each["ready"], each["state"]) for each in
                status.get("initContainerStatuses", []) + status.get("containerStatuses", [])]

    def event(self, namespace, app, text):
        name = self.pod(namespace, app)["metadata"]["name"]
        events = self.get("events", namespace, fieldSelector=f"involvedObject.name={name}")["items"]
        return next((event for event in events if text in event.get("message", "")), None)

    def wait_event(self, namespace, app, text):
        return wait_for(lambda: self.event(namespace, app, text), BUSY, f"an event of {app} with {text!r}")

    def set_app(self, namespace, app, query="", port=9000):
        """Changes what the test app answers, through its control port."""
        connection = http.client.HTTPConnection(self.pod(namespace, app)["status"]["podIP"], port, timeout=5)
        try:
            connection.request("GET", f"/set?{query}")
            if connection.getresponse().status != 200:
                raise Failed(f"{app}: /set?{query}")
        finally:
            connection.close()

    # Programs.

    def kubectl(self, *args, stdin=None):
        return run([*self.kubectl_command, *args], stdin)

    def shell(self, script, **variables):
        """Runs a script in which `kubectl` and `probelet-inject` are what the documentation means."""
        path = f"{self.folder / 'bin'}:{self.injector.parent}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "KUBECONFIG": str(self.folder / "kubeconfig"), **variables}

        def done():
            try:
                return (run(["bash", "-o", "pipefail", "-c", script], env=env),)
            except Failed as failure:
                # Of `kubectl get | probelet-inject file | kubectl apply`, if a controller writes the status meanwhile: a person repeats it.
                if "the object has been modified" in str(failure):
                    raise NotYet(str(failure)) from failure
                raise
        return wait_for(done, BUSY, "no controller changes the object meanwhile")[0]

    def apply(self, manifest, namespace=None):
        """Applies a file of manifests/. Returns what kubectl printed, with its warnings."""
        args = ["apply", "-f", str(MANIFESTS / manifest), *(["-n", namespace] if namespace else [])]
        done = subprocess.run([*self.kubectl_command, *args], capture_output=True, text=True)
        if done.returncode:
            raise Failed(done.stderr)
        return done.stdout + done.stderr

    def delete_namespace(self, name):
        self.kubectl("delete", "namespace", name, "--wait=false")

    def ctr(self, *args):
        return run([str(self.folder / "ctr"), *args])

    def processes(self, program):
        """Process ids of the containers that run this program."""
        for line in self.ctr("tasks", "list").splitlines()[1:]:
            _, pid, status = line.split()
            try:
                if status == "RUNNING" and os.readlink(f"/proc/{pid}/exe") == program:
                    yield int(pid)
            except FileNotFoundError:  # ended meanwhile
                continue


def run(command, stdin=None, env=None):
    done = subprocess.run(command, input=stdin, env=env, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))[:200]}: exit code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def is_ready(pod):
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))


def containers(pod):
    return (pod["spec"].get("initContainers") or []) + pod["spec"]["containers"]


def sidecar(pod):
    """The probelet container, or None."""
    return next((each for each in containers(pod) if each["name"] == "probelet"), None)


def table(pod):
    """The sidecar's probers, or None without a sidecar."""
    for variable in (sidecar(pod) or {}).get("env", []):
        if variable["name"] == TABLE:
            return json.loads(variable["value"])
    return None


def is_injected(pod):
    return sidecar(pod) is not None


def web_pod(name, **metadata):
    """A pod with one probe, which PodSecurity `restricted` accepts."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "web", "image": "localhost/app:1", "args": ["-http", ":8001"], "securityContext": security,
                 "readinessProbe": {"httpGet": {"path": "/foo", "port": 8001}, "periodSeconds": 1}}
    spec = {"terminationGracePeriodSeconds": 2, "containers": [copy.deepcopy(container)],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}}
    labels = {"app": name, **metadata.pop("labels", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels, **metadata}, "spec": spec}


def load(text):
    return [document for document in yaml.safe_load_all(text) if document]


def encode(data):
    return base64.b64encode(data).decode()
