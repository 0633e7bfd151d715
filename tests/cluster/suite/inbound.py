"""Mutual TLS by the agent alone: callers with and without certificates, while certificates rotate and kubelet probes the app."""

import http.client
import ssl
import threading
import time

from .apps import has_no_restarts, roll_out
from .certificates import Authority
from .cluster import encode, is_injected, web_pod
from .report import BUSY, Failed, NotYet, wait_for
from .setup import wait_account

NAMESPACE, SECRET, APP = "inbound", "web-tls", "liveness-http"
WEB, FOREIGN = "URI:spiffe://cluster.local/ns/shop/sa/web", "URI:spiffe://cluster.local/ns/shop/sa/other"
STEADY = 60  # seconds; a failing liveness probe restarts an app within 20


def inbound(cluster, report):
    cluster.kubectl("create", "namespace", NAMESPACE)
    wait_account(cluster, NAMESPACE)
    cluster.apply("inbound.yaml", NAMESPACE)
    report.check("without probelet, healthy liveness-http on loopback is restarted", cluster.wait_restarted, NAMESPACE, APP)
    cluster.kubectl("label", "namespace", NAMESPACE, "probelet.dev/injection=enabled")
    wait_for(lambda: is_injected(cluster.dry_run(NAMESPACE, web_pod("trial"))), BUSY, "the label takes effect")
    output = cluster.kubectl("rollout", "restart", "deployment", "-n", NAMESPACE)
    report.note(output.strip())
    folder = cluster.work / "inbound"
    folder.mkdir()
    old, new = Authority(folder, "old-ca"), Authority(folder, "new-ca")
    callers = Callers(old, new)
    for app in (APP, "own-port"):
        report.check(f"{app} is ready before the Secret exists", roll_out, cluster, NAMESPACE, app)
        wait_for(lambda app=app: len(cluster.pods(NAMESPACE, app)) == 1, BUSY, f"one pod of {app}")
    address, other = (cluster.pod(NAMESPACE, app)["status"]["podIP"] for app in (APP, "own-port"))
    report.check("without the Secret, a caller with a certificate is refused", is_refused, callers.web, address)
    begun = time.monotonic()
    write_secret(cluster, old.sign("leaf-0", WEB), old)
    report.check("with the Secret, a caller with a certificate is served", wait_served, callers.web, address)
    report.check("the same on a port of the sidecar's own, with a key that only the group may read", wait_served, callers.web, other, 8443)
    for name, caller in callers.refused.items():
        report.check(f"a caller {name} is refused", is_refused, caller, address)
        report.check(f"a caller {name} is refused on a port of the sidecar's own", is_refused, caller, other, 8443)
    report.check("a caller in plaintext is refused", is_refused, None, address)
    rotate(cluster, report, callers, old, new, address)
    report.check("with rewriting disabled, liveness-http behind mutual TLS is restarted", cluster.wait_restarted, NAMESPACE, "not-rewritten")
    time.sleep(max(0, begun + STEADY - time.monotonic()))
    for app in (APP, "own-port"):
        report.check(f"RESTARTS of {app} is 0 after a minute of mutual TLS", has_no_restarts, cluster, NAMESPACE, app)
    cluster.set_app(NAMESPACE, APP, "code=500")
    report.check("failing liveness-http behind mutual TLS is restarted", cluster.wait_restarted, NAMESPACE, APP)
    cluster.delete_namespace(NAMESPACE)


class Callers:
    """Clients that trust both CAs."""

    def __init__(self, old, new):
        self.roots = old.cert.read_text() + new.cert.read_text()
        foreign_ca = Authority(old.folder, "foreign-ca")
        self.web, self.renewed = self.client(old.sign("web", WEB)), self.client(new.sign("web", WEB))
        self.refused = {
            "without a certificate": self.client(),
            "with a foreign identity": self.client(old.sign("other", FOREIGN)),
            "with the identity signed by a foreign CA": self.client(foreign_ca.sign("web", WEB)),
        }

    def client(self, pair=None):
        context = ssl.create_default_context(cadata=self.roots)
        context.check_hostname = False
        if pair:
            context.load_cert_chain(*pair)
        return context


class Connection:
    """A connection through the sidecar; in plaintext without a context."""

    def __init__(self, context, address, port=8001):
        kind = http.client.HTTPSConnection if context else http.client.HTTPConnection
        options = {"context": context} if context else {}
        self.connection = kind(address, port, timeout=10, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def get(self):
        self.connection.request("GET", "/foo")
        response = self.connection.getresponse()
        return response.status, response.read()

    def leaf(self):
        self.connection.connect()
        return self.connection.sock.getpeercert(binary_form=True)


def get(context, address, port=8001):
    with Connection(context, address, port) as connection:
        return connection.get()


def is_refused(context, address, port=8001):
    """By an alert of TLS; a client of plaintext gets no response of the app."""
    try:
        answer = get(context, address, port)
    except (ssl.SSLError, http.client.HTTPException, ConnectionError):
        return True
    raise Failed(f"served: {answer}")


def wait_served(context, address, port=8001):
    def served():
        try:
            return get(context, address, port)[0] == 200
        except OSError as error:
            raise NotYet(f"{address}:{port}: {error}") from error
    return wait_for(served, BUSY, "a response of the app")


def write_secret(cluster, pair, *authorities, namespace=NAMESPACE):
    data = {"tls.crt": pair[0].read_bytes(), "tls.key": pair[1].read_bytes(),
            "ca.crt": b"".join(authority.cert.read_bytes() for authority in authorities)}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": {name: encode(text) for name, text in data.items()}}
    path = cluster.path("secrets", namespace)
    if cluster.request("POST", path, secret).status == 409:
        cluster.request("PUT", f"{path}/{SECRET}", secret).ok()


class Load:
    """Connects and sends a request all the time. `caller` may be replaced."""

    def __init__(self, caller, address):
        self.caller, self.address = caller, address
        self.count, self.failures, self.ended = 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended.wait(0.02):
            try:
                status, _ = get(self.caller, self.address)
                if status != 200:
                    self.failures.append(f"status {status}")
            except Exception as error:  # each is a failed connection
                self.failures.append(repr(error))
            self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def has_no_failure(self):
        if self.failures or not self.count:
            raise Failed(f"{len(self.failures)} of {self.count} failed: {self.failures[:3]}")
        return True


def rotate(cluster, report, callers, old, new, address):
    """Renews the leaf and its key, then the CA: both in the bundle, a leaf of the new one, the new one alone."""
    with Connection(callers.web, address) as kept, Load(callers.web, address) as load:
        kept.get()
        for number in range(1, 4):
            renew(cluster, report, callers, address, f"leaf and key are renewed ({number})", old.sign(f"leaf-{number}", WEB), old)
        renew(cluster, report, callers, address, "a leaf comes with both CAs", old.sign("leaf-4", WEB), old, new)
        report.check("a caller of the new CA is served", wait_served, callers.renewed, address)
        load.caller = callers.renewed
        renew(cluster, report, callers, address, "a leaf of the new CA is used", new.sign("leaf-5", WEB), old, new)
        renew(cluster, report, callers, address, "the old CA is removed", new.sign("leaf-6", WEB), new)
        report.check("a connection from before the rotation is still served", lambda: kept.get()[0] == 200)
        for name, caller in {**callers.refused, "of the old CA": callers.web}.items():
            report.check(f"after the rotation, a caller {name} is refused", is_refused, caller, address)
    report.check("no connection failed during the rotation", load.has_no_failure)
    report.note(f"{load.count} connections during the rotation")


def renew(cluster, report, callers, address, what, pair, *authorities, namespace=NAMESPACE):
    """Writes the Secret, and waits until the sidecar presents the new certificate."""
    write_secret(cluster, pair, *authorities, namespace=namespace)
    leaf = ssl.PEM_cert_to_DER_cert(pair[0].read_text())

    def presented():
        try:
            # In TLS 1.3 the server's certificate comes before it verifies the client's.
            with Connection(callers.web, address) as connection:
                return connection.leaf() == leaf
        except OSError as error:
            raise NotYet(str(error)) from error
    report.check(what, wait_for, presented, 90, "the new certificate")
