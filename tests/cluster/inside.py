"""The run itself, within namespaces of its own; `make cluster` starts it."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.machine import set_up
from tests.cluster.mail import Post, balance
from tests.cluster.node import Node
from tests.cluster.peers import Peers
from tests.cluster.release import Release
from tests.cluster.steps import FIRST_USERS, STEPS, World, install, last_mail, uninstall

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    """Run it; return 0 if nothing was lost."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # Whatever is made there goes with the folder.
    os.environ.update(dict.fromkeys(("TMPDIR", "HOME"), str(given.folder)))
    set_up(given.folder.name)
    started = time.monotonic()
    with ExitStack() as stack:
        peers = stack.enter_context(Peers(given.folder / "peers"))
        node = stack.enter_context(Node(given.folder, sorted(given.folder.glob("image-*.tar"))))
        _print_row("cluster", time.monotonic() - started, 0, "control plane and node ready")
        key = peers.make_key("mailhaul-one")
        post = Post(peers, given.every)
        for user in FIRST_USERS:
            post.add(user)
        release = Release(node, peers, given.folder)
        release.prepare(FIRST_USERS, key)
        dice = random.Random(given.seed)  # noqa: S311 - to be repeatable
        world = World(release, peers, post, key, dice, 60 * given.minutes)
        stack.callback(post.stop)
        return _run(world, given.only)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10, help="how long pods are killed at random")
    parser.add_argument("--every", type=float, default=0.25, help="seconds between two mails")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", nargs="+", help="words in the names of the steps to run, beside the first")
    return parser.parse_args()


def _run(world: World, only: list[str] | None) -> int:
    """Install, take all other steps, whatever becomes of each, and count; return the exit code."""
    chosen = {name: step for name, step in STEPS.items() if only is None or any(word in name for word in only)}
    if not _take("install", install, world):
        return 1
    done = [_take(name, step, world) for name, step in chosen.items()]
    world.post.stop()
    done.append(_take("last mail", last_mail, world))
    account = balance(world.peers, world.post)
    done.append(_take("uninstall", uninstall, world))
    lost = account.mails - account.events
    print(
        f"\n{account.mails} mails: {account.manifests} manifests, {account.events} events; {lost} lost, "
        f"{account.repeated} delivered again under the same id",
        *account.wrong,
        sep="\n",
        flush=True,
    )
    return 0 if all(done) and not account.wrong and account.manifests == account.mails else 1


def _take(name: str, step: Callable[[World], str], world: World) -> bool:
    """Take a step, and print its row: what was done, for how long, mails that came meanwhile, and what was seen.

    Returns:
        Whether the release did what it must.
    """
    started, before, repeated = time.monotonic(), world.post.total(), world.peers.repeated()
    try:
        seen, good = step(world), True
    except (AssertionError, RuntimeError) as error:
        _explain(world)
        seen, good = f"FAILED: {str(error).strip().splitlines()[-1][:300]}", False
    mails, again = world.post.total() - before, world.peers.repeated() - repeated
    _print_row(name, time.monotonic() - started, mails, f"{seen}; {again} events repeated" if again else seen)
    return good


def _print_row(name: str, seconds: float, mails: int, seen: str) -> None:
    print(f"| {name} | {seconds:.0f} s | {mails} | {seen} |", flush=True)


def _explain(world: World) -> None:
    """Print what there is to see when a step failed."""
    with suppress(RuntimeError):
        print(world.release.state(), world.release.kubectl("get", "events", "--sort-by=.lastTimestamp")[-6000:])
    for pod in world.release.pods():
        with suppress(RuntimeError):
            name = pod["metadata"]["name"]
            print(f"--- {name}\n{world.release.kubectl('logs', name, '--tail=15')}", flush=True)
            print(f"--- {name} before\n{world.release.kubectl('logs', name, '--previous', '--tail=30')}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
