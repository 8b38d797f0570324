"""The load of bench/reshard: threads that search and write through a gateway, and compare what they are answered with
what they know: a search of rows that nobody writes must give what the shadow table gives, and a row that was just
written must be there as it was written."""

import random
import struct
import subprocess
import threading
import time
import uuid

from attacks import GET, SEARCH, WRITE, field
from session import ERROR, Session

PATIENCE = 15.0     # seconds for one answer
RETRYABLE = (11, 12, 15, 16)
DONE = (0, 1, 2, 3, 7)      # outcomes of rows: inserted, updated, deleted, absent, repeated
TEXT_VALUE = 4


def packed(vector):
    """In pgvector's binary form."""
    return struct.pack(">hh%df" % len(vector), len(vector), 0, *vector)


def hits(payload):
    """(id, distance, first column) of each hit of a list in which every row has one column."""
    found, place = [], 4
    for _ in range(struct.unpack_from(">I", payload)[0]):
        _, row, distance, length = struct.unpack_from(">Hqdi", payload, place)
        place += 22
        value = payload[place:place + length] if length >= 0 else None
        place += max(0, length)
        found.append((row, distance, value))
    return found


class Client:
    """Asks one thing at a time; makes its session anew when it has ended."""

    def __init__(self, port):
        self.port, self.session = port, None

    def ask(self, kind, payload):
        """(kind, fields) of the answer, or None if none came."""
        if self.session is None or not self.session.is_open:
            try:
                self.session = Session(self.port)
            except OSError:
                time.sleep(0.05)
                return None
        answered, answer = threading.Event(), []

        def done(kind, fields):
            answer.append((kind, fields))
            answered.set()

        if not self.session.call(kind, payload, done) or not answered.wait(PATIENCE):
            return None
        return answer[0] if answer[0][0] is not None else None

    def close(self):
        if self.session:
            self.session.close()


class Shadow:
    """A table that gets the same writes, by one psql that lives as long as the load."""

    def __init__(self, server, table):
        self.table, self._lock = table, threading.Lock()
        self._psql = subprocess.Popen(
            [server.tool("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, universal_newlines=True, env=server.login())

    def put(self, row, note, vector):
        text = "[%s]" % ",".join(repr(number) for number in vector)
        self._do("INSERT INTO public.%s (id, note, embedding) VALUES (%d, '%s', '%s') ON CONFLICT (id) DO UPDATE SET "
                 "note = EXCLUDED.note, embedding = EXCLUDED.embedding;\n" % (self.table, row, note, text))

    def delete(self, row):
        self._do("DELETE FROM public.%s WHERE id = %d;\n" % (self.table, row))

    def _do(self, sql):
        with self._lock:
            self._psql.stdin.write(sql)

    def end(self):
        """Returns when all of it is committed; what psql complained of, if it did."""
        _, errors = self._psql.communicate()
        return errors.strip() if self._psql.returncode else None


class Tally:
    """What came of the requests, over all threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self.counts = dict.fromkeys(("searches", "gets", "writes", "wrong", "missing", "failed", "unknown"), 0)
        self.examples = []
        self.longest_write = 0.0

    def add(self, what, example=None):
        with self._lock:
            self.counts[what] += 1
            if example and len(self.examples) < 10:
                self.examples.append("%s: %s" % (what, example))

    def wrote(self, seconds):
        with self._lock:
            self.counts["writes"] += 1
            self.longest_write = max(self.longest_write, seconds)


class Load:
    """`queries`: (vector, its exact nearest ids, in order). Written rows are far from all of them."""

    def __init__(self, port, collection, dimensions, queries, shadow, searchers=2, writers=2):
        self.port, self.collection, self.dimensions = port, collection.encode(), dimensions
        self.queries, self.shadow, self.tally = queries, shadow, Tally()
        self.error = None
        self.unsure = set()  # rows of which it is not known what became of the last write
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._guarded, args=(self._search_on, number), daemon=True)
                         for number in range(searchers)]
        self._threads += [threading.Thread(target=self._guarded, args=(self._write_on, number), daemon=True)
                          for number in range(writers)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, body, number):
        client = Client(self.port)
        try:
            body(client, number)
        except Exception as error:  # a load that has ended early would look like one without failures
            self.error = error
        finally:
            client.close()

    # Searches

    def _search_on(self, client, number):
        source = random.Random(100 + number)
        while not self._stop.is_set():
            vector, expected = source.choice(self.queries)
            exact = source.random() < 0.5
            found = self._search(client, vector, len(expected), exact)
            self.tally.add("searches")
            if found is None:
                continue
            ids = [row for row, _, _ in found]
            if len(ids) < len(expected):
                self.tally.add("missing", "%d of %d hits" % (len(ids), len(expected)))
            elif exact and ids != expected:
                lost = len(set(expected) - set(ids))
                self.tally.add("missing" if lost else "wrong", "ids %s instead of %s" % (ids, expected))
            elif len(set(ids)) < len(ids):
                self.tally.add("wrong", "an id comes twice: %s" % ids)

    def _search(self, client, vector, count, exact):
        """The hits, or None of an answer that was none or not whole, which is counted."""
        payload = field(1, self.collection) + field(2, packed(vector)) + field(3, struct.pack(">I", count))
        payload += field(4, b"note") + field(7, b"\1" if exact else b"\0")
        answer = client.ask(SEARCH, payload)
        if answer is None or answer[0] == ERROR:
            self.tally.add("failed", "search: %s" % describe(answer))
            return None
        fields = answer[1]
        if struct.unpack(">d", fields[3][0])[0] < 1:
            self.tally.add("missing", "a search whose coverage is not whole")
            return None
        return hits(fields[2][0]) if 2 in fields else []

    # Writes

    def _write_on(self, client, number):
        source = random.Random(200 + number)
        rows, next_row = {}, (number + 1) * 10_000_000
        while not self._stop.is_set():
            draw = source.random()
            if draw < 0.15 and rows:
                row = source.choice(list(rows))
                del rows[row]
                if self._write(client, None, [row]):
                    self.shadow.delete(row)
                    self._check_gone(client, row)
                else:
                    self.unsure.add(row)
                continue
            if draw < 0.4 and rows:
                row = source.choice(list(rows))
            else:
                row, next_row = next_row, next_row + 1
            vector = [single(50 + source.random()) for _ in range(self.dimensions)]
            note = "note %d %d" % (row, source.randrange(1_000_000))
            if self._write(client, (row, note, vector), []):
                rows[row] = note
                self.shadow.put(row, note, vector)
                self._check_there(client, row, note, vector, with_search=source.random() < 0.2)
            else:
                rows.pop(row, None)
                self.unsure.add(row)

    def _write(self, client, row, deletes):
        """Asks again, with the same key, until it is known that it was done; False if that is never known."""
        payload = field(1, self.collection) + field(2, b"note") + field(6, uuid.uuid4().bytes)
        if row:
            number, note, vector = row
            value = struct.pack(">BI", TEXT_VALUE, len(note)) + note.encode()
            body = struct.pack(">qI", number, 4 + 4 * len(vector)) + packed(vector) + value
            payload += field(3, struct.pack(">I", len(body)) + body)
        if deletes:
            payload += field(4, b"".join(struct.pack(">q", each) for each in deletes))
        began = time.monotonic()
        while time.monotonic() < began + 60:
            answer = client.ask(WRITE, payload)
            if answer and answer[0] != ERROR:
                outcomes = b"".join(answer[1].get(1, []) + answer[1].get(2, []))
                if outcomes and all(outcome in DONE for outcome in outcomes):
                    self.tally.wrote(time.monotonic() - began)
                    return True
                if 4 in outcomes:
                    break
            elif answer and struct.unpack(">H", answer[1][1][0])[0] not in RETRYABLE:
                self.tally.add("failed", "write: %s" % describe(answer))
                return False
            time.sleep(0.05)
        self.tally.add("unknown", "write: %s" % describe(answer))
        return False

    def _get(self, client, row):
        """(notes of the rows that are there, ids that are not), or None, which is counted."""
        payload = field(1, self.collection) + field(2, struct.pack(">q", row)) + field(3, b"note")
        answer = client.ask(GET, payload)
        self.tally.add("gets")
        if answer is None or answer[0] == ERROR:
            self.tally.add("failed", "get: %s" % describe(answer))
            return None
        return [value for _, _, value in hits(answer[1][2][0])] if 2 in answer[1] else []

    def _check_there(self, client, row, note, vector, with_search):
        found = self._get(client, row)
        if found == []:
            self.tally.add("missing", "row %d, which was just written" % row)
        elif found is not None and found != [note.encode()]:
            self.tally.add("wrong", "row %d is not as it was just written" % row)
        if with_search:
            found = self._search(client, vector, 1, True)
            self.tally.add("searches")
            if found is not None and [hit[0] for hit in found] != [row]:
                self.tally.add("missing", "the nearest row is not %d, which was just written" % row)

    def _check_gone(self, client, row):
        if self._get(client, row):
            self.tally.add("wrong", "row %d, which was just deleted, is there" % row)


def single(number):
    """The float32 that is nearest, so that what is read back is equal."""
    return struct.unpack(">f", struct.pack(">f", number))[0]


def describe(answer):
    if answer is None:
        return "no answer"
    kind, fields = answer
    if kind != ERROR:
        return "outcomes %s" % [list(each) for each in fields.get(1, []) + fields.get(2, [])]
    message = b"".join(fields.get(4, [])).decode(errors="replace")
    return "error %d %s" % (struct.unpack(">H", fields[1][0])[0], message)
