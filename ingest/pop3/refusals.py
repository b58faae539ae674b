"""The meaning of -ERR, by response code or by the server's text.

A response code decides what a refusal means. Most servers send none and answer in prose; `TEXTS` lists known texts
with their sources. Without either, a refused login means wrong credentials.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain.mailbox import Mechanism
from ingest.errors import (
    LoginDelayError,
    LoginRefusedError,
    MaildropAuthError,
    MaildropError,
    MaildropInUseError,
    MaildropRefusedError,
    MaildropTemporaryError,
    MaildropThrottledError,
)

if TYPE_CHECKING:
    from ingest.pop3.events import Status

_TOKENS = frozenset({Mechanism.XOAUTH2, Mechanism.OAUTHBEARER})

_CODES: dict[str, type[MaildropError]] = {
    "IN-USE": MaildropInUseError,  # RFC 2449 section 8.1.2
    "LOGIN-DELAY": LoginDelayError,  # RFC 2449 section 8.1.1
    "SYS/TEMP": MaildropTemporaryError,  # RFC 3206 section 4
    "SYS/PERM": MaildropRefusedError,  # RFC 3206 section 4
    "AUTH": MaildropAuthError,  # RFC 3206 section 5
}

_INTERVAL = "The server wants more time between two logins: set a longer `interval`."
_CONNECTIONS = (
    "The server accepts no more connections from here at once; it is tried again later. "
    "Lower `limits.connections` if this repeats."
)
_PATIENCE = (
    "The server wants fewer or rarer connections; it is tried again later. "
    "A longer `interval` or a lower `limits.connections` helps."
)
_IN_USE = "Another session holds the maildrop; it is tried again. Let no other program poll it."
_TEMPORARY = "The server is out of order at present; it is tried again."
_POP3_OFF = "Switch POP3 on in the account's settings at the provider."
_TLS = "The server accepts passwords over TLS only: set `tls: implicit` or `tls: starttls`."


@dataclass(frozen=True, slots=True)
class Text:
    """What some servers write behind -ERR.

    Attributes:
        example: one such text.
        source: who writes it.
        pattern: finds it and its kind, without regard to case.
        kind: what it means.
        remedy: a sentence for the person who has to act; empty for the usual one of its kind.
        over_code: it means this even if the server adds a response code that says otherwise.
    """

    example: str
    source: str
    pattern: str
    kind: type[MaildropError]
    remedy: str = ""
    over_code: bool = False

    def matches(self, text: str) -> bool:
        """Whether a server's text is of this kind."""
        return re.search(self.pattern, text, re.IGNORECASE) is not None


# The first row that matches counts. A temporary refusal taken for a wrong password would stop the mailbox for hours,
# a wrong password taken for a temporary one is only tried again, ever more seldom. Non-ASCII letters may arrive in
# any encoding, so the patterns have a wildcard for them.
TEXTS: tuple[Text, ...] = (
    Text(
        "Plaintext authentication disallowed on non-secure (SSL/TLS) connections.",
        "Dovecot, with the code AUTH",
        r"plain ?text (authentication|login|password)s? (is |are )?(disallowed|not allowed|disabled)"
        r"|must (use|issue) .*\b(tls|ssl|stls)\b|(tls|ssl|encryption) (is )?required",
        MaildropRefusedError,
        _TLS,
        over_code=True,
    ),
    Text(
        "Your account is not enabled for POP access.",
        "Gmail, with the code SYS/PERM",
        r"not enabled for pop|pop3? (access )?(is )?(disabled|not (enabled|allowed|permitted))|enable pop",
        MaildropRefusedError,
        _POP3_OFF,
    ),
    Text(
        "too short poll interval (15 min)",
        "GMX and other free mail services",
        r"poll(ing)? interval|login interval|check(ing)? mail too (often|frequent)"
        r"|\d+ ?min(ute)?s? (period|since|between)",
        LoginDelayError,
        _INTERVAL,
    ),
    Text(
        "Exceeded the login limit for a 15 minute period. Reduce the frequency of requests to the POP3 server.",
        "Outlook.com",
        r"login limit|reduce the frequency|too (frequent|often)|login rate",
        LoginDelayError,
        _INTERVAL,
    ),
    Text(
        "Password is incorrect, login frequency limited, or system is busy",
        "QQ Mail",
        r"login frequency",
        LoginDelayError,
        _INTERVAL,
    ),
    Text(
        "Maximum connections per IP reached",
        "hosting providers' proxies",
        r"(maximum|max\.?|limit).{0,30}connections?|connections? limit",
        MaildropThrottledError,
        _CONNECTIONS,
    ),
    Text(
        "Too many simultaneous connections. (Failure)",
        "Gmail",
        r"too many .{0,30}(connections|sessions|logins from|ip)\b|connections from (your|this|the same) ",
        MaildropThrottledError,
        _CONNECTIONS,
    ),
    Text(
        "Login attempts exceeded, account temporarily locked",
        "many servers; a locked account opens again",
        r"too (many|much)|exceed|rate limit|limited|\bblocked|account.*locked",
        MaildropThrottledError,
    ),
    Text(
        "Trop de connexions simultanées",
        "French providers",
        r"trop de (connexion|session|tentative)|compte .*(bloqu|verrouill)",
        MaildropThrottledError,
    ),
    Text(
        "Zu viele Verbindungen von Ihrer IP-Adresse",
        "German providers",
        r"zu viele (verbindung|anmelde|login|zugriff|versuch)|zu h.{1,2}ufig|konto .*gesperrt",
        MaildropThrottledError,
    ),
    Text(
        "maildrop already locked",
        "RFC 1939 section 4; qpopper, Cyrus and Courier write of a lock too",
        r"\block|in use|already|another (pop3? )?session",
        MaildropInUseError,
    ),
    Text(
        "Boîte aux lettres déjà utilisée",
        "French providers",
        r"d.{1,2}j.{1,2} (en cours d|utilis|ouvert|connect|verrouill)|en cours d.utilisation",
        MaildropInUseError,
    ),
    Text(
        "Postfach wird bereits abgefragt",
        "German providers",
        r"bereits (abgefragt|ge.ffnet|in benutzung|angemeldet|gesperrt)|postfach .*(gesperrt|belegt)|in benutzung",
        MaildropInUseError,
    ),
    Text(
        "Server Unavailable. 21",
        "Exchange Server (its own faults, whoever logs in)",
        r"unavailable|not connected|temporar|server error|internal",
        MaildropTemporaryError,
    ),
    Text(
        "Connection is closed. 9",
        "Exchange Online",
        r"connection (is|was|has been) closed|backend|connection to .*(failed|refused|lost)",
        MaildropTemporaryError,
    ),
    Text(
        "Server is under maintenance",
        "hosting providers",
        r"maintenance|out of (service|order)|shutting down|going down|overload",
        MaildropTemporaryError,
    ),
    Text(
        "Database connection failed",
        "servers with accounts in a database",
        r"(database|\bsql\b|\bdb\b).{0,40}(connect|error|fail|down|not available|query)"
        r"|(connect|error).{0,30}(database|\bsql\b)",
        MaildropTemporaryError,
    ),
    Text(
        "cannot contact LDAP server",
        "OpenLDAP's text, through servers with accounts in a directory",
        r"(can.?t|cannot|could not|unable to|failed to) (contact|connect|reach|open|bind)|\bldap\b|timed? ?out",
        MaildropTemporaryError,
    ),
    Text(
        "Unable to process request at this time",
        "many servers: faults of the machine behind the login",
        r"not responding|not available|(system|unexpected|i/o|read|write) error|out of memory|quota system"
        r"|unable to process|at this time|restart|migrat|gone away|disconnected"
        r"|(maildrop|mailbox|maildir|session) (could|can) ?not be|(could not|failed to) (read|create)",
        MaildropTemporaryError,
    ),
    Text(
        "Servicio temporalmente no disponible",
        "Spanish and Italian providers",
        r"temporalmente|temporaneamente|non? disponib|en mantenimiento|in manutenzione|errore? intern",
        MaildropTemporaryError,
    ),
    Text(
        "Service temporairement indisponible",
        "French providers",
        r"temporaire|indisponible|erreur interne|hors service",
        MaildropTemporaryError,
    ),
    Text(
        "Der Dienst ist derzeit nicht verfügbar",
        "German providers",
        r"derzeit|zur ?zeit|momentan|vor.{1,2}bergehend|nicht (verf.{1,2}gbar|erreichbar)|wartung|interner fehler",
        MaildropTemporaryError,
    ),
    Text(
        "Invalid user name or password, please try again",
        "many servers: here `try again` is no request for patience",
        r"(invalid|wrong|incorrect|bad|unknown) (user|login|password|credential)"
        r"|password (you entered )?((is|was) )?(incorrect|wrong|invalid)"
        r"|mot de passe (est )?(incorrect|invalide|erron)"
        r"|(falsches|ung.{1,2}ltiges) passwort|passwort (ist )?(falsch|ung)",
        MaildropAuthError,
    ),
    Text(
        "mail storage services busy, wait a few minutes",
        "InterMail; whoever says no more than this wants patience",
        r"busy|try again|\bwait\b|later",
        MaildropThrottledError,
    ),
    Text(
        "Veuillez réessayer plus tard",
        "French providers",
        r"r.{1,2}essayer|plus tard|patienter",
        MaildropThrottledError,
    ),
    Text(
        "Bitte versuchen Sie es später erneut",
        "German providers",
        r"sp.{1,2}ter|versuchen sie es|ausgelastet",
        MaildropThrottledError,
    ),
)

_REMEDIES: dict[type[MaildropError], str] = {
    MaildropInUseError: _IN_USE,
    LoginDelayError: _INTERVAL,
    MaildropThrottledError: _PATIENCE,
    MaildropTemporaryError: _TEMPORARY,
}
_ABOUT_PASSWORDS = (
    "the user name or password",
    "Check both; many providers want POP3 switched on for the account, and an app password.",
)
_ABOUT_TOKENS = (
    "the access token",
    "Check that the account is the one the token is for, that it may use POP3, and the scope and consent.",
)


def login_refused(status: Status, mechanism: Mechanism) -> MaildropError:
    """Return the error for a refused login; without a known reason the credentials are wrong."""
    kind, remedy = _meaning(status)
    if kind is None or kind is MaildropAuthError:
        what, remedy = _ABOUT_TOKENS if mechanism in _TOKENS else _ABOUT_PASSWORDS
        error = MaildropAuthError if status.code == "AUTH" else LoginRefusedError
        return error(f"The server refused {what}: {_quoted(status)} {remedy}")
    return _error(kind, status, "the login", remedy)


def command_refused(status: Status, command: str) -> MaildropError:
    """Return the error for -ERR to the greeting, or to a command that every server must support."""
    kind, remedy = _meaning(status)
    return _error(kind or MaildropRefusedError, status, command, remedy)


def has_known_reason(status: Status) -> bool:
    """Whether a refusal has a reason of its own, so that it does not mean that the server lacks the command."""
    return _meaning(status)[0] is not None


def reason(status: Status) -> str:
    """Return a short word for a refused message, fit for logs: nothing in it is the server's own."""
    return status.code.lower() if status.code in _CODES else "refused"


def _error(kind: type[MaildropError], status: Status, what: str, remedy: str) -> MaildropError:
    remedy = remedy or _REMEDIES.get(kind, "Its operator has to act." if status.code == "SYS/PERM" else "")
    return kind(f"The server refused {what}: {_quoted(status)} {remedy}".rstrip())


def _quoted(status: Status) -> str:
    words = status.text.rstrip(" .")
    return f"{words}." if words else "it did not say why."


def _meaning(status: Status) -> tuple[type[MaildropError] | None, str]:
    """Return what a refusal means, None if neither its code nor its text says it, and the remedy for its text."""
    row = next((row for row in TEXTS if row.matches(status.text)), None)
    kind = _CODES.get(status.code)
    if row is None:
        return kind, ""
    return (row.kind if kind is None or row.over_code else kind), row.remedy
