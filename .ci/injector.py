"""Runs the injector of an image from the command line, and as its Deployment does."""

import base64
import json
import os
import pathlib
import ssl
import subprocess
import tempfile
import threading
import urllib.request

import restricted
import yaml

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [
    {"name": "web", "image": "web:1", "livenessProbe": {"httpGet": {"path": "/foo", "port": 8001}}}]}}
REWRITTEN = {"path": "/app-health/web/livez", "port": 15020}
CONFIG = "deploy/webhook/kustomize/common/config.yaml"
TIMEOUT = 30  # seconds, of which an emulator takes some


def check_file(command, **identity):
    """Runs `file` with the ConfigMap of deploy/. Returns what is wrong with the pod, or an empty string."""
    result = subprocess.run([*command, "file", "-f", "-", "--config", os.path.abspath(CONFIG)], input=json.dumps(POD),
                          capture_output=True, text=True, timeout=TIMEOUT, **identity)
    if result.returncode:
        return f"file: {result}"
    spec = yaml.safe_load(result.stdout)["spec"]
    return wrong(spec["containers"][0]["livenessProbe"]["httpGet"], spec["initContainers"])


def wrong(probe, sidecars):
    if probe != REWRITTEN:
        return f"the probe became {probe}"
    (sidecar,) = sidecars
    if sidecar["image"] != settings()["probelet"]["image"]:
        return f"the image is {sidecar['image']}"
    return ", ".join(restricted.broken({"containers": [sidecar]}))


def settings():
    return json.loads(yaml.safe_load(open(CONFIG))["data"]["values"])


def args(overlay):
    """The args of the Deployment of deploy/webhook/kustomize/OVERLAY."""
    text = subprocess.run(["kubectl", "kustomize", f"deploy/webhook/kustomize/{overlay}"],
                          capture_output=True, text=True, check=True).stdout
    (deployment,) = [doc for doc in yaml.safe_load_all(text) if doc["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container["args"]


def check_without_cluster(command, **identity):
    """Runs `serve` with the args for the self-made CA, which must end for want of an API server. Returns what is wrong, or an empty string."""
    result = subprocess.run([*command, *args("self-signed")], env={}, capture_output=True, text=True, timeout=TIMEOUT, **identity)
    return "" if result.returncode == 1 and "API server" in result.stderr else f"self-signed: {result}"


def check_serve(command, port, **identity):
    """Runs `serve` with the args of the overlay for cert-manager and files as kubelet would mount them. Returns what is wrong, or an
    empty string."""
    with tempfile.TemporaryDirectory(prefix="probelet-") as root:
        os.chmod(root, 0o755)
        mounted = pathlib.Path(root, "etc/probelet")
        (mounted / "config").mkdir(parents=True)
        (mounted / "tls").mkdir()
        (mounted / "config/values").write_text(json.dumps(settings()))
        cert, key = mounted / "tls/tls.crt", mounted / "tls/tls.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
                       capture_output=True, check=True)
        key.chmod(0o644)
        typed = [arg.replace("/etc/", f"{root}/etc/").replace("--port=8443", f"--port={port}") for arg in args("cert-manager")]
        webhook = subprocess.Popen([*command, *typed], env={}, stderr=subprocess.PIPE, text=True, **identity)
        try:
            return check_webhook(webhook, port, ssl.create_default_context(cafile=cert))
        finally:
            webhook.kill()
            webhook.wait()


def check_webhook(webhook, port, context):
    watchdog = threading.Timer(TIMEOUT, webhook.kill)
    watchdog.start()
    lines = []
    for line in webhook.stderr:
        lines.append(line)
        if "msg=listening" in line:
            break
    watchdog.cancel()
    if webhook.poll() is not None or not lines or "msg=listening" not in lines[-1]:
        return f"serve did not listen: {lines}"
    threading.Thread(target=webhook.stderr.read, daemon=True).start()

    def send(path, body=None):
        request = urllib.request.Request(f"https://localhost:{port}{path}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT, context=context) as answer:
            return answer.status, answer.read()

    if send("/healthz")[0] != 200:
        return "/healthz"
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "default", "operation": "CREATE", "object": POD}}
    answer = json.loads(send("/inject", json.dumps(review).encode())[1])["response"]
    patch = json.loads(base64.b64decode(answer.get("patch", "bnVsbA==")))
    if answer["allowed"] is not True or "/app-health/web/livez" not in json.dumps(patch):
        return f"/inject: {answer}"
    webhook.terminate()
    code = webhook.wait(timeout=TIMEOUT)
    return f"exit code {code} after SIGTERM" if code else ""
