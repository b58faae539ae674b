"""End a child process of `mailhaul up` when its supervisor is gone, without the imports of the supervisor."""

from __future__ import annotations

import os
import signal
import threading
import time

# Environment variable of children: the supervisor's process id.
SUPERVISED = "MAILHAUL_SUPERVISED"
# Seconds in which an orphan may exit before it is killed.
ORPHAN_SECONDS = 8.0


def end_with_parent() -> None:
    """In a child of a supervisor: exit when the supervisor is gone, however it ended.

    Sends SIGTERM to this process, and after a while SIGKILL to its group. Watching the parent's id works on every
    system, survives exec, and cannot be inherited by the wrong process, unlike a parent-death signal (which Linux
    sends when the forking thread ends) or a pipe.
    """
    supervisor = os.environ.get(SUPERVISED, "")
    if supervisor.isdigit():
        threading.Thread(target=_watch, args=(int(supervisor),), name="parent-watch", daemon=True).start()


def _watch(supervisor: int) -> None:
    while os.getppid() == supervisor:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
