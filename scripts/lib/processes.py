"""Finds the processes of local servers and poolers in /proc, by what they are called and where they work."""

import json
import os
import signal
from typing import NamedTuple, Optional

from errors import Failure

PROGRAMS = ("postgres", "pgbouncer")


class Process(NamedTuple):
    pid: int
    name: str
    state: str                # one letter, as in proc(5)
    uid: int
    title: str                # the command line; PostgreSQL's children write their role there
    directory: Optional[str]  # None: the kernel does not tell


def working_in(directory, program, user, *titles):
    """The live processes of `program` whose working directory is `directory`. One whose directory the kernel keeps
    to itself is an error if its title says that it may be one of them: it is never taken for somebody else's."""
    directory = os.path.realpath(directory)
    try:
        owner = os.stat(directory).st_uid  # PostgreSQL and `make` see to it that servers run as this user
    except OSError:
        owner = None
    found = []
    for process in every(user):
        if not process.name.startswith(program):
            continue
        if process.directory in (directory, directory + " (deleted)"):
            found.append(process)
        elif process.directory is None and process.uid == owner and any(
                text in process.title for text in (directory, *titles)):
            raise Failure("process %d (%s) may be one of %s, but the kernel does not tell user id %d where it works"
                          % (process.pid, process.title.strip(), directory, user.pw_uid if user else os.geteuid()))
    return found


def every(user):
    """The live processes called as PROGRAMS. Without CAP_SYS_PTRACE (containers rarely have it) even root may ask
    only for the working directories of its own processes: the look-up runs as `user`, unless that is None."""
    try:
        found = ask_as(user, _look) if user else _look()
    except OSError as error:
        raise Failure("cannot look for processes: %s" % error)
    return [Process(*fields) for fields in json.loads(found)]


def _look():
    if os.readlink("/proc/self") != str(os.getpid()):
        raise OSError("/proc is not that of this process")
    return json.dumps(list(filter(None, map(_read, filter(str.isdigit, os.listdir("/proc")))))).encode()


def _read(pid):
    """The process as a tuple, or None: it is called otherwise, or has ended."""
    folder = "/proc/%s/" % pid
    try:
        head, _, rest = _text(folder + "stat").rpartition(")")
        name, state = head.partition("(")[2], rest.split()[0]
        if not name.startswith(PROGRAMS) or state in "ZX":
            return None
        uid = next(line for line in _text(folder + "status").splitlines() if line.startswith("Uid:")).split()[1]
        title = _text(folder + "cmdline").replace("\0", " ")
    except (OSError, IndexError, StopIteration):  # it has ended, or /proc hides it as another user's
        return None
    try:
        directory = os.readlink(folder + "cwd")
    except PermissionError:
        directory = None
    except OSError:  # it has ended
        return None
    return int(pid), name, state, int(uid), title, directory


def _text(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def ask_as(user, question):
    """What `question`, a function, answers (in bytes) in a child that has become `user`: as the kernel sees it."""
    reader, writer = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # no handler of ours runs in the child
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                os.setgroups([])
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)
                answer, code = question(), 0
            except OSError as error:
                answer = str(error).encode()
            while answer:
                answer = answer[os.write(writer, answer):]
        finally:
            os._exit(code)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        answer = file.read()
    if os.waitpid(child, 0)[1] != 0:
        raise Failure("cannot look at things as user `%s`: %s" % (user.pw_name, answer.decode("utf-8", "replace")))
    return answer


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
