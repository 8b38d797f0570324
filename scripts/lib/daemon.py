"""A program that runs on after the script which started it has ended, known by its pid and its start time."""

import os
import signal
import subprocess

from home import Failure
from processes import send
from server import environment, tail, wait_for


class Daemon:
    """`command` is made when the program is started. As root it runs as the servers' user, unless `as_caller`."""

    def __init__(self, home, name, command, folder, as_caller=False):
        self.home, self.name, self.command, self.folder = home, name, command, folder
        self.user = None if as_caller else home.user
        self.log = os.path.join(home.logs, name + ".log")
        self.pid_file = os.path.join(home.path, "run", name + ".pid")

    def pid(self):
        """Of the live program, or None. A pid that another program has got since is none of ours."""
        try:
            with open(self.pid_file) as file:
                pid, began = file.read().split()
        except (OSError, ValueError):
            return None
        state, now = _stat(pid)
        return int(pid) if state not in (None, "Z", "X") and now == began else None

    def state(self):
        """running, stopped (by SIGSTOP) or down."""
        pid = self.pid()
        state = _stat(str(pid))[0] if pid else None
        return "down" if state in (None, "Z", "X") else "stopped" if state in "Tt" else "running"

    def start(self):
        """Starts it, in a session of its own; not to be called while it runs."""
        self.home.check_halt()
        os.makedirs(os.path.dirname(self.pid_file), mode=0o755, exist_ok=True)
        if os.path.exists(self.log) and os.path.getsize(self.log) > 16 << 20:
            os.replace(self.log, self.log + ".old")
        settings = {"env": dict(environment(), HOME=self.folder)}
        if self.user:
            # Popen becomes the user and execs, as setpriv does: nothing stands between that a signal could reach.
            settings.update(user=self.user.pw_uid, group=self.user.pw_gid, extra_groups=[])
        with open(self.log, "ab") as log:
            process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       cwd=self.folder, start_new_session=True, **settings)
        with open(self.pid_file + ".new", "w") as file:
            file.write("%d %s\n" % (process.pid, _stat(str(process.pid))[1]))
        os.replace(self.pid_file + ".new", self.pid_file)
        process.returncode = 0  # nobody waits for it: it outlives this script

    def send(self, number):
        """True if it was there to be signalled."""
        pid = self.pid()
        if pid:
            send(pid, number)
        return pid is not None

    def freeze(self):
        """SIGSTOP, awaited. Returns its pid."""
        pid = self.pid()
        if not pid:
            raise Failure("%s does not run" % self.name)
        send(pid, signal.SIGSTOP)
        if not wait_for(lambda: self.state() == "stopped", 5):
            raise Failure("%s does not stop at SIGSTOP" % self.name)
        return pid

    def thaw(self):
        """SIGCONT; whether it was stopped."""
        if self.state() != "stopped":
            return False
        self.send(signal.SIGCONT)
        return wait_for(lambda: self.state() != "stopped", 5)

    def kill(self):
        """SIGKILL, awaited. Returns the pid that it had."""
        pid = self.pid()
        if not pid:
            raise Failure("%s does not run" % self.name)
        send(pid, signal.SIGKILL)
        if not wait_for(lambda: not self.pid(), 10):
            raise Failure("%s: process %d is still there after SIGKILL" % (self.name, pid))
        return pid

    def stop(self, seconds=30):
        """Ends it: politely, then firmly. True if there was anything to end."""
        if not self.pid():
            return False
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)
        if not wait_for(lambda: not self.pid(), seconds):
            self.kill()
        return True

    def await_start(self, ready, seconds):
        """Waits until `ready()`; if the program ends before that, says how."""
        wait_for(lambda: self.home.halted or not self.pid() or ready(), seconds)
        self.home.check_halt()
        if not self.pid():
            raise Failure("%s did not start; the end of %s:\n%s" % (self.name, self.log, tail(self.log)))
        if not ready():
            raise Failure("%s is not ready after %d s; see %s" % (self.name, seconds, self.log))


def _stat(pid):
    """Its state, one letter, and when it began, in ticks since the machine did; Nones if there is none."""
    try:
        with open("/proc/%s/stat" % pid) as file:
            fields = file.read().rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return None, None
