#!/usr/bin/env python3
"""Runs the benchmarks one after another and keeps what each has found in a file, with the machine and the versions
that it was found on. One that fails does not keep the others from running; the exit code says so at the end.
bench/run builds, brings the replicas up, and runs this.
"""

import argparse
import contextlib
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
from suite import ALONE, BENCH, NOT_QUICK, there  # noqa: E402

QUICK_LIMIT = 600  # seconds for one benchmark
PATIENCE = 60  # seconds that one may take to stop what it has started


def arguments():
    parser = argparse.ArgumentParser(prog="run", description="Runs the benchmarks: builds, brings replicas up, "
                                     "measures, and stops what it has started.")
    parser.add_argument("--only", action="append", metavar="NAME", choices=there(), help="only this one; repeatable")
    parser.add_argument("--list", action="store_true", help="the names of those that would run")
    parser.add_argument("--quick", action="store_true", help="on small data, in a few minutes: do they work? Results "
                        "go to bench-results in $SLUICE_HOME")
    parser.add_argument("--json", action="store_true", help="all results as JSON on the last line")
    parser.add_argument("--turns", type=positive(int), help="of each side, instead of each benchmark's own number")
    parser.add_argument("--seconds", type=positive(float), help="a turn, instead of each benchmark's own")
    return parser.parse_args()


def chosen(options):
    """Those that are to run, in the order of the suite."""
    names = [name for name in there() if name in (options.only or there())]
    left_out = ALONE + (NOT_QUICK if options.quick else ())
    return [name for name in names if options.only or name not in left_out]


class Limit:
    """`with Limit(process, seconds)`: then the process is interrupted, and if it does not end, it is killed with all
    that it has started."""

    def __init__(self, process, seconds):
        self.process, self.over = process, threading.Event()
        self.thread = threading.Thread(target=self.watch, args=(seconds,), daemon=True)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def watch(self, seconds):
        if self.over.wait(seconds):
            return
        say("it has taken %g s: it is interrupted" % seconds)
        self.process.send_signal(signal.SIGINT)
        if self.over.wait(PATIENCE):
            return
        say("it does not end: it is killed")
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def descendants(pid):
    """The processes that this one has started, and those that they have."""
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % name) as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(name))
    found, rest = [], [pid]
    while rest:
        more = children.get(rest.pop(), [])
        found += more
        rest += more
    return found


def read_result(name, line):
    """The JSON that is a benchmark's last line, or None if it is something else."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("benchmark") == name else None


def measure(name, options):
    """The JSON of one benchmark, or None if there is none, and whether it is content: one that guards something tells
    what it has measured even if it is not. What else it prints is passed on."""
    command = [os.path.join(BENCH, name), "--json"] + (["--quick"] if options.quick else [])
    command += [word for option in ("turns", "seconds") if getattr(options, option)
                for word in ("--" + option, "%g" % getattr(options, option))]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, universal_newlines=True)
    limit = Limit(process, QUICK_LIMIT) if options.quick else contextlib.nullcontext()
    try:
        held = None  # the last line is not passed on: it is the JSON
        with limit:
            for line in process.stdout:
                if held is not None:
                    say(held)
                held = line.rstrip("\n")
            process.wait()
    finally:
        if process.poll() is None:  # interrupted: it has been told so, too, and stops what it has started
            process.wait()
        process.stdout.close()
    result = read_result(name, held or "")
    if result is None and held is not None:
        say(held)
    if process.returncode != 0:
        say("%s ended with code %d" % (name, process.returncode))
    elif result is None:
        say("%s: its last line is no JSON" % name)
    return result, process.returncode == 0


def run():
    options = arguments()
    if options.list:
        say("\n".join(chosen(options)))
        return 0
    names = chosen(options)
    home = Home()
    folder = os.path.join(home.path, "bench-results") if options.quick else os.path.join(BENCH, "results")
    os.makedirs(folder, exist_ok=True)
    found, failed, known = {}, [], versions()
    for name in names:
        say("\n-- %s" % name)
        began, where = time.monotonic(), machine(0.5 if options.quick else 2)
        result, is_content = measure(name, options)
        if not is_content or result is None:
            failed.append(name)
        if result is None:
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


if __name__ == "__main__":
    main(run)
