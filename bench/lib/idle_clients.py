"""Holds idle connections to one PostgreSQL port until its standard input ends: idle_clients.py PORT COUNT. It runs with
the Python of peers.drivers_python; the password is in PGPASSWORD. Prints `ready` when all are open."""

import sys

import psycopg

port, count = map(int, sys.argv[1:])
held = [psycopg.connect("host=127.0.0.1 port=%d dbname=sluice user=sluice" % port, autocommit=True)
        for _ in range(count)]
print("ready", flush=True)
sys.stdin.read()
