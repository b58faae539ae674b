"""The states of a POP3 session and what leads from one to another.

Theory of operation
-------------------
RFC 1939 section 3 knows three states. The server greets (GREETING, ours: nothing may be sent before the greeting,
because what it says decides whether anything is). In AUTHORIZATION the client proves who it is; +OK to PASS, APOP or
AUTH opens the maildrop and begins TRANSACTION. Here DELE only marks. QUIT in TRANSACTION begins UPDATE, in which the
server removes what was marked; a session that ends in any other way removes nothing (section 6). STLS (RFC 2595
section 4) adds SECURING: between +OK to STLS and the end of the TLS handshake neither side may say anything in plain
text. AUTH (RFC 5034 section 4) is the one command whose answer may be put off: the server may challenge, with `+ `,
and what the client says next is no command but the response to it.

Each pair of state and command that is allowed stands once in `TRANSITIONS`, with the state after +OK and the state
after -ERR. What is not in the table is not allowed.

Replies come in the order of the commands (RFC 2449 section 6.6), so the protocol keeps two states: the one that the
replies so far prove, and the one that will hold if every outstanding command is answered +OK. A command is checked
against the second when it is sent, and moves the first when it is answered. When a login is refused, what was sent
behind it is answered in a state that it was not meant for; such answers move nothing. Behind STLS and AUTH nothing
may be sent until they are answered, because the server would take it for something else than a command.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a session is."""

    GREETING = "greeting"
    AUTHORIZATION = "authorization"
    SECURING = "securing"
    TRANSACTION = "transaction"
    UPDATE = "update"
    CLOSED = "closed"


class Verb(StrEnum):
    """The commands we use. The value is what goes over the wire."""

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

# After QUIT was answered nothing more is read: qmail-pop3d says -ERR and then +OK, and the first counts.
FINAL = frozenset({State.UPDATE, State.CLOSED})


def after(state: State, verb: Verb, *, ok: bool) -> State:
    """The state that an answer leads to; a command refused because an earlier one failed changes nothing."""
    return TRANSITIONS.get((state, verb), (state, state))[0 if ok else 1]
