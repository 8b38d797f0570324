"""Loads a table over the shards, placing rows as PostgreSQL's own hash partitioning by id would."""

import array
import ast
import csv
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from home import Failure

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
COPY_TRAILER = struct.pack(">h", -1)


class Table:
    """What to load. `columns` are (name, SQL type) after id, among them `embedding`; `index_options` is the
    WITH clause of its HNSW index; `fingerprint` names the data, so that a second load knows it. `generated` are
    columns that PostgreSQL computes (name, SQL type, expression), `indexes` further ones (name, what follows USING)."""

    def __init__(self, name, columns, index_options="", fingerprint="", generated=(), indexes=()):
        self.name, self.columns, self.fingerprint = name, columns, fingerprint
        self.generated = generated
        self.indexes = [("embedding_hnsw", "hnsw (embedding vector_cosine_ops)" + index_options), *indexes]

    def index_names(self):
        return ["%s_%s" % (self.name, ending) for ending, _ in self.indexes]

    def mark(self, shard, shards):
        """The table's comment when it holds this shard's rows of this data: how a second load knows."""
        return "sluice %s: modulus %d, remainder %d" % (self.fingerprint, shards, shard)


def loaded_rows(server, table, shard, shards):
    """The number of rows if the shard holds exactly this table, with valid indexes; else None."""
    names = ", ".join("'%s'" % name for name in table.index_names())
    rows = server.query(
        "SELECT obj_description(c.oid, 'pg_class'), (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid "
        "AND i.indexrelid::regclass::text IN ({1}) AND i.indisvalid) "
        "FROM pg_class c WHERE c.oid = to_regclass('public.{0}')".format(table.name, names))
    if rows != [[table.mark(shard, shards), str(len(table.indexes))]]:
        return None
    return int(server.query("SELECT count(*) FROM public.%s" % table.name)[0][0])


def load(cluster, table, chunks, expected):
    """Loads `table` on every shard from `chunks`, a function that yields rows in COPY's binary form, and checks
    that the shards together hold `expected` rows."""
    primaries = [group[0] for group in cluster.groups]
    processes = [start_copy(server, table, shard, len(primaries)) for shard, server in enumerate(primaries)]
    try:
        with ThreadPoolExecutor(len(processes)) as pool:
            for chunk in framed(chunks):
                list(pool.map(lambda process: feed(process, chunk), processes))
            results = list(pool.map(finish, processes))
    except BaseException:
        for process in processes:
            process.kill()
            process.wait()
        raise
    for server, (code, errors) in zip(primaries, results):
        if code != 0:
            raise Failure("loading %s on %s failed:\n%s" % (table.name, server.name, errors))
    for server in primaries:
        server.query("VACUUM (ANALYZE) public.%s" % table.name)
    counts = [loaded_rows(server, table, shard, len(primaries)) for shard, server in enumerate(primaries)]
    if None in counts or sum(counts) != expected:
        raise Failure("%s: the shards hold %s rows; %d were to be loaded" % (table.name, counts, expected))
    return counts


def given_columns(table):
    """The columns that rows bring, as CREATE TABLE has them."""
    return ["id bigint NOT NULL", *("%s %s NOT NULL" % column for column in table.columns)]


def computed_columns(table):
    return ["%s %s NOT NULL GENERATED ALWAYS AS (%s) STORED" % column for column in table.generated]


def make_empty(cluster, table):
    """The table on every shard's primary without rows or indexes, for a load through the gateway."""
    for group in cluster.groups:
        group[0].query(
            "SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS vector; "
            "DROP TABLE IF EXISTS public.{0}; CREATE TABLE public.{0} ({1}, PRIMARY KEY (id))".format(
                table.name, ", ".join(given_columns(table) + computed_columns(table))))


def finish_loaded(cluster, table, expected):
    """Builds the indexes of a table that the gateway has loaded, and checks that the shards together hold
    `expected` rows, each where PostgreSQL's hash partitioning would put it."""
    for shard, group in enumerate(cluster.groups):
        for name, (_, index) in zip(table.index_names(), table.indexes):
            group[0].query("SET client_min_messages = warning; CREATE INDEX IF NOT EXISTS %s ON public.%s USING %s"
                           % (name, table.name, index))
        group[0].query("VACUUM (ANALYZE) public.%s" % table.name)
        strangers = group[0].query(
            "CREATE TEMP TABLE placement (id bigint) PARTITION BY HASH (id); SELECT count(*) FROM public.%s WHERE NOT "
            "satisfies_hash_partition('placement'::regclass, %d, %d, id)" % (table.name, len(cluster.groups), shard))
        if strangers != [["0"]]:
            raise Failure("%s: %s rows are on the wrong shard" % (table.name, strangers))
        group[0].query("COMMENT ON TABLE public.%s IS '%s'" % (table.name, table.mark(shard, len(cluster.groups))))
    counts = [loaded_rows(group[0], table, shard, len(cluster.groups)) for shard, group in enumerate(cluster.groups)]
    if None in counts or sum(counts) != expected:
        raise Failure("%s: the shards hold %s rows; %d were to be loaded" % (table.name, counts, expected))
    return counts


def framed(chunks):
    yield COPY_HEADER
    yield from chunks()
    yield COPY_TRAILER


def start_copy(server, table, shard, shards):
    """psql on one shard: every row goes into a temporary table, and those that PostgreSQL says are this
    shard's (`satisfies_hash_partition`) into the real one, in one transaction."""
    names = "id, " + ", ".join(name for name, _ in table.columns)
    steps = [
        "SET client_min_messages = warning",
        "CREATE EXTENSION IF NOT EXISTS vector",
        "DROP TABLE IF EXISTS public.%s" % table.name,
        "CREATE TABLE public.%s (%s)" % (table.name, ", ".join(given_columns(table) + computed_columns(table))),
        "CREATE TEMP TABLE arriving (%s)" % ", ".join(given_columns(table)),
        "CREATE TEMP TABLE placement (id bigint) PARTITION BY HASH (id)",
        "\\copy arriving FROM pstdin WITH (FORMAT binary)",
        "INSERT INTO public.%s (%s) SELECT %s FROM arriving WHERE satisfies_hash_partition("
        "'placement'::regclass, %d, %d, id) ORDER BY id" % (table.name, names, names, shards, shard),
        "DROP TABLE arriving, placement",
        "ALTER TABLE public.%s ADD PRIMARY KEY (id)" % table.name,
        *("CREATE INDEX %s ON public.%s USING %s" % (name, table.name, definition)
          for name, (_, definition) in zip(table.index_names(), table.indexes)),
        "COMMENT ON TABLE public.%s IS '%s'" % (table.name, table.mark(shard, shards)),
    ]
    command = [server.tool("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction"]
    for step in steps:
        command += ["-c", step]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            env=server.login())


def feed(process, chunk):
    try:
        process.stdin.write(chunk)
    except BrokenPipeError:
        pass  # psql has ended; its message and exit code say why


def finish(process):
    try:
        process.stdin.close()
    except BrokenPipeError:
        pass
    errors = process.stderr.read().decode("utf-8", "replace")
    return process.wait(), errors


# Rows in COPY's binary form


def field(value):
    return struct.pack(">i", len(value)) + value


def text(value):
    return field(value.encode("utf-8"))


def bigint(value):
    return field(struct.pack(">q", value))


def integer(value):
    return field(struct.pack(">i", value))


def vector(floats):
    """pgvector's binary form: dimensions, 0, big-endian float32."""
    numbers = array.array("f", floats)
    if sys.byteorder == "little":
        numbers.byteswap()
    return field(struct.pack(">hh", len(numbers), 0) + numbers.tobytes())


def row(*fields):
    return struct.pack(">h", len(fields)) + b"".join(fields)


# Files


def read_npy(path):
    """Yields the rows of a two-dimensional little-endian float16 or float32 .npy file as tuples."""
    with open(path, "rb") as file:
        magic = file.read(8)
        if magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2):
            raise Failure("%s is not a NumPy file of version 1 or 2" % path)
        length = struct.unpack("<H", file.read(2))[0] if magic[6] == 1 else struct.unpack("<I", file.read(4))[0]
        header = ast.literal_eval(file.read(length).decode("latin-1"))
        kinds = {"<f2": ("e", 2), "<f4": ("f", 4)}
        if header["descr"] not in kinds or header["fortran_order"] or len(header["shape"]) != 2:
            raise Failure("%s holds %s; two-dimensional float16 or float32 is needed" % (path, header))
        code, size = kinds[header["descr"]]
        rows, width = header["shape"]
        for _ in range(rows):
            data = file.read(size * width)
            if len(data) != size * width:
                raise Failure("%s is cut short" % path)
            yield struct.unpack("<%d%s" % (width, code), data)


def npy_header(rows, width):
    """What precedes the rows of a two-dimensional little-endian float32 .npy file."""
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d)}" % (rows, width)
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
