"""Application processes (driver_app.py) for a benchmark, and the same figures of them and of Sluice."""

import json
import os
import resource
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "scripts", "lib"))
import peers  # noqa: E402
from gateway import URL, cpu_seconds  # noqa: E402
from home import Failure  # noqa: E402

PROGRAM = os.path.join(os.path.dirname(os.path.realpath(__file__)), "driver_app.py")


class Applications:
    """`with Applications(...)`: that many processes of one kind, ready to search; idle between turns."""

    def __init__(self, home, cluster, driver, tables, vectors, pool, in_flight, k=10, processes=1, ports=None,
                 prepares=True):
        """`pool` and `in_flight` are of each process. `ports`: of the shards, if not those of their primaries.
        `prepares`: whether statements are kept by what is asked."""
        self.name, self.processes, self.cluster = "bench-" + driver, [], cluster
        primaries = [group[0] for group in cluster.groups]
        self.command = [peers.drivers_python(home), PROGRAM, "--driver", driver, "--name", self.name, "--ports",
                        *map(str, ports or [server.port for server in primaries]), "--tables", *tables,
                        "--vectors", vectors, "--pool", str(pool), "--in-flight", str(in_flight), "-k", str(k),
                        *([] if prepares else ["--unprepared"])]
        self.environment, self.count = primaries[0].login(), processes
        self.errors = os.path.join(home.logs, self.name + ".log")

    def __enter__(self):
        try:
            with open(self.errors, "wb") as errors:
                for _ in range(self.count):
                    self.processes.append(subprocess.Popen(
                        self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                        env=self.environment, universal_newlines=True, start_new_session=True,
                        preexec_fn=peers.end_with_parent))
            self.first = [json.loads(self.line(each).partition(" ")[2]) for each in self.processes][0]
        except BaseException:
            self.__exit__()
            raise
        return self

    def line(self, process):
        line = process.stdout.readline()
        if not line:
            with open(self.errors, errors="replace") as file:
                raise Failure("an application with %s ended:\n%s" % (self.name, file.read()[-2000:]))
        return line

    def turn(self, seconds, meanwhile=None):
        """All of them search for so long; their figures together. `meanwhile` is called in the midst of it."""
        before = sum(cpu_seconds(each.pid) for each in self.processes)
        for each in self.processes:
            each.stdin.write("%g\n" % seconds)
            each.stdin.flush()
        if meanwhile:
            meanwhile()
        found = [json.loads(self.line(each)) for each in self.processes]
        spent = sum(cpu_seconds(each.pid) for each in self.processes) - before
        latencies = sorted(latency for each in found for latency in each["latencies_us"])
        return {"qps": sum(len(each["latencies_us"]) / each["seconds"] for each in found),
                "p50_us": percentile(latencies, 0.5), "p99_us": percentile(latencies, 0.99),
                "cpu_us": spent * 1e6 / len(latencies)}

    def __exit__(self, *_):
        for each in self.processes:
            if each.poll() is None:
                each.kill()
            each.wait()
            each.stdin.close()
            each.stdout.close()


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def through_gateway(gateway, seconds, in_flight, collections, vectors, k=10, connections=1, shards=2):
    """The same figures of `sluice bench`; `cpu_us` is its own CPU and the gateway's together, for each search."""
    before = children_seconds()
    arguments = [part for name in collections for part in ("--collection", name)]
    found = gateway.bench(seconds, in_flight, *arguments, "--vector-file", vectors, "-k", str(k), "--connections",
                          str(connections))
    legs = len(collections) * shards
    if found["legs"] != legs * found["searches"]:
        raise Failure("`sluice bench` made %d legs for %d searches; each should be %d"
                      % (found["legs"], found["searches"], legs))
    client = (children_seconds() - before) * 1e6 / found["searches"]
    return {"qps": found["qps"], "p50_us": found["p50_us"], "p99_us": found["p99_us"],
            "cpu_us": client + found["cpu_us"], "gateway_cpu_us": found["cpu_us"]}


def children_seconds():
    """CPU of the children that have ended, `sluice bench` among them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def held_connections(cluster, name):
    """Connections to the shards' primaries by application_name: `name`, or what begins with it and a slash."""
    return sum(int(group[0].query(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND "
        "(application_name = '{0}' OR application_name LIKE '{0}/%')".format(name), superuser=True)[0][0])
        for group in cluster.groups)


def check_same(application, gateway, collections, vectors, k=10):
    """Both sides find the same: the distances of the first query's neighbours."""
    arguments = [part for name in collections for part in ("--collection", name)]
    done = subprocess.run([gateway.command[0], "search", "--gateway", URL, *arguments, "--vector-file", vectors,
                           "--row", "0", "-k", str(k), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    if done.returncode != 0:
        raise Failure("`sluice search` ended with code %d: %s" % (done.returncode, done.stderr.strip()))
    ours = [hit["distance"] for hit in json.loads(done.stdout)["hits"]]
    theirs = [row[1] for row in application.first]
    if len(ours) != len(theirs) or any(abs(one - other) > 1e-5 for one, other in zip(ours, theirs)):
        raise Failure("the two sides find different neighbours: %s and %s (%s)" % (ours, theirs, application.name))
