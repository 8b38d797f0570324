"""A gateway for a benchmark: started on a port of its own ($SLUICE_BENCH_PORT, 7412; the three after it are for TLS,
the admin address and a second gateway), watched, stopped."""

import ctypes
import json
import os
import signal
import subprocess
import time

from home import PROJECT, Failure, yaml_path
from server import wait_for

PORT = int(os.environ.get("SLUICE_BENCH_PORT") or 7412)
ADDRESS = "127.0.0.1:%d" % PORT
TLS_ADDRESS = "127.0.0.1:%d" % (PORT + 1)
ADMIN_ADDRESS = "127.0.0.1:%d" % (PORT + 2)
SECOND_ADDRESS = "127.0.0.1:%d" % (PORT + 3)
URL = "sluice://" + ADDRESS


def binary():
    """The release build of `sluice`: $SLUICE_BINARY, or in the scratch path that scripts/demo and scripts/test use."""
    scratch = os.environ.get("SLUICE_SCRATCH") or os.path.join(PROJECT, ".build")
    path = os.environ.get("SLUICE_BINARY") or os.path.join(scratch, "release", "sluice")
    if not os.access(path, os.X_OK):
        raise Failure("%s is not there; `swift build -c release --product sluice` first" % path)
    return path


def configuration(cluster):
    """A copy of configs/bench.yaml with this cluster's shards and the benchmark's port."""
    with open(os.path.join(PROJECT, "configs", "bench.yaml")) as file:
        text = file.read().replace("127.0.0.1:7412", ADDRESS)
    shards, collections = text.index("\nshards:\n"), text.index("\ncollections:\n")
    path = os.path.join(cluster.home.path, "bench.yaml")
    with open(path, "w") as file:
        file.write("\n".join([text[:shards], *shard_lines(cluster, primaries_only=True), text[collections:]]))
    return path


def shard_lines(cluster, primaries_only):
    """The key `shards` of a configuration."""
    lines = ["shards:"]
    for number, group in enumerate(cluster.groups):
        lines += ["  - name: s%d" % number, "    replicas:"]
        for server in group[:1] if primaries_only else group:
            lines += ["      - name: %s" % server.name,
                      "        dsn: host=127.0.0.1 port=%d dbname=sluice user=sluice" % server.port,
                      "        password_file: %s" % yaml_path(os.path.join(cluster.home.path, "password"))]
    return lines


def write_configuration(cluster, name, settings, collections, primaries_only=False, admin="{enabled: false}",
                        address=ADDRESS):
    """A configuration for one benchmark, with lines of its own; returns its path."""
    lines = ["listen: {tcp: %s}" % address, "admin: " + admin, "log: {level: warning}", *settings]
    lines += shard_lines(cluster, primaries_only)
    path = os.path.join(cluster.home.path, name + ".yaml")
    with open(path, "w") as file:
        file.write("\n".join(lines + ["collections:", *collections]) + "\n")
    return path


def resident(pid):
    """The resident memory of a process, in bytes."""
    with open("/proc/%d/statm" % pid) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid):
    """User and system time of a process so far. Its own clock counts nanoseconds, /proc/PID/stat hundredths of a
    second."""
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise Failure("process %d has no clock: %s" % (pid, os.strerror(error)))
    return time.clock_gettime(clock.value)


def run_bench(program, seconds, concurrency, *arguments, warmup=0, errors=()):
    """`sluice bench`: its JSON. `errors`: the codes of those that may be. `concurrency`: None for a fixed rate."""
    loop = [] if concurrency is None else ["--concurrency", str(concurrency)]
    done = subprocess.run(
        [program, "bench", "--warmup", "%g" % warmup, "--seconds", "%g" % seconds, *loop, "--json", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    if done.returncode != 0:
        raise Failure("`sluice bench` ended with code %d: %s" % (done.returncode, done.stderr.strip()))
    result = json.loads(done.stdout)
    if set(result["errors"]) - set(errors) or not result["searches"]:
        raise Failure("`sluice bench`: %d answers, errors: %s" % (result["searches"], result["errors"]))
    return result


def direct_bench(path, seconds, concurrency, connections, *arguments):
    """`sluice bench --direct`: the replicas of a configuration without a gateway, over so many connections to each
    shard. They are made anew each time, so they are used before it counts."""
    return run_bench(binary(), seconds, concurrency, "--direct", "--config", path, "--connections", str(connections),
                     *arguments, warmup=0.5)


class Gateway:
    """`with Gateway(cluster) as gateway`: it serves configs/bench.yaml, or another configuration, until the block
    ends, however it ends."""

    def __init__(self, cluster, path=None, client=(), address=ADDRESS):
        """`client`: options of every command that talks to it, such as its token. `address`: where the configuration
        has it listen."""
        self.client, self.address, self.url = list(client), address, "sluice://" + address
        self.command = [binary(), "serve", "--config", path or configuration(cluster)]
        self.log = os.path.join(cluster.home.logs, "bench-gateway-%s.log" % address.rpartition(":")[2])

    def __enter__(self):
        if self.answers():
            raise Failure("something answers on %s already" % self.address)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            if not wait_for(lambda: self.process.poll() is not None or self.answers(), 20):
                raise Failure("the gateway does not answer; see %s" % self.log)
            if self.process.poll() is not None:
                with open(self.log, errors="replace") as file:
                    raise Failure("the gateway did not start:\n%s" % file.read()[-2000:])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def answers(self):
        return subprocess.run([self.command[0], "ping", "--gateway", self.url, *self.client], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def resident(self):
        return resident(self.process.pid)

    def bench(self, seconds, concurrency, *arguments, errors=(), url=None):
        """`sluice bench`: its JSON, plus the gateway's CPU in microseconds per answer as `cpu_us`. `errors`: the codes
        of those that may be."""
        before = self.cpu_seconds()
        result = run_bench(self.command[0], seconds, concurrency, "--gateway", url or self.url, *self.client,
                           *arguments, errors=errors)
        result["cpu_us"] = (self.cpu_seconds() - before) * 1e6 / result["searches"]
        return result

    def search_bench(self, seconds, concurrency, collection, vectors, *more, k=10, errors=()):
        return self.bench(seconds, concurrency, "--collection", collection, "--vector-file", vectors, "-k", str(k),
                          *more, errors=errors)


def pgbench(servers, scripts, clients, seconds, settings="", mode="prepared"):
    """Runs pgbench on every server at once; transactions per second of each. `settings`: of its sessions, such as
    `-c hnsw.ef_search=100`. `mode`: how it asks, prepared or extended."""
    processes = []
    try:
        for server in servers:
            tool = server.tool("pgbench")
            command = [tool if os.access(tool, os.X_OK) else "pgbench", "-n", "-M", mode, "-c", str(clients),
                       "-j", "1", "-T", str(max(1, round(seconds))), *scripts]
            processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                              stderr=subprocess.PIPE, universal_newlines=True,
                                              env=dict(server.login(), PGOPTIONS=settings)))
        return [rate(server, process) for server, process in zip(servers, processes)]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def rate(server, process):
    output, errors = process.communicate()
    found = [line for line in output.splitlines() if line.startswith("tps = ")]
    if process.returncode != 0 or not found:
        raise Failure("pgbench on %s failed: %s" % (server.name, errors.strip()[-500:]))
    return float(found[0].split()[2])
