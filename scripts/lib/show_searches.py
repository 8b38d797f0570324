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
    slowest = max((leg["wait_us"] + leg["execute_us"] for leg in reply["legs"]), default=0) / 1000
    print("\n\"%s\"   %.1f ms for the command, %.1f ms for the slowest of %d legs"
          % (query, spent, slowest, len(reply["legs"])))
    for place, hit in enumerate(reply["hits"], 1):
        leg = reply["legs"][hit["leg"]] if "leg" in hit else {}
        print("  %d  %-9s  %-38s  %.4f   %s on %s" % (
            place, hit.get("collection", leg.get("collection")), hit["columns"]["name"], hit["distance"],
            hit.get("shard", leg.get("shard")), hit.get("replica", leg.get("replica"))), flush=True)


def run():
    binary, gateway = sys.argv[1:3]
    with open(os.path.join(DATA, "queries.txt"), encoding="utf-8") as file:
        queries = file.read().splitlines()
    for row in map(int, sys.argv[3:]):
        reply, spent = search(binary, gateway, row)
        show(queries[row], reply, spent)


main(run)
