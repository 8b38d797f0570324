"""Where the local replicas live, and which user runs them."""

import fcntl
import json
import os
import pwd
import secrets
import shutil
import signal
import stat
import sys
import tempfile
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import processes
from errors import Failure

PROJECT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
SHARED = os.path.join(PROJECT, ".sluice")
DEFAULT_BASE_PORT = 7500


def say(text):
    try:
        sys.stdout.write(text + "\n")  # one write: threads print too
        sys.stdout.flush()
    except BrokenPipeError:  # `scripts/demo | head`: what has to be stopped is stopped all the same
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def can_enter(path, user):
    """Whether `user` can reach and list `path`."""
    return processes.ask_as(user, lambda: b"yes" if os.access(path, os.R_OK | os.X_OK) else b"no") == b"yes"


def server_user(recorded=None):
    """The account that runs the servers, or None to run them as the caller (PostgreSQL refuses root). `recorded`:
    the one that has run them so far; `postgres` may have been added to the machine since."""
    if os.geteuid() != 0:
        return None
    for name in filter(None, (recorded, "postgres", "nobody")):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Failure("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to drop to")


class Home:
    """$SLUICE_HOME, or a folder of it: passwords, topology, logs, and the data directories (or a link to where they
    are). `script` is what makes and removes it."""

    def __init__(self, folder="", script="scripts/replicas"):
        self.path = os.path.abspath(os.path.join(os.environ.get("SLUICE_HOME") or SHARED, folder))
        self.script = script
        self.logs = os.path.join(self.path, "log")
        self.topology = os.path.join(self.path, "topology.json")
        self.state_file = os.path.join(self.path, "state.json")
        self.user = server_user(self._recorded_user())
        self.halted = False  # set by a signal or a failure: from then on nothing is started, only stopped
        self.data_link = os.path.join(self.path, "pg")
        self._lock = None

    def check_halt(self):
        if self.halted:
            raise Failure("interrupted")

    def create(self):
        os.makedirs(self.path, mode=0o755, exist_ok=True)
        os.makedirs(self.logs, mode=0o755, exist_ok=True)

    def lock(self):
        """One `up` or `down` at a time in one home. Servers do not inherit the descriptor."""
        self._lock = open(os.path.join(self.path, "lock"), "a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another %s in %s" % (self.script, self.path))
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def unlock(self):
        if self._lock:
            self._lock.close()
        self._lock = None

    def _recorded_user(self):
        try:
            with open(self.state_file) as file:
                return json.load(file).get("server_user")
        except (OSError, ValueError):  # `state` says what is wrong
            return None

    def state(self):
        """What the last `up` made, or None. Refuses a home that another user brought up."""
        try:
            with open(self.state_file) as file:
                state = json.load(file)
        except FileNotFoundError:
            return None
        except PermissionError:
            raise Failure("%s is not readable; run as the user who ran `%s up`" % (self.state_file, self.script))
        except ValueError:
            raise Failure("%s is damaged; remove it after stopping the servers" % self.state_file)
        if state["uid"] != os.geteuid():
            raise Failure("%s was brought up by user id %d; run as that user, or set SLUICE_HOME to another directory"
                          % (self.path, state["uid"]))
        return state

    def save(self, path, value):
        """Writes JSON so that a reader sees the old file or the new one, never half of it."""
        temporary = path + ".new"
        with open(temporary, "w") as file:
            json.dump(value, file, indent=2)
            file.write("\n")
        os.replace(temporary, path)

    def secret(self, name, create=False):
        """A password: one line in a file of mode 0600."""
        path = os.path.join(self.path, name)
        if not os.path.exists(path):
            if not create:
                raise Failure("%s is missing; `%s down --purge` and `up` make everything anew" % (path, self.script))
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(24) + "\n")
        with open(path) as file:
            return file.readline().strip()

    def write_private(self, path, text, owner=None):
        """Writes a file that only its owner reads; `owner` is the servers' user where root writes it."""
        if os.path.lexists(path):
            os.unlink(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            if owner:
                os.fchown(file.fileno(), owner.pw_uid, owner.pw_gid)
            file.write(text)

    def data_root(self, create=False):
        """The directory of the data directories: $SLUICE_HOME/pg, which is a link to a directory in /var/tmp
        if root's servers' user cannot enter $SLUICE_HOME (a clone in a 0700 directory, say)."""
        if os.path.islink(self.data_link):
            return self._linked_root(create)
        if not os.path.isdir(self.data_link) and create:
            if self.user and not can_enter(self.path, self.user):
                return self._make_linked_root()
            os.mkdir(self.data_link, 0o755)
        if create and self.user and not can_enter(self.data_link, self.user):
            raise Failure("user `%s` cannot enter %s; run `%s down --purge`, then `up`"
                          % (self.user.pw_name, self.data_link, self.script))
        return self.data_link

    def _make_linked_root(self):
        base = next((path for path in ("/var/tmp", "/tmp") if os.path.isdir(path) and can_enter(path, self.user)), None)
        if base is None:
            raise Failure("user `%s` can enter neither %s nor /var/tmp; set SLUICE_HOME to a directory it can enter"
                          % (self.user.pw_name, self.path))
        self._sweep(base)
        target = tempfile.mkdtemp(prefix="sluice-", dir=base)
        os.chmod(target, 0o755)
        with open(os.path.join(target, "home"), "w") as file:
            file.write(self.path)
        os.symlink(target, self.data_link)
        say("data goes to %s: user `%s` cannot enter %s" % (target, self.user.pw_name, self.path))
        return target

    def _sweep(self, base):
        """Removes data that homes which have been deleted left in `base`, unless a server runs there or may do so."""
        busy = [process.directory for process in processes.every(self.user)]
        if None in busy:
            return
        for name in os.listdir(base):
            path = os.path.join(base, name)
            mark = os.path.join(path, "home")
            if not name.startswith("sluice-") or os.lstat(path).st_uid != os.geteuid() or not os.path.isfile(mark):
                continue
            with open(mark) as file:
                owner = file.read()
            if not os.path.isdir(owner) and not any(cwd.startswith(path + os.sep) for cwd in busy):
                shutil.rmtree(path, ignore_errors=True)
                say("removed %s, left by %s, which is gone" % (path, owner))

    def _linked_root(self, create):
        target = os.readlink(self.data_link)
        try:
            status = os.lstat(target)
        except FileNotFoundError:
            if not create:
                return target
            os.unlink(self.data_link)  # /var/tmp was cleaned; nothing is left to keep
            return self._make_linked_root()
        # The link leads into a world-writable directory: never trust what someone else put there.
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise Failure("%s leads to %s, which is not a directory of ours" % (self.data_link, target))
        return target


def yaml_path(path):
    """A path as a value in a gateway's configuration, where `${` begins a variable."""
    return json.dumps(path.replace("${", "$${"), ensure_ascii=False)


def unwind_at_signals(home):
    """SIGINT, SIGTERM and SIGHUP, where they are not ignored, raise KeyboardInterrupt: once, and not after a failure.
    What is to be stopped then is stopped whatever comes; every wait on that way has an end."""
    def handle(*_):
        if not home.halted:
            home.halted = True
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle)


def in_threads(home, function, items):
    """Calls the function with each item, at once. At the first failure, or a signal, nothing more is started; it is
    raised when all threads have ended."""
    with ThreadPoolExecutor(len(items)) as pool:
        try:
            jobs = [pool.submit(function, item) for item in items]
            done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
            for job in done:
                job.result()
        except BaseException:
            home.halted = True
            raise
    return [job.result() for job in jobs]


def main(run):
    """Runs a script's main function with clear errors and the conventional exit codes."""
    try:
        sys.exit(run() or 0)
    except Failure as failure:
        print("%s: %s" % (os.path.basename(sys.argv[0]), failure), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except PermissionError as error:
        print("%s: %s" % (os.path.basename(sys.argv[0]), error), file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
