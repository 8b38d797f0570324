"""The tables that the gateways of scripts/cluster serve: `items`, to be searched, and `writes`, empty."""

import os
import random
import struct

import loader
from home import say

ROWS, DIMENSIONS, QUERIES = 2000, 32, 64

# The timeline on which a server that is no standby writes.
TIMELINE = "('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint"
# Each row of `writes` says which server took it when, on which timeline, and from which gateway.
WITNESSES = ("port int DEFAULT inet_server_port(), timeline bigint DEFAULT %s, at timestamptz DEFAULT "
             "clock_timestamp(), gateway text DEFAULT current_setting('application_name')" % TIMELINE)


def points(count, seed):
    source = random.Random(seed)
    for _ in range(count):
        yield [source.gauss(0, 1) for _ in range(DIMENSIONS)]


class Primaries:
    """What loader.py takes for a cluster: a server for each shard, the one to write to."""

    def __init__(self, cluster):
        self.groups = [[shard.leader().server] for shard in cluster.shards]


def load(cluster):
    """What was made, in words, or None if all of it was there."""
    primaries = Primaries(cluster)
    servers = [group[0] for group in primaries.groups]
    table = loader.Table("items", [("note", "text"), ("embedding", "vector(%d)" % DIMENSIONS)],
                         fingerprint="cluster sample %d" % ROWS)
    table.indexes = [("embedding_hnsw", "hnsw (embedding vector_l2_ops)")]
    for server in servers:
        server.query("SET client_min_messages = warning; CREATE TABLE IF NOT EXISTS public.writes "
                     "(id bigint PRIMARY KEY, note text NOT NULL, embedding vector(3) NOT NULL, " + WITNESSES + "); "
                     "CREATE TABLE IF NOT EXISTS public.probes (id bigint PRIMARY KEY, member text NOT NULL)")
    counts = [loader.loaded_rows(server, table, shard, len(servers)) for shard, server in enumerate(servers)]
    if None not in counts and sum(counts) == ROWS:
        return None
    say("loading %d rows" % ROWS)
    rows = [loader.row(loader.bigint(number), loader.text("item %d" % number), loader.vector(point))
            for number, point in enumerate(points(ROWS, 1), 1)]
    loader.load(primaries, table, lambda: rows, ROWS)
    for shard in cluster.shards:
        cluster.await_replay(shard)
    return "%d rows are in `items`; `writes` and `probes` are there" % ROWS


def queries(home):
    """A file of query vectors; returns its path."""
    path = os.path.join(home.path, "queries.npy")
    with open(path, "wb") as file:
        file.write(loader.npy_header(QUERIES, DIMENSIONS))
        file.write(b"".join(struct.pack("<%df" % DIMENSIONS, *point) for point in points(QUERIES, 2)))
    return path
