"""What a server announces, and how long it is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.mailbox import Quirks, Server
from ingest.pop3 import capabilities
from ingest.pop3.hosts import HostMemory
from tests.support.clock import Clock

DAY = 86_400.0


def test_capabilities_are_read_in_any_case() -> None:
    read = capabilities.read([b"Top", b"sasl Plain login", b"", b"pipelining", b"SASL XOAUTH2"])
    assert read.names == {"SASL", "PIPELINING"}
    assert read.mechanisms == {"PLAIN", "LOGIN", "XOAUTH2"}
    assert read.announced
    assert read.pipelining
    assert not read.without_pipelining().pipelining


def test_only_known_printable_capabilities_are_kept() -> None:
    """It is remembered and printed."""
    rows = [b"X%d" % number for number in range(256)] + [b"SASL PLAIN \x1b[31m " + b"Y" * 21]
    assert capabilities.read(rows).names == {"SASL"}
    assert capabilities.read(rows).mechanisms == {"PLAIN"}
    many = [b"SASL " + b" ".join(b"M%d" % number for number in range(100))]
    assert len(capabilities.read(many).mechanisms) == 64


@pytest.mark.parametrize(
    ("row", "seconds"),
    [
        (b"LOGIN-DELAY 900", 900),
        (b"login-delay 60 USER", 60),
        (b"LOGIN-DELAY", 0),
        (b"LOGIN-DELAY soon", 0),
        (b"LOGIN-DELAY -5", 0),
        (b"LOGIN-DELAY " + b"9" * 30, 0),
        (b"TOP", 0),
    ],
)
def test_login_delay_is_parsed_strictly(row: bytes, seconds: float) -> None:
    """RFC 2449 section 6.5."""
    assert capabilities.read([row]).login_delay == seconds


@pytest.mark.parametrize(
    ("row", "seconds"),
    [
        (b"EXPIRE NEVER", None),
        (b"EXPIRE 0", 0),
        (b"EXPIRE 30", 30 * DAY),
        (b"EXPIRE 5 USER", 5 * DAY),
        (b"EXPIRE", None),
        (b"EXPIRE now", None),
        (b"EXPIRE " + b"9" * 30, None),
        (b"TOP", None),
    ],
)
def test_expiry_is_parsed_strictly(row: bytes, seconds: float | None) -> None:
    """RFC 2449 section 6.7."""
    assert capabilities.read([row]).expires_after == seconds


@given(st.lists(st.binary(max_size=40)))
def test_arbitrary_rows_never_raise(rows: list[bytes]) -> None:
    assert capabilities.read(rows).announced


# --- memory --------------------------------------------------------------------------------------------------------

SERVER = Server("pop.example.org", 995)
SOME = capabilities.read([b"PIPELINING"])


def test_capabilities_are_remembered_for_an_hour_and_by_the_whole_server_value() -> None:
    hosts = HostMemory(clock := Clock())
    hosts.remember(SERVER, SOME)
    hosts.remember_for_mailbox(SERVER, "a", SOME)
    assert hosts.capabilities(SERVER) == SOME
    assert hosts.capabilities_for_mailbox(SERVER, "a") == SOME
    assert hosts.capabilities_for_mailbox(SERVER, "b") is None
    assert hosts.capabilities(Server("pop.example.org", 995, quirks=Quirks(two_step_auth=True))) is None
    clock.time += 3600
    assert hosts.capabilities(SERVER) is None
    assert hosts.capabilities_for_mailbox(SERVER, "a") is None


def test_server_can_be_forgotten() -> None:
    hosts = HostMemory(Clock())
    hosts.remember(SERVER, SOME)
    hosts.forget(SERVER)
    hosts.forget(SERVER)
    assert hosts.capabilities(SERVER) is None


def test_stalled_server_is_used_in_lockstep_for_a_day() -> None:
    hosts = HostMemory(clock := Clock())
    assert not hosts.in_lockstep(SERVER)
    hosts.stalled(SERVER)
    hosts.forget(SERVER)
    clock.time += DAY - 1
    assert hosts.in_lockstep(SERVER)
    clock.time += 1
    assert not hosts.in_lockstep(SERVER)


def test_server_with_lockstep_quirk_is_always_used_in_lockstep() -> None:
    assert HostMemory(Clock()).in_lockstep(Server("h", 1, quirks=Quirks(lockstep=True)))


def test_memory_is_bounded_and_evicts_the_least_recently_used() -> None:
    hosts = HostMemory(Clock(), most=3)
    servers = [Server("h", port) for port in range(4)]
    for server in servers[:3]:
        hosts.remember(server, SOME)
    hosts.capabilities(servers[0])
    hosts.remember(servers[3], SOME)
    assert [hosts.capabilities(server) is not None for server in servers] == [True, False, True, True]
