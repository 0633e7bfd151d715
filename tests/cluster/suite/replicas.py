"""The webhook while its certificate is replaced: every pod is injected."""

import socket
import ssl
import time

from .certificates import Authority
from .cluster import encode
from .instances import SECRET, Instance, certificates_in, creations
from .report import BUSY, Failed, wait_for
from .setup import wait_injected


def replaced_certificates(cluster, report):
    """Three replicas that start at once; then their Secret is deleted and overwritten, and their configuration recreated."""
    instance = Instance(cluster, "self-signed", "replaced", replicas=3)
    instance.install()
    report.check("three replicas that start at once present one certificate", lambda: len(instance.presented_by_pods()) == 1)
    report.check("three replicas that start at once publish one CA", lambda: certificates_in(instance.bundle()) == 1)
    report.check("three replicas: pods are injected", wait_injected, cluster, instance.pods)
    garbage = {name: b"garbage" for name in ("tls.crt", "tls.key", "ca.crt")}
    for what, disturb in (("deleted", lambda: cluster.kubectl("delete", "secret", SECRET, "-n", instance.namespace)),
                          ("overwritten", lambda: instance.patch_secret(garbage))):
        with creations(instance) as created:
            before = instance.presented()
            disturb()
            report.check(f"Secret {what}: all replicas present one new certificate", wait_replaced, instance, before)
            time.sleep(2)
        report.check(f"Secret {what}: all of {created.count} pods are injected", created.check, 5)
    foreign = Authority(cluster.work, "foreign-ca")
    instance.patch_bundle(encode(foreign.cert.read_bytes()))
    report.check("a caBundle without the CA is completed", wait_injected, cluster, instance.pods)
    configuration = next(each for each in instance.objects if each["kind"] == "MutatingWebhookConfiguration")
    path = cluster.path("mutatingwebhookconfigurations")
    cluster.request("DELETE", f"{path}/{instance.namespace}").ok()
    report.check("without a configuration pods are not injected", wait_injected, cluster, instance.pods, False)
    cluster.request("POST", path, configuration).ok()
    report.check("a configuration that is created again gets the CA", wait_injected, cluster, instance.pods)
    instance.remove()


def wait_replaced(instance, before):
    """A client that rejects the certificate, as the API server does without its CA, makes a replica refresh it soon."""
    def replaced():
        for pod in instance.cluster.pods(instance.namespace):
            reject(pod["status"]["podIP"])
        presented = instance.presented_by_pods()
        return len(presented) == 1 and before not in presented
    return wait_for(replaced, BUSY, "a new certificate")


def reject(address):
    try:
        with socket.create_connection((address, 8443), timeout=5) as connection:
            ssl.create_default_context().wrap_socket(connection, server_hostname="webhook.example")
    except ssl.SSLCertVerificationError:
        return
    raise Failed("the certificate is not rejected")
