"""The states of a POP3 session and the transitions between them.

Theory of operation
-------------------
RFC 1939 section 3 defines three states. We add GREETING: nothing may be sent before the server's greeting, because
the greeting decides whether the session continues. In AUTHORIZATION the client logs in; +OK to PASS, APOP or AUTH
opens the maildrop and begins TRANSACTION. There DELE only marks a message. QUIT in TRANSACTION begins UPDATE, in
which the server removes the marked messages; a session that ends in any other way removes nothing (section 6). STLS
(RFC 2595 section 4) adds SECURING: between +OK to STLS and the end of the TLS handshake neither side may send plain
text. AUTH (RFC 5034 section 4) is the only command whose answer may be preceded by challenges (`+ `); the client's
next line is then the response to the challenge, not a command.

`TRANSITIONS` holds each allowed pair of state and command once, with the state after +OK and the state after -ERR. A
pair that is not in the table is not allowed.

Replies arrive in the order of the commands (RFC 2449 section 6.6), so the protocol tracks two states: the one the
replies so far have confirmed, and the one that will hold if every outstanding command is answered +OK. A command is
checked against the second when it is sent, and advances the first when it is answered. If a login is refused, the
commands pipelined behind it are answered in the wrong state; those answers change nothing. Nothing may be sent behind
STLS or AUTH until they are answered, because the server would not read it as a command.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The state of a session."""

    GREETING = "greeting"
    AUTHORIZATION = "authorization"
    SECURING = "securing"
    TRANSACTION = "transaction"
    UPDATE = "update"
    CLOSED = "closed"


class Verb(StrEnum):
    """The commands we use. The value is the text sent over the wire."""

    CAPA = "CAPA"
    STLS = "STLS"
    USER = "USER"
    PASS = "PASS"  # noqa: S105 - a command's name
    APOP = "APOP"
    AUTH = "AUTH"
    STAT = "STAT"
    UIDL = "UIDL"
    LIST = "LIST"
    RETR = "RETR"
    TOP = "TOP"
    DELE = "DELE"
    QUIT = "QUIT"


_A, _T = State.AUTHORIZATION, State.TRANSACTION

TRANSITIONS: dict[tuple[State, Verb], tuple[State, State]] = {
    # (state, command):    (after +OK, after -ERR)
    (_A, Verb.CAPA): (_A, _A),
    (_A, Verb.STLS): (State.SECURING, _A),
    (_A, Verb.USER): (_A, _A),
    (_A, Verb.PASS): (_T, _A),
    (_A, Verb.APOP): (_T, _A),
    (_A, Verb.AUTH): (_T, _A),
    (_A, Verb.QUIT): (State.CLOSED, State.CLOSED),
    (_T, Verb.CAPA): (_T, _T),
    (_T, Verb.STAT): (_T, _T),
    (_T, Verb.UIDL): (_T, _T),
    (_T, Verb.LIST): (_T, _T),
    (_T, Verb.RETR): (_T, _T),
    (_T, Verb.TOP): (_T, _T),
    (_T, Verb.DELE): (_T, _T),
    (_T, Verb.QUIT): (State.UPDATE, State.CLOSED),
}

ALONE = frozenset({Verb.STLS, Verb.AUTH})

# Nothing is read after the answer to QUIT: qmail-pop3d sends -ERR and then +OK, and the first one counts.
FINAL = frozenset({State.UPDATE, State.CLOSED})


def after(state: State, verb: Verb, *, ok: bool) -> State:
    """Return the state after an answer; a command answered in a state it was not meant for changes nothing."""
    return TRANSITIONS.get((state, verb), (state, state))[0 if ok else 1]
