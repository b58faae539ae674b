"""A store that refuses: nothing is registered, nothing deleted, and all is there once it is fixed."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from ingest.demo.mails import Kind, sample
from ingest.demo.server import DemoServer
from tests.support.service import Service, mailhaul, read_events, write_config
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.s3 import S3Server

MAILS = 12
ENV = {"SECRET": "right"}


@contextmanager
def served(folder: Path) -> Iterator[dict[str, Any]]:
    drop = folder / "drops" / "invoices"
    drop.mkdir(parents=True)
    for index in range(MAILS):
        (drop / f"{index}.eml").write_bytes(sample(index, "invoices", Kind.PDF_INVOICE).raw)
    with DemoServer(folder / "drops", {"invoices": "right"}) as server:
        yield {
            "id": "invoices",
            "host": "127.0.0.1",
            "port": server.port,
            "tls": "none",
            "policy": "delete",
            "auth": {"type": "password", "username": "invoices", "password": "env:SECRET"},
        }


def drop_size(folder: Path) -> int:
    return len(list((folder / "drops" / "invoices").glob("*.eml")))


def check_trouble_then_fixed(folder: Path, service: Service, fix: Any, worsen: Any = lambda: None) -> None:
    """The service runs into the refusal and reports it; once fixed, everything arrives and only then is it deleted.

    `worsen` is called before `mailhaul check`, so that it meets the same refusal.
    """

    def warned() -> bool:
        return "store_refused" in service.output.read_text()

    eventually(warned, "no log line says that the store refuses")
    assert drop_size(folder) >= MAILS - len(read_events(folder / "events.jsonl")) > 0
    worsen()
    checked = mailhaul("check", "--config", str(service.config), env={**ENV, **service.env})
    assert checked.returncode == 1
    assert "Traceback" not in checked.stdout + checked.stderr
    fix()
    events = service.wait_for_events(MAILS)
    assert len({event["id"] for event in events}) == MAILS
    eventually(lambda: drop_size(folder) == 0, lambda: f"{drop_size(folder)} mails still on the server")
    assert service.stop() == 0
    assert "Traceback" not in service.output.read_text()


def fill_up(disk: Path) -> None:
    """Leave not even room for a probe object."""
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False, capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a small file system can be mounted by root only: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.e2e
def test_full_disk_loses_nothing(tmp_path: Path) -> None:
    with served(tmp_path) as mailbox, small_disk(tmp_path / "disk") as disk:
        config = write_config(tmp_path, [mailbox], store=f"file://{disk}/store")
        with Service(config, ENV) as service:
            check_trouble_then_fixed(
                tmp_path,
                service,
                lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True),
                lambda: fill_up(disk),
            )


@pytest.mark.e2e
def test_missing_bucket_loses_nothing(tmp_path: Path, s3_server: S3Server) -> None:
    with served(tmp_path) as mailbox:
        config = write_config(tmp_path, [mailbox], store=s3_server.store("not-yet-there"))
        with Service(config, {**ENV, **s3_server.environment}) as service:
            check_trouble_then_fixed(tmp_path, service, lambda: s3_server.make_bucket("not-yet-there"))
