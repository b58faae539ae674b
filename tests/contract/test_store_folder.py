"""What only a folder store promises: durability, privacy, and plain words about disks."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.stores.folder import FolderStore
from ingest.adapters.stores.metered import MeteredStore
from ingest.errors import ObjectExistsError, StoreRefusedError, StoreUnavailableError
from ingest.metrics import Metrics
from tests.support.stores import put, stored_keys
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own, which only root can make."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False, capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"only root can mount a file system: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Syncs:
    """Remembers what was synchronised, and which keys had their names by then."""

    def __init__(self, store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[Path, list[str]]] = []
        synchronise = os.fsync

        def remember(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            self.seen.append((path, stored_keys(store, "")))
            synchronise(descriptor)

        monkeypatch.setattr(os, "fsync", remember)


@pytest.mark.parametrize("only_if_absent", [False, True])
def test_put_is_durable_with_all_the_folders_above_it(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, only_if_absent: bool
) -> None:
    syncs = Syncs(store, monkeypatch)
    put(store, "box/day/key", b"bytes", only_if_absent=only_if_absent)
    root = tmp_path / "store"
    made, content, *folders = syncs.seen
    assert made[0] == tmp_path
    assert (content[0].parent, content[1]) == (root / "box/day", []), "the bytes come before the name"
    assert folders == [(path, ["box/day/key"]) for path in (root, root / "box", root / "box/day")]


def test_threads_share_the_sync_of_the_folder_of_a_day(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that were made after a sync had begun need another one, which serves all of them."""
    put(store, "box/day/0/raw.eml", b"bytes")
    day, synchronise, goes_on = tmp_path / "store/box/day", os.fsync, threading.Event()
    synced: list[set[str]] = []

    def wait(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == day:
            synced.append({path.name for path in day.iterdir()})
            assert goes_on.wait(PATIENCE)
        synchronise(descriptor)

    monkeypatch.setattr(os, "fsync", wait)
    with ThreadPoolExecutor(3) as threads:
        writes = [threads.submit(put, store, "box/day/1/raw.eml", b"bytes")]
        eventually(lambda: len(synced) == 1)
        writes += [threads.submit(put, store, f"box/day/{name}/raw.eml", b"bytes") for name in (2, 3)]
        eventually(lambda: store._names._shared._folders[str(day)].asked == 3)
        goes_on.set()
        for write in writes:
            write.result(PATIENCE)
    assert synced == [{"0", "1"}, {"0", "1", "2", "3"}]
    assert store._names._shared._folders == {}


def test_sync_that_fails_does_so_for_every_thread_that_waits_for_it(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system reports an error of the disk once: a second sync would succeed, whatever was lost."""
    put(store, "box/day/0/raw.eml", b"bytes")
    day, synchronise, goes_on = tmp_path / "store/box/day", os.fsync, threading.Event()
    begun: list[int] = []

    def fail_once(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == day and not begun:
            begun.append(descriptor)
            assert goes_on.wait(PATIENCE)
            raise OSError(errno.EIO, "Input/output error")
        synchronise(descriptor)

    monkeypatch.setattr(os, "fsync", fail_once)
    with ThreadPoolExecutor(3) as threads:
        writes = [threads.submit(put, store, "box/day/1/raw.eml", b"bytes")]
        eventually(lambda: len(begun) == 1)
        writes += [threads.submit(put, store, f"box/day/{name}/raw.eml", b"bytes") for name in (2, 3)]
        eventually(lambda: store._names._shared._folders[str(day)].asked == 3)
        goes_on.set()
        assert [type(write.exception(PATIENCE)) for write in writes] == [StoreUnavailableError] * 3
    assert store._names._shared._folders == {}
    put(store, "box/day/1/raw.eml", b"bytes")


def test_batch_makes_each_folder_durable_once_at_its_end(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["box/m/attachments/1", "box/m/attachments/2", "box/m/body.txt"]
    put(store, "box/other", b"bytes")
    syncs = Syncs(store, monkeypatch)
    with store.batch() as batch:
        for key in keys:
            put(batch, key, b"bytes")
    made = [path for path, _ in syncs.seen]
    folders = [tmp_path / "store" / name for name in ("box", "box/m", "box/m/attachments")]
    assert sorted(made[-3:]) == folders
    assert all(path.parent in folders for path in made[:-3]), "the bytes of each"
    assert all(
        names == ["box/m/attachments/1", "box/m/attachments/2", "box/m/body.txt", "box/other"]
        for _, names in syncs.seen[-3:]
    )


def test_batch_that_cannot_be_made_durable_counts_as_a_put_that_failed(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()

    def fail(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with contextlib.ExitStack() as stack:
        put(stack.enter_context(MeteredStore(store, metrics).batch()), "box/m/body.txt", b"bytes")
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(StoreUnavailableError):
            stack.close()
    counted = metrics.registry.get_sample_value
    assert counted("mailhaul_store_requests_total", {"operation": "put", "result": "ok"}) == 1
    assert counted("mailhaul_store_requests_total", {"operation": "put", "result": "unavailable"}) == 1


def test_folder_that_another_process_removed_is_made_durable_again(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "box/day/1", b"bytes")
    shutil.rmtree(tmp_path / "store/box")
    syncs = Syncs(store, monkeypatch)
    put(store, "box/day/1", b"bytes")
    assert [path for path, _ in syncs.seen][1:] == [
        tmp_path / "store",
        tmp_path / "store/box",
        tmp_path / "store/box/day",
    ]


def test_folder_known_to_be_durable_is_not_synchronised_again(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "box/day/1", b"bytes")
    syncs = Syncs(store, monkeypatch)
    put(store, "box/day/2", b"bytes")
    assert [path for path, _ in syncs.seen][1:] == [tmp_path / "store/box/day"]


def test_root_whose_name_could_not_be_made_durable_is_made_durable_by_the_next_put(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(StoreUnavailableError):
            put(store, "box/1", b"bytes")
    syncs = Syncs(store, monkeypatch)
    put(store, "box/1", b"bytes")
    assert syncs.seen[0][0] == tmp_path


def test_folder_of_another_process_is_not_taken_for_durable(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have made the folder, and not yet have come to synchronise it."""
    put(store, "box/1", b"bytes")
    (tmp_path / "store/box/day").mkdir()
    syncs = Syncs(store, monkeypatch)
    put(store, "box/day/1", b"bytes")
    assert tmp_path / "store/box" in [path for path, _ in syncs.seen]


def test_object_found_by_only_if_absent_is_durable_too(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller goes on as if it had stored it, and its writer may have been stopped before it was durable."""
    put(FolderStore(tmp_path / "store"), "box/day/key", b"bytes")
    syncs = Syncs(store, monkeypatch)
    with pytest.raises(ObjectExistsError):
        put(store, "box/day/key", b"bytes", only_if_absent=True)
    assert [path for path, _ in syncs.seen][-1] == tmp_path / "store/box/day"
    assert tmp_path / "store/box" in [path for path, _ in syncs.seen]


def test_erase_removes_empty_folders_and_temporary_files_durably(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("box/m/message.json", "box/m/attachments/1-a", "box/m/attachments/more/2-b"):
        put(store, key, b"bytes")
    (tmp_path / "store/box/m/.tmp-0123").write_bytes(b"half an attachment")
    syncs = Syncs(store, monkeypatch)
    assert store.erase("box/m", keep=["box/m/message.json"]) == 2
    assert [path.name for path in (tmp_path / "store/box/m").iterdir()] == ["message.json"]
    assert syncs.seen[-1] == (tmp_path / "store/box/m", ["box/m/message.json"])
    put(store, "box/m/attachments/1-a", b"bytes")


def test_erasing_again_makes_durable_what_was_removed_before(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who removed it may have been killed before that."""
    put(store, "box/m/message.json", b"bytes")
    syncs = Syncs(store, monkeypatch)
    assert store.erase("box/m", keep=["box/m/message.json"]) == 0
    assert [path for path, _ in syncs.seen] == [tmp_path / "store/box/m"]


def test_link_is_erased_and_not_what_it_points_to(store: FolderStore, tmp_path: Path) -> None:
    put(store, "box/m/a", b"bytes")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").write_bytes(b"of somebody else")
    (tmp_path / "store/box/m/link").symlink_to(tmp_path / "elsewhere")
    store.erase("box/m")
    assert (tmp_path / "elsewhere/file").read_bytes() == b"of somebody else"
    assert list((tmp_path / "store/box/m").iterdir()) == []


def test_files_and_folders_are_private(store: FolderStore, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        put(store, "box/day/key", b"bytes")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "store", *tmp_path.rglob("store/**/*")]}
    assert modes == {"store": 0o700, "box": 0o700, "day": 0o700, "key": 0o600}


KILLED = """
import sys
from pathlib import Path
from ingest.adapters.stores.folder import FolderStore
from tests.support.stores import stored_keys
FolderStore(Path(sys.argv[1])).put("box/day/key", sys.stdin.buffer, size=1, sha256="", content_type="a/b")
"""


def test_killed_put_leaves_only_temporary_files(store: FolderStore, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "store")], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"x" * 2**20)
        process.stdin.flush()
        eventually(lambda: [path for path in files(tmp_path) if path.stat().st_size])
        process.kill()
    left = files(tmp_path)
    assert [path.name[:5] for path in left] == [".tmp-"]
    assert stored_keys(store, "") == stored_keys(store, "box/day/.tmp-") == []
    assert store.stat("box/day/key") is None
    with pytest.raises(StoreRefusedError, match="may begin with"):
        store.stat(f"box/day/{left[0].name}")
    put(store, "box/day/key", b"bytes", only_if_absent=True)
    assert stored_keys(store, "") == ["box/day/key"]


def test_folders_may_be_removed_while_the_store_is_in_use(store: FolderStore, tmp_path: Path) -> None:
    put(store, "box/day/key", b"bytes")
    shutil.rmtree(tmp_path / "store/box/day")
    put(store, "box/day/key", b"bytes")
    shutil.rmtree(tmp_path / "store")
    put(store, "box/day/key", b"bytes")
    assert stored_keys(store, "") == ["box/day/key"]


def test_segment_may_be_as_long_as_a_file_name(store: FolderStore) -> None:
    longest = "ü" * 127 + "x"
    put(store, f"box/{longest}", b"bytes")
    assert stored_keys(store, "") == [f"box/{longest}"]
    with pytest.raises(StoreRefusedError, match="255 bytes"):
        put(store, f"box/{longest}x", b"bytes")


def test_full_disk_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=256k") as disk:
        store = FolderStore(disk / "store")
        put(store, "box/small", b"bytes")
        with pytest.raises(StoreRefusedError, match="disk is full: free or add space"):
            put(store, "box/large", bytes(2**20))
        assert [path.name for path in files(disk)] == ["small"]
        put(store, "box/other", b"bytes")


def test_limit_on_file_sizes_is_refused_and_leaves_nothing(store: FolderStore, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StoreRefusedError, match="larger than allowed"):
            put(store, "box/large", bytes(2**20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files(tmp_path) == []


def test_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=256k") as disk:
        store = FolderStore(disk / "store")
        put(store, "box/a", b"bytes")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for key in ("box/b", "other/c"):
            with pytest.raises(StoreRefusedError, match="read-only: mount it for writing"):
                put(store, key, b"bytes")
        with pytest.raises(StoreRefusedError, match="read-only"):
            store.delete("box/a")
        assert stored_keys(store, "") == ["box/a"]


def test_root_whose_parent_is_missing_is_refused_not_empty(tmp_path: Path) -> None:
    """So a volume that is not mounted is no empty store, in which every object would be missing."""
    store = FolderStore(tmp_path / "volume/store")
    calls: list[Callable[[], object]] = [
        lambda: put(store, "box/a", b"bytes"),
        lambda: store.stat("box/a"),
        lambda: store.open("box/a").__enter__(),
        lambda: stored_keys(store, ""),
        lambda: store.delete("box/a"),
    ]
    for call in calls:
        with pytest.raises(StoreRefusedError, match="mount the volume"):
            call()


@pytest.mark.parametrize("root", ["store", "."])
def test_store_whose_volume_is_not_mounted_any_more_is_refused_not_empty(tmp_path: Path, root: str) -> None:
    """Mail that is stored beneath it is hidden once it is mounted again, and was deleted on its server."""
    disk = tmp_path / "disk"
    store = FolderStore(disk / root if root != "." else disk)
    calls: list[Callable[[], object]] = [
        lambda: put(store, "box/b", b"bytes"),
        lambda: put(store, "other/a", b"bytes"),
        lambda: store.stat("box/a"),
        lambda: stored_keys(store, ""),
        lambda: store.delete("box/a"),
    ]
    with mounted(disk, "size=256k"):
        put(store, "box/a", b"bytes")
    for call in calls:
        with pytest.raises(StoreRefusedError, match="not mounted any more"):
            call()
    assert files(disk) == []
    disk.rmdir()
    with mounted(disk, "size=256k"):
        put(FolderStore(disk / root if root != "." else disk), "box/a", b"bytes")
        assert stored_keys(store, "") == ["box/a"], "the volume is another device now"
        put(store, "box/b", b"bytes")


def test_file_where_a_folder_should_be_is_refused(store: FolderStore, tmp_path: Path) -> None:
    put(store, "box/a", b"bytes")
    with pytest.raises(StoreRefusedError, match="a file is where a folder should be"):
        put(store, "box/a/b", b"bytes")
    with pytest.raises(StoreRefusedError, match="a folder is where an object should be"):
        put(store, "box", b"bytes")
    assert [path.name for path in files(tmp_path)] == ["a"]


def test_failing_disk_is_transient_and_leaves_nothing(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "box/a", b"bytes")

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(StoreUnavailableError, match="Input/output error"):
            put(store, "box/b", b"bytes")
    assert [path.name for path in files(tmp_path)] == ["a"]
