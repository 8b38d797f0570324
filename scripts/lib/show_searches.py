"""Runs sample queries through `sluice search` and prints what they found; used by scripts/demo.

Usage: show_searches.py SLUICE GATEWAY ROW...
"""

import json
import os
import subprocess
import sys
import time

from home import PROJECT, Failure, main

DATA = os.path.join(PROJECT, "bench", "data", "packages")


def search(binary, gateway, row):
    """The reply to one query over both collections, and the command's milliseconds."""
    command = [binary, "search", "--gateway", gateway, "--collection", "programs", "--collection", "libraries",
               "--vector-file", os.path.join(DATA, "queries.npy"), "--row", str(row), "-k", "5",
               "--columns", "name", "--json"]
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    spent = (time.monotonic() - began) * 1000
    if done.returncode != 0:
        raise Failure("`sluice search` ended with code %d: %s" % (done.returncode, done.stderr.strip()))
    try:
        return json.loads(done.stdout), spent
    except ValueError:
        raise Failure("`sluice search --json` printed no JSON: %r" % done.stdout[:200])


def show(query, reply, spent):
    print("\n\"%s\"   %.2f ms in the gateway (%d legs), %.0f ms for the command"
          % (query, reply["elapsed_us"] / 1000, len(reply["legs"]), spent))
    for place, hit in enumerate(reply["hits"], 1):
        print("  %d  %-9s  %-42s  %.4f   %s on %s" % (place, hit["collection"], hit["columns"]["name"],
                                                       hit["distance"], hit["shard"], hit["replica"]), flush=True)


def run():
    binary, gateway = sys.argv[1:3]
    with open(os.path.join(DATA, "queries.txt"), encoding="utf-8") as file:
        queries = file.read().splitlines()
    for row in map(int, sys.argv[3:]):
        reply, spent = search(binary, gateway, row)
        show(queries[row], reply, spent)


main(run)
