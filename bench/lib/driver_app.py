"""The usual application code, which bench/drivers and bench/haproxy compare Sluice with: a pool of connections to each
shard, one query for each table and shard at once, a heap merge of their rows. It runs with the Python of
peers.drivers_python; the password is in PGPASSWORD.

What is known to make it fast is done: uvloop, statements that are prepared once for each connection, vectors and rows
in binary form, autocommit (no BEGIN and COMMIT around a query), and no reset query between the uses of a connection.

It prints `ready` when its pools are full and every connection has prepared its statements. For each line with a number
of seconds on its standard input it then searches for so long, and prints one line of JSON.
"""

import argparse
import asyncio
import contextlib
import heapq
import itertools
import json
import operator
import os
import struct
import sys
import time

import numpy
import uvloop

DISTANCE = operator.itemgetter(1)


def statement(table, k, placeholder):
    """The vector once, as `distance` names it in ORDER BY; the limit in the text, as Sluice has it."""
    return ("SELECT id, embedding <=> %s AS distance FROM public.%s ORDER BY distance LIMIT %d"
            % (placeholder, table, k))


def binary(vector):
    """pgvector's binary form: dimensions, 0, big-endian float32."""
    return struct.pack(">HH", len(vector), 0) + vector.astype(">f4").tobytes()


class Vector:
    """What the psycopg dumper below knows a vector by."""

    __slots__ = ("data",)

    def __init__(self, data):
        self.data = data


class Psycopg:
    """psycopg 3: an AsyncConnectionPool for each shard."""

    def __init__(self, options):
        self.options, self.prepares = options, not options.unprepared
        self.statements = [statement(table, options.k, "%b") for table in options.tables]

    async def open(self, stack):
        from psycopg_pool import AsyncConnectionPool
        size = self.options.pool
        self.pools = [await stack.enter_async_context(AsyncConnectionPool(
            "host=127.0.0.1 port=%d dbname=sluice user=sluice application_name=%s" % (port, self.options.name),
            min_size=size, max_size=size, open=False, configure=self.configure, kwargs={"autocommit": True}))
            for port in self.options.ports]
        for pool in self.pools:
            await pool.wait()

    async def configure(self, connection):
        from psycopg.adapt import Dumper
        from psycopg.pq import Format
        from psycopg.types import TypeInfo
        info = await TypeInfo.fetch(connection, "vector")

        class BinaryVector(Dumper):
            format, oid = Format.BINARY, info.oid

            def dump(self, value):
                return value.data

        connection.adapters.register_dumper(Vector, BinaryVector)

    def argument(self, data):
        return (Vector(data),)

    def legs(self, argument):
        return [self.leg(pool, text, argument) for pool in self.pools for text in self.statements]

    async def leg(self, pool, text, argument):
        async with pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(text, argument, prepare=self.prepares)
            return await cursor.fetchall()

    async def hold_all(self, work):
        """Every connection at once, so that each has done the work."""
        async with contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(pool.connection()) for pool in self.pools
                    for _ in range(self.options.pool)]
            for connection in held:
                await work(connection)

    async def prepare(self, argument):
        async def all_statements(connection):
            for text in self.statements:
                await (await connection.cursor(binary=True).execute(text, argument, prepare=self.prepares)).fetchall()
        await self.hold_all(all_statements)


class PipelinedPsycopg(Psycopg):
    """The same with one connection for each shard and search, which takes the queries of all tables in a pipeline:
    fewer round trips, and the queries of a shard one after another."""

    def legs(self, argument):
        return [self.shard(pool, argument) for pool in self.pools]

    async def shard(self, pool, argument):
        async with pool.connection() as connection:
            async with connection.pipeline():
                cursors = [connection.cursor(binary=True) for _ in self.statements]
                for cursor, text in zip(cursors, self.statements):
                    await cursor.execute(text, argument, prepare=self.prepares)
                lists = [await cursor.fetchall() for cursor in cursors]
        return heapq.merge(*lists, key=DISTANCE)


class Asyncpg:
    """asyncpg: a pool for each shard. It keeps prepared statements itself."""

    def __init__(self, options):
        self.options = options
        self.statements = [statement(table, options.k, "$1") for table in options.tables]

    async def open(self, stack):
        import asyncpg

        class WithoutReset(asyncpg.Connection):
            """It changes no settings, so there is nothing to reset, and a round trip is spared."""

            def get_reset_query(self):
                return ""

        size = self.options.pool
        self.pools = [await stack.enter_async_context(asyncpg.create_pool(
            host="127.0.0.1", port=port, user="sluice", database="sluice", password=os.environ["PGPASSWORD"],
            min_size=size, max_size=size, init=self.configure, connection_class=WithoutReset,
            server_settings={"application_name": self.options.name})) for port in self.options.ports]

    async def configure(self, connection):
        await connection.set_type_codec("vector", schema="public", encoder=bytes, decoder=bytes, format="binary")

    def argument(self, data):
        return data

    def legs(self, argument):
        return [pool.fetch(text, argument) for pool in self.pools for text in self.statements]

    async def prepare(self, argument):
        async with contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(pool.acquire()) for pool in self.pools
                    for _ in range(self.options.pool)]
            for connection in held:
                for text in self.statements:
                    await connection.fetch(text, argument)


DRIVERS = {"psycopg": Psycopg, "psycopg_pipeline": PipelinedPsycopg, "asyncpg": Asyncpg}


async def search(driver, vector, k):
    lists = await asyncio.gather(*driver.legs(driver.argument(binary(vector))))
    return list(itertools.islice(heapq.merge(*lists, key=DISTANCE), k))


async def turn(driver, vectors, options, seconds):
    """A closed loop: `in_flight` workers, each with one search after another."""
    latencies = []
    began = time.perf_counter()
    end = began + seconds

    async def worker(place):
        now = time.perf_counter()
        while now < end:
            found = await search(driver, vectors[place % len(vectors)], options.k)
            if not found:
                raise RuntimeError("a search found nothing")
            before, now = now, time.perf_counter()
            latencies.append(int((now - before) * 1e6))
            place += options.in_flight

    await asyncio.gather(*(worker(place) for place in range(options.in_flight)))
    return {"seconds": time.perf_counter() - began, "latencies_us": latencies}


async def serve(options):
    vectors = numpy.load(options.vectors).astype(numpy.float32)
    driver = DRIVERS[options.driver](options)
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        await driver.open(stack)
        await driver.prepare(driver.argument(binary(vectors[0])))
        first = [tuple(row) for row in await search(driver, vectors[0], options.k)]
        print("ready", json.dumps(first), flush=True)
        while True:
            line = await loop.run_in_executor(None, sys.stdin.readline)
            if not line:
                return
            print(json.dumps(await turn(driver, vectors, options, float(line))), flush=True)


def run():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--driver", choices=sorted(DRIVERS), required=True)
    parser.add_argument("--name", required=True, help="its application_name")
    parser.add_argument("--ports", type=int, nargs="+", required=True, help="of the shards")
    parser.add_argument("--tables", nargs="+", required=True)
    parser.add_argument("--vectors", required=True, help="a .npy file")
    parser.add_argument("--pool", type=int, required=True, help="connections to each shard")
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--unprepared", action="store_true", help="psycopg: each statement is parsed each time")
    parser.add_argument("-k", type=int, required=True)
    uvloop.install()
    asyncio.run(serve(parser.parse_args()))


run()
