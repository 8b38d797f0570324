"""A table that costs PostgreSQL next to nothing to search: 8 rows of 3 dimensions on both shards together."""

import os
import struct

import loader

ROWS = 8


def prepare(cluster, home):
    """Makes the table if it is not there, and the file of query vectors, whose path it returns."""
    table = loader.Table("tiny", [("embedding", "vector(3)")], fingerprint="tiny rows %d" % ROWS)
    points = [(1.0, number, number * number / 8) for number in range(ROWS)]
    counts = [loader.loaded_rows(group[0], table, shard, len(cluster.groups))
              for shard, group in enumerate(cluster.groups)]
    if None in counts or sum(counts) != ROWS:
        rows = [loader.row(loader.bigint(number), loader.vector(point)) for number, point in enumerate(points, 1)]
        loader.load(cluster, table, lambda: rows, ROWS)
    path = os.path.join(home.path, "tiny-queries.npy")
    with open(path, "wb") as file:
        file.write(loader.npy_header(ROWS, 3))
        file.write(b"".join(struct.pack("<3f", *point) for point in points))
    return path
