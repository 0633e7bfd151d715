"""Certificates of the test's own, made with openssl, and the certificate that a server presents."""

import ssl

from .report import NotYet
from .cluster import run

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Authority:
    """A CA, and certificates signed by it."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key, self.cert = folder / f"{name}.key", folder / f"{name}.crt"
        run(["openssl", "req", "-x509", *NEW_KEY, "-days", "3", "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.cert])

    def sign(self, name, alternative_name, days=1, seconds_ago=0):
        """Signs a new key. Returns the files of certificate and key. The certificate's lifetime began `seconds_ago`."""
        cert, key, request, extensions = (self.folder / f"{self.name}-{name}.{suffix}" for suffix in ("crt", "key", "csr", "ext"))
        extensions.write_text(f"subjectAltName={alternative_name}\nextendedKeyUsage=serverAuth,clientAuth\n")
        run(["openssl", "req", *NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request])
        run(["faketime", "-f", f"-{seconds_ago}s", "openssl", "x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key,
             "-CAcreateserial", "-days", str(days), "-extfile", extensions, "-out", cert])
        return cert, key


def presented(host, port):
    """The certificate that a server presents, as PEM."""
    try:
        return ssl.get_server_certificate((host, port), timeout=5)
    except (OSError, TimeoutError) as error:
        raise NotYet(f"{host}:{port}: {error}") from error
