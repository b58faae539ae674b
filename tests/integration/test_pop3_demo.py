"""The POP3 client against the demonstration's server, and that server's own promises."""

from __future__ import annotations

import io
import poplib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import trustme

from ingest.demo.server import DemoServer
from ingest.domain.mailbox import Credentials, Mailbox, Server, Tls
from ingest.errors import MaildropAuthError, MaildropInUseError
from ingest.pop3.connector import Pop3Connector
from ingest.ports.maildrop import Fetched
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.pop3.session import Pop3Session

PASSWORDS = {"ann": "apple", "bob": "banana"}
NASTY = b".\r\n..\r\n.x\r\n\n.\n\r.\r\0\xff\r\n\r\n.\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ann").mkdir()
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[DemoServer]:
    with DemoServer(folder, PASSWORDS, lock_seconds=PATIENCE) as running:
        yield running


def opened(server: DemoServer, user: str = "ann", password: str | None = None) -> Pop3Session:
    target = Mailbox("m", Server("127.0.0.1", server.port, Tls.NONE))
    return Pop3Connector()(
        target, Credentials(user, password or PASSWORDS[user]), lambda _phase, _seconds: None, lambda _: None
    )


def everything(drop: Pop3Session) -> dict[bytes | None, bytes]:
    outcomes = list(drop.fetch(drop.listing().rows, lambda _: io.BytesIO()))
    return {one.listed.unique_id: one.spool.getvalue() for one in outcomes if isinstance(one, Fetched)}


def test_every_byte_comes_through_and_a_missing_line_end_is_added(server: DemoServer, folder: Path) -> None:
    """Beyond one window, with every trap for framing; the listed sizes are exact."""
    mails: dict[bytes, bytes] = {b"%04d" % number: b"%d\r\n" % number + NASTY for number in range(250)}
    mails |= {b"big": b"x" * 3 * 2**20 + b"\r\n", b"empty": b"", b"open": b"no end", b"lf": b"a\n"}
    for name, data in mails.items():
        (folder / "ann" / f"{name.decode()}.eml").write_bytes(data)
    drop = opened(server)
    got = everything(drop)
    assert got == {key: value if value.endswith(b"\r\n") else value + b"\r\n" for key, value in mails.items()}
    assert [row.size for row in drop.listing().rows] == [len(got[row.unique_id]) for row in drop.listing().rows]
    assert [row.unique_id for row in drop.listing().rows] == sorted(mails)
    assert drop.quit()


def test_deleted_mail_is_gone_after_quit_and_only_then(server: DemoServer, folder: Path) -> None:
    for name in "abc":
        (folder / "ann" / f"{name}.eml").write_bytes(b"x\r\n")
    drop = opened(server)
    assert len(drop.delete(drop.listing().rows[:2])) == 2
    drop.close()
    drop = opened(server)
    assert len(drop.delete(drop.listing().rows[:2])) == 2
    assert drop.quit()
    assert [path.name for path in (folder / "ann").iterdir()] == ["c.eml"]


def test_maildrop_is_held_by_one_session(folder: Path) -> None:
    with DemoServer(folder, PASSWORDS, lock_seconds=0.0) as server:
        first = opened(server)
        with pytest.raises(MaildropInUseError):
            opened(server)
        opened(server, "bob").close()
        assert first.quit(wait=True)  # nothing is deleted, so that it would not wait for the server
        assert opened(server).quit()


def test_login_waits_for_the_session_before_to_end(server: DemoServer) -> None:
    first = opened(server)
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(opened, server)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.2)
        first.close()
        assert second.result(timeout=PATIENCE).quit()


@pytest.mark.parametrize(("user", "password"), [("ann", "banana"), ("eve", "x"), ("../ann", "apple")])
def test_unknown_users_cannot_log_in(server: DemoServer, user: str, password: str) -> None:
    with pytest.raises(MaildropAuthError):
        opened(server, user, password)


def test_a_user_without_a_folder_has_an_empty_maildrop(server: DemoServer) -> None:
    drop = opened(server, "bob")
    assert drop.listing().rows == []
    assert drop.quit()


def test_top_gives_the_header(server: DemoServer, folder: Path) -> None:
    (folder / "ann" / "a.eml").write_bytes(b"A: b\r\n\r\nbody\r\n")
    drop = opened(server)
    assert drop.top(drop.listing().rows[0]) == b"A: b\r\n\r\n"
    assert drop.quit()


def test_the_commands_our_client_does_not_use_work_for_others(server: DemoServer, folder: Path) -> None:
    """With the standard library's client."""
    for name in "ab":
        (folder / "ann" / f"{name}.eml").write_bytes(b"A: b\r\n\r\none\r\n.two\r\nthree\r\n")
    other = poplib.POP3("127.0.0.1", server.port)
    assert "PIPELINING" in other.capa()
    other.user("ann")
    other.pass_("apple")
    assert other.stat() == (2, 52)
    assert other.uidl(1) == b"+OK 1 a"
    other.dele(1)
    with pytest.raises(poplib.error_proto):
        other.retr(1)
    assert other.stat() == (1, 26)
    other.rset()
    other.noop()
    assert other.top(1, 2)[1] == [b"A: b", b"", b"one", b".two"]
    with pytest.raises(poplib.error_proto):
        other.rpop("ann")
    other.quit()
    assert len(list((folder / "ann").iterdir())) == 2


def test_endless_command_is_not_buffered(server: DemoServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as sock, sock.makefile("rb") as reader:
        reader.readline()
        sock.sendall(b"x" * 256)
        assert reader.readline().startswith(b"-ERR")
        assert reader.readline() == b""


def test_idle_session_is_closed(folder: Path) -> None:
    with (
        DemoServer(folder, PASSWORDS, idle=0.1) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock,
        sock.makefile("rb") as reader,
    ):
        assert reader.readline().startswith(b"+OK")
        assert reader.readline() == b""


def test_it_speaks_tls_and_stops_with_sessions_open(folder: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    (folder / "ann" / "a.eml").write_bytes(NASTY)
    with DemoServer(folder, PASSWORDS, tls_context=context) as server:
        target = Mailbox("m", Server("127.0.0.1", server.port, Tls.IMPLICIT, str(ca_file)))
        drop = Pop3Connector()(target, Credentials("ann", "apple"), lambda _phase, _seconds: None, lambda _: None)
        assert everything(drop) == {b"a": NASTY}
        assert len(drop.delete(drop.listing().rows)) == 1
    assert not drop.quit()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 - that it is refused is the point
def test_it_serves_loopback_only(folder: Path, host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        DemoServer(folder, PASSWORDS, host=host)
