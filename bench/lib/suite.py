"""All benchmarks, in the order in which they run and are reported."""

import os

BENCH = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# What --quick leaves out, because it needs a long build of its own.
NOT_QUICK = ("grpc",)

# What runs only where it is named, because it needs a cluster of its own.
ALONE = ("faults",)

NAMES = (
    # What the gateway costs.
    "fanout", "overhead", "batch", "load", "ping", "security", "metrics", "sessions", "startup", "growth",
    # What it keeps up.
    "hostile", "hedging", "overload", "reshard",
    # How it compares.
    "pgbouncer", "drivers", "haproxy", "grpc", "redis",
    # What its parts cost.
    "microbench")


def there():
    """The names of those that there are."""
    return [name for name in NAMES + ALONE if os.access(os.path.join(BENCH, name), os.X_OK)]
