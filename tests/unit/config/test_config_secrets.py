"""Secrets are read where the configuration says they are, again when they change, and never shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ingest.config import Secrets
from ingest.config.load import load
from ingest.domain.mailbox import Credentials
from ingest.errors import ConfigError
from ingest.wiring.build import configured_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("written", ["hunter2", "hunter2\n", "hunter2\r\n"])
def test_line_ends_behind_a_secret_are_not_part_of_it(tmp_path: Path, written: str) -> None:
    (tmp_path / "s").write_bytes(written.encode())
    secrets = Secrets(tmp_path, {"S": written})
    assert secrets.read("file:s") == secrets.read(f"file:{tmp_path}/s") == secrets.read("env:S") == "hunter2"


def test_spaces_are_part_of_a_secret(tmp_path: Path) -> None:
    assert Secrets(tmp_path, {"S": " a b "}).read("env:S") == " a b "


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("one")
    secrets = Secrets(tmp_path, {})
    assert secrets.read("file:s") == "one"
    path.write_text("longer")
    assert secrets.read("file:s") == "longer"
    other = tmp_path / "new"
    other.write_text("equals")
    stat = path.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)
    assert secrets.read("file:s") == "equals", "same size and time, another file"


def test_a_folder_of_links_may_be_swapped_as_kubernetes_does(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "password").write_text(version)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "password").symlink_to("..data/password")
    secrets = Secrets(tmp_path, {})
    assert secrets.read("file:password") == "v1"
    (tmp_path / "..new").symlink_to("v2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert secrets.read("file:password") == "v2"


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("one")
    secrets = Secrets(tmp_path, {})
    secrets.read("file:s")
    stat = path.stat()
    path.write_text("two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert secrets.read("file:s") == "one"


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("env:NONE", "environment variable NONE"),
        ("env:EMPTY", "environment variable EMPTY"),
        ("file:none", "there is no file /"),
        ("file:empty", "write the secret into this file"),
        ("file:folder", "is a folder; name the file"),
        ("file:binary", "UTF-8"),
    ],
)
def test_unreadable_secret_names_reference_and_remedy(tmp_path: Path, ref: str, words: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"hunter2\xff")
    with pytest.raises(ConfigError) as raised:
        Secrets(tmp_path, {"EMPTY": ""}).read(ref)
    (problem,) = raised.value.problems
    assert problem.startswith(f"{ref}: ")
    assert words in problem
    assert "hunter2" not in problem
    assert not isinstance(raised.value.__cause__, UnicodeDecodeError)


def test_missing_secret_names_its_mailbox_and_option(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "store: file:///s\nledger: embedded\nmailboxes:\n"
        "  - {id: a, host: h, auth: {type: password, username: ua, password: env:SHARED}}\n"
        "  - {id: b, host: h, auth: {type: password, username: ub, password: env:SHARED}}\n"
        "  - {id: c, host: h, auth: {type: password, username: uc, password: file:none}}\n"
    )
    config = load(path, {})
    secrets = Secrets(tmp_path, {"SHARED": "hunter2"})
    assert config.login("a", secrets) == Credentials("ua", "hunter2")
    assert config.login("b", secrets) == Credentials("ub", "hunter2")
    with pytest.raises(ConfigError, match=r"mailbox c: auth\.password: file:none"):
        config.login("c", secrets)
    with pytest.raises(ConfigError, match="no mailbox d"):
        config.login("d", secrets)


@pytest.mark.parametrize(
    ("store", "option"),
    [
        ("{url: 's3://b', access_key: env:AK, secret_key: env:NONE}", "store.secret_key: env:NONE"),
        ("{url: 'az://a/c', account_key: env:NONE}", "store.account_key: env:NONE"),
    ],
)
def test_missing_secret_of_the_store_names_its_option(tmp_path: Path, store: str, option: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"store: {store}\nledger: embedded\n")
    with pytest.raises(ConfigError) as raised:
        configured_store(load(path, {}), Secrets(tmp_path, {"AK": "a"}))
    (problem,) = raised.value.problems
    assert problem.startswith(f"{option}: ")
