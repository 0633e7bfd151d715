"""Two more installations of the webhook, from the manifests of deploy/webhook, for tests that disturb it: one with a
certificate from a Secret, as cert-manager provides it, and one with its own CA."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import threading

from .certificates import Authority, presented
from .cluster import encode, is_injected, load, run, web_pod
from .pages import documented
from .report import BUSY, Failed, wait_for
from .setup import NAME, SYSTEM, wait_account, wait_injected

KUSTOMIZE = "deploy/webhook/kustomize"
SECRET = "probelet-sidecar-injector-tls"
CLUSTER_SCOPED = ("ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration")
DAY = 24 * 60 * 60
RENEWAL_DELAY = 40  # seconds from signing the aged certificate to the last third of its lifetime
# The documentation's example to switch rewriting off; with the words exchanged it switches it on.
SWITCH_OFF = documented(
    "kubectl get cm probelet-sidecar-injector -n probelet-system -o yaml"
    " | sed -e 's/\"rewriteAppHTTPProbe\": true/\"rewriteAppHTTPProbe\": false/' | kubectl apply -f -")
SWITCH_ON = SWITCH_OFF.replace("true", "*").replace("false", "true").replace("*", "false")


class Instance:
    """A separate installation: namespace, configuration and label value have its name."""

    def __init__(self, cluster, overlay, name, replicas=1):
        self.cluster, self.namespace, self.pods = cluster, f"probelet-{name}", f"{name}-pods"
        text = cluster.kubectl("kustomize", str(cluster.repository / KUSTOMIZE / overlay))
        self.objects = [self.renamed(each, name, replicas) for each in load(text.replace(SYSTEM, self.namespace))
                        if "cert-manager" not in each["apiVersion"]]
        self.service = next(each for each in self.objects if each["kind"] == "Service")["metadata"]["name"]

    def renamed(self, manifest, name, replicas):
        """Objects outside namespaces need another name than those of the first installation."""
        kind = manifest["kind"]
        if kind in CLUSTER_SCOPED:
            manifest["metadata"]["name"] = manifest["metadata"]["name"].replace(NAME, self.namespace)
        if kind == "ClusterRoleBinding":
            manifest["roleRef"]["name"] = manifest["metadata"]["name"]
        if kind == "ClusterRole":
            for rule in manifest["rules"]:
                if "resourceNames" in rule:
                    rule["resourceNames"] = [self.namespace]
        if kind == "MutatingWebhookConfiguration":
            manifest["webhooks"][0]["namespaceSelector"]["matchLabels"] = {"probelet.dev/injection": name}
        if kind == "Deployment":
            manifest["spec"]["replicas"] = replicas
            args = manifest["spec"]["template"]["spec"]["containers"][0]["args"]
            args[:] = [f"--webhook={self.namespace}" if arg.startswith("--webhook=") else arg for arg in args]
        return manifest

    def install(self, *more):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": self.pods, "labels": {"probelet.dev/injection": self.pods.removesuffix("-pods")}}}
        objects = [*self.objects, namespace, *more]
        self.cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        wait_account(self.cluster, self.pods)
        self.wait_rolled_out()

    def remove(self):
        objects = [each for each in self.objects if each["kind"] in ("Namespace", *CLUSTER_SCOPED)]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.cluster.kubectl("delete", "--wait=false", "-f", "-", stdin=text)
        self.cluster.delete_namespace(self.pods)

    def wait_rolled_out(self):
        self.cluster.kubectl("rollout", "status", f"deployment/{NAME}", "-n", self.namespace, f"--timeout={BUSY}s")

    def scale(self, replicas):
        self.cluster.patch("deployments", self.namespace, NAME, {"spec": {"replicas": replicas}})
        if replicas == 0:
            get = self.cluster.get
            wait_for(lambda: not get("pods", self.namespace)["items"], BUSY, "the webhook's pods end")
        else:
            self.wait_rolled_out()

    def restart(self, between=lambda: None):
        """Ends all pods of the webhook before the next ones start."""
        self.scale(0)
        between()
        self.scale(1)

    def patch_secret(self, files):
        self.cluster.patch("secrets", self.namespace, SECRET, {"data": {name: encode(data) for name, data in files.items()}})

    def bundle(self):
        configuration = self.cluster.get("mutatingwebhookconfigurations", None, self.namespace)
        return configuration["webhooks"][0]["clientConfig"].get("caBundle", "")

    def patch_bundle(self, *operation):
        path = "/webhooks/0/clientConfig/caBundle"
        patches = [{"op": "remove", "path": path}] if not operation else [{"op": "add", "path": path, "value": operation[0]}]
        self.cluster.patch("mutatingwebhookconfigurations", None, self.namespace, patches)

    def presented(self):
        """The certificate that the API server sees."""
        address = self.cluster.get("services", self.namespace, self.service)["spec"]["clusterIP"]
        return presented(address, 443)

    def presented_by_pods(self):
        return {presented(pod["status"]["podIP"], 8443) for pod in self.cluster.pods(self.namespace)}

    def dry_run_is_injected(self):
        return is_injected(self.cluster.dry_run(self.pods, web_pod("trial")))


class Creations:
    """Creates pods (dry runs) from start to end, and counts those that are not injected."""

    def __init__(self, instance):
        self.instance, self.count, self.bare, self.error = instance, 0, 0, None
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.end.wait(0.1):
            try:
                self.bare += not self.instance.dry_run_is_injected()
                self.count += 1
            except Exception as error:  # reported by the check
                self.error = error

    def check(self, minimum):
        if self.error or self.bare or self.count < minimum:
            raise Failed(f"{self.bare} of {self.count} pods were not injected; {self.error}")
        return True


@contextlib.contextmanager
def creations(instance):
    created = Creations(instance)
    created.thread.start()
    try:
        yield created
    finally:
        created.end.set()
        created.thread.join()


def certificate_from_secret(cluster, report):
    """--cert and --key from a Secret: rotation, then the ConfigMap, then a webhook that is killed."""
    instance = Instance(cluster, "cert-manager", "files")
    name = f"DNS:{instance.service}.{instance.namespace}.svc"
    first = Authority(cluster.work, "first-ca")
    cert, key = first.sign("webhook", name)
    instance.install(tls_secret(instance, cert, key))
    instance.patch_bundle(encode(first.cert.read_bytes()))
    report.check("the webhook serves a certificate from a Secret", wait_injected, cluster, instance.pods)
    with creations(instance) as created:
        for number in range(1, 4):
            report.check(f"certificate from a Secret: renewal {number} is presented", rotate, instance, first, name)
        second = Authority(cluster.work, "second-ca")
        instance.patch_bundle(encode(second.cert.read_bytes() + first.cert.read_bytes()))
        report.check("certificate from a Secret: one of another CA is presented", rotate, instance, second, name)
        instance.patch_bundle(encode(second.cert.read_bytes()))
        report.check("pods are injected with the new CA alone", wait_injected, cluster, instance.pods)
    report.check(f"all of {created.count} pods are injected during the rotations", created.check, 20)
    flip_config_map(cluster, report, instance)
    end_webhook(cluster, report, instance)
    instance.remove()


def tls_secret(instance, cert, key):
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": SECRET, "namespace": instance.namespace},
            "data": {"tls.crt": encode(cert.read_bytes()), "tls.key": encode(key.read_bytes())}}


def rotate(instance, authority, name):
    """Changes the Secret and waits until kubelet and the webhook have followed."""
    cert, key = authority.sign("webhook", name)
    instance.patch_secret({"tls.crt": cert.read_bytes(), "tls.key": key.read_bytes()})
    wanted = run(["openssl", "x509", "-in", cert])
    return wait_for(lambda: instance.presented() == wanted, BUSY, "the new certificate is presented")


def flip_config_map(cluster, report, instance):
    """The documented sed, and the ConfigMap as kubelet mounts it."""
    for state, command in (("off", SWITCH_OFF), ("on", SWITCH_ON)):
        cluster.shell(command.replace("-n probelet-system", f"-n {instance.namespace}"))
        report.check(f"the documented sed switches rewriting {state}", wait_injected, cluster, instance.pods, state == "on")


def end_webhook(cluster, report, instance):
    """A webhook that hangs, is killed, or is gone: pods start without the sidecar."""
    pids = webhook_processes(cluster, instance)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        report.check("pods are created while the webhook hangs", lambda: not instance.dry_run_is_injected())
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    report.check("a killed webhook is started again and injects", wait_injected, cluster, instance.pods)
    # kubelet reports the restart after the new container has answered.
    report.check("kubelet restarted the killed webhook", wait_for, lambda: any(
        status["restartCount"] for pod in cluster.pods(instance.namespace) for status in pod["status"]["containerStatuses"]),
        BUSY, "a restart is reported")
    instance.scale(0)
    cluster.create_pod(instance.pods, web_pod("bare")).ok()
    pods = cluster.kubectl("get", "ns,pods", "-A", "-o", "yaml")
    audit = [cluster.injector, "audit", "-f", "-", f"--namespace-label=probelet.dev/injection={instance.pods.removesuffix('-pods')}"]
    report.check("audit with --namespace-label finds a pod that was created meanwhile", finds, audit, pods, f"pod/bare namespace={instance.pods}")


def webhook_processes(cluster, instance):
    """Process ids of the webhook in an installation's pods."""
    uids = [pod["metadata"]["uid"] for pod in cluster.pods(instance.namespace)]
    found = []
    for pid in cluster.processes("/probelet-inject"):
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
            text = file.read()
        if any(uid in text for uid in uids):
            found.append(pid)
    if not found:
        raise Failed(f"no process of {instance.namespace}")
    return found


def finds(audit, pods, text):
    """Audit exits with 1 and lists this pod and no other."""
    done = subprocess.run(audit, input=pods, capture_output=True, text=True)
    if done.returncode != 1 or text not in done.stdout or done.stdout.count("not injected") != 1:
        raise Failed(f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    return True


def own_authority(cluster, report):
    """The CA that the webhook makes itself: saved, shared, replaced and renewed, with the RBAC permissions of deploy/webhook."""
    instance = Instance(cluster, "self-signed", "own", replicas=2)
    instance.install()
    report.check("own CA: pods are injected", wait_injected, cluster, instance.pods)
    report.check("own CA: two replicas that start at once present one certificate", lambda: len(instance.presented_by_pods()) == 1)
    bundle, certificate = instance.bundle(), instance.presented()
    instance.restart()
    report.check("own CA: pods are injected after a restart", wait_injected, cluster, instance.pods)
    report.check("own CA: a restart keeps the CA and the certificate", lambda: (instance.bundle(), instance.presented()) == (bundle, certificate))
    instance.restart(lambda: instance.patch_secret({"tls.crt": b"garbage"}))
    report.check("own CA: pods are injected after the Secret was damaged", wait_injected, cluster, instance.pods)
    report.check("own CA: a damaged certificate is replaced", lambda: instance.presented() != certificate)
    renew_own_authority(cluster, report, instance)
    instance.remove()


def renew_own_authority(cluster, report, instance):
    """A certificate enters the last third of its lifetime while it is presented. Meanwhile the caBundle is removed."""
    aged = Authority(cluster.work, "aged-ca")

    def install_aged():
        cert, key = aged.sign("webhook", f"DNS:{instance.service}.{instance.namespace}.svc", days=3, seconds_ago=2 * DAY - RENEWAL_DELAY)
        instance.patch_secret({"tls.crt": cert.read_bytes(), "tls.key": key.read_bytes(), "ca.crt": aged.cert.read_bytes()})
    instance.restart(install_aged)
    report.check("own CA: pods are injected with the certificate of the Secret", wait_injected, cluster, instance.pods)
    report.check("own CA: the CA of the Secret is the first of the caBundle",
                 lambda: base64.b64decode(instance.bundle()).startswith(aged.cert.read_bytes()))
    first = instance.presented()
    instance.patch_bundle()
    report.check("own CA: pods are not injected without a caBundle", wait_injected, cluster, instance.pods, False)
    report.check("own CA: a removed caBundle is written again", wait_injected, cluster, instance.pods)
    with creations(instance) as created:
        report.check("own CA: a renewed certificate is presented", lambda: wait_renewed(instance, first))
    report.check("own CA: the caBundle has the old and the new CA", lambda: certificates_in(instance.bundle()) == 2)
    report.check(f"own CA: all of {created.count} pods are injected during the renewal", created.check, 5)


def wait_renewed(instance, first):
    """Waits for another certificate. Before it is presented the caBundle must have both CAs."""
    def renewed():
        count = certificates_in(instance.bundle())
        if instance.presented() == first:
            return False
        if count != 2:
            raise Failed(f"presented with {count} CAs in the caBundle")
        return True
    return wait_for(renewed, 180, "a renewed certificate")


def certificates_in(bundle):
    return base64.b64decode(bundle).count(b"BEGIN CERTIFICATE")
