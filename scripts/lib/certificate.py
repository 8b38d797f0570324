"""A certificate for a benchmark: its own authority, for the loopback address."""

import os
import subprocess

from home import Failure


def make(folder):
    """Makes it with the `openssl` command; returns the paths of the certificate and its key."""
    paths = [os.path.join(folder, name) for name in ("server.crt", "server.key")]
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "30",
         "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode != 0:
        raise Failure("openssl: " + done.stdout.strip()[-500:])
    return paths


def listening(path, address, certificate, key):
    """Adds a TLS listener to a configuration that a benchmark has written."""
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace("listen: {", "listen: {tls: %s, " % address, 1)
                   + "tls: {certificate: %s, key: %s}\n" % (certificate, key))
