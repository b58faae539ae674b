"""Commands sent ahead of their answers at login; what is remembered of a server, and how that is corrected."""

from __future__ import annotations

import ssl
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trustme

from ingest.domain.mailbox import Credentials, Mechanism, Quirks, Tls
from ingest.errors import (
    LoginRefusedError,
    MaildropAuthError,
    MaildropConnectError,
    MaildropError,
    MaildropInUseError,
    MaildropProtocolError,
    MaildropTemporaryError,
    MaildropTimeoutError,
    PipeliningStalledError,
)
from ingest.pop3.connector import Pop3Connector
from ingest.ports.maildrop import Fetched, Terms
from tests.support.scripted_pop3 import (
    FLIGHT,
    LATER,
    PATIENT,
    Close,
    Drain,
    Expect,
    Reset,
    ScriptedServer,
    Secure,
    Send,
    Spools,
    Step,
    announced,
    capa,
    landed,
    login,
    mailbox,
    opened,
    rows,
)
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.domain.mailbox import Mailbox

HELLO = Send(b"+OK ready\r\n")
PIPELINED = [*FLIGHT, landed("PIPELINING", mails=2)]
AGAIN: list[Step] = [HELLO, *PIPELINED]
FIRST: list[Step] = [HELLO, *capa("PIPELINING"), *PIPELINED]
IN_LOCKSTEP: list[Step] = [
    HELLO,
    *[step for verb in ("USER", "PASS") for step in (Expect(verb), Send(b"+OK\r\n"))],
]
VERBS = ["USER", "PASS", "CAPA", "STAT", "UIDL", "LIST"]
IMPATIENT = replace(PATIENT, reply=LATER)


def verbs(server: ScriptedServer) -> list[str]:
    return [line.split()[0].decode() for line in server.received]


def listed(target: Mailbox, connect: Pop3Connector) -> int:
    """How many messages a session lists."""
    with closing(opened(target, connect=connect)) as drop:
        return len(drop.listing().rows)


def test_all_commands_after_capa_are_pipelined_and_the_next_session_pipelines_all() -> None:
    with ScriptedServer([*FIRST, Drain()], [*AGAIN, Drain()]) as server:
        connect, target = Pop3Connector(), mailbox(server.port)
        assert [listed(target, connect) for _ in range(2)] == [2, 2]
    assert server.stopped_at is None
    assert verbs(server) == ["CAPA", *VERBS, *VERBS]
    assert server.ahead == 5


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (b"-ERR no such user\r\n" + b"-ERR what?\r\n" * 5, LoginRefusedError),
        (b"+OK\r\n" + b"-ERR wrong\r\n" + b"-ERR not now\r\n" * 4, LoginRefusedError),
        (b"+OK\r\n-ERR [in-use] busy\r\n" + b"-ERR [AUTH] not now\r\n" * 4, MaildropInUseError),
        (
            b"+OK\r\n-ERR [SYS/TEMP] no\r\n" + b"+OK\r\n.\r\n+OK 1 1\r\n+OK\r\n.\r\n+OK\r\n.\r\n",
            MaildropTemporaryError,
        ),
        (b"+OK\r\n-ERR wrong\r\n+OK\r\n1 a\r\n.\r\n.\r\nnonsense\r\n", LoginRefusedError),
    ],
)
def test_rejected_login_is_reported_whatever_follows(answers: bytes, kind: type[MaildropError]) -> None:
    """The answers behind it belong to commands that were meant for a session."""
    steps = [HELLO, *capa("PIPELINING"), *FLIGHT, Send(answers), Drain()]
    with ScriptedServer(steps) as server, pytest.raises(kind) as raised:
        opened(mailbox(server.port))
    assert type(raised.value) is kind


def test_rejected_login_is_reported_even_if_the_server_resets_the_connection() -> None:
    """As one does that closes with the rest of the flight unread: what it said before is still there to be read."""
    steps = [HELLO, *capa("PIPELINING"), *FLIGHT, Send(b"+OK\r\n-ERR wrong\r\n"), Reset()]
    for _ in range(20):
        with ScriptedServer(steps) as server, pytest.raises(MaildropAuthError):
            opened(mailbox(server.port))


def test_rejected_login_keeps_the_remembered_capabilities() -> None:
    """One mailbox with a wrong password must not cost all others a round trip."""
    refused = [HELLO, *FLIGHT, Send(b"+OK\r\n-ERR wrong\r\n" + b"-ERR\r\n" * 4), Drain()]
    with ScriptedServer([*FIRST, Drain()], refused, [*AGAIN, Drain()]) as server:
        connect, target = Pop3Connector(), mailbox(server.port)
        listed(target, connect)
        with pytest.raises(MaildropAuthError):
            listed(target, connect)
        assert listed(target, connect) == 2
    assert server.stopped_at is None


def test_connection_lost_between_pipelined_commands_is_reported_as_such() -> None:
    steps = [HELLO, *capa("PIPELINING"), *FLIGHT, Send(b"+OK\r\n+OK\r\n+OK\r\nPIPE"), Close()]
    with ScriptedServer(steps) as server, pytest.raises(MaildropConnectError):
        opened(mailbox(server.port))


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ([HELLO, Expect("USER"), Close()], MaildropConnectError),
        ([HELLO, *FLIGHT, Send(b"what?\r\n"), Drain()], MaildropProtocolError),
        ([HELLO, *FLIGHT, Drain()], MaildropTimeoutError),
    ],
)
def test_outdated_remembered_capabilities_are_corrected_by_the_next_session(
    broken: list[Step], kind: type[MaildropError]
) -> None:
    with ScriptedServer([*FIRST, Drain()], broken, [*FIRST, Drain()]) as server:
        connect, target = Pop3Connector(), mailbox(server.port, deadlines=IMPATIENT)
        listed(target, connect)
        with pytest.raises(kind):
            listed(target, connect)
        assert listed(target, connect) == 2
    assert server.stopped_at is None


def test_pipelining_no_longer_announced_is_no_longer_used() -> None:
    """CAPA after the login replaces that before it."""
    steps = [HELLO, *FLIGHT, landed("TOP"), *_lockstep_fetch()]
    with ScriptedServer([*FIRST, Drain()], steps, [*IN_LOCKSTEP, *_lockstep_fetch()]) as server:
        connect, target = Pop3Connector(), mailbox(server.port)
        listed(target, connect)
        before = len(server.received)
        for _ in range(2):
            with closing(opened(target, connect=connect)) as drop:
                assert len(list(drop.fetch(rows(3, 3), Spools()))) == 2
    assert server.stopped_at is None
    assert verbs(server)[before:] == [*VERBS, "RETR", "RETR", "USER", "PASS", "RETR", "RETR"]


def _lockstep_fetch() -> list[Step]:
    return [step for _ in range(2) for step in (Expect("RETR"), Send(b"+OK\r\nx\r\n.\r\n"))] + [Drain()]


def test_capabilities_after_login_take_precedence() -> None:
    """LOGIN-DELAY and EXPIRE may be a user's own."""
    answers = landed("PIPELINING", "LOGIN-DELAY 300", "EXPIRE 10")
    steps = [HELLO, *capa("PIPELINING", "LOGIN-DELAY 60 USER", "EXPIRE NEVER USER"), *FLIGHT, answers, Drain()]
    with ScriptedServer(steps) as server, closing(opened(mailbox(server.port))) as drop:
        drop.listing()
        assert drop.terms == Terms(None, 300.0, 864_000.0)


def test_capabilities_before_login_apply_if_capa_is_refused_after_it() -> None:
    flown = b"+OK\r\n+OK\r\n-ERR not now\r\n+OK 0 0\r\n+OK\r\n.\r\n+OK\r\n.\r\n"
    steps = [HELLO, *capa("PIPELINING", "LOGIN-DELAY 60"), *FLIGHT, Send(flown)]
    steps += [Expect("RETR 1"), Expect("RETR 2"), Send(b"-ERR\r\n-ERR\r\n"), Drain()]
    with ScriptedServer(steps) as server, closing(opened(mailbox(server.port))) as drop:
        drop.listing()
        assert drop.terms.login_delay == 60
        assert len(list(drop.fetch(rows(1, 1), Spools()))) == 2
    assert server.stopped_at is None


def test_without_pipelining_capa_is_sent_once_an_hour() -> None:
    """Each question costs a round trip."""
    now = [1000.0]
    first, again = [*login("LOGIN-DELAY 5"), Drain()], [*IN_LOCKSTEP, Drain()]
    other = [*IN_LOCKSTEP, *capa("LOGIN-DELAY 9"), Drain()]
    with ScriptedServer(first, again, other, first) as server:
        connect, target = Pop3Connector(clock=lambda: now[0]), mailbox(server.port)
        delays = []
        for mailbox_id, later in (("m", 0), ("m", 3599), ("n", 0), ("m", 1)):
            now[0] += later
            with closing(opened(replace(target, id=mailbox_id), connect=connect)) as drop:
                delays.append(drop.terms.login_delay)
    assert server.stopped_at is None
    assert delays == [5, 5, 9, 5]
    assert server.ahead == 0


def test_server_with_unreliable_pipelining_gets_one_command_at_a_time() -> None:
    with ScriptedServer(
        [HELLO, *capa("PIPELINING"), *IN_LOCKSTEP[1:], *capa("PIPELINING"), *_lockstep_fetch()]
    ) as server:
        target = mailbox(server.port)
        target = replace(target, server=replace(target.server, quirks=Quirks(lockstep=True)))
        with closing(opened(target)) as drop:
            assert len(list(drop.fetch(rows(3, 3), Spools()))) == 2
    assert server.stopped_at is None
    assert server.ahead == 0


def test_with_starttls_only_what_was_announced_under_tls_counts_and_is_remembered(tmp_path: Path) -> None:
    """Whoever sits on the line can have put the first answer there."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    asked = [HELLO, *capa("STLS", "SASL X"), Expect("STLS"), Send(b"+OK\r\n"), Secure(context)]
    first = [*asked, *capa("PIPELINING"), *PIPELINED, Drain()]
    again = [HELLO, Expect("STLS"), Send(b"+OK\r\n"), Secure(context), *PIPELINED, Drain()]
    with ScriptedServer(first, again) as server:
        target = mailbox(server.port)
        target = replace(target, server=replace(target.server, tls=Tls.STARTTLS, ca_file=str(ca_file)))
        connect = Pop3Connector()
        assert [listed(target, connect) for _ in range(2)] == [2, 2]
    assert server.stopped_at is None
    assert verbs(server) == ["CAPA", "STLS", "CAPA", *VERBS, "STLS", *VERBS]


# --- announced, and not kept up with -----------------------------------------------------------------------------


def test_server_that_answers_only_the_first_pipelined_command_is_reopened_and_remembered() -> None:
    """By the connector itself, while it logs in."""
    stalling = [HELLO, *capa("PIPELINING"), *FLIGHT, Send(b"+OK\r\n"), Drain()]
    careful = [HELLO, *capa("PIPELINING"), *IN_LOCKSTEP[1:], *capa("PIPELINING"), Drain()]
    with ScriptedServer(stalling, careful, [*IN_LOCKSTEP, Drain()]) as server:
        connect, target = Pop3Connector(), mailbox(server.port, deadlines=IMPATIENT)
        for _ in range(2):
            opened(target, connect=connect).close()
    assert server.stopped_at is None
    assert verbs(server) == ["CAPA", *VERBS, "CAPA", "USER", "PASS", "CAPA", "USER", "PASS"]


def test_a_server_that_falls_silent_while_it_is_fetched_from_is_remembered() -> None:
    """Whoever fetches opens another session, which goes in lockstep."""
    stalling = [*FIRST, Expect("RETR 1"), Expect("RETR 2"), Send(b"+OK\r\na\r\n.\r\n"), Drain()]
    with ScriptedServer(stalling, [*IN_LOCKSTEP, *_lockstep_fetch()]) as server:
        connect, target = Pop3Connector(), mailbox(server.port, deadlines=IMPATIENT)
        with closing(opened(target, connect=connect)) as drop:
            fetched = drop.fetch(rows(3, 3), Spools())
            assert isinstance(next(fetched), Fetched)
            with pytest.raises(PipeliningStalledError):
                next(fetched)
        with closing(opened(target, connect=connect)) as drop:
            assert len(list(drop.fetch(rows(3, 3), Spools()))) == 2
    assert server.stopped_at is None
    assert server.ahead == 5


def test_a_server_that_falls_silent_while_it_lists_is_remembered() -> None:
    steps = [HELLO, *capa("PIPELINING"), *FLIGHT, Send(b"+OK\r\n+OK\r\n" + announced("PIPELINING")), Drain()]
    with ScriptedServer(steps, [*IN_LOCKSTEP, Drain()]) as server:
        connect, target = Pop3Connector(), mailbox(server.port, deadlines=IMPATIENT)
        with closing(opened(target, connect=connect)) as drop, pytest.raises(PipeliningStalledError):
            drop.listing()
        opened(target, connect=connect).close()
    assert server.stopped_at is None


@pytest.mark.parametrize("answers", [b"", b"+OK\r\n+O", b"+OK\r\n+OK\r\n+OK\r\nPIPELINING\r\n"])
def test_other_silence_is_not_a_pipelining_stall(answers: bytes) -> None:
    """None was answered, or an answer was begun: then it is the server or the line that is slow."""
    steps = [HELLO, *capa("PIPELINING"), *FLIGHT, Send(answers), Drain()]
    deadlines = replace(IMPATIENT, idle=LATER)
    with ScriptedServer(steps, [*FIRST, Drain()]) as server:
        connect, target = Pop3Connector(), mailbox(server.port, deadlines=deadlines)
        with pytest.raises(MaildropTimeoutError) as raised:
            opened(target, connect=connect)
        assert type(raised.value) is MaildropTimeoutError
        assert listed(target, connect) == 2
    assert server.stopped_at is None


def test_silence_after_a_challenge_is_not_a_pipelining_stall() -> None:
    """Nothing was sent ahead, so nothing is tried again, though it would go well."""
    asked = [HELLO, *capa("PIPELINING", "SASL LOGIN"), Expect("AUTH LOGIN"), Send(b"+ \r\n"), Expect("am9l")]
    well = [*asked, Send(b"+ \r\n"), Expect("c2Vj"), Send(b"+OK\r\n"), *capa(), Drain()]
    credentials = Credentials("joe", "secret", Mechanism.LOGIN)
    with ScriptedServer([*asked, Drain()], well) as server, pytest.raises(MaildropTimeoutError):
        opened(mailbox(server.port, deadlines=IMPATIENT), credentials)


def test_end_of_the_poll_is_not_a_pipelining_stall() -> None:
    steps = [HELLO, *capa("PIPELINING"), *FLIGHT, Send(b"+OK\r\n"), Drain()]
    deadlines = replace(IMPATIENT, reply=PATIENCE, poll=LATER)
    with ScriptedServer(steps) as server, pytest.raises(MaildropTimeoutError, match="as a whole"):
        opened(mailbox(server.port, deadlines=deadlines))


# --- AUTH ----------------------------------------------------------------------------------------------------------

TOKEN = Credentials("joe", "old", Mechanism.XOAUTH2)
BEARER = "dXNlcj1qb2UBYXV0aD1CZWFyZXIgb2xkAQE="  # user=joe^Aauth=Bearer old^A^A
NEWER = "dXNlcj1qb2UBYXV0aD1CZWFyZXIgbmV3AQE="
SASL = ("PIPELINING", "SASL PLAIN XOAUTH2")
REFUSED: list[Step] = [
    Send(b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n"),
    Expect(""),
    Send(b"-ERR Authentication failure\r\n"),
    Drain(),
]


def never() -> Credentials:
    raise AssertionError


def test_nothing_is_sent_after_auth_until_it_is_answered() -> None:
    """What follows it could be taken for the response to a challenge."""
    listing = [Expect(verb) for verb in VERBS[2:]]
    answers = announced("PIPELINING") + b"+OK 0 0\r\n+OK\r\n.\r\n+OK\r\n.\r\n"
    steps = [
        HELLO,
        *capa(*SASL),
        Expect(f"AUTH XOAUTH2 {BEARER}"),
        Send(b"+OK\r\n"),
        *listing,
        Send(answers),
        Drain(),
    ]
    with ScriptedServer(steps) as server, closing(opened(mailbox(server.port), TOKEN)) as drop:
        assert drop.listing().rows == []
    assert server.stopped_at is None
    assert server.ahead == 3


@pytest.mark.parametrize("empty", [b"+ \r\n", b"+\r\n"])
def test_two_steps_where_the_server_wants_them(empty: bytes) -> None:
    """A bare `+` is accepted here, and only here."""
    steps = [HELLO, *capa("SASL XOAUTH2"), Expect("AUTH XOAUTH2"), Send(empty), Expect(BEARER), Send(b"+OK\r\n")]
    with ScriptedServer([*steps, *capa(), Drain()]) as server:
        target = mailbox(server.port)
        target = replace(target, server=replace(target.server, quirks=Quirks(two_step_auth=True)))
        opened(target, TOKEN).close()
    assert server.received[1:3] == [b"AUTH XOAUTH2", BEARER.encode()]


def test_a_refused_token_is_renewed_once_on_a_new_connection() -> None:
    """The challenge with the reason is answered, and -ERR read."""
    renewed = Credentials("joe", "new", Mechanism.XOAUTH2)
    asked: list[int] = []

    def renew() -> Credentials:
        asked.append(1)
        return renewed

    first = [HELLO, *capa("SASL XOAUTH2"), Expect("AUTH"), *REFUSED]
    second = [HELLO, *capa("SASL XOAUTH2"), Expect(f"AUTH XOAUTH2 {NEWER}"), Send(b"+OK\r\n"), *capa(), Drain()]
    with ScriptedServer(first, second) as server:
        opened(mailbox(server.port), replace(TOKEN, renew=renew)).close()
    assert server.stopped_at is None
    assert server.received[2] == b""
    assert len(asked) == 1


def test_a_token_that_is_refused_again_is_an_authentication_failure() -> None:
    credentials = replace(TOKEN, renew=lambda: replace(TOKEN, password="new", renew=never))
    refused = [HELLO, *capa("SASL XOAUTH2"), Expect("AUTH"), *REFUSED]
    with ScriptedServer(refused, refused) as server, pytest.raises(MaildropAuthError, match="access token"):
        opened(mailbox(server.port), credentials)
    assert server.stopped_at is None


def test_unchanged_credentials_are_not_retried() -> None:
    """Accounts get locked."""
    credentials = replace(TOKEN, renew=lambda: TOKEN)
    refused = [HELLO, *capa("SASL XOAUTH2"), Expect("AUTH"), *REFUSED]
    with ScriptedServer(refused) as server, pytest.raises(MaildropAuthError):
        opened(mailbox(server.port), credentials)
    assert server.received[:2] == [b"CAPA", f"AUTH XOAUTH2 {BEARER}".encode()]


def test_temporary_refusal_renews_no_credentials() -> None:
    steps = [HELLO, *capa("SASL XOAUTH2"), Expect("AUTH"), Send(b"-ERR [SYS/TEMP] x\r\n"), Drain()]
    with ScriptedServer(steps) as server, pytest.raises(MaildropTemporaryError):
        opened(mailbox(server.port), replace(TOKEN, renew=never))


def test_scram_fails_if_the_server_does_not_prove_itself() -> None:
    steps = [HELLO, *capa("SASL SCRAM-SHA-256"), Expect("AUTH SCRAM-SHA-256"), Send(b"+OK welcome\r\n"), Drain()]
    credentials = Credentials("joe", "secret", Mechanism.SCRAM_SHA_256)
    with ScriptedServer(steps) as server, pytest.raises(MaildropProtocolError, match="without proving"):
        opened(mailbox(server.port), credentials)


def test_apop_takes_the_timestamp_of_the_greeting() -> None:
    """RFC 1939 section 7; it goes with the flight."""
    greeting = Send(b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n")
    steps = [greeting, *capa("PIPELINING"), Expect("APOP mrose c4c9334bac560ecc979e58001b3e22fb")]
    steps += [*FLIGHT[2:], Send(b"+OK\r\n" + announced() + b"+OK 0 0\r\n+OK\r\n.\r\n+OK\r\n.\r\n"), Drain()]
    credentials = Credentials("mrose", "tanstaaf", Mechanism.APOP)
    with ScriptedServer(steps) as server, closing(opened(mailbox(server.port), credentials)) as drop:
        assert drop.listing().rows == []
    assert server.stopped_at is None


def test_a_mechanism_that_is_not_offered_is_not_tried() -> None:
    credentials = Credentials("joe", "secret", Mechanism.PLAIN)
    steps = [HELLO, *capa("SASL XOAUTH2"), Drain()]
    with ScriptedServer(steps) as server, pytest.raises(MaildropError, match="XOAUTH2"):
        opened(mailbox(server.port), credentials)
    assert verbs(server) == ["CAPA"]


def test_without_capa_a_mechanism_is_tried() -> None:
    steps = [HELLO, Expect("CAPA"), Send(b"-ERR\r\n"), Expect("AUTH PLAIN"), Send(b"+OK\r\n"), Drain()]
    with ScriptedServer(steps) as server:
        opened(mailbox(server.port), Credentials("joe", "secret", Mechanism.PLAIN)).close()
    assert server.stopped_at is None
