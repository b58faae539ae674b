"""The demonstration's mailboxes are filled once, and get more mail while it runs."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ingest.config.load import load
from ingest.config.mailbox import PasswordAuth
from ingest.config.secrets import Secrets
from ingest.demo.scene import DEMO_MAILBOXES, deliver_one, demonstration, write_demo

if TYPE_CHECKING:
    from pathlib import Path

_NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def _mails(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.eml")}


def test_every_mailbox_gets_mail_and_no_unfinished_file_is_left(tmp_path: Path) -> None:
    write_demo(tmp_path, _NOW)
    assert {path.name for path in tmp_path.iterdir()} == {mailbox.user for mailbox in DEMO_MAILBOXES}
    for mailbox in DEMO_MAILBOXES:
        files = list((tmp_path / mailbox.user).iterdir())
        assert len(files) >= len(mailbox.kinds)
        assert {path.suffix for path in files} == {".eml"}


def test_second_start_changes_nothing(tmp_path: Path) -> None:
    write_demo(tmp_path, _NOW)
    before = _mails(tmp_path)
    write_demo(tmp_path, _NOW + timedelta(days=1))
    assert _mails(tmp_path) == before


def test_start_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    write_demo(tmp_path, _NOW)
    before = _mails(tmp_path)
    lost = next(iter(tmp_path.rglob("000003-*.eml")))
    lost.unlink()
    write_demo(tmp_path, _NOW)
    assert _mails(tmp_path) == before


def test_mail_comes_to_each_mailbox_in_turn_and_is_always_new(tmp_path: Path) -> None:
    write_demo(tmp_path, _NOW)
    before = _mails(tmp_path)
    rounds = 3 * len(DEMO_MAILBOXES)
    paths = [deliver_one(tmp_path, n, _NOW + timedelta(seconds=n)) for n in range(rounds)]
    after = _mails(tmp_path)
    assert len(after) == len(before) + rounds == len(set(after.values()))
    assert before.items() <= after.items()
    assert {path.parent.name for path in paths[: len(DEMO_MAILBOXES)]} == {box.user for box in DEMO_MAILBOXES}


def test_restart_goes_on_counting(tmp_path: Path) -> None:
    write_demo(tmp_path, _NOW)
    first = deliver_one(tmp_path, 0, _NOW)
    second = deliver_one(tmp_path, 0, _NOW)
    assert int(second.name[:6]) == int(first.name[:6]) + 1


def test_counting_begins_at_nought_in_an_empty_mailbox(tmp_path: Path) -> None:
    (tmp_path / DEMO_MAILBOXES[0].user).mkdir()
    assert deliver_one(tmp_path, 0, _NOW).name.startswith("000000-")


def test_number_used_again_gives_another_name(tmp_path: Path) -> None:
    """The name is the unique-id: a mail that was deleted must not lend its own to the next one."""
    write_demo(tmp_path, _NOW)
    first = deliver_one(tmp_path, 0, _NOW)
    first.unlink()
    second = deliver_one(tmp_path, 0, _NOW + timedelta(seconds=1))
    assert second.name[:6] == first.name[:6]
    assert second.name != first.name


def test_copy_of_the_configuration_means_the_same_in_any_folder(tmp_path: Path) -> None:
    with demonstration(tmp_path / "a, b: #c", console=True) as demo:
        copy = tmp_path / "my.yaml"
        copy.write_bytes(demo.config.read_bytes())
        copied, original = load(copy, {}), load(demo.config, {})
        catalog = {"console": {"catalog"}}  # beside the configuration, and built from the store
        assert copied.model_dump(exclude=catalog) == original.model_dump(exclude=catalog)
        assert copied.ledger_folder == demo.folder / "ledger"
        (reference,) = {box.auth.password for box in copied.mailboxes if isinstance(box.auth, PasswordAuth)}
        assert Secrets(tmp_path, {}).read(reference)


def test_server_keeps_its_port_over_restarts_unless_it_is_taken(tmp_path: Path) -> None:
    def port(config: Path) -> int:
        (found,) = {box.port for box in load(config, {}).mailboxes}
        assert found is not None
        return found

    with demonstration(tmp_path) as demo:
        first = port(demo.config)
    with demonstration(tmp_path) as demo:
        assert port(demo.config) == first
    with socket.create_server(("127.0.0.1", first)), demonstration(tmp_path) as demo:
        assert port(demo.config) != first
    (tmp_path / "mailhaul.yaml").write_text("    port: 99999\n")
    with demonstration(tmp_path) as demo:
        assert port(demo.config) < 65_536
