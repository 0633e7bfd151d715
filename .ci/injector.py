"""Runs the injector of an image as a command, and like its Deployment. The functions return an error, or an empty string."""

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
TIMEOUT = 30  # seconds, long enough for an emulator


def check_file(command, **identity):
    """Runs `file` with the ConfigMap of deploy/."""
    result = subprocess.run([*command, "file", "-f", "-", "--config", os.path.abspath(CONFIG)], input=json.dumps(POD),
                          capture_output=True, text=True, timeout=TIMEOUT, **identity)
    if result.returncode:
        return f"file: {result}"
    spec = yaml.safe_load(result.stdout)["spec"]
    return injection_error(spec["containers"][0]["livenessProbe"]["httpGet"], spec["initContainers"])


def injection_error(probe, sidecars):
    if probe != REWRITTEN:
        return f"the rewritten probe is {probe}"
    (sidecar,) = sidecars
    if sidecar["image"] != settings()["probelet"]["image"]:
        return f"the image is {sidecar['image']}"
    return ", ".join(restricted.violations({"containers": [sidecar]}))


def settings():
    return json.loads(yaml.safe_load(open(CONFIG))["data"]["values"])


def overlay_args(overlay):
    """The args of the Deployment of deploy/webhook/kustomize/OVERLAY."""
    text = subprocess.run(["kubectl", "kustomize", f"deploy/webhook/kustomize/{overlay}"],
                          capture_output=True, text=True, check=True).stdout
    (deployment,) = [doc for doc in yaml.safe_load_all(text) if doc["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container["args"]


def check_without_cluster(command, **identity):
    """Runs `serve` with the args of the self-signed overlay, which must exit with an error without an API server."""
    result = subprocess.run([*command, *overlay_args("self-signed")], env={}, capture_output=True, text=True, timeout=TIMEOUT, **identity)
    return "" if result.returncode == 1 and "API server" in result.stderr else f"self-signed: {result}"


def check_serve(command, port, **identity):
    """Runs `serve` with the args of the cert-manager overlay and the files that kubelet would mount."""
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
        args = [arg.replace("/etc/", f"{root}/etc/").replace("--port=8443", f"--port={port}") for arg in overlay_args("cert-manager")]
        webhook = subprocess.Popen([*command, *args], env={}, stderr=subprocess.PIPE, text=True, **identity)
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
        with urllib.request.urlopen(request, timeout=TIMEOUT, context=context) as response:
            return response.status, response.read()

    if send("/healthz")[0] != 200:
        return "/healthz does not return 200"
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "default", "operation": "CREATE", "object": POD}}
    response = json.loads(send("/inject", json.dumps(review).encode())[1])["response"]
    patch = json.loads(base64.b64decode(response.get("patch", "bnVsbA==")))
    if response["allowed"] is not True or "/app-health/web/livez" not in json.dumps(patch):
        return f"/inject: {response}"
    webhook.terminate()
    code = webhook.wait(timeout=TIMEOUT)
    return f"exit code {code} after SIGTERM" if code else ""
