"""Injects the pods of the golden manifests twice, by the API server's webhook call and by the command line, and compares
the two pods as the API server would store them. All requests are dry runs."""

import copy
import difflib
import json
import subprocess

import yaml

from .cluster import TABLE, containers, is_injected
from .report import Failed

GOLDEN = "tests/injector/golden"
# Fewer mean that the manifests were not read as intended.
PODS_MIN, INJECTED_MIN = 60, 40
# The pods by the webhook are created in the first namespace, those by the command line in the second.
MODES = {
    "golden": ("first-only", "plain"),
    "golden with the second webhook": ("kinds", "second-only"),
}
BY_NAME = ("env", "volumeMounts", "volumes", "containers", "ports")


def golden(cluster, report):
    pods = accepted_pods(cluster, report)
    report.check(f"golden: {len(pods)} pods are compared", lambda: len(pods) >= PODS_MIN)
    for mode, (injected_in, other) in MODES.items():
        failed = injected = 0
        for case, pod, by_hand, notes in pods:
            problem, is_changed = compare(cluster, pod, by_hand, notes, injected_in, other)
            injected += is_changed
            if problem:
                failed += 1
                report.fails(f"{mode}: {case}", problem)
            else:
                report.passes_quietly()
        report.note(f"{mode}: {len(pods) - failed} of {len(pods)} pods are equal, {injected} are injected")
        report.check(f"{mode}: at least {INJECTED_MIN} pods are injected", lambda count=injected: count >= INJECTED_MIN)


def accepted_pods(cluster, report):
    """Golden pods that the API server accepts, and what the command line makes of them."""
    found = []
    for case in sorted(path.parent for path in (cluster.repository / GOLDEN).glob("*/in.yaml")):
        for index, pod in enumerate(pods_of_case(case)):
            done = cluster.create_pod("plain", pod, dry_run=True)
            if done.status >= 300:
                report.note(f"golden: {case.name}-{index} is not compared, the API server rejects it: {done.body['message'][:120]}")
                continue
            found.append((f"{case.name}-{index}", pod, *by_command_line(cluster, pod)))
    return found


def pods_of_case(case):
    try:
        documents = list(yaml.safe_load_all((case / "in.yaml").read_text()))
    except (yaml.YAMLError, UnicodeDecodeError):
        return  # a manifest that is not valid YAML has no pod
    for document in documents:
        for metadata, spec in templates(document):
            if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
                # A template that the API server rejects is skipped later.
                yield as_pod(metadata, spec)


def templates(document):
    """Metadata and spec of each pod or pod template of a document."""
    if not isinstance(document, dict):
        return
    kind, spec = document.get("kind"), document.get("spec") or {}
    if kind == "List":
        for item in document.get("items") or []:
            yield from templates(item)
    elif kind == "Pod":
        yield document.get("metadata"), spec
    else:
        if kind == "CronJob":
            spec = spec.get("jobTemplate", {}).get("spec") or {}
        template = spec.get("template")
        if isinstance(template, dict):
            yield template.get("metadata"), template.get("spec")


def as_pod(metadata, spec):
    spec = copy.deepcopy(spec)
    for container in (spec.get("initContainers") or []) + spec["containers"]:
        container.setdefault("image", "image")
    kept = {key: value for key, value in (metadata or {}).items() if key in ("labels", "annotations")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**kept, "name": "golden"}, "spec": spec}


def by_command_line(cluster, pod):
    """The pod as `probelet-inject file` writes it, and its messages. A pod that it rejects is unchanged."""
    done = subprocess.run([cluster.injector, "file", "-f", "-"], input=json.dumps(pod), capture_output=True, text=True, timeout=60)
    return (pod if done.returncode else yaml.safe_load(done.stdout)), done.stderr


def compare(cluster, pod, by_hand, notes, injected_in, other):
    """What differs, if anything, and whether the webhook injected the pod."""
    by_webhook, expected = (cluster.create_pod(injected_in, pod, dry_run=True), cluster.create_pod(other, by_hand, dry_run=True))
    for name, done in (("webhook", by_webhook), ("command line", expected)):
        if done.status >= 300:
            return f"{name}: the API server rejects the pod: {done.body['message']}", False
    if injected_in == other:
        raise Failed("the same namespace twice")
    sides = [json.dumps(normalized(each.body), indent=1, sort_keys=True).splitlines() for each in (expected, by_webhook)]
    problems = list(difflib.unified_diff(*sides, "command line", "webhook", lineterm="", n=1))
    # A probe that only the webhook excludes.
    problems += [text for text in by_webhook.warnings if "is not rewritten" in text and "is not rewritten" not in notes]
    return "\n".join(problems), is_injected(by_webhook.body)


def normalized(pod):
    """A stored pod without names that the API server makes up, without the order of named lists, and with the defaults that
    the API server fills in before it calls a webhook."""
    spec, metadata = copy.deepcopy(pod["spec"]), pod["metadata"]
    annotations = {key: value for key, value in metadata.get("annotations", {}).items() if key != "probelet.dev/original"}
    normalized_pod = {"labels": metadata.get("labels"), "annotations": annotations, "spec": spec}
    for container in containers({"spec": spec}):
        for variable in container.get("env", []):
            if variable["name"] == TABLE:
                variable["value"] = with_defaults(json.loads(variable["value"]))
    return sort_named(normalized_pod)


def with_defaults(probers):
    for path, prober in probers.items():
        if not path.startswith("/app-lifecycle/"):
            prober.setdefault("timeoutSeconds", 1)
        if "httpGet" in prober:
            prober["httpGet"] = {"path": "/", "scheme": "HTTP", **prober["httpGet"]}
        if "grpc" in prober:
            prober["grpc"]["service"] = prober["grpc"].get("service") or ""
    return probers


def sort_named(value, key=None):
    if isinstance(value, dict):
        return {name: sort_named(member, name) for name, member in value.items()}
    if isinstance(value, list):
        items = [sort_named(item) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) if key in BY_NAME else items
    # The volume of the ServiceAccount's token has a random suffix.
    return "kube-api-access" if isinstance(value, str) and value.startswith("kube-api-access-") else value
