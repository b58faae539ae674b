"""What servers do that no test can install: qmail-pop3d, popa3d, Gmail, o2.pl. What is kept, and what is deleted.

Each script is one session, in the order of the polls; a client that says anything else ends it.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ingest.domain.mailbox import Credentials, Deadlines, Deletion, Quirks, Server, Tls
from ingest.errors import StoreUnavailableError
from tests.support.bench import Bench, mail, mailbox
from tests.support.scripted_pop3 import (
    FLIGHT,
    LATER,
    PATIENT,
    Close,
    Drain,
    Expect,
    ScriptedServer,
    Send,
    Step,
    capa,
    landed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


# For servers that never send an answer.
IMPATIENT = replace(PATIENT, reply=LATER)


@contextmanager
def polling(
    scripts: Sequence[Sequence[Step]],
    *,
    policy: Deletion | None = None,
    quirks: Quirks | None = None,
    deadlines: Deadlines = PATIENT,
) -> Iterator[tuple[Bench, ScriptedServer]]:
    """Yield a bench whose only mailbox is on a server that plays these sessions, all of them and to their ends."""
    with ExitStack() as stack:
        server = stack.enter_context(ScriptedServer(*scripts))
        where = Server("127.0.0.1", server.port, Tls.NONE, quirks=quirks or Quirks())
        made = Bench(mailbox("a", where, deletion=policy or Deletion(), deadlines=deadlines))
        stack.callback(made.close)
        made.poll_over_sockets(Credentials("joe", "secret"))
        yield made, server
    assert server.stopped_at is None, server.received


def result(made: Bench) -> str:
    """Of the last poll."""
    return made.ledger.statuses()["a"].result


def raws(made: Bench) -> list[bytes]:
    """What the store has, by length."""
    return sorted((made.store.objects[key].content for key in made.keys("raw.eml")), key=len)


def verbs(server: ScriptedServer) -> list[str]:
    return [line.decode().split()[0] for line in server.received]


def asked(command: str, answer: bytes) -> list[Step]:
    return [Expect(command), Send(answer)]


def one_by_one(greeting: bytes, *, first: bool, listing: Sequence[tuple[bytes, bytes]]) -> list[Step]:
    """A session up to its listing, on a server that does not know CAPA; it is asked for that once.

    Args:
        greeting: its first line.
        first: whether it is the first session.
        listing: unique-id and size of each message.
    """
    steps: list[Step] = [Send(greeting + b"\r\n")]
    if first:
        steps += asked("CAPA", b"-ERR\r\n")
    steps += [*asked("USER", b"+OK \r\n"), *asked("PASS", b"+OK \r\n")]
    steps += asked("STAT", b"+OK %d 0\r\n" % len(listing))
    if not listing:
        return steps
    ids = b"".join(b"%d %b\r\n" % (number, unique_id) for number, (unique_id, _) in enumerate(listing, 1))
    sizes = b"".join(b"%d %b\r\n" % (number, size) for number, (_, size) in enumerate(listing, 1))
    return [*steps, *asked("UIDL", b"+OK \r\n" + ids + b".\r\n"), *asked("LIST", b"+OK \r\n" + sizes + b".\r\n")]


def with_id(name: str) -> bytes:
    return b"Message-ID: <%b@example.org>\r\n" % name.encode() + mail(name)


def compared(raw: bytes, number: int = 1) -> list[Step]:
    """A message whose deletion is in doubt, or that came in another size than listed, is compared by its header."""
    return asked(f"TOP {number} 0", b"+OK\r\n" + raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n.\r\n")


# --- qmail-pop3d --------------------------------------------------------------------------------------------------

# It is the file's name, which may be as long as the file system lets it.
LONG_ID = b"1764000000.qp_" + b"x" * 241
QMAIL = b"+OK <4711.1764000000@pop.example.org>"


def by_qmail(raw: bytes) -> bytes:
    """The answer to RETR: it adds an empty line, which is not in the listed size; nor is the CR of any line."""
    return b"+OK \r\n" + (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:] + b"\r\n.\r\n"


def qmail(*mails: tuple[bytes, bytes], first: bool = False) -> list[Step]:
    """A session up to its listing; each message with its unique-id."""
    listing = [(unique_id, b"%d" % len(raw.replace(b"\r\n", b"\n"))) for unique_id, raw in mails]
    return one_by_one(QMAIL, first=first, listing=listing)


def test_mail_of_qmail_is_kept_as_it_was_sent_whatever_its_listed_size() -> None:
    """Sizes without CRs, one empty line too many, and a unique-id of 255 bytes."""
    one, two = mail("1", "first\r\n.second\r\n" * 40), mail("2")
    assert len(LONG_ID) == 255
    drop = [(LONG_ID, one), (LONG_ID[:-1] + b"y", two)]
    fetching = [*asked("RETR 1", by_qmail(one)), *asked("RETR 2", by_qmail(two)), Expect("QUIT")]
    with polling([[*qmail(*drop, first=True), *fetching], [*qmail(*drop), Expect("QUIT")]]) as (made, server):
        made.everything()
        made.everything()
        assert raws(made) == [two + b"\r\n", one + b"\r\n"]
        assert len(made.published()) == 2
    assert verbs(server).count("RETR") == 2


def test_first_of_two_answers_to_quit_counts_and_the_rest_is_deleted_later() -> None:
    """It says -ERR when it could not remove all, then +OK; what it could not remove is listed again."""
    one, two = (b"u1", with_id("1")), (b"u2", with_id("2"))
    fetching = [*asked("RETR 1", by_qmail(one[1])), *asked("RETR 2", by_qmail(two[1])), Expect("QUIT")]
    marking = [*asked("DELE 1", b"+OK \r\n"), *asked("DELE 2", b"+OK \r\n")]
    in_doubt = asked("QUIT", b"-ERR unable to unlink all deleted messages\r\n+OK \r\n")
    scripts = [
        [*qmail(one, two, first=True), *fetching],
        [*qmail(one, two), *compared(one[1]), *compared(two[1], 2), *marking, *in_doubt],
        [*qmail(two), *compared(two[1]), *asked("DELE 1", b"+OK \r\n"), *asked("QUIT", b"+OK \r\n")],
        [*qmail(), Expect("QUIT")],
    ]
    with polling(scripts, policy=Deletion(0)) as (made, server):
        for _ in scripts:
            made.everything()
            assert result(made) == "success"
            assert len(made.published()) == 2
    assert verbs(server).count("RETR") == 2


# --- popa3d -------------------------------------------------------------------------------------------------------

POPA3D = b"+OK"


def popa3d(*mails: bytes, first: bool = False) -> list[Step]:
    """A session up to its listing; unique-ids are digests of the header."""
    listing = [(hashlib.sha256(raw).hexdigest()[:16].encode(), b"%d" % len(raw)) for raw in mails]
    return one_by_one(POPA3D, first=first, listing=listing)


def whole(raw: bytes) -> bytes:
    return b"+OK\r\n" + raw + b".\r\n"


def test_a_maildrop_that_another_program_changes_ends_the_session_and_loses_nothing() -> None:
    """It goes without a word, in the middle of a message or before its end."""
    mails = [mail(f"{number}", "x" * number) for number in range(3)]
    broken = [*asked("RETR 1", whole(mails[0])), *asked("RETR 2", b"+OK\r\n" + mails[1]), Close()]
    scripts = [
        [*popa3d(*mails, first=True), *broken],
        [*popa3d(*mails), *asked("RETR 3", whole(mails[2])), *asked("QUIT", b"+OK\r\n")],
        [*popa3d(*mails), *asked("RETR 2", whole(mails[1])), Expect("QUIT")],
        [*popa3d(*mails), Expect("QUIT")],
    ]
    with polling(scripts) as (made, server):
        made.everything()
        assert result(made) == "success"
        assert raws(made) == mails, "the message without its end is not kept"
        made.everything()
        assert result(made) == "success"
        assert raws(made) == mails
        assert len(made.published()) == 3
    assert verbs(server).count("RETR") == 4


@pytest.mark.parametrize("answer", [[Send(b"-ERR\r\n"), Close()], [Close()]], ids=["-ERR", "nothing"])
def test_deletions_are_repeated_if_the_maildrop_could_not_be_rewritten(answer: list[Step]) -> None:
    """It answers QUIT with a bare -ERR, or goes without a word when another program was faster."""
    raw = with_id("1")
    scripts = [
        [*popa3d(raw, first=True), *asked("RETR 1", whole(raw)), Expect("QUIT")],
        [*popa3d(raw), *asked("DELE 1", b"+OK\r\n"), Expect("QUIT"), *answer],
        [*popa3d(raw), *compared(raw), *asked("DELE 1", b"+OK\r\n"), *asked("QUIT", b"+OK\r\n")],
        [*popa3d(), Expect("QUIT")],
    ]
    with polling(scripts, policy=Deletion(0)) as (made, server):
        for _ in scripts:
            made.everything()
            assert len(made.published()) == 1
    assert verbs(server).count("RETR") == 1


def test_bare_err_is_a_wrong_password_and_not_retried_at_once() -> None:
    """It says no more of a wrong password than of a maildrop it cannot load: the account is spared."""
    script = [Send(b"+OK\r\n"), *asked("CAPA", b"-ERR\r\n"), *asked("USER", b"+OK\r\n"), *asked("PASS", b"-ERR\r\n")]
    with polling([script]) as (made, server):
        for _ in range(3):
            made.poll_all()
            assert result(made) == "auth_error"
    assert verbs(server).count("PASS") == 1


# --- Gmail --------------------------------------------------------------------------------------------------------

GMAIL = Quirks(lists_window=True)
FEATURES = ("USER", "RESP-CODES", "EXPIRE 0", "LOGIN-DELAY 300", "TOP", "UIDL")


def gmail(*mails: tuple[bytes, bytes], first: bool = False) -> list[Step]:
    """A session up to its listing; it does not announce PIPELINING."""
    steps: list[Step] = [Send(b"+OK Gpop ready for requests from 127.0.0.1\r\n")]
    if first:
        steps += capa(*FEATURES)
    steps += [*asked("USER", b"+OK send PASS\r\n"), *asked("PASS", b"+OK Welcome.\r\n")]
    if first:
        steps += capa(*FEATURES)
    steps += asked("STAT", b"+OK %d 0\r\n" % len(mails))
    if mails:
        ids = b"".join(b"%d %b\r\n" % (number, unique_id) for number, (unique_id, _) in enumerate(mails, 1))
        sizes = b"".join(b"%d %d\r\n" % (number, len(raw)) for number, (_, raw) in enumerate(mails, 1))
        steps += [*asked("UIDL", b"+OK\r\n" + ids + b".\r\n"), *asked("LIST", b"+OK\r\n" + sizes + b".\r\n")]
    return steps


def fetched(*mails: tuple[bytes, bytes], newest_first: bool = False) -> list[Step]:
    rows = sorted(enumerate(mails, 1), reverse=newest_first)
    return [step for number, (_, raw) in rows for step in asked(f"RETR {number}", whole(raw))]


def test_a_window_is_polled_until_it_shows_nothing_new() -> None:
    """What was fetched before QUIT is not listed any more; what was behind it is."""
    drop = [(b"u%d" % number, mail(f"{number}")) for number in range(5)]
    scripts = [
        [*gmail(*drop[:2], first=True), *fetched(*drop[:2]), Expect("QUIT")],
        [*gmail(*drop[2:4]), *fetched(*drop[2:4]), Expect("QUIT")],
        [*gmail(*drop[4:]), *fetched(*drop[4:]), Expect("QUIT")],
        [*gmail(), Expect("QUIT")],
    ]
    with polling(scripts, quirks=GMAIL) as (made, _):
        made.everything()
        for _ in range(3):  # its LOGIN-DELAY lies between two polls
            made.clock.time += 300
            made.poll_stage.run(lambda: False)
        made.process_stage.run(lambda: False)
        made.relay_stage.run(lambda: False)
        assert sorted(raws(made)) == sorted(raw for _, raw in drop)
        assert len(made.published()) == 5


def test_session_with_unstored_mail_never_sends_quit() -> None:
    """RETR and QUIT consume a message, whether it was stored or not."""
    drop = [(b"u1", mail("1")), (b"u2", mail("2"))]
    scripts = [
        [*gmail(*drop, first=True), *fetched(*drop), Drain()],
        [*gmail(*drop), *fetched(*drop, newest_first=True), Expect("QUIT")],
        [*gmail(), Expect("QUIT")],
    ]
    with polling(scripts, quirks=GMAIL) as (made, server):

        def fault(operation: str, key: str) -> None:
            if operation == "put" and key.endswith("raw.eml"):
                raise StoreUnavailableError("unavailable")

        made.store.fault = fault
        made.everything()
        assert result(made) == "store_error"
        made.store.fault = None
        made.everything()
        made.clock.time += 300
        made.everything()
        assert len(made.published()) == 2
    assert verbs(server).count("QUIT") == 2, "none in the first session"


# --- o2.pl --------------------------------------------------------------------------------------------------------


def test_announced_but_missing_pipelining_costs_one_timeout_and_no_mail() -> None:
    """Only the first of several commands is answered, then nothing ever; one at a time all is well."""
    raw = mail("1")
    hello, features = Send(b"+OK ready\r\n"), ("PIPELINING", "UIDL")
    in_steps = [*asked("USER", b"+OK\r\n"), *asked("PASS", b"+OK\r\n")]
    listing = [
        *asked("STAT", b"+OK 1 5\r\n"),
        *asked("UIDL", b"+OK\r\n1 u1\r\n.\r\n"),
        *asked("LIST", b"+OK\r\n1 5\r\n.\r\n"),
    ]
    scripts = [
        [hello, *capa(*features), *FLIGHT, Send(b"+OK\r\n"), Drain()],
        [
            hello,
            *capa(*features),
            *in_steps,
            *capa(*features),
            *listing,
            *asked("RETR 1", whole(raw)),
            Expect("QUIT"),
        ],
        [hello, *in_steps, *listing, Expect("QUIT")],
    ]
    with polling(scripts, deadlines=IMPATIENT) as (made, server):
        for _ in range(2):
            made.everything()
            assert result(made) == "success"
            assert raws(made) == [raw]
            assert len(made.published()) == 1
    assert verbs(server).count("RETR") == 1


def test_stalled_fetch_resumes_one_message_at_a_time() -> None:
    """What was complete before is registered, and not fetched again."""
    drop = [(b"u1", mail("1")), (b"u2", mail("2")), (b"u3", mail("3"))]
    hello, features = Send(b"+OK ready\r\n"), ("PIPELINING", "UIDL")
    flight = Send(landed(*features, mails=3).data)
    listing = [
        *asked("STAT", b"+OK 3 15\r\n"),
        *asked("UIDL", b"+OK\r\n1 u1\r\n2 u2\r\n3 u3\r\n.\r\n"),
        *asked("LIST", b"+OK\r\n1 5\r\n2 5\r\n3 5\r\n.\r\n"),
    ]
    scripts = [
        [hello, *capa(*features), *FLIGHT, flight, *[Expect("RETR")] * 3, Send(whole(drop[0][1])), Drain()],
        [
            hello,
            *asked("USER", b"+OK\r\n"),
            *asked("PASS", b"+OK\r\n"),
            *listing,
            *asked("RETR 2", whole(drop[1][1])),
            *asked("RETR 3", whole(drop[2][1])),
            Expect("QUIT"),
        ],
    ]
    with polling(scripts, deadlines=IMPATIENT) as (made, _):
        made.everything()
        assert result(made) == "success"
        assert sorted(raws(made)) == sorted(raw for _, raw in drop)
        assert len(made.published()) == 3
