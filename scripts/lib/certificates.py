"""TLS for a benchmark's gateway."""

import os
import subprocess

from home import Failure

ADDRESS = "127.0.0.1:7413"


def certificate(folder):
    """One that is its own authority, for the loopback address."""
    paths = [os.path.join(folder, name) for name in ("server.crt", "server.key")]
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode != 0:
        raise Failure("openssl: " + done.stdout.strip()[-500:])
    return paths


def listen(path):
    """Has a written configuration listen for TLS, too."""
    with open(path) as file:
        text = file.read().replace("listen: {", "listen: {tls: %s, " % ADDRESS, 1)
    with open(path, "w") as file:
        file.write(text)
