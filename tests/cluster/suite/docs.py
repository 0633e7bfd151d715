"""The quick start of README.md, Istio's guide, the commands of docs/, and the manifests of all pages, as a reader runs and applies them."""

import json
import subprocess

import yaml

from . import pages
from .cluster import sidecar, web_pod
from .pages import documented
from .report import Failed, wait_for
from .setup import wait_account, wait_injected

DEMO = "demo"


class Reader:
    """Runs documented commands in a folder with what the pages name: `deploy`, the images, and manifests of the reader's."""

    def __init__(self, cluster, namespace):
        self.cluster, self.folder = cluster, cluster.work / f"reader-{namespace}"
        self.folder.mkdir()
        (self.folder / "deploy").symlink_to(cluster.repository / "deploy")
        # Stand-ins: k3s and MicroK8s run the containerd and Helm that they have, here those of the cluster test.
        (self.folder / "bin").mkdir()
        for program in ("sudo", "k3s", "microk8s"):
            stand_in = self.folder / "bin" / program
            stand_in.write_text('#!/bin/sh\nexec "$@"\n')
            stand_in.chmod(0o755)
        for archive in (cluster.repository / "target/image").glob("*.tar"):
            (self.folder / archive.name).symlink_to(archive)
        # The reader's current namespace.
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_bytes((cluster.folder / "kubeconfig").read_bytes())
        cluster.kubectl("config", "set-context", "kube", f"--namespace={namespace}", f"--kubeconfig={self.kubeconfig}")

    def run(self, command):
        """The output, also of the error stream and of a command that fails."""
        try:
            return self.cluster.shell(f"PATH={self.folder}/bin:$PATH; cd {self.folder} && {{ {command}\n}} 2>&1", KUBECONFIG=str(self.kubeconfig),
                                      CONTAINERD_ADDRESS=str(self.cluster.folder / "run/containerd.sock"),
                                      CONTAINERD_NAMESPACE="k8s.io")
        except Failed as failure:
            raise Failed(f"{command}: {failure}") from failure

    def fails(self, command):
        """The output of a command that has to fail."""
        return self.run(f"! {{ {command}; }}")


def quick_start(cluster, report):
    reader = Reader(cluster, "default")
    reader.run(documented("kubectl create namespace demo"))
    reader.run(documented("kubectl label namespace demo probelet.dev/injection=enabled"))
    reader.run(documented("kubectl apply -n demo -f deploy/demo.yaml"))
    get_pods = documented("kubectl get pods -n demo")
    report.check("the quick start shows web 2/2 and broken 1/2", wait_for, lambda: shows(reader.run(get_pods)), 60, "both are injected",
                 lambda: reader.run(get_pods))
    report.note(reader.run(get_pods))
    report.check("kubelet's event of broken has the code", wait_for, lambda: "statuscode: 502" in reader.run(
        documented("kubectl get events -n demo --field-selector reason=Unhealthy")), 30, "an event")
    has(report, "the log of broken has the reason", reader.run, documented("kubectl logs -n demo deployment/broken -c probelet"),
        "reason=connection_refused")
    has(report, "`check` of broken fails", reader.fails, documented(
        "kubectl exec -n demo deployment/broken -c probelet -- /probelet check http://127.0.0.1:8081/healthz/ready"), "connection_refused")
    has(report, "`check` of web succeeds", reader.run, documented(
        "kubectl exec -n demo deployment/web -c probelet -- /probelet check http://127.0.0.1:8080/healthz/ready"), "healthy 200")
    # Other groups have pods that it finds.
    audit = documented("kubectl get ns,pods,rs,events -A -o yaml | probelet-inject audit -f -")
    report.check("audit finds the pods of the quick start injected", lambda: f"namespace={DEMO}" not in reader.run(f"{audit} || true"))
    reader.run(documented("kubectl delete namespace demo"))


def shows(output):
    rows = [line.split() for line in output.splitlines()[1:]]
    return sorted((name.split("-")[0], ready, status) for name, ready, status, *_ in rows) == [
        ("broken", "1/2", "Running"), ("web", "2/2", "Running")]


def has(report, what, run, command, expected):
    def test():
        output = run(command)
        if expected not in output:
            raise Failed(output)
        report.note(output.strip())
        return True
    report.check(what, test)


def reader_commands(cluster, report):
    """The commands of docs/ that the quick start does not have."""
    name = "reader"
    reader = Reader(cluster, name)
    cluster.kubectl("create", "namespace", name)
    reader.run(documented("kubectl label namespace NAME probelet.dev/injection=enabled").replace("NAME", name))
    wait_account(cluster, name)
    wait_injected(cluster, name)
    (app,) = [manifest for block, manifest in pages.manifests() if block.page == "README.md"]
    (reader.folder / "app.yaml").write_text(json.dumps(app))
    (reader.folder / "pod.yaml").write_text(json.dumps(web_pod("bare")))
    has(report, "`kubectl apply -f <(probelet-inject kube-inject ...)`", reader.run,
        documented("kubectl apply -f <(probelet-inject kube-inject -f app.yaml)"), "deployment.apps/web created")
    reader.run("kubectl apply -f pod.yaml")
    has(report, "`kubectl replace --force`", reader.run, documented("kubectl replace --force -f pod.yaml"), "pod/bare replaced")
    reader.run("kubectl delete pod bare --now")
    inject = documented("probelet-inject file -f pod.yaml | kubectl apply -f -")
    has(report, "`probelet-inject file | kubectl apply`", reader.run, inject, "pod/bare created")
    has(report, "the same again", reader.run, inject, "pod/bare configured")
    reader.run("ln -s $(command -v probelet-inject) .")
    reader.run(documented("install -m 755 probelet-inject /usr/local/bin/kubectl-probelet").replace("/usr/local", "."))
    has(report, "`kubectl probelet inject`", reader.run, documented("kubectl probelet inject -f app.yaml | kubectl apply -f -"), "deployment.apps/web ")
    audit = documented("kubectl get ns,pods,rs,events -A -o yaml | kubectl probelet audit -f -")
    report.check("`kubectl probelet audit` finds the bare pod injected", lambda: f"pod/bare namespace={name}" not in reader.run(f"{audit} || true"))
    # The range of this cluster's pods, whose bridge is 10.88.0.1.
    cluster.kubectl("patch", "node", "node1", "--patch", '{"spec":{"podCIDR":"10.88.0.0/24","podCIDRs":["10.88.0.0/24"]}}')
    has(report, "the setting for --allow-from has the bridge's address", reader.run, documented(
        r"""kubectl get nodes -o jsonpath='{range .items[*]}{.spec.podCIDR}{"\n"}{end}' | sed 's|\.0/.*|.1|' | paste -sd,"""), "10.88.0.1")
    reader.run(documented("kubectl label namespace probelet-system pod-security.kubernetes.io/enforce=restricted"))
    for command in (documented("ctr -n k8s.io images import probelet.tar"), documented("sudo k3s ctr images import probelet.tar"),
                    documented("sudo k3s ctr images import probelet-inject.tar"), documented("microk8s ctr image import probelet.tar"),
                    documented("microk8s ctr image import probelet-inject.tar")):
        has(report, f"`{command}`", reader.run, command, "localhost/probelet")
    reader.run("helm create app")
    has(report, "`helm template | probelet-inject file | kubectl apply`", reader.run, documented(
        "helm template app | probelet-inject file -f - | kubectl apply -f -"), "deployment.apps/release-name-app created")
    report.check("the chart's Deployment has the sidecar", lambda: "probelet" in reader.run(
        "kubectl get deployment release-name-app -o 'jsonpath={.spec.template.spec.initContainers[*].name}'"))
    has(report, "containerd keeps a labelled image", reader.run, documented(
        "ctr -n k8s.io images label localhost/probelet:0.1.0 io.cri-containerd.pinned=pinned"), "io.cri-containerd.pinned=pinned")
    cluster.delete_namespace(name)


def istio_guide(cluster, report):
    """The steps of docs/istio.md with the guide's manifests, except the last one, which suite/instances.py runs."""
    name = "istio-guide"
    reader = Reader(cluster, name)
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "probelet.dev/injection=enabled")
    wait_account(cluster, name)
    wait_injected(cluster, name)
    for manifest in ("liveness-command", "liveness-http"):
        text = (cluster.repository / "tests/injector/golden" / manifest / "in.yaml").read_text(encoding="utf-8")
        text = text.replace("registry.example/shell:1", "localhost/busybox:1").replace("registry.example/health:1", "localhost/app:1")
        # The guide's image has no entrypoint.
        text = text.replace("args:", "command:") if manifest == "liveness-command" else text
        (reader.folder / f"{manifest}.yaml").write_text(text)
    has(report, "the guide's command probe is applied", reader.run, documented(
        "kubectl apply -f <(probelet-inject kube-inject -f liveness-command.yaml)"), "deployment.apps/liveness created")
    report.check("its pod is ready", cluster.wait_ready, name, "liveness")
    report.check("its pod has no sidecar", lambda: not sidecar(cluster.pod(name, "liveness")))
    reader.run(documented("kubectl apply -f liveness-http.yaml"))
    path = documented("kubectl get pods -l app=liveness-http -o jsonpath='{.items[*].spec.containers[*].livenessProbe.httpGet.path}'")
    report.check("the guide's HTTP probe goes to the status port", wait_for,
                 lambda: reader.run(path) == "/app-health/liveness-http/livez", 30, "the path", lambda: reader.run(path))
    reader.run(documented("kubectl patch deployment liveness-http -p "
                          """'{"spec":{"template":{"metadata":{"annotations":{"sidecar.istio.io/rewriteAppHTTPProbers":"false"}}}}}'"""))
    report.check("the annotation disables rewriting", wait_for, lambda: reader.run(path) == "/foo", 90, "the path", lambda: reader.run(path))
    report.check("the guide's command probe restarts no container", lambda: cluster.restarts(name, "liveness") == 0)
    cluster.delete_namespace(name)


def documented_manifests(cluster, report):
    """The API server accepts each manifest, as written and injected."""
    name, exceptions = "manifests", ("AdmissionConfiguration", "Certificate", "HelmChartConfig")
    cluster.kubectl("create", "namespace", name)
    wait_account(cluster, name)
    for block, manifest in pages.manifests():
        if manifest["kind"] in exceptions:
            continue
        location = f"{block.page}:{block.line}"
        report.check(f"the API server accepts {location}", apply, cluster, name, json.dumps(manifest))
        if "probelet" not in [each["name"] for each in manifest["spec"].get("initContainers", manifest["spec"].get("containers", []))]:
            injected = subprocess.run([cluster.injector, "file", "-f", "-"], input=json.dumps(manifest), capture_output=True, text=True)
            report.check(f"injected, too: {location}", apply, cluster, name, renamed(injected.stdout))
    cluster.delete_namespace(name)


def apply(cluster, namespace, manifest):
    return cluster.kubectl("apply", "-n", namespace, "--validate=strict", "-f", "-", stdin=manifest)


def renamed(text):
    """A bare pod cannot be changed, so that the injected one needs a name of its own."""
    manifest = yaml.safe_load(text)
    manifest["metadata"]["name"] += "-injected"
    return json.dumps(manifest)
