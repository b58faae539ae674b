"""`make cluster`: the chart in a real cluster, and a table of what happened to the mail.

This part builds the images, which needs the network of the machine. The run itself is in namespaces of its own.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster import machine
from tests.cluster.images import build_images

# A network, mounts and process ids of its own: when the first process ends, everything else in them does.
_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")


def main() -> int:
    """Run it; return the exit code."""
    # A signal unwinds the stack, so that everything is cleaned up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(tempfile.mkdtemp(prefix="mailhaul-cluster-"))
    folder.chmod(0o755)
    try:
        print("building the images", flush=True)
        build_images(folder)
        return subprocess.run(
            [*_UNSHARE, sys.executable, "-m", "tests.cluster.inside", folder, *sys.argv[1:]], check=False
        ).returncode
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # asked twice: this ends anyway
        machine.clean_up(folder.name)
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
