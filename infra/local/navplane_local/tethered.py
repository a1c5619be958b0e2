"""Become a program that ends with the thread that started it, as another OS user if asked.

    python -I -S tethered.py PARENT_PID SIGNAL UID PROGRAM [ARGUMENT...]

Run as a script, so that nothing runs between fork and exec in a process that may have threads. UID `-` stays who it is.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def become(parent: int, signal_number: int, uid: int | None, argv: list[str]) -> None:
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    # The kernel forgets this setting whenever the user changes, so it comes after.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit("the parent ended before its child began")
    os.execv(argv[0], argv)


if __name__ == "__main__":
    _, parent_pid, number, user, *command = sys.argv
    become(int(parent_pid), int(number), None if user == "-" else int(user), command)
