"""What all groups need: images, namespaces, Secrets, the second webhook and the webhook under test."""

import re
import subprocess

from .certificates import Authority
from .cluster import HOST, MANIFESTS, encode, is_injected, run, web_pod
from .pages import documented
from .report import BUSY, Failed, wait_for

SYSTEM, NAME = "probelet-system", "probelet-sidecar-injector"
INJECTED = ("kinds", "added", "istio", "first-only", "strict", "quota", "limits")
SECOND = "zz-second-webhook"
SECOND_PORT = 9443
# Names of one busybox binary; `sh` is the entrypoint.
APPLETS = ("sh", "cat", "touch", "rm", "mkdir", "sleep", "httpd")


def import_images(cluster):
    """The images of deploy/image.sh, and two that are made here."""
    image, work, target = MANIFESTS.parent / "image", cluster.work, cluster.repository / "target/image"
    run([image, "localhost/app:1", work / "app.tar", "1000:1000", cluster.build / "app", "--", "/app"])
    busybox = [f"/bin/busybox=bin/{name}" for name in APPLETS]
    busybox.append("/dev/null=tmp/empty")  # so that there is /tmp
    run([image, "localhost/busybox:1", work / "busybox.tar", "0:0", *busybox, "--", "/bin/sh"])
    # As one archive, like that of k3s' folder.
    version = re.search(r'^version = "(.*)"', (cluster.repository / "Cargo.toml").read_text(), re.M)[1]
    names = [f"localhost/{name}:{version}={target}/{name}.tar" for name in ("probelet", "probelet-inject")]
    run([cluster.repository / "deploy/k3s/merge-images", work / "probelet.tar", *names])
    for archive in (work / "app.tar", work / "busybox.tar", work / "probelet.tar"):
        cluster.ctr("images", "import", str(archive))
    return True


def create_namespaces(cluster):
    cluster.apply("namespaces.yaml")
    for namespace in (*INJECTED, "mesh", "second-only", "plain"):
        wait_account(cluster, namespace)


def wait_account(cluster, namespace):
    """Waits until the namespace has its default ServiceAccount: before, the API server rejects pods."""
    path = cluster.path("serviceaccounts", namespace, "default")
    wait_for(lambda: cluster.request("GET", path).status == 200, BUSY, f"a ServiceAccount in {namespace}")


def create_secrets(cluster, authority):
    """The certificate of the apps, and the client certificate of the sidecar."""
    cert, key = authority.sign("app", "DNS:app")
    cluster.kubectl("create", "secret", "generic", "app-tls", "-n", "mesh", f"--from-file=tls.crt={cert}",
                    f"--from-file=tls.key={key}", f"--from-file=ca.crt={authority.cert}")
    cert, key = authority.sign("client", "DNS:client")
    cluster.kubectl("create", "secret", "tls", "probe-client", "-n", "mesh", f"--cert={cert}", f"--key={key}")


class SecondWebhook:
    """Another vendor's mutating webhook, on the node. The API server calls webhooks in the order of their configurations'
    names, so it comes second, and its changes make the API server call ours again."""

    def __init__(self, cluster, authority):
        cert, key = authority.sign("second-webhook", f"IP:{HOST}")
        folder = cluster.work / "second-webhook"
        folder.mkdir(exist_ok=True)
        (folder / "tls.crt").write_bytes(cert.read_bytes())
        (folder / "tls.key").write_bytes(key.read_bytes())
        self.log = (folder / "log").open("wb")
        command = [cluster.build / "app", "mutate", "-https", f"{HOST}:{SECOND_PORT}", "-tls-dir", folder]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.register(cluster, authority)

    def register(self, cluster, authority):
        def webhook(action, reinvocation="Never"):
            return {"name": f"{action}.second.example", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                    "clientConfig": {"url": f"https://{HOST}:{SECOND_PORT}/{action}", "caBundle": encode(authority.cert.read_bytes())},
                    "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                    "namespaceSelector": {"matchLabels": {"second-webhook": action}},
                    # Fail: a pod that exists has been changed by it.
                    "failurePolicy": "Fail", "reinvocationPolicy": reinvocation, "timeoutSeconds": 10}
        configuration = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                         "metadata": {"name": SECOND}, "webhooks": [webhook("change"), webhook("add-container"), webhook("istio", "IfNeeded")]}
        cluster.request("POST", cluster.path("mutatingwebhookconfigurations"), configuration).ok()

        def acts():
            done = cluster.create_pod("second-only", web_pod("trial"), dry_run=True)
            return done.status < 300 and "second-webhook" in str(done.body["spec"])
        wait_for(acts, BUSY, "the second webhook changes pods")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def install_webhook(cluster):
    """As in README.md."""
    cluster.shell(f"cd {cluster.repository} && " + documented("kubectl apply -k deploy/webhook/kustomize/self-signed"))
    cluster.shell("timeout 60 " + documented("kubectl rollout status -n probelet-system deployment/probelet-sidecar-injector"))
    wait_injected(cluster, "first-only")
    return True


def has_no_failed_probe(cluster):
    """kubelet probes readiness as soon as the container runs, before the webhook has its certificate."""
    failed = cluster.get("events", SYSTEM, fieldSelector="reason=Unhealthy")["items"]
    if failed:
        raise Failed("\n".join(event["message"] for event in failed))
    return True


def wait_injected(cluster, namespace, injected=True):
    """Waits until pods of the namespace are injected, or not injected if `injected` is False. The webhook polls its caBundle once a
    minute."""
    def matches():
        done = cluster.create_pod(namespace, web_pod("trial"), dry_run=True)
        return done.status < 300 and is_injected(done.body) == injected
    return wait_for(matches, BUSY, f"pods of {namespace} are {'injected' if injected else 'not injected'}")


def prepare(cluster, report):
    """Returns the second webhook. Nothing else can run before this."""
    report.note(f"API server {cluster.request('GET', '/version').ok()['gitVersion']}")
    if not report.check("images are imported", import_images, cluster):
        raise Failed("no images")
    create_namespaces(cluster)
    authority = Authority(cluster.work, "apps-ca")
    create_secrets(cluster, authority)
    return SecondWebhook(cluster, authority)
