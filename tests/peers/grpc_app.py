"""Servers of grpcio for the tests: one with the health service, one without, one that fails as selected by
the service name, one that looks at the metadata of the call, and the first again over TLS, with a required client
certificate, and on the UNIX socket app.sock of the folder.

The argument is a folder with app.pem, app.key and ca.pem. Prints its ports as one line of JSON and serves
until standard input ends.
"""

import json
import sys
from concurrent import futures
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


class Failing(health_pb2_grpc.HealthServicer):
    """The name of the service selects the status of the call."""

    def Check(self, request, context):
        if request.service == "slow":
            # Until the client cancels or the server stops.
            done = futures.Future()
            context.add_callback(lambda: done.set_result(None))
            done.result()
        if request.service == "details":
            context.abort(grpc.StatusCode.UNAVAILABLE, "100 % no\n\u00e9" + "x" * 4000)
        if request.service == "metadata":
            context.send_initial_metadata((("x-long", "y" * 4000), ("x-bin", b"\0\xff")))
            context.set_trailing_metadata((("x-trailing", "z" * 2000),))
            return health_pb2.HealthCheckResponse(status=1)
        if request.service == "raises":
            raise ValueError("on purpose")
        context.abort(grpc.StatusCode[request.service], "on purpose")


class Metadata(health_pb2_grpc.HealthServicer):
    """Serving if the metadata of the call has each line `name: value` of the service's name."""

    def Check(self, request, context):
        sent = [f"{name}: {value}" for name, value in context.invocation_metadata()]
        is_sent = all(any(line.startswith(wanted) for line in sent) for wanted in request.service.splitlines())
        return health_pb2.HealthCheckResponse(status=1 if is_sent else 2)


def healthy():
    servicer = health.HealthServicer()
    for name, status in {
        "": "SERVING",
        "up": "SERVING",
        "a/b?c=%41 \u00e4": "SERVING",
        "down": "NOT_SERVING",
        "unknown": "UNKNOWN",
        "service-unknown": "SERVICE_UNKNOWN",
    }.items():
        servicer.set(name, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    return servicer


def start(servicer, credentials=None, unix_path=None):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    if servicer:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    address = "127.0.0.1:0"
    if credentials:
        port = server.add_secure_port(address, credentials)
    else:
        port = server.add_insecure_port(address)
    if unix_path:
        server.add_insecure_port(f"unix:{unix_path}")
    server.start()
    return server, port


def main():
    folder = Path(sys.argv[1])
    read = lambda name: (folder / name).read_bytes()
    pair = [(read("app.key"), read("app.pem"))]
    one_way = grpc.ssl_server_credentials(pair)
    mutual = grpc.ssl_server_credentials(pair, read("ca.pem"), require_client_auth=True)
    servers = {
        "health": start(healthy(), unix_path=folder / "app.sock"),
        "bare": start(None),
        "failing": start(Failing()),
        "metadata": start(Metadata()),
        "tls": start(healthy(), one_way),
        "mutual": start(healthy(), mutual),
    }
    print(json.dumps({name: port for name, (_, port) in servers.items()}), flush=True)
    sys.stdin.read()
    for server, _ in servers.values():
        server.stop(None)


main()
