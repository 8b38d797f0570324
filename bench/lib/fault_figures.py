"""What bench/faults computes of what it has seen. Times are in seconds of one clock unless it is said."""

import bisect
from typing import NamedTuple


class Row(NamedTuple):
    """Of `writes`, as a server has it: which server took it when, on which timeline, and from which gateway."""
    id: int
    port: int
    timeline: int
    at: float
    gateway: str


def longest_gap(moments, began, ended):
    points = sorted([began, *(moment for moment in moments if began < moment < ended), ended])
    return max(after - before for before, after in zip(points, points[1:]))


def beyond(acks, direct, began, ended):
    """For how long writes were acknowledged through the gateways to nobody while the server that ended the pause took
    them directly: what the gateways added to Patroni's own pause.

    `acks` and `direct`: (when, timeline). A pause that is not over counts against the newest timeline."""
    taken = {}
    for when, timeline in sorted(direct):
        taken.setdefault(timeline, []).append(when)
    newest = max([timeline for _, timeline in acks] + list(taken), default=0)
    worst, before = 0.0, began
    for when, timeline in [*sorted(ack for ack in acks if began < ack[0] < ended), (ended, newest)]:
        own = taken.get(timeline, [])
        inside = own[bisect.bisect_right(own, before):bisect.bisect_left(own, when)]
        worst = max(worst, when - before - longest_gap(inside, before, when))
        before = when
    return worst


def lateness(rows, seen):
    """Of each row that its server wrote after its gateway had shown a newer timeline, by how much it was after that.

    `seen`: of each gateway's name (when, timeline) of what its state showed, as it came."""
    found = []
    for row in rows:
        shown = next((when for when, timeline in seen.get(row.gateway, ()) if timeline > row.timeline), None)
        if shown is not None and row.at > shown:
            found.append(row.at - shown)
    return found


def first_after(acks, moment, timeline):
    """When the first of them (when, timeline) came after the moment from a server on a newer timeline; None if none
    did."""
    return min((when for when, each in acks if when > moment and each > timeline), default=None)


def share(part, whole):
    """In percent; of nothing, nothing."""
    return 100.0 * part / whole if whole else 0.0
