"""An app in HTTP/2 on PyPI's h2: the path of a request selects its behaviour. Once in plaintext with prior
knowledge, once over TLS.

The argument is a folder with app.pem and app.key. Prints its ports as one line of JSON and serves until standard
input ends.
"""

import json
import socket
import ssl
import sys
import threading
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings


PATHS = """
    fine tables redirect trailers interim padded settings body-of-40-kib broken reset goaway stalls never
""".split()


class Connection:
    def __init__(self, stream):
        self.stream = stream
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.stream.sendall(self.h2.data_to_send())

    def serve(self):
        while True:
            data = self.stream.recv(65536)
            if not data:
                return
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.answer(event.stream_id, dict(event.headers))
            self.flush()

    def head(self, stream, fields, end=False):
        self.h2.send_headers(stream, fields, end_stream=end)

    def answer(self, stream, request):
        for name in (":method", ":path", ":scheme", ":authority"):
            assert name in request, request
        assert request[":method"] == "GET", request
        what = request[":path"].split("/")[-1].split("?")[0]
        what = what.removeprefix("peer-").removeprefix("h2c-").removeprefix("h2-")
        if what not in PATHS:
            return self.head(stream, [(":status", "404")], end=True)
        getattr(self, what.replace("-", "_"))(stream)

    def fine(self, stream):
        self.head(stream, [(":status", "200"), ("content-length", "4"), ("server", "h2")])
        self.h2.send_data(stream, b"fine", end_stream=True)

    def tables(self, stream):
        """Huffman-coded fields that the encoder adds to its table, refers to, and evicts."""
        fields = [("x-%d" % (n % 70), "value of field %d" % (n % 70)) for n in range(400)]
        self.head(stream, [(":status", "200")] + fields)
        self.h2.send_data(stream, b"fine", end_stream=True)

    def redirect(self, stream):
        self.head(stream, [(":status", "302"), ("location", "/peer-fine?from=redirect")], end=True)

    def trailers(self, stream):
        self.head(stream, [(":status", "200")])
        self.h2.send_data(stream, b"fine")
        self.head(stream, [("x-sum", "1")], end=True)

    def interim(self, stream):
        self.head(stream, [(":status", "103"), ("link", "</x>")])
        self.fine(stream)

    def padded(self, stream):
        self.head(stream, [(":status", "200")])
        self.h2.send_data(stream, b"fine", end_stream=True, pad_length=200)

    def settings(self, stream):
        codes = h2.settings.SettingCodes
        self.h2.update_settings({codes.MAX_CONCURRENT_STREAMS: 7, codes.HEADER_TABLE_SIZE: 100})
        self.h2.ping(b"12345678")
        self.fine(stream)

    def body_of_40_kib(self, stream):
        """Fills the client's flow-control window."""
        self.head(stream, [(":status", "200")])
        left = 40 * 1024
        while left and (part := min(left, 4096, self.h2.local_flow_control_window(stream))):
            self.h2.send_data(stream, b"x" * part, end_stream=part == left)
            left -= part

    def broken(self, stream):
        self.head(stream, [(":status", "500")])
        self.h2.send_data(stream, b"broken", end_stream=True)

    def reset(self, stream):
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)

    def goaway(self, stream):
        self.h2.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
        self.flush()
        # Otherwise the close would depend on later frames.
        raise OSError("gone")

    def stalls(self, stream):
        self.head(stream, [(":status", "200"), ("content-length", "9")])
        self.h2.send_data(stream, b"half")

    def never(self, stream):
        pass


def serve(accepted, context):
    try:
        with accepted, context.wrap_socket(accepted, server_side=True) if context else accepted as stream:
            Connection(stream).serve()
    except (OSError, h2.exceptions.ProtocolError):
        pass


def listen(context):
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept():
        while True:
            accepted, _ = listener.accept()
            threading.Thread(target=serve, args=(accepted, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def main():
    folder = Path(sys.argv[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "app.pem", folder / "app.key")
    context.set_alpn_protocols(["h2"])
    print(json.dumps({"plain": listen(None), "tls": listen(context)}), flush=True)
    sys.stdin.read()


main()
