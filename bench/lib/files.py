"""How many files a benchmark may have open."""

import resource

from errors import Failure


def allow_files(count):
    """Each connection is an open file of ours, and of the gateway and `sluice bench`, which inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise Failure("%d open files are needed, and %d are allowed (ulimit -Hn)" % (count, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
