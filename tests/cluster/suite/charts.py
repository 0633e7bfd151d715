"""The Helm chart, once the first installation is gone: the names of its objects are the same."""

import base64
import contextlib
import json
import os
import re
import shlex
import subprocess
import urllib.parse
import urllib.request

import yaml

from . import pages
from .certificates import Authority, presented
from .cluster import containers, run, web_pod
from .docs import Reader
from .pages import documented
from .report import BUSY, Failed, NotYet, wait_for
from .setup import NAME, SYSTEM, wait_account

CHART = "deploy/webhook/chart"
RELEASE, TEST_NAMESPACE, EXISTING = "probelet", "probelet-helm-test", "helm-existing"
TIMEOUT = 150  # seconds
SCRAPER_PORT = 8428
TEST = documented("helm test probelet -n probelet-system")
MONITORS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")


class Helm:
    """Helm's program, as a reader runs it."""

    def __init__(self, cluster):
        self.reader = Reader(cluster, "helm")

    def run(self, command, *more):
        """A command with further arguments."""
        return self.reader.run(f"{command} {shlex.join([f'--timeout={TIMEOUT}s', *more])}")

    def install(self):
        return self.run(documented("helm install probelet deploy/webhook/chart -n probelet-system --create-namespace"), "--wait")

    def upgrade(self, values):
        return self.run(f"helm upgrade {RELEASE} {CHART} -n {SYSTEM}", "--wait", f"--set={values}")

    def test(self):
        return self.run(TEST)

    def fails_test(self):
        output = self.reader.fails(f"{TEST} --timeout={TIMEOUT}s")
        if "probelet-test failed" not in output:
            raise Failed(output)
        return True

    def uninstall(self):
        return self.run(documented("helm uninstall probelet -n probelet-system"), "--wait")


def upgrade_monitoring(cluster, helm):
    """The documented values. The objects of the Prometheus Operator need its definitions, here without a schema: .ci/check-webhook
    validates them."""
    for kind in MONITORS:
        names = {"kind": kind, "singular": kind.lower(), "plural": f"{kind.lower()}s"}
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
        crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
               "metadata": {"name": f"{names['plural']}.monitoring.coreos.com"},
               "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": versions}}
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(crd))
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{crd['metadata']['name']}", f"--timeout={BUSY}s")
    for block in pages.blocks("docs/monitoring.md"):
        if pages.file_name(block):
            (helm.reader.folder / pages.file_name(block)).write_text(block.text)
    helm.run(documented("helm upgrade probelet deploy/webhook/chart -n probelet-system --reset-then-reuse-values -f monitoring.yaml"), "--wait")
    kinds = ",".join(f"{kind.lower()}s" for kind in MONITORS)
    found = cluster.kubectl("get", kinds, "-n", SYSTEM, "-l", "release=kube-prometheus-stack", "-o", "name").split()
    if len(found) != len(MONITORS):
        raise Failed(found)
    # The same by kustomize, in a checkout beside the kustomization.
    (helm.reader.folder / "probelet").symlink_to(cluster.repository)
    return helm.reader.run("kubectl apply -k . --server-side --force-conflicts --dry-run=server")


def chart(cluster, report):
    """Installed, tested, upgraded, tested again, without a webhook, and uninstalled."""
    helm = Helm(cluster)
    cluster.kubectl("wait", "--for=delete", f"namespace/{SYSTEM}", f"--timeout={BUSY}s")
    report.check("helm install: the webhook is ready", helm.install)
    cluster.kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted")
    report.check("helm test: the webhook injects", helm.test)
    report.check("helm test: its namespace is deleted", wait_for, lambda: not namespace_exists(cluster, TEST_NAMESPACE), 60, "it is gone")
    report.check("helm upgrade: the monitoring of the documentation", upgrade_monitoring, cluster, helm)
    cluster.kubectl("create", "namespace", EXISTING)
    cluster.kubectl("label", "namespace", EXISTING, "edge=yes", "probelet.dev/injection=enabled")
    report.check("helm upgrade: the test namespace of the documentation", helm.run, documented(
        "helm upgrade probelet deploy/webhook/chart -n probelet-system --reset-then-reuse-values --set test.namespace=web "
        "--set 'test.imagePullSecrets[0].name=registry'").replace("=web", f"={EXISTING}"), "--wait")
    report.check("helm test: in that namespace", helm.test)
    values = ("replicas=2,namespaceLabel.key=edge,namespaceLabel.value=yes,probelet.statusPort=15099,sidecarInjectorWebhook.rewriteAppHTTPProbe=false,"
              f"test.namespace={EXISTING},podLabels.team=edge,podAnnotations.owner=edge,port=9444,test.tolerations[0].operator=Exists,"
              "probelet.imagePullPolicy=Never,readinessProbe.timeoutSeconds=9,findPods=true")
    report.check("helm upgrade: two replicas, in namespaces of another label", helm.upgrade, values)
    report.check("both replicas comply with PodSecurity restricted", has_replicas, cluster, 2)
    report.check("helm test: in an existing namespace, with another status port, and rewriting only on request", helm.test)
    wait_account(cluster, EXISTING)
    report.check("Prometheus' service discovery finds sidecars and webhooks with the documented configuration", is_scraped, cluster)
    cluster.kubectl("delete", "pod", "web", "-n", EXISTING)
    report.check("the pod of the test is deleted, and the namespace stays", lambda: namespace_exists(cluster, EXISTING) and not cluster.pods(EXISTING))
    cluster.kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
    report.check("helm upgrade: in the network of the node", helm.upgrade, values.replace("replicas=2,", "replicas=1,hostNetwork=true,").replace("port=9444", "port=9445"))
    report.check("helm test: the API server reaches the webhook on the node", helm.test)
    # The webhook has this namespace's label no more, so that it does not inject the test pod.
    report.check("helm upgrade: another label", helm.upgrade, values.replace("namespaceLabel.value=yes", "namespaceLabel.value=no"))
    report.check("helm test fails if the pod is not injected", helm.fails_test)
    report.check("the log of the failed test says that nothing listens at the sidecar's port", lambda: "connection_refused" in
                 cluster.shell(documented("kubectl -n probelet-helm-test logs probelet-test -c check").replace(TEST_NAMESPACE, EXISTING)))
    cluster.shell(documented("kubectl -n probelet-helm-test describe pod probelet-test").replace(TEST_NAMESPACE, EXISTING))
    report.check("helm uninstall", helm.uninstall)
    report.check("only the Secret remains", only_secret_remains, cluster)
    report.check("helm install: an existing certificate is presented", install_certificate, cluster, helm, values)
    report.check("helm test: the API server trusts the existing certificate", helm.test)
    report.check("helm uninstall: an existing certificate", helm.uninstall)
    cluster.kubectl("delete", "namespace", EXISTING, SYSTEM, "--wait=false")


def install_certificate(cluster, helm, values):
    """A certificate of a CA of the test. Waits until it is presented."""
    authority = Authority(cluster.work, "chart-ca")
    cert, key = authority.sign("chart", f"DNS:{NAME}.{SYSTEM}.svc")
    cluster.kubectl("create", "secret", "tls", "chart-tls", "-n", SYSTEM, f"--cert={cert}", f"--key={key}")
    values += f",certificates=existing,existingCertificate.secret=chart-tls,existingCertificate.caBundle={authority.cert.read_text()}"
    helm.run(documented("microk8s helm install probelet deploy/webhook/chart --namespace probelet-system --create-namespace"), "--wait", f"--set={values}")
    address = cluster.get("services", SYSTEM, NAME)["spec"]["clusterIP"]
    return wait_for(lambda: presented(address, 443) == run(["openssl", "x509", "-in", cert]), BUSY, "the certificate is presented")


@contextlib.contextmanager
def scraper(cluster):
    """VictoriaMetrics, outside of the cluster, with the Prometheus configuration of docs/monitoring.md. Debian's Prometheus is
    built without Kubernetes."""
    folder = cluster.work / "scraper"
    folder.mkdir()
    page = (cluster.repository / "docs/monitoring.md").read_text()
    config = yaml.safe_load(re.search(r"^```yaml\n(# prometheus\.yaml\n.*?)^```", page, re.M | re.S)[1])
    (folder / "ca.crt").write_bytes(base64.b64decode(cluster.get("secrets", SYSTEM, f"{NAME}-tls")["data"]["ca.crt"]))
    for job in config["scrape_configs"]:
        for discovery in job["kubernetes_sd_configs"]:
            discovery["kubeconfig_file"] = os.fspath(cluster.folder / "kubeconfig")
        if "tls_config" in job:
            job["tls_config"]["ca_file"] = os.fspath(folder / "ca.crt")
    (folder / "prometheus.yaml").write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, **config}))
    command = ["victoria-metrics", f"-promscrape.config={folder / 'prometheus.yaml'}", "-promscrape.config.strictParse",
               f"-storageDataPath={folder / 'data'}", f"-httpListenAddr=127.0.0.1:{SCRAPER_PORT}", "-search.latencyOffset=1s"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def series(query):
    """The labels and the value of each series of a query."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{SCRAPER_PORT}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as response:
            return [(each["metric"], float(each["value"][1])) for each in json.load(response)["data"]["result"]]
    except OSError as error:  # not started yet
        raise NotYet(str(error)) from error


def is_scraped(cluster):
    """A pod with a native sidecar, which is an init container, and two replicas of the webhook; none of the other pods."""
    pod = web_pod("web", annotations={"sidecar.istio.io/rewriteAppHTTPProbers": "true"})
    cluster.create_pod(EXISTING, pod).ok()
    cluster.wait_ready(EXISTING, "web")
    sidecars = [("probelet", EXISTING, "web", 1)]
    replicas = [("probelet-inject", SYSTEM, each["metadata"]["name"], 1) for each in cluster.pods(SYSTEM)]
    probes = f'sum(rate(probelet_probes_total{{namespace="{EXISTING}",pod="web",path="/app-health/web/readyz",code="200"}}[10s]))'

    def up():
        return sorted((each["job"], each["namespace"], each["pod"], value) for each, value in series("up"))
    with scraper(cluster):
        # Pods of other groups may have a sidecar, too.
        wait_for(lambda: set(sidecars + replicas) <= set(up()), BUSY, "targets are up", lambda: up())
        wait_for(lambda: all(value > 0 for _, value in series(probes) or [(None, 0)]), BUSY, "the rate of kubelet's probes")
        wait_for(lambda: series("min(probelet_webhook_not_injected_pods) == 0"), BUSY, "the webhook has searched for pods")
    return True


def namespace_exists(cluster, name):
    return cluster.request("GET", cluster.path("namespaces", None, name)).status == 200


def has_replicas(cluster, count):
    pods = cluster.pods(SYSTEM)
    if len(pods) != count or any(pod["metadata"]["labels"].get("team") != "edge" for pod in pods):
        raise Failed([(pod["metadata"], containers(pod)) for pod in pods])
    return True


def only_secret_remains(cluster):
    kinds = "mutatingwebhookconfigurations,clusterroles,clusterrolebindings"
    names = cluster.kubectl("get", kinds, "-o", "name").split()
    names += cluster.kubectl("get", "deployments,services,configmaps,secrets,roles,rolebindings,serviceaccounts", "-n", SYSTEM, "-o", "name").split()
    remaining = [name for name in names if "probelet" in name]
    if remaining != [f"secret/{NAME}-tls"]:
        raise Failed(remaining)
    return True
