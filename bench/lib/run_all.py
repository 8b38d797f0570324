#!/usr/bin/env python3
"""Runs the benchmarks one after another and keeps what each has found in a file, with the machine and the versions
that it was found on. One that fails does not keep the others from running; the exit code says so at the end.
bench/run builds, brings the replicas up, and runs this.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from results import positive  # noqa: E402  (finds scripts/lib, too)
from home import Home, main, say  # noqa: E402
from machine import machine, versions  # noqa: E402
from suite import BENCH, NOT_QUICK, there  # noqa: E402

QUICK_LIMIT = 600  # seconds for one benchmark


def arguments():
    parser = argparse.ArgumentParser(prog="run", description="Runs the benchmarks: builds, brings replicas up, "
                                     "measures, and stops what it has started.")
    parser.add_argument("--only", action="append", metavar="NAME", choices=there(), help="only this one; repeatable")
    parser.add_argument("--list", action="store_true", help="the names of all")
    parser.add_argument("--quick", action="store_true", help="on small data, in a few minutes: do they work? Results "
                        "go to bench-results in $SLUICE_HOME")
    parser.add_argument("--json", action="store_true", help="all results as JSON on the last line")
    parser.add_argument("--turns", type=positive(int), help="of each side, instead of each benchmark's own number")
    parser.add_argument("--seconds", type=positive(float), help="a turn, instead of each benchmark's own")
    return parser.parse_args()


def measure(name, options):
    """The JSON of one benchmark, or None if it has failed. What else it prints is passed on."""
    command = [os.path.join(BENCH, name), "--json"] + (["--quick"] if options.quick else [])
    command += [word for option in ("turns", "seconds") if getattr(options, option)
                for word in ("--" + option, "%g" % getattr(options, option))]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, universal_newlines=True)
    limit = threading.Timer(QUICK_LIMIT, lambda: process.send_signal(signal.SIGINT))
    if options.quick:
        limit.start()
    try:
        held = None  # the last line is not passed on: it is the JSON
        for line in process.stdout:
            if held is not None:
                say(held)
            held = line.rstrip("\n")
        if process.wait() == 0:
            return json.loads(held or "")
        if held is not None:
            say(held)
        say("%s ended with code %d" % (name, process.returncode))
    except ValueError:
        say("%s: its last line is no JSON" % name)
    finally:
        limit.cancel()
        if process.poll() is None:  # interrupted: it has been told so, too, and stops what it has started
            process.wait()
    return None


def run():
    options = arguments()
    if options.list:
        say("\n".join(there()))
        return 0
    names = [name for name in there() if name in (options.only or there())]
    if options.quick and not options.only:
        names = [name for name in names if name not in NOT_QUICK]
    home = Home()
    folder = os.path.join(home.path, "bench-results") if options.quick else os.path.join(BENCH, "results")
    os.makedirs(folder, exist_ok=True)
    found, failed, known = {}, [], versions()
    for name in names:
        say("\n-- %s" % name)
        began, where = time.monotonic(), machine(0.5 if options.quick else 5)
        result = measure(name, options)
        if result is None:
            failed.append(name)
            continue
        found[name] = {"machine": where, "versions": known, "result": result}
        home.save(os.path.join(folder, name + ".json"), found[name])
        say("-- %s: %.0f s" % (name, time.monotonic() - began))
    entries = [entry for each in found.values() for entry in each["result"]["ratios"] + each["result"]["values"]]
    aims = [entry for entry in entries if entry["met"] is not None]
    say("\n%d of %d benchmarks measured; %d of %d aims reached%s" % (
        len(found), len(names), sum(entry["met"] for entry in aims), len(aims),
        " (with --quick that says nothing)" if options.quick else ""))
    if failed:
        say("failed: " + ", ".join(failed))
    if options.json:
        say(json.dumps({"results": found, "failed": failed}))
    return 1 if failed else 0


main(run)
