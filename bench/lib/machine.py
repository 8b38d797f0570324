"""What a result was measured on: the machine, what else it was doing, and the versions of everything."""

import os
import platform
import subprocess
import time

from cluster import Cluster
from errors import Failure
from gateway import binary
from home import Home


def machine(seconds):
    """Looks for `seconds` how busy the machine is, before the benchmark begins."""
    return {"cpu": cpu_model(), "cores": len(os.sched_getaffinity(0)), "memory_mib": memory_mib(),
            "kernel": platform.release(), "distribution": distribution(), "load_average": list(os.getloadavg()),
            "busy_cores_before": busy_cores(seconds)}


def cpu_model():
    for line in lines("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def memory_mib():
    return next((int(line.split()[1]) // 1024 for line in lines("/proc/meminfo") if line.startswith("MemTotal:")), None)


def distribution():
    found = [line.partition("=")[2].strip().strip('"') for line in lines("/etc/os-release")
             if line.startswith("PRETTY_NAME=")]
    return found[0] if found else None


def busy_cores(seconds):
    """How many cores were at work on the average, whoever's work it was."""
    began, before = time.monotonic(), busy_seconds()
    time.sleep(seconds)
    return round((busy_seconds() - before) / (time.monotonic() - began), 3)


def busy_seconds():
    numbers = [int(field) for field in lines("/proc/stat")[0].split()[1:9]]
    # user nice system idle iowait irq softirq steal
    return (sum(numbers) - numbers[3] - numbers[4]) / os.sysconf("SC_CLK_TCK")


def lines(path):
    try:
        with open(path, errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def versions():
    """None for what cannot be asked."""
    found = {"sluice": told([binary(), "--version"]), "swift": told(["swift", "--version"]),
             "python": platform.python_version(), "postgresql": None, "pgvector": None, "pgbench": None}
    try:
        server = Cluster.existing(Home()).groups[0][0]
        rows = server.query("SELECT current_setting('server_version'), "
                            "(SELECT extversion FROM pg_extension WHERE extname = 'vector')", timeout=10)
        found["postgresql"], found["pgvector"] = rows[0]
        tool = server.tool("pgbench")
        found["pgbench"] = told([tool if os.access(tool, os.X_OK) else "pgbench", "--version"])
    except (Failure, OSError):
        pass
    return found


def told(command):
    """The first line of what a program says."""
    try:
        output = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                universal_newlines=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return output.strip().splitlines()[0] if output.strip() else None
