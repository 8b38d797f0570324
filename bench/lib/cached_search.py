"""A search that the gateway's result cache answers, so that PostgreSQL has no part in it: what is left is to decode,
check and plan the request, to look its answer up, and to encode it."""

import json
import os
import struct
import subprocess

import loader
from errors import Failure
from gateway import URL, write_configuration

ROWS = 10
SETTINGS = ["limits: {max_pings: 1000000000}", "cache: {ttl: 24h}"]


def prepare(cluster, home, dimensions):
    """A table of so many dimensions with rows enough for an answer, and the file of the one query vector."""
    name = "wide_%d" % dimensions
    count = 4 * ROWS
    table = loader.Table(name, [("embedding", "vector(%d)" % dimensions)], fingerprint="%s rows %d" % (name, count))
    counts = [loader.loaded_rows(group[0], table, shard, len(cluster.groups))
              for shard, group in enumerate(cluster.groups)]
    if None in counts or sum(counts) != count:
        rows = [loader.row(loader.bigint(number), loader.vector(point(dimensions, number)))
                for number in range(1, count + 1)]
        loader.load(cluster, table, lambda: rows, count)
    path = os.path.join(home.path, name + "-query.npy")
    with open(path, "wb") as file:
        file.write(loader.npy_header(1, dimensions))
        file.write(struct.pack("<%df" % dimensions, *point(dimensions, 0)))
    return name, path


def point(dimensions, number):
    return [1 + (place * (number + 3)) % 97 / 97 for place in range(dimensions)]


def check_cache(gateway, collection, dimensions):
    """A second equal search is answered by the cache, with all its rows: else something else is compared."""
    vector = "[%s]" % ",".join("%r" % number for number in point(dimensions, 0))
    for expected in ("executed", "cache"):
        done = subprocess.run([gateway.command[0], "search", "--gateway", URL, "--collection", collection, "--vector",
                               vector, "-k", str(ROWS), "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        if done.returncode != 0:
            raise Failure("`sluice search` ended with code %d: %s" % (done.returncode, done.stderr.strip()))
        answer = json.loads(done.stdout)
        if answer["source"] != expected or len(answer["hits"]) != ROWS:
            raise Failure("a search that `%s` was to answer with %d rows was answered by `%s` with %d"
                          % (expected, ROWS, answer["source"], len(answer["hits"])))


def configuration(cluster, collection, dimensions):
    return write_configuration(
        cluster, "bench-cached", SETTINGS,
        ["  - {name: %s, table: public.%s, metric: cosine, dimensions: %d, cache: true}"
         % (collection, collection, dimensions)], primaries_only=True)
