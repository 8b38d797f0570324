"""A view that a benchmark needs, for as long as it needs it."""

import contextlib


@contextlib.contextmanager
def view_of_own(cluster, name, statements):
    """`statements` make the view `name` in the schema public of every shard; it is gone after the block."""
    def drop():
        for group in cluster.groups:
            group[0].query("SET client_min_messages = warning; DROP VIEW IF EXISTS public." + name, superuser=True)

    drop()
    try:
        for group in cluster.groups:
            group[0].query(statements, superuser=True)
        cluster.await_standbys(60)
        yield
    finally:
        drop()
