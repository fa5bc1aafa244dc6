"""Become another program that dies with its parent. Run as a script, by `Process` only.

Arguments: the parent's pid, the signal at its death, the user and group to become (or -1 and -1),
then the program and its arguments. A script of its own, and not `preexec_fn`, because that is
unsafe beside threads, and because nobody may be unable to reach the Python interpreter: it must be
loaded before the user changes.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Never returns: execs, or ends with 127 (cannot run it) or 1 (the parent is gone)."""
    parent, death_signal, user, group = (int(word) for word in sys.argv[1:5])
    command = sys.argv[5:]
    libc = ctypes.CDLL(None, use_errno=True)
    if user >= 0:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    # after the change of user, which clears it
    if hasattr(libc, "prctl") and libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the line above took effect
        sys.exit(1)
    # Python ignores these, and an ignored signal stays ignored across exec
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main()
