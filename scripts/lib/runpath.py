#!/usr/bin/env python3
"""Leaves a program to look for its libraries beside itself only: runpath.py PROGRAM.

SwiftPM's RUNPATH is the toolchain's folder, then $ORIGIN. On a machine with another toolchain in that place the program
would take that one's libraries, and Swift's do not fit each other from version to version.
"""

import os
import struct
import sys

DYNAMIC, PATH, STRINGS, LOAD = 2, 29, 5, 1


def segments(data):
    """(type, offset, address, size in the file) of each."""
    start, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for index in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, start + index * size)
        yield kind, offset, address, length


def shorten(path):
    with open(path, "rb") as file:
        data = file.read()
    if data[:6] != b"\x7fELF\x02\x01":
        sys.exit("runpath: %s is no 64-bit little-endian ELF file" % path)
    dynamic = [(offset, length) for kind, offset, _, length in segments(data) if kind == DYNAMIC]
    if not dynamic:
        return
    entries = {}
    for place in range(dynamic[0][0], sum(dynamic[0]), 16):
        tag, value = struct.unpack_from("<QQ", data, place)
        entries.setdefault(tag, (place, value))
    if PATH not in entries:
        sys.exit("runpath: %s has no RUNPATH" % path)
    address = entries[STRINGS][1]
    strings = [offset + address - start for kind, offset, start, length in segments(data)
               if kind == LOAD and start <= address < start + length][0]
    place, value = entries[PATH]
    text = data[strings + value:data.index(b"\0", strings + value)]
    if not text.endswith(b"$ORIGIN"):
        sys.exit("runpath: %s does not look beside itself, but in %s" % (path, os.fsdecode(text)))
    # The end of a string is a string, too.
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(struct.pack("<QQ", PATH, value + len(text) - len(b"$ORIGIN")))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    shorten(sys.argv[1])
