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
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 3)}" % ROWS
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        file.write(b"".join(struct.pack("<3f", *point) for point in points))
    return path
