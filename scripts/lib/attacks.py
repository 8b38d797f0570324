"""Hostile clients for bench/hostile: what they send, and the process that each attack runs in."""

import ctypes
import ctypes.util
import multiprocessing
import os
import select
import socket
import struct
import time

PREFACE = b"SLUICE\x01\x02"
HELLO, PING, CANCEL, SEARCH, RESULT, COLLECTIONS, GET, LOAD_ROWS, WRITE = 1, 3, 7, 0x10, 0x11, 0x12, 0x14, 0x22, 0x28
MAX_FRAME = 1 << 20
LZ4_FEATURE = 1


def frame(kind, request_id, payload=b"", flags=0):
    return struct.pack(">IBBHI", 8 + len(payload), kind, flags, 0, request_id) + payload


def field(tag, value):
    return struct.pack(">HI", tag, len(value)) + value


def greeting(features=0):
    return PREFACE + frame(HELLO, 0, field(3, struct.pack(">Q", features)))


def search(request_id, columns=(), extra=b""):
    vector = struct.pack(">hh3f", 3, 0, 1.0, 2.0, 3.0)
    payload = field(1, b"tiny") + field(2, vector) + field(3, struct.pack(">I", 5))
    payload += b"".join(field(4, column) for column in columns)
    return frame(SEARCH, request_id, payload + extra)


def compressed(kind, request_id, plain, declared=None):
    """A frame with an LZ4 block, made by the system's library."""
    library = ctypes.CDLL(ctypes.util.find_library("lz4") or "liblz4.so.1")
    room = ctypes.create_string_buffer(library.LZ4_compressBound(len(plain)))
    length = library.LZ4_compress_default(plain, room, len(plain), len(room))
    block = struct.pack(">I", len(plain) if declared is None else declared) + room.raw[:length]
    return frame(kind, request_id, block, flags=1)


# The attacks

class Sockets:
    """Sockets that are kept open, a number of them, and what each sends once; those that are closed are made anew, at
    most `rate` of them a second."""

    def __init__(self, address, count, first, rate=1000, then=None):
        self.address, self.count, self.first, self.rate, self.then = address, count, first, rate, then
        self.open, self.made, self.ended = {}, 0, 0
        self.poll = select.poll()

    def run(self, stop):
        last = time.monotonic()
        while not stop.is_set():
            now = time.monotonic()
            allowed = int((now - last) * self.rate) if self.made >= self.count else self.count
            if allowed:
                last = now
            for _ in range(min(allowed, self.count - len(self.open))):
                self.make()
            for descriptor, _ in self.poll.poll(5):
                self.take(descriptor)
            if self.then:
                for each in list(self.open.values()):
                    self.then(each)

    def make(self):
        each = socket.socket()
        # From several addresses, so that the bound of each is not what stops it.
        each.bind(("127.0.0.%d" % (2 + self.made % 4), 0))
        try:
            each.connect(self.address)
            each.setblocking(False)
            each.send(self.first)
        except OSError:
            return each.close()
        self.made += 1
        self.open[each.fileno()] = each
        self.poll.register(each.fileno(), select.POLLIN)

    def take(self, descriptor):
        try:
            if self.open[descriptor].recv(65536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.poll.unregister(descriptor)
        self.open.pop(descriptor).close()
        self.ended += 1

    def noted(self):
        return "%d sockets, %d made, %d ended" % (len(self.open), self.made, self.ended)


class Flood:
    """Sessions that send the same bytes again and again as fast as they are taken, read what comes, and come again when
    they are ended."""

    def __init__(self, address, chunk, features=0, sessions=4, reads=True, buffer=None):
        self.address, self.features, self.count, self.reads = address, features, sessions, reads
        self.chunk = chunk * max(1, 32768 // len(chunk))
        self.buffer = buffer
        self.sent, self.ended, self.open = 0, 0, {}

    def run(self, stop):
        while not stop.is_set():
            while len(self.open) < self.count and not stop.is_set():
                if not self.make():
                    time.sleep(0.001)
            reading = list(self.open) if self.reads else []
            ready = select.select(reading, list(self.open), [], 0.02)
            for each in ready[0]:
                self.take(each)
            for each in ready[1]:
                self.give(each)

    def make(self):
        each = socket.socket()
        if self.buffer:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
        try:
            each.connect(self.address)
            each.setblocking(False)
            each.send(greeting(self.features))
        except OSError:
            each.close()
            return False
        self.open[each] = memoryview(self.chunk)
        return True

    def take(self, each):
        try:
            if each.recv(262144):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.end(each)

    def give(self, each):
        rest = self.open.get(each)
        if rest is None:
            return
        try:
            count = each.send(rest)
        except BlockingIOError:
            return
        except OSError:
            return self.end(each)
        self.sent += count
        self.open[each] = rest[count:] if count < len(rest) else memoryview(self.chunk)

    def end(self, each):
        self.open.pop(each, None)
        each.close()
        self.ended += 1

    def noted(self):
        return "%.1f MB sent, %d sessions ended" % (self.sent / 1e6, self.ended)


def drip(data):
    """Sends one byte of these to each socket, each time."""
    places = {}

    def step(each):
        place = places.get(each.fileno(), 0)
        try:
            places[each.fileno()] = (place + each.send(data[place:place + 1])) % len(data)
        except OSError:
            pass
    return step


def half_frames(address):
    part = greeting() + frame(WRITE, 1, bytes(MAX_FRAME - 8))[:-1]
    places = {}

    def step(each):
        place = places.get(each.fileno(), len(greeting()))
        try:
            places[each.fileno()] = place + each.send(part[place:place + 65536])
        except OSError:
            pass
    return Sockets(address, 100, greeting(), rate=50, then=step)


def pairs():
    return b"".join(search(number) + frame(CANCEL, number) for number in range(1, 400))


def giant():
    """Small frames that say they have much: a filter of 65,535 operands, a list of as many values, k and vectors beyond
    all measure, rows of 4 GiB."""
    vector = struct.pack(">hh", 16000, 0) + b"\0" * 8
    lists = struct.pack(">BB2sH", 5, 2, b"id", 65535)
    return (search(1, extra=field(14, struct.pack(">BH", 1, 65535)))
            + search(2, extra=field(14, lists))
            + frame(SEARCH, 3, field(1, b"tiny") + field(2, vector) + field(3, b"\xff\xff\xff\xff"))
            + frame(WRITE, 4, field(1, b"tiny") + field(3, b"\xff\xff\xff\xff" + bytes(16)))
            + frame(GET, 5, field(1, b"tiny") + struct.pack(">HI", 2, 0xFFFFFFF8)))


def late():
    """Requests that are well-formed and found wrong at the end of planning."""
    return b"".join(search(number, columns=[b"colour"]) for number in range(1, 200))


BOMB = bytes(MAX_FRAME - 8)
ATTACKS = {
    "2000 silent sockets": lambda address: Sockets(address, 2000, b""),
    "2000 half prefaces": lambda address: Sockets(address, 2000, PREFACE[:4]),
    "2000 without HELLO": lambda address: Sockets(address, 2000, PREFACE),
    "2000 half HELLOs": lambda address: Sockets(address, 2000, greeting()[:-5]),
    "100 half frames of 1 MiB": half_frames,
    "100 a byte at a time": lambda address: Sockets(address, 100, greeting(), then=drip(frame(PING, 1, b"x"))),
    "never reading": lambda address: Flood(address, frame(COLLECTIONS, 1), reads=False, buffer=4096),
    "pings": lambda address: Flood(address, frame(PING, 1, bytes(64))),
    "cancels": lambda address: Flood(address, frame(CANCEL, 1)),
    "empty frames": lambda address: Flood(address, frame(LOAD_ROWS, 1) + frame(SEARCH, 1)),
    "duplicate ids": lambda address: Flood(address, search(7) + search(7)),
    "requests that fail late": lambda address: Flood(address, late()),
    "LZ4 bombs": lambda address: Flood(address, compressed(SEARCH, 1, BOMB), LZ4_FEATURE),
    "LZ4 that lies": lambda address: Flood(address, compressed(SEARCH, 1, BOMB, len(BOMB) + 2), LZ4_FEATURE),
    "frames out of state": lambda address: Flood(address, frame(RESULT, 1)),
    "giant counts": lambda address: Flood(address, giant()),
    "searches cancelled at once": lambda address: Flood(address, pairs()),
}


class Attacker:
    """`with Attacker(...)`: the attack runs in a process of its own until the block ends."""

    def __init__(self, make, host, port):
        context = multiprocessing.get_context("fork")
        self.stop, self.ready = context.Event(), context.Event()
        self.notes, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=self._run, args=(make, (host, port), theirs), daemon=True)

    def _run(self, make, address, notes):
        os.nice(15)
        attack = make(address)
        self.ready.set()
        try:
            attack.run(self.stop)
        finally:
            notes.send(attack.noted())

    def __enter__(self):
        self.process.start()
        self.ready.wait(10)
        time.sleep(0.2)
        return self

    def noted(self):
        self.stop.set()
        return self.notes.recv() if self.notes.poll(10) else "did not end"

    def __exit__(self, *_):
        self.stop.set()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
