"""PgBouncer in transaction mode before a local server, on the server's port + 1000."""

import os
import shutil
import signal
import subprocess

from home import Failure
from processes import send, working_in
from server import end, environment, tail, wait_for

SETTINGS = """\
; Written by scripts/replicas at every start; changes here are lost.
[databases]
sluice = host=127.0.0.1 port={server} dbname=sluice
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = 8
max_client_conn = 500
stats_users = sluice
logfile = {log}
"""


class Pooler:
    def __init__(self, server):
        self.server, self.home = server, server.home
        self.port = server.port + 1000
        self.folder = os.path.join(server.root, server.name + ".pooler")
        self.log = os.path.join(self.folder, "log")

    @staticmethod
    def program():
        """Debian puts it where only root's PATH leads."""
        found = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if not found:
            raise Failure("PgBouncer is not installed (Debian's package: pgbouncer)")
        return found

    def pids(self):
        """Its working directory is its own folder, and nobody else's."""
        return [process.pid for process in working_in(self.folder, "pgbouncer", self.home.user)]

    def start(self, started):
        """Appends itself to `started` if there was anything to start."""
        self.home.check_halt()
        if self.pids():
            return
        program = self.program()
        started.append(self)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        if self.home.user:
            os.chown(self.folder, self.home.user.pw_uid, self.home.user.pw_gid)
        users, settings = os.path.join(self.folder, "users"), os.path.join(self.folder, "pgbouncer.ini")
        self.home.write_private(users, '"sluice" "%s"\n' % self.home.secret("password"), self.home.user)
        self.home.write_private(settings, SETTINGS.format(server=self.server.port, port=self.port, users=users,
                                                          log=self.log), self.home.user)
        process = subprocess.Popen([program, settings], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True,
                                   **dict(self.server.as_user(), cwd=self.folder))
        wait_for(lambda: self.home.halted or process.poll() is not None or self.answers(), 20)
        self.home.check_halt()
        if process.poll() is not None or not self.pids() or not self.answers():
            end(process)
            raise Failure("PgBouncer for %s did not start on port %d; the end of %s:\n%s"
                          % (self.server.name, self.port, self.log, tail(self.log)))

    def answers(self):
        return subprocess.run([self.server.tool("pg_isready"), "-q", "-t", "2", "-h", "127.0.0.1", "-p",
                               str(self.port)], env=environment()).returncode == 0

    def stop(self):
        """True if there was anything to end."""
        if not self.pids():
            return False
        for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            for pid in self.pids():
                send(pid, number)
            if wait_for(lambda: not self.pids(), seconds):
                return True
        raise Failure("PgBouncer for %s does not end" % self.server.name)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
