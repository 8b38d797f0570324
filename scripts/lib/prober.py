"""Writes straight to every member of a shard that will take it, and says what was acknowledged: what a client would see
that knows no topology, and so Patroni's own gap. Run by the Python that has psycopg; ends at the end of its input.

Input: a line of JSON, {"members": [{"name", "port"}], "password", "first", "timeline"}, the last being SQL that gives
it. Output: lines `TIME MEMBER ID TIMELINE`, TIME of the monotonic clock.
"""

import json
import os
import sys
import threading
import time

import psycopg

INTERVAL = 0.05


def probe(member, password, timeline, first, step):
    insert = "INSERT INTO probes (id, member) VALUES (%s, %s) RETURNING " + timeline
    connection, row = None, first
    while True:
        began = time.monotonic()
        try:
            if connection is None:
                connection = psycopg.connect(
                    host="127.0.0.1", port=member["port"], dbname="sluice", user="sluice", password=password,
                    connect_timeout=2, autocommit=True, options="-c statement_timeout=2s")
            if connection.execute("SELECT NOT pg_is_in_recovery()").fetchone()[0]:
                found = connection.execute(insert, (row, member["name"])).fetchone()[0]
                line = "%.6f %s %d %d\n" % (time.monotonic(), member["name"], row, found)
                os.write(1, line.encode())  # whole, whichever threads write at the same time
        except psycopg.Error:
            if connection is not None:
                connection.close()
            connection = None
        row += step
        time.sleep(max(0, began + INTERVAL - time.monotonic()))


def run():
    task = json.loads(sys.stdin.readline())
    members = task["members"]
    for number, member in enumerate(members):
        threading.Thread(target=probe, daemon=True, args=(
            member, task["password"], task["timeline"], task["first"] + number, len(members))).start()
    sys.stdin.read()
    os._exit(0)  # a thread may wait for a commit that does not come


run()
