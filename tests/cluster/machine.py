"""What the node needs of the machine, so that nothing of it is left behind.

Everything runs in namespaces of its own (`make cluster` starts `unshare`): a network that leads nowhere, mounts that
nobody else sees, and process ids, so that all processes end with the first one. Outside are only a temporary folder
and the control groups, which `clean_up` removes even after a crash.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from tests.cluster.processes import run

NODE = "10.89.0.1"
PODS = "10.88.0.0/16"
SERVICES = "10.96.0.0/16"
_GROUPS = Path("/sys/fs/cgroup")
# What a kubelet sets for the whole machine. It gets files to write to instead, with the values that it wants.
_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def set_up(group: str) -> None:
    """Prepare the namespaces that this process is in.

    Args:
        group: name of the control group in which pods will run.

    Raises:
        RuntimeError: they are those of the machine, or may not be changed.
    """
    if len(run("ip", "-o", "link").splitlines()) > 1:
        raise RuntimeError("this is the network of the machine itself; start the cluster with `make cluster`")
    # Programs of a node write there whatever their options are.
    for folder in ("/run", "/var/log", "/var/lib"):
        run("mount", "-t", "tmpfs", "tmpfs", folder)
    for number, (name, value) in enumerate(_SETTINGS.items()):
        replacement = Path(f"/run/setting-{number}")
        replacement.write_text(f"{value}\n")
        run("mount", "--bind", str(replacement), f"/proc/sys/{name}")
    _make_network()
    _make_groups(group)


def _make_network() -> None:
    """Loopback, and an interface with the node's address whose other end leads nowhere."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "node0", "type", "veth", "peer", "name", "nowhere0")
    run("ip", "address", "add", f"{NODE}/24", "dev", "node0")
    for name in ("node0", "nowhere0"):
        run("ip", "link", "set", name, "up")
    # The addresses of services need a route before they are translated.
    run("ip", "route", "add", "default", "dev", "node0")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _hierarchies() -> list[Path]:
    """The folders of the control groups' controllers: version 1 has one for each, version 2 has one."""
    if (_GROUPS / "cgroup.controllers").exists():
        return [_GROUPS]
    return sorted(path for path in _GROUPS.iterdir() if path.is_dir() and not path.is_symlink())


def _make_groups(name: str) -> None:
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir()
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / setting).exists():  # version 1: a new group has none
                (group / setting).write_text((hierarchy / setting).read_text())


def clean_up(group: str) -> None:
    """Remove the control groups; all their processes have ended, or do so now."""
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / group, topdown=False):
            _remove_group(Path(folder))


def _remove_group(group: Path) -> None:
    for _ in range(100):
        with suppress(FileNotFoundError):
            try:
                group.rmdir()
            except OSError:
                time.sleep(0.1)  # a process of it is ending
                continue
        return
    raise RuntimeError(f"{group} still has processes: {(group / 'cgroup.procs').read_text().split()}")
