"""A session with a gateway (proto-spec/PROTOCOL.md), as much of one as a load needs: many requests in flight."""

import socket
import struct
import threading

from attacks import HELLO, frame, greeting

WELCOME, GOAWAY, ERROR = 2, 5, 6


class Session:
    """`call` sends; the answer comes in the session's own thread: `done(kind, fields)`, or `done(None, {})` for a
    request that the end of the connection left without one. Exactly one of these for each."""

    def __init__(self, port, timeout=2):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._lock = threading.Lock()
        self._waiting, self._next_id = {}, 1
        self.is_open = True
        try:
            self._socket.sendall(greeting())
            kind, _, fields = self._read()
            if kind != WELCOME:
                raise OSError("the gateway answers HELLO (%d) with %d" % (HELLO, kind))
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(None)
        threading.Thread(target=self._run, daemon=True).start()

    def call(self, kind, payload, done):
        """False, and no call of `done`, if the session has ended."""
        with self._lock:
            if not self.is_open:
                return False
            request_id, self._next_id = self._next_id, self._next_id + 1
            self._waiting[request_id] = done
            try:
                self._socket.sendall(frame(kind, request_id, payload))
            except OSError:
                self.is_open = False
                # The reader's thread tells whoever waits.
            return True

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _run(self):
        try:
            while True:
                kind, request_id, fields = self._read()
                if kind == GOAWAY:
                    self.is_open = False  # what is in flight is answered
                    continue
                done = self._waiting.pop(request_id, None)
                if done:
                    done(kind, fields)
                elif request_id == 0:
                    break
        except (OSError, struct.error):
            pass
        with self._lock:
            self.is_open = False
            left, self._waiting = list(self._waiting.values()), {}
        self._socket.close()
        for done in left:
            done(None, {})

    def _read(self):
        length, kind, _, _, request_id = struct.unpack(">IBBHI", self._exactly(12))
        return kind, request_id, fields(self._exactly(length - 8))

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise OSError("the connection has ended")
            data += more
        return data


def fields(payload):
    """Of each tag its values, in order."""
    found, place = {}, 0
    while place < len(payload):
        tag, length = struct.unpack_from(">HI", payload, place)
        found.setdefault(tag, []).append(payload[place + 6:place + 6 + length])
        place += 6 + length
    return found
