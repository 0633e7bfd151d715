"""A client of grpcio over mutual TLS: grpc_client.py PORT NAME calls the health service a hundred times over one
connection, with the certificate NAME.pem of this folder. Prints the last status and the number of calls, or the error.
"""

import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def main():
    port, name = sys.argv[1:]
    read = lambda file: Path(file).read_bytes()
    credentials = grpc.ssl_channel_credentials(read("ca.pem"), read(f"{name}.key"), read(f"{name}.pem"))
    options = [("grpc.ssl_target_name_override", "server.test")]
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            for _ in range(100):
                response = stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        except grpc.RpcError as error:
            print(error.code().name)
        else:
            print(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status), 100)


main()
