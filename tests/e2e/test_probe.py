"""`mailhaul probe`: a running service hauls a mail from a server of the probe, or the probe says that it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.servers import free_port
from tests.support.service import Service, mailhaul, write_config
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from pathlib import Path


def _mailbox(**options: Any) -> dict[str, Any]:
    return {
        "id": "helm-test",
        "host": "127.0.0.1",
        "port": free_port(),
        "tls": "none",
        "auth": {"type": "password", "username": "helm-test", "password": "env:PROBE"},
        **options,
    }


ENVIRONMENT = {"PROBE": "only-for-the-probe"}


@pytest.mark.e2e
def test_probe_succeeds_when_the_service_ingests_mail(tmp_path: Path) -> None:
    config = write_config(tmp_path, [_mailbox()])
    with Service(config, env=ENVIRONMENT) as service:
        # Else the probe might start the embedded ledger first, and the service would refuse to share it.
        eventually(lambda: "to stop:" in service.output.read_text(), "the service has not started")
        for _ in range(2):  # another mail each time
            done = mailhaul(
                "probe", "helm-test", "--config", str(config), "--seconds", str(int(PATIENCE)), env=ENVIRONMENT
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert "stored: helm-test/" in done.stdout
            assert "/message.json" in done.stdout


def test_probe_fails_without_a_service(tmp_path: Path) -> None:
    config = write_config(tmp_path, [_mailbox()])
    everywhere = ("--address", "0.0.0.0")  # noqa: S104 - as in a pod
    done = mailhaul("probe", "helm-test", "--config", str(config), "--seconds", "1", *everywhere, env=ENVIRONMENT)
    assert done.returncode == 1
    assert "not stored within 1 s" in done.stdout


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("other", {}, "there is no mailbox other"),
        ("helm-test", {"tls": "implicit"}, "write `tls: none`"),
    ],
)
def test_probe_requires_a_mailbox_of_its_own(tmp_path: Path, name: str, options: dict[str, Any], words: str) -> None:
    config = write_config(tmp_path, [_mailbox(**options)])
    done = mailhaul("probe", name, "--config", str(config), env=ENVIRONMENT)
    assert done.returncode == 2
    assert words in done.stderr
