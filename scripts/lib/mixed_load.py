"""A steady load of searches and keyed writes through several gateways, that remembers what became of each."""

import heapq
import itertools
import random
import struct
import threading
import time
import uuid
from typing import NamedTuple

import sample
from attacks import SEARCH, WRITE, field
from session import ERROR, Session, fields

TEXT_VALUE = 4
OUTCOMES = {0: "acknowledged", 1: "acknowledged", 7: "acknowledged", 4: "failed", 5: "not applied"}
DEADLINE = 2.0      # seconds that a request has, over all its attempts
GRACE = 1.0         # beyond it an answer that has not come counts as none
RETRY = 0.05


class Ack(NamedTuple):
    sent: float      # the attempt that was answered
    answered: float
    row: int
    replica: str


class Door:
    """A gateway, with a session that is made anew when it has ended."""

    def __init__(self, port, stop):
        self.port, self.session, self._stop = port, None, stop
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while not self._stop.is_set():
            if not (self.session and self.session.is_open):
                try:
                    self.session = Session(self.port)
                except OSError:
                    self.session = None
            self._stop.wait(RETRY)
        if self.session:
            self.session.close()

    def is_open(self):
        session = self.session
        return bool(session and session.is_open)


class Request:
    """One search or write with all its attempts; `finish(outcome)` is called once."""

    def __init__(self, load, kind, payload, finish):
        self.load, self.kind, self.payload, self.finish = load, kind, payload, finish
        self.ends = time.monotonic() + DEADLINE
        self.sent, self.attempts, self.door, self.is_done = None, 0, None, False
        self.is_uncertain = False  # an attempt was left without an answer: it may have been done
        self._lock = threading.Lock()
        load.later(self.ends + GRACE, lambda: self.end("no answer"))

    def attempt(self):
        """By another gateway than the last time, if there is one."""
        now = time.monotonic()
        if self.is_done:
            return
        if now >= self.ends:
            return self.end("out of time" if self.attempts else "no gateway")
        self.door = self.load.door(but=self.door)
        session = self.door.session if self.door else None
        self.sent = now
        payload = self.payload + field(5, struct.pack(">Q", int((self.ends - now) * 1e6)))
        if session and session.call(self.kind, payload, self._answered):
            self.attempts += 1
        else:
            self.load.later(now + RETRY, self.attempt)

    def _answered(self, kind, answer):
        if kind is None:  # both kinds may be sent again: a search changes nothing, a write has a key
            self.is_uncertain = self.kind == WRITE
            return self.load.later(time.monotonic(), self.attempt)
        if kind == ERROR:
            code = struct.unpack(">H", answer[1][0])[0]
            if answer.get(2, [b"\0"])[0] == b"\1":
                wait = struct.unpack(">I", answer[3][0])[0] / 1000 if 3 in answer else RETRY
                if time.monotonic() + wait < self.ends:
                    return self.load.later(time.monotonic() + wait, self.attempt)
            return self.end("error %d" % code)
        self.end(answer)

    def end(self, outcome):
        with self._lock:
            if self.is_done:
                return
            self.is_done = True
        if self.kind == WRITE and (outcome == "no answer" or self.is_uncertain and isinstance(outcome, str)):
            outcome = "unknown"
        self.finish(self, outcome)


class Load:
    """`rows`: of each shard's name, ids that its hash puts there, to be written one after another."""

    def __init__(self, ports, rows, searches_per_second, writes_per_second):
        self._stop = threading.Event()
        self.doors = [Door(port, self._stop) for port in ports]
        self._heap, self._order, self._lock = [], itertools.count(), threading.Lock()
        self.rows = rows
        self._rates = (searches_per_second, writes_per_second)
        self._vectors = [struct.pack(">hh", sample.DIMENSIONS, 0) + struct.pack(">%df" % sample.DIMENSIONS, *point)
                         for point in sample.points(sample.QUERIES, 2)]
        self._next = {name: 0 for name in rows}
        self.open, self._ending = 0, False
        self.acks = {name: [] for name in rows}
        self.write_outcomes, self.search_outcomes = {}, {}
        self._error = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        ends = time.monotonic() + 10
        while not all(door.is_open() for door in self.doors) and time.monotonic() < ends:
            time.sleep(0.02)
        self._thread.start()
        return self

    def __exit__(self, *_):
        """What is in flight has its time to end."""
        self._ending = True
        ends = time.monotonic() + DEADLINE + 2 * GRACE
        while self.open and time.monotonic() < ends:
            time.sleep(0.02)
        self._stop.set()
        self._thread.join()
        if self._error:
            raise self._error

    def later(self, when, action):
        with self._lock:
            heapq.heappush(self._heap, (when, next(self._order), action))

    def door(self, but):
        ready = [door for door in self.doors if door.is_open()]
        others = [door for door in ready if door is not but] or ready
        # Not in turn: searches and writes come in turn, too, and each kind would have a gateway of its own.
        return random.choice(others) if others else None

    def _run(self):
        try:
            self._make_requests()
        except Exception as error:  # a load that has ended early would look like one without failures
            self._error = error

    def _make_requests(self):
        now = time.monotonic()
        self.later(now, lambda: self._pace(self._search, 1 / self._rates[0], now))
        for number, shard in enumerate(self.rows):
            began = now + number / self._rates[1] / len(self.rows)
            self.later(began, lambda shard=shard, began=began: self._pace(
                lambda: self._write(shard), 1 / self._rates[1], began))
        while not self._stop.is_set():
            with self._lock:
                due = heapq.heappop(self._heap) if self._heap and self._heap[0][0] <= time.monotonic() else None
            due[2]() if due else self._stop.wait(0.002)

    def _pace(self, action, interval, when):
        """An open loop: what is slow makes the next no later."""
        if not self._ending:
            action()
            self.later(when + interval, lambda: self._pace(action, interval, when + interval))

    def _search(self):
        payload = field(1, b"items") + field(2, random.choice(self._vectors)) + field(3, struct.pack(">I", 10))
        self._begin(SEARCH, payload, self._searched)

    def _searched(self, request, outcome):
        whole = isinstance(outcome, dict) and struct.unpack(">d", outcome[3][0])[0] == 1
        self._count(self.search_outcomes, "fine" if whole else outcome if isinstance(outcome, str) else "partial")

    def _write(self, shard):
        row = self.rows[shard][self._next[shard]]
        self._next[shard] += 1
        vector, note = struct.pack(">hh3f", 3, 0, 1, 2, 3), b"probe"
        body = struct.pack(">qI", row, len(vector)) + vector + struct.pack(">BI", TEXT_VALUE, len(note)) + note
        payload = field(1, b"writes") + field(2, b"note") + field(3, struct.pack(">I", len(body)) + body)
        self._begin(WRITE, payload + field(6, uuid.uuid4().bytes),
                    lambda request, outcome: self._written(shard, row, request, outcome))

    def _written(self, shard, row, request, outcome):
        if isinstance(outcome, dict):
            report = fields(outcome[3][0]) if 3 in outcome else {}
            outcome = OUTCOMES.get(outcome[1][0][0], "unknown")
            if outcome == "acknowledged":
                replica = report.get(7, [b""])[0].decode()
                self.acks[shard].append(Ack(request.sent, time.monotonic(), row, replica))
        self._count(self.write_outcomes, outcome)

    def _begin(self, kind, payload, finish):
        with self._lock:
            self.open += 1
        Request(self, kind, payload, finish).attempt()

    def _count(self, outcomes, name):
        with self._lock:
            outcomes[name] = outcomes.get(name, 0) + 1
            self.open -= 1
