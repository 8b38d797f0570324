"""More shards than the local replicas have, for one benchmark: started below their home, stopped at the end. Their data
stays there for the next time; `SLUICE_HOME=.sluice/shards-4 scripts/replicas down --purge` removes it."""

import contextlib
import os
import subprocess

from cluster import Cluster
from errors import Failure
from home import PROJECT, Home

PORT_OFFSET = 200


def environment(home, cluster, shards):
    """In which scripts/replicas and the benchmarks' scripts work on these shards."""
    return dict(os.environ, SLUICE_HOME=os.path.join(home.path, "shards-%d" % shards),
                SLUICE_BASE_PORT=str(cluster.port + PORT_OFFSET))


def call(command, env):
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    if done.returncode != 0:
        raise Failure("%s ended with code %d:\n%s" % (" ".join(command[:2]), done.returncode, done.stdout[-2000:]))


@contextlib.contextmanager
def shards_of_own(cluster, count):
    """A cluster of `count` shards without standbys, and the environment of scripts that work on it: the first shards
    of `cluster` where it has so many, else shards of the benchmark's own."""
    if count <= len(cluster.groups):
        yield cluster.first(count), dict(os.environ)
        return
    env = environment(cluster.home, cluster, count)
    replicas = os.path.join(PROJECT, "scripts", "replicas")
    try:
        call([replicas, "up", "--shards", str(count), "--standbys", "0"], env)
        yield Cluster.existing(Home(env["SLUICE_HOME"])), env
    finally:
        call([replicas, "down"], env)
